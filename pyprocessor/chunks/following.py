"""Does a recording still grow, or has it settled, and is it to be read again?"""

from __future__ import annotations

import math
import os
import threading
import time

from pyprocessor.chunks.errors import PipelineError
from pyprocessor.intake.paths import AnyPath

LOOK_SECONDS = 1.0
"""Between two looks at size and time."""
MOST_WAIT_SECONDS = 60.0
"""Between two times that all of it is read, however long that takes."""


class Growth:
    """Looks at size and time of a file, in a thread of its own, which a disk that does not answer may hold up.

    Raises PipelineError for a `settle_seconds` that is none.
    """

    def __init__(self, source: AnyPath, settle_seconds: float) -> None:
        number = isinstance(settle_seconds, int | float) and not isinstance(settle_seconds, bool)
        if not number or not math.isfinite(settle_seconds) or settle_seconds <= 0:
            raise PipelineError(f"settle_seconds is {settle_seconds!r}, but has to be more than 0 seconds.")
        self._source = source
        self._settle_seconds = settle_seconds
        self._seen: tuple[int, int] | None = None
        self._since = self._began = time.monotonic()
        self._read: tuple[int, int] | None = None
        self._next = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Growth:
        threading.Thread(target=self._watch, name="recording", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def begin_reading(self) -> bool:
        """Note that the file is read as it is now; returns whether it has stood still for as long as was asked for."""
        self._look()
        self._read, self._began = self._seen, time.monotonic()
        return self._settled()

    def end_reading(self) -> None:
        """Note that it was read: what took long is done again later."""
        now = time.monotonic()
        self._next = now + min(max(LOOK_SECONDS, now - self._began), MOST_WAIT_SECONDS)

    def is_due(self) -> bool:
        """Whether it is to be read again: it has changed since, or has settled."""
        return self._settled() or (self._seen != self._read and time.monotonic() >= self._next)

    def _settled(self) -> bool:
        return time.monotonic() - self._since >= self._settle_seconds

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        try:
            found = os.stat(self._source)
            seen = (found.st_size, found.st_mtime_ns)
        except OSError:
            seen = None
        with self._lock:
            if seen != self._seen:
                self._seen, self._since = seen, time.monotonic()
