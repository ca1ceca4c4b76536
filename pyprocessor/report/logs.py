"""The log file of one run, in the output's own logs folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from pyprocessor.models import RunSnapshot, display
from pyprocessor.report.narration import Level, Message, Narrator, json_line
from pyprocessor.report.wording import one_line


def run_log_name(started_at: float, pid: int) -> str:
    """Name of a run's log, in order of time: `run-20260131-235959-4711.log` (UTC)."""
    return f"run-{datetime.fromtimestamp(started_at, UTC):%Y%m%d-%H%M%S}-{pid}.log"


class RunLog(Narrator):
    """Writes every message of a run, starts and ends of files included, one line each.

    `open_log` opens the file for appending. It is called at the first message, so that a run with nothing to tell
    leaves no file; where it fails, `on_trouble` is told once and the run goes on without a log.
    """

    def __init__(
        self,
        open_log: Callable[[], TextIO],
        on_trouble: Callable[[str], None],
        *,
        as_json: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(Level.DEBUG)
        self._open_log = open_log
        self._on_trouble = on_trouble
        self._as_json = as_json
        self._now = now
        self._log: TextIO | None = None
        self._broken = False

    def found(self, files: int, listing_done: bool) -> None:
        """Not logged: a run that found nothing to do leaves no log."""

    def tick(self, snapshot: RunSnapshot) -> None:
        """Readings are the journal's."""

    def say(self, message: Message) -> None:
        if self._broken:
            return
        try:
            if self._log is None:
                self._log = self._open_log()
            self._log.write(self._line(message) + "\n")
            if message.level >= Level.WARNING:
                self._log.flush()
        except OSError as error:
            # A full disk is the engine's to judge; it must not end the run from here.
            self._broken = True
            self._on_trouble(f"The run's log cannot be written and ends here: {_why(error)}.")

    def close(self) -> None:
        if self._log is not None:
            try:
                self._log.close()
            except OSError as error:
                self._on_trouble(f"The run's log could not be completed: {_why(error)}.")
            self._log = None

    def _line(self, message: Message) -> str:
        if self._as_json:
            return json_line(self._now(), message)
        at = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{at} {message.level.name.lower():<7} {one_line(message.text)}"


def _why(error: OSError) -> str:
    """The system's reason, with the file where the error names one."""
    reason = error.strerror or "the system does not say why"
    if not isinstance(error.filename, str | bytes):
        return reason
    return f"{reason} ({display(os.fsencode(error.filename))})"
