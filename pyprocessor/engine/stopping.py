"""What was asked of the run? May it start anything, must it stop, and with which exit code does it end?"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from multiprocessing.connection import wait
from typing import Any

from pyprocessor.control.client import Answer, Request, Verb
from pyprocessor.control.own_requests import Asked, OwnRequests
from pyprocessor.control.run_mode import Order, Pause, RunMode, StopLevel, notice, reply
from pyprocessor.control.server import Client, ControlServer
from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import StallResponder
from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.transitions import Transitions
from pyprocessor.errors import ExitCode, UsageError
from pyprocessor.intake.job_source import JobSources
from pyprocessor.models import JobState, Overrun, RunState, RunStatus
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.hours import Phase, Schedule
from pyprocessor.workers.messages import Command

SETTLE_SECONDS = 10.0
"""How long processes that were ordered to end may take before they are killed."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. Earlier runs settled `done_before` and `failed_before` files, which still hold."""

    exit_code: ExitCode
    run_id: int
    done_before: int
    failed_before: int
    stopped_by: int | None = None
    """The last signal that asked it to stop."""
    told_to_stop: ExitCode | None = None
    """The exit code that it would have had with work left, where it was asked to stop in whatever way."""


@dataclass(eq=False)
class Stopping:
    """Follows signals and requests, the hours of the day, and trouble with the disk or the input."""

    request: RunRequest
    signals: SignalQueue
    server: ControlServer
    responder: StallResponder
    sources: JobSources
    dispatch: Dispatch
    transitions: Transitions
    own: OwnRequests | None = None
    """Requests of threads of this program."""
    mode: RunMode = field(default_factory=RunMode)
    """What was asked of the run up to now."""
    phase: Phase = Phase.OPEN
    end_by: float = math.inf
    """Monotonic time at which processes that were ordered to end are killed."""
    disk_trouble: bool = False
    input_lost: bool = False

    def __post_init__(self) -> None:
        self.schedule = Schedule.begin(self.request.profile.schedule, local_time(), daily=self.request.watch)
        self._grace_seconds = self.request.profile.schedule.grace_seconds

    @property
    def clock(self) -> datetime:
        """The local time by which this run keeps its hours."""
        return local_time()

    @property
    def stopping(self) -> bool:
        """Whether nothing more is started in this run."""
        trouble = self.disk_trouble or self.input_lost
        return self.mode.stop > StopLevel.GO_ON or trouble or self.phase is Phase.OVER

    @property
    def frozen(self) -> bool:
        """Whether the user stopped running files, too."""
        return self.mode.pause is Pause.FREEZE

    @property
    def state(self) -> RunState:
        if self.mode.stop is StopLevel.END:
            return RunState.ENDING
        if self.frozen:
            return RunState.PAUSED_NOW
        if self.stopping:
            return RunState.DRAINING
        if self.mode.pause is not Pause.NONE:
            return RunState.PAUSED
        return RunState.WAITING if self.phase is Phase.WAITING else RunState.RUNNING

    def wait(self, connections: Iterable[Any], now: float, timeout_seconds: float) -> Collection[Any]:
        """Wait for a signal, a request or one of these connections; returns what is ready."""
        self.responder.set_waiting(True)
        own = [self.own.wakeup] if self.own is not None else []
        ready = wait([self.signals.wakeup, *self.server.sources(now), *own, *connections], timeout=timeout_seconds)
        self.responder.set_waiting(False)
        return ready

    def take_requests(self, now: float, status: Callable[[], RunStatus]) -> None:
        """Act on signals and requests; all but a status are answered once the turn is committed."""
        before = self.mode
        self.transitions.notice("info", self.responder.recovered())
        for order in self.signals.take():
            self._enter(self.mode.after(order, now, self._grace_seconds), order)
        requests: list[tuple[Client | Asked, Request]] = [*self.server.requests(now)]
        if self.own is not None:
            requests += [(asked, asked.request) for asked in self.own.take()]
        for client, request in sorted(requests, key=lambda asked: asked[1].verb is not Verb.STATUS):
            if request.verb is Verb.STATUS:
                # Status is answered first and at once: this turn may block before it commits.
                self._answer(client, Answer(True, standing=status()), at_once=True)
                continue
            if request.order is None:
                self._answer(client, self._change_jobs(request))
                continue
            last = self.mode
            self._enter(last.after(request.order, now, self._grace_seconds), request.order)
            accepted, text = reply(last, self.mode, request.order, os.getpid())
            self._answer(client, Answer(accepted, text))
        self._enter(self.mode.at(now), None)
        mode = self.mode
        if mode.stop > before.stop:
            self._stop(now, end=mode.stop is StopLevel.END)
        if mode.pause is not before.pause:
            for process in self.dispatch.processes:
                if mode.pause is not Pause.NONE:
                    self.transitions.take_back(process)
                process.pause(mode.pause, now)

    def answer(self) -> None:
        """Send the answers to what was asked in this turn, which is committed."""
        self.server.send()
        if self.own is not None:
            self.own.send()

    def _answer(self, client: Client | Asked, answer: Answer, *, at_once: bool = False) -> None:
        if isinstance(client, Asked):
            assert self.own is not None
            self.own.answer(client, answer)
        else:
            self.server.answer(client, answer, at_once=at_once)

    def _change_jobs(self, request: Request) -> Answer:
        """Cancel jobs, do them again or take them in, as was asked."""
        try:
            match request.verb:
                case Verb.CANCEL:
                    return Answer(True, self.transitions.cancel(request.jobs))
                case Verb.RETRY:
                    text = self.transitions.retry(request.jobs)
                case _:
                    text = self.transitions.submit(request.submissions)
        except UsageError as error:
            return Answer(False, str(error), mistaken=True)
        return Answer(True, f"{text} The run is stopping; the next one does them." if self.stopping else text)

    def keep_hours(self, now: float) -> None:
        """Begin and end with the window of the day."""
        clock = local_time()
        self.schedule = self.schedule.seen(clock)
        phase = self.schedule.phase(clock)
        if phase is self.phase or self.phase is Phase.OVER:
            return
        self.phase = phase
        self.transitions.notice("warning", self.schedule.sentence(clock, frozen=self.frozen))
        if phase is Phase.OVER or (phase is Phase.WAITING and self.request.watch):
            self._stop(now, end=self.request.profile.schedule.overrun is Overrun.REQUEUE)
        elif phase is Phase.OPEN and not self.stopping:  # perhaps a window that has come back
            self.end_by = math.inf
            self.dispatch.queue.reconsider()

    def output_unwritable(self, reason: str, now: float, *, end: bool = False) -> None:
        """Start nothing more; `end` says that running files could not be given their names either."""
        if not self.disk_trouble:
            self.disk_trouble = True
            then = "Nothing more is started; make room or mend the folder and run the same command again."
            self.transitions.notice("error", f"{reason} {then}")
            self._stop(now, end=end)

    def input_away(self, reason: str, now: float) -> None:
        """Handle a missing input without failing files: a watching run waits, any other stops."""
        if not self.sources.doubt() and not self.stopping:
            self.input_lost = True
            self.transitions.notice("error", f"{reason} The run stops; run the same command again when it is back.")
            self._stop(now, end=True)

    def end_cancelled(self) -> None:
        """End the jobs in hand that were cancelled; one that is being published gets its name all the same."""
        for job_id in tuple(self.transitions.cancelling):
            process = next((process for process in self.dispatch.processes if job_id in process.jobs), None)
            if process is None:
                continue
            job = process.jobs[job_id]
            if job in process.unsent:
                self.transitions.returned(process.remove(job_id))
            elif job.state is JobState.ASSIGNED:
                process.ask_back()
            elif job.state is JobState.RUNNING:
                process.shed(job)

    def exit_code(self, *, undecided: bool, left: bool) -> ExitCode:
        """The exit code of a run that is over; `undecided` says that the next run has to decide about a job.

        `left` says that submitted jobs wait for their time, or for others.
        """
        queue, tally, mode = self.dispatch.queue, self.transitions.tally, self.mode
        unfinished = bool(queue or self.transitions.in_hand) or not self.sources.listed or tally.to_come > 0
        if self.disk_trouble:
            return ExitCode.OUTPUT_UNWRITABLE
        if mode.stop > StopLevel.GO_ON and unfinished:
            return mode.exit_code
        if self.input_lost or undecided or left or queue.late or (self.phase is Phase.OVER and unfinished):
            return ExitCode.TRY_AGAIN
        return ExitCode.SOME_FAILED if tally.failed or tally.failed_before or tally.troubles else ExitCode.OK

    def _enter(self, mode: RunMode, order: Order | None) -> None:
        change = notice(self.mode, mode, order, self._grace_seconds)
        self.mode = mode
        if change is not None:
            kind, level, text = change
            self.transitions.notice(level, text, kind=kind)

    def _stop(self, now: float, *, end: bool) -> None:
        """Take back what was not sent, and have running files finished or ended."""
        stopping = self.stopping
        if stopping:
            self.sources.stop()
            # Frozen files are to be finished.
            self._enter(replace(self.mode, pause=Pause.NONE), None)
        if end:
            self.end_by = min(self.end_by, now + SETTLE_SECONDS)
        for process in self.dispatch.processes:
            self.transitions.take_back(process)
            process.order(Command.END if end else Command.DRAIN)
            if stopping:
                process.pause(Pause.NONE, now)


def local_time() -> datetime:
    """What clocks on the wall show, which is what windows of the day are about."""
    return datetime.now()  # noqa: DTZ005
