"""Which batch processes have not said anything for too long: stopped, or stuck in a call that does not return."""

from __future__ import annotations

from collections.abc import Sequence

from pyprocessor.engine.pool import BatchProcess
from pyprocessor.jobs.timeouts import heartbeat_timeout_seconds
from pyprocessor.models import ErrorSettings
from pyprocessor.system.awake_clock import AwakeClock

TURN_COUNTS_SECONDS = 2.0
"""The most that one turn of the loop counts: a longer one is the engine's own standing still, or the machine's."""


class Heartbeats:
    """Since when each batch process is silent."""

    def __init__(self, settings: ErrorSettings, clock: AwakeClock | None = None) -> None:
        self._settings = settings
        self._clock = clock or AwakeClock(TURN_COUNTS_SECONDS)
        self._heard: dict[int, float] = {}

    def heard(self, process: BatchProcess) -> None:
        """Take note that it has said something."""
        self._heard[process.batch.id] = self._clock()

    def too_long(self, processes: Sequence[BatchProcess]) -> tuple[BatchProcess, ...]:
        """Those to be given up on. To be called once a turn."""
        self._clock.turn()
        now = self._clock()
        # One that has just been started is as good as heard.
        self._heard = {process.batch.id: self._heard.get(process.batch.id, now) for process in processes}
        return tuple(
            process
            for process in processes
            if now - self._heard[process.batch.id] > heartbeat_timeout_seconds(self._settings, process.bytes_to_settle)
        )
