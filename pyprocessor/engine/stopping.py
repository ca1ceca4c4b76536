"""May the run start anything, must it stop, and with which exit code does it end?"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyprocessor.control.run_control import RunControl
from pyprocessor.control.run_mode import Pause, StopLevel
from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.pool import BatchProcess
from pyprocessor.engine.transitions import Transitions
from pyprocessor.errors import ExitCode
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.watch_client import WatchClient
from pyprocessor.models import Overrun, RunState, RunStatus
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.hours import Phase, Schedule

SETTLE_SECONDS = 10.0
"""How long processes that were ordered to end may take before they are killed."""


@dataclass(eq=False)
class Stopping:
    """Follows what users ask for, the hours of the day, and trouble with the disk or the input."""

    request: RunRequest
    control: RunControl
    discovery: Discovery | WatchClient
    dispatch: Dispatch
    transitions: Transitions
    phase: Phase = Phase.OPEN
    end_by: float = math.inf
    """Monotonic time at which processes that were ordered to end are killed."""
    disk_trouble: bool = False
    input_lost: bool = False

    def __post_init__(self) -> None:
        self.schedule = Schedule.begin(self.request.profile.schedule, local_time(), daily=self.request.watch)

    @property
    def clock(self) -> datetime:
        """Local time."""
        return local_time()

    @property
    def stopping(self) -> bool:
        """Whether nothing more is started in this run."""
        trouble = self.disk_trouble or self.input_lost
        return self.control.mode.stop > StopLevel.GO_ON or trouble or self.phase is Phase.OVER

    @property
    def state(self) -> RunState:
        return self.control.state(stopping=self.stopping, waits=self.phase is Phase.WAITING)

    @property
    def begins_in_seconds(self) -> float:
        """How long work that waits for the window of the day still waits."""
        return self.schedule.seconds_to_open(local_time()) if self.phase is Phase.WAITING else 0.0

    def take_requests(self, now: float, readable: Collection[Any], status: Callable[[], RunStatus]) -> None:
        """Act on signals, and on what is asked from other terminals."""
        before = self.control.mode
        self.control.take_requests(readable, now, status)
        mode = self.control.mode
        if mode.stop > before.stop:
            self._stop(now, end=mode.stop is StopLevel.END)
        if mode.pause is not before.pause:
            for process in self.dispatch.processes:
                if mode.pause is not Pause.NONE:
                    self.take_back(process)
                process.pause(mode.pause, now)

    def keep_hours(self, now: float) -> None:
        """Begin and end with the window of the day."""
        clock = local_time()
        self.schedule = self.schedule.seen(clock)
        phase = self.schedule.phase(clock)
        if phase is self.phase or self.phase is Phase.OVER:
            return
        self.phase = phase
        self.transitions.notice("warning", self.schedule.sentence(clock, frozen=self.control.is_frozen))
        if phase is Phase.OVER or (phase is Phase.WAITING and self.request.watch):
            self._stop(now, end=self.request.profile.schedule.overrun is Overrun.REQUEUE)
        elif phase is Phase.OPEN and not self.stopping:  # perhaps a window that has come back
            self.end_by = math.inf
            self.dispatch.queue.reconsider()

    def disk_full(self, reason: str, now: float, *, end: bool = False) -> None:
        """Start nothing more; `end` says that running files could not be given their names either."""
        if not self.disk_trouble:
            self.disk_trouble = True
            then = "Nothing more is started; make room or mend the folder and run the same command again."
            self.transitions.notice("error", f"{reason} {then}")
            self._stop(now, end=end)

    def input_away(self, reason: str, now: float) -> None:
        """Fail no file for it: a run that watches waits for the folder, and any other stops."""
        if isinstance(self.discovery, WatchClient):
            self.discovery.doubt()
        elif not self.stopping:
            self.input_lost = True
            self.transitions.notice("error", f"{reason} The run stops; run the same command again when it is back.")
            self._stop(now, end=True)

    def take_back(self, process: BatchProcess) -> None:
        """Queue again what the process was never sent."""
        for job in process.unsent:
            self.transitions.returned(process.remove(job.job_id))

    def exit_code(self, *, undecided: bool) -> ExitCode:
        """The exit code of a run that is over; `undecided` says that the next run has to decide about a job."""
        queue, tally, mode = self.dispatch.queue, self.transitions.tally, self.control.mode
        unfinished = bool(queue) or not self.discovery.listed
        if self.disk_trouble:
            return ExitCode.OUTPUT_UNWRITABLE
        if mode.stop > StopLevel.GO_ON and unfinished:
            return mode.exit_code
        if self.input_lost or undecided or queue.late or (self.phase is Phase.OVER and unfinished):
            return ExitCode.TRY_AGAIN
        return ExitCode.SOME_FAILED if tally.failed or tally.failed_before or tally.troubles else ExitCode.OK

    def _stop(self, now: float, *, end: bool) -> None:
        """Take back what was not sent, and have running files finished or ended."""
        stopping = self.stopping
        if stopping:
            self.discovery.stop()
            self.control.end_pause()
        if end:
            self.end_by = min(self.end_by, now + SETTLE_SECONDS)
        for process in self.dispatch.processes:
            self.take_back(process)
            if end:
                process.end()
            else:
                process.drain()
            if stopping:
                process.pause(Pause.NONE, now)


def local_time() -> datetime:
    """What clocks on the wall show, which is what windows of the day are about."""
    return datetime.now()  # noqa: DTZ005
