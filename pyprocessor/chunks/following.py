"""Does a recording still grow, or has it settled?"""

from __future__ import annotations

import math
import os
import time

from pyprocessor.chunks.errors import PipelineError

LEAST_WAIT_SECONDS = 1.0
MOST_WAIT_SECONDS = 60.0


class Growth:
    """Looks at size and time of a file. Raises PipelineError for a `settle_seconds` that is none."""

    def __init__(self, source: str | bytes | os.PathLike[str] | os.PathLike[bytes], settle_seconds: float) -> None:
        number = isinstance(settle_seconds, int | float) and not isinstance(settle_seconds, bool)
        if not number or not math.isfinite(settle_seconds) or settle_seconds <= 0:
            raise PipelineError(f"settle_seconds is {settle_seconds!r}, but has to be more than 0 seconds.")
        self._source = source
        self._settle_seconds = settle_seconds
        self._seen: tuple[int, int] | None = None
        self._since = self._looked = time.monotonic()

    def has_settled(self) -> bool:
        """Whether the file has stood still for as long as was asked for."""
        try:
            found = os.stat(self._source)
            seen = (found.st_size, found.st_mtime_ns)
        except OSError:
            seen = None
        self._looked = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, self._looked
        return self._looked - self._since >= self._settle_seconds

    def wait(self) -> None:
        """Sleep until it is to be looked at again: longer where a round takes long, since each reads the whole file."""
        took = time.monotonic() - self._looked
        left = self._since + self._settle_seconds - time.monotonic()
        time.sleep(min(max(LEAST_WAIT_SECONDS, took), MOST_WAIT_SECONDS, max(left, 0.1)))
