"""Is more being added, so that a run goes on though nothing is left? A source of jobs that has none of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pyprocessor.intake.classify import Finding
from pyprocessor.intake.job_source import JobSource

OPEN_SECONDS = 0.2
"""How long a run waits for the next task after one was added: beginning another run takes a few times as long."""


class Feed(JobSource):
    """What is added comes by requests; this one only says that there may be more."""

    def __init__(self) -> None:
        self._open_until = 0.0
        self._stopped = False

    def keep_open(self) -> None:
        """A task is added now; may be called from any thread."""
        self._open_until = time.monotonic() + OPEN_SECONDS

    @property
    def finished(self) -> bool:
        return self._stopped or time.monotonic() >= self._open_until

    def findings(self, now: float) -> Iterator[Finding]:  # noqa: ARG002 - the source's
        return iter(())

    def stop(self) -> None:
        self._stopped = True
