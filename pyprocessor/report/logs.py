"""What does a run write to the log in its output's logs folder?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from pyprocessor.models.wording import display, one_line, utc
from pyprocessor.report.narration import Message


def run_log_name(started_at: float, pid: int) -> str:
    """Name of a run's log, in order of time: `run-20260131-235959-4711.log` (UTC)."""
    return f"run-{datetime.fromtimestamp(started_at, UTC):%Y%m%d-%H%M%S}-{pid}.log"


class RunLog:
    """Writes every message of a run, one line each.

    `open_log` opens the file for appending, at the first message. On an error the log ends, `on_trouble` gets a
    sentence and the run goes on.
    """

    def __init__(
        self, open_log: Callable[[], TextIO], on_trouble: Callable[[str], None], now: Callable[[], float] = time.time
    ) -> None:
        self._open_log = open_log
        self._on_trouble = on_trouble
        self._now = now
        self._log: TextIO | None = None
        self._broken = False

    def write(self, message: Message) -> None:
        """Write one message."""
        if self._broken:
            return
        try:
            self._log = self._log or self._open_log()
            self._log.write(f"{utc(self._now())} {message.level.name.lower():<7} {one_line(message.text)}\n")
        except OSError as error:
            # Whether a full disk ends the run is decided by the engine.
            self._broken = True
            self._complain("cannot be written and ends here", error)

    def close(self) -> None:
        """Close the file, if there is one."""
        log, self._log = self._log, None
        try:
            if log is not None:
                log.close()
        except OSError as error:
            self._complain("could not be completed", error)

    def _complain(self, what: str, error: OSError) -> None:
        file = f" ({display(os.fsencode(error.filename))})" if error.filename else ""
        self._on_trouble(f"The run's log {what}: {error.strerror or 'the system does not say why'}{file}.")
