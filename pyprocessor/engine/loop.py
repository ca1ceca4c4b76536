"""Which event leads to which move? The engine's one thread, which waits on every pipe.

All that one turn of the loop writes is committed at once, before anything that depends on it is sent.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext
from typing import Any

from pyprocessor.control.own_requests import OwnRequests
from pyprocessor.control.run_mode import Pause, StopLevel
from pyprocessor.control.server import ControlServer
from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import Emergency, StallResponder
from pyprocessor.costs.model import CostModel
from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.engine.call_dispatch import CallDispatch
from pyprocessor.engine.findings import Findings
from pyprocessor.engine.hooks import call_at_end
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.monitor import Monitor
from pyprocessor.engine.recovery import begin_run, drop_partial, recover, set_aside, sweep_kept
from pyprocessor.engine.status import StatusTracker
from pyprocessor.engine.stopping import RunResult, Stopping
from pyprocessor.engine.transitions import INTERRUPTED, Transitions
from pyprocessor.engine.worker_crashes import WorkerCrashes
from pyprocessor.errors import ExitCode, FailureKind, JournalError, OutputUnwritable, PyprocessorError
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.job_source import JobSource, JobSources
from pyprocessor.intake.pending import PendingJobs
from pyprocessor.intake.watch_client import WatchClient
from pyprocessor.jobs import retry
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.waiting import NEEDED_NO_MORE
from pyprocessor.models import FOLDER_TASK, JobState, ProcessIdentity, RunStatus, display
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.plan.admission import Conditions
from pyprocessor.plan.hours import Phase
from pyprocessor.publish.partials import Anchor
from pyprocessor.state.journal_opening import lost
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.tasks.registry import task
from pyprocessor.workers import messages

TURN_SECONDS = 0.5
"""The longest the loop sleeps: timeouts are looked at this often."""
REST_SECONDS = 30.0
"""How often readings are taken while a run that watches has nothing to do."""
MakeSource = Callable[[Journal, Transitions], JobSource]


@dataclass(eq=False)
class Run:
    """One run, from the journal that is opened for it to the end that is entered there."""

    request: RunRequest
    listener: Listener
    context: BaseContext
    folder: StateFolder
    locked: Anchor
    journal: Journal
    signals: SignalQueue
    emergency: Emergency | None
    notices: list[tuple[str, str | None]]
    model: CostModel | None
    cores: float | None
    make_source: MakeSource | None = None
    own: OwnRequests | None = None

    def __post_init__(self) -> None:
        request, journal, folder = self.request, self.journal, self.folder
        self._partials = Anchor.of(folder.partials)
        self._began = time.monotonic()
        calibration, problem = Calibration.load(self.model)
        self._calibration = calibration
        moves = Transitions(request, journal, calibration, self.listener, folder.logs, self._began)
        self._transitions, self._tally, self._queue = moves, moves.tally, moves.queue
        self._run_id, self._behind = begin_run(journal, folder, request)
        self._server = ControlServer(folder.path)
        for sentence in (("warning", self._server.problem), ("warning", problem), *self.notices):
            moves.notice(*sentence)
        self._responder = StallResponder(
            self._server,
            self.signals,
            display(request.output),
            request.profile.schedule.grace_seconds,
            self.emergency,
            loop_mode=lambda: self._stopping.mode,
            last_status=lambda: self._status.latest,
            processes=lambda: self._identities,
        )
        known = (request, task(FOLDER_TASK), calibration, journal, self.context)
        folder_source: JobSource
        if request.watch:
            folder_source = WatchClient(*known, in_hand=moves.in_hand, notify=moves.notice)
        else:
            folder_source = Discovery(*known)
        further = [self.make_source(journal, moves)] if self.make_source is not None else []
        asks_for = JobSources(further).asks_for
        to_divide = moves.divisions.to_divide
        submitted = PendingJobs(
            request, journal, calibration, self.context, moves.released, to_divide, asks_for, moves.in_hand
        )
        self._sources = JobSources([*([folder_source] if request.inputs else []), submitted, *further])
        self._findings = Findings(request, journal, calibration, moves)
        self._monitor = Monitor(request, journal, moves, calibration, self._began, self.cores)
        self._dispatch = CallDispatch(request, self.context, folder, self._run_id, journal, moves, calibration)
        self._crashes = WorkerCrashes(request, self._partials, journal, moves, self._dispatch, self._monitor)
        self._stopping = Stopping(
            request, self.signals, self._server, self._responder, self._sources, self._dispatch, moves, self.own
        )
        self._status = StatusTracker(self._tally, self._dispatch, self._monitor)
        self._after_commit: defaultdict[BatchProcess, list[messages.Grant | messages.Discard]] = defaultdict(list)
        self._taken = 0
        self._at_rest = False
        self._rested_with: tuple[int, int] | None = None
        self._ended_as = ExitCode.INTERNAL

    def go(self) -> RunResult:
        """Run to the end; whatever happens, leave nothing running and the end in the journal."""
        self._status_now(self._began)  # the status of a loop that hangs before anybody asks
        with self._responder:
            try:
                self._begin()
                while not self._over():
                    self._turn()
                if (untimely := self._queue.untimely) and not self._stopping.stopping:
                    none_fits = self._stopping.schedule.none_fits(untimely, self._stopping.clock)
                    self._transitions.notice("warning", none_fits)
                if not self._stopping.stopping and self.request.limit is None and not self._tally.troubles:
                    with self.journal.transaction():
                        self._transitions.cancel(self._transitions.divisions.gone(), NEEDED_NO_MORE)
                self._tick(time.monotonic())
                self._transitions.hooks.finish(self._hooks_may_go_on)
                left = self.request.limit is None and self.journal.count_to_come() > 0
                exit_code = self._stopping.exit_code(undecided=self._crashes.left_undecided, left=left)
            except BaseException as error:
                exit_code = error.exit_code if isinstance(error, PyprocessorError) else ExitCode.INTERNAL
                with contextlib.suppress(OutputUnwritable, JournalError):  # the error that is raised names it
                    self._close(exit_code)
                raise
            self._close(exit_code)
        mode, tally = self._stopping.mode, self._tally
        told = mode.exit_code if mode.stop > StopLevel.GO_ON else None
        return RunResult(exit_code, self._run_id, tally.done_before, tally.failed_before, told_to_stop=told)

    def _begin(self) -> None:
        """Settle what earlier runs left; this may take long or block on a disk."""
        request, notice = self.request, self._transitions.notice
        for note in recover(self.journal, self.folder, request, behind=self._behind):
            notice(*note)
        if not request.retry_failed:  # which starts them over
            for warning in set_aside(self.journal, request.profile.errors.max_killed_runs):
                notice("warning", warning)
        self._transitions.divisions.begin()
        self._sources.begin(time.monotonic())  # only now, so that an output that was just published is found
        sweep_kept(self.journal, self.folder, self._sources.asks_for)
        self._tally.to_come = self.journal.count_to_come()

    def _turn(self) -> None:
        readable = self._wait()
        now = time.monotonic()
        with self.journal.transaction():
            self._stopping.take_requests(now, lambda: self._status_now(now))
            if now > self._stopping.end_by:
                self._crashes.give_up(tuple(self._dispatch.processes), now, silent=False)
            self._stopping.end_cancelled()
            self._stopping.keep_hours(now)
            self._discover(now)
            for process in tuple(self._dispatch.processes):
                if process.child.connection in readable:
                    self._receive(process, now)
            self._crashes.give_up(self._crashes.silent(), now, silent=True)
            self._queue.go_on(now)
            self._observe(now)
        for process, told in self._after_commit.items():
            if process in self._dispatch.processes:  # and was not given up on in this turn
                process.child.send(*told)
        self._after_commit.clear()
        self._crashes.tidy()
        self._stopping.answer()
        self._dispatch.fill(self._conditions(now))
        self._transitions.hooks.poll(now)

    def _wait(self) -> Collection[Any]:
        """Sleep until something is to be done; returns the connections that have something to read."""
        now = time.monotonic()
        children = [process.child for process in self._dispatch.processes]
        connections = [*(child.connection for child in children), *self._sources.connections]
        backends = self._transitions.backends
        due = min(self._queue.next_due - now, self._monitor.next_due - now, backends.seconds_to_next)
        due = 0.0 if self._sources.busy else due
        return self._stopping.wait(connections, now, min(max(due, 0.0), TURN_SECONDS))

    def _over(self) -> bool:
        if self._dispatch.processes:
            return False
        return self._stopping.stopping or (self._sources.finished and len(self._queue) == self._queue.late)

    def _conditions(self, now: float) -> Conditions:
        return Conditions(
            reading=self._monitor.reading,
            schedule=self._stopping.schedule,
            clock=self._stopping.clock,
            state=self._stopping.state,
            input_away=self._sources.away,
            allowance=self._monitor.allowance,
            reading_number=self._monitor.slow_readings,
            more_to_come=not self._sources.complete,
            pending=self._sources.pending,
            pending_ratio=self._sources.pending_ratio,
            now=now,
            run_seconds=now - self._began,
        )

    def _discover(self, now: float) -> None:
        sources, total = self._sources, self._tally.total
        if sources.finished:
            return
        files = sources.files
        for finding in sources.findings(now):
            if isinstance(finding, messages.InputAway):
                self._stopping.input_away(finding.reason, now)
                break
            self._taken += self._findings.enter(finding)
            if self.request.limit is not None and self._taken >= self.request.limit:
                sources.enough()
                break
        if sources.files != files or self._tally.total != total or sources.finished:
            self.listener.found(sources.files, sources.complete)
            self.listener.queued(self._tally.total, self._tally.media_seconds)

    def _receive(self, process: BatchProcess, now: float) -> None:
        self._crashes.received(process)
        try:
            for message in process.child.receive():
                self._message(process, message, now)
        except EOFError:
            self._crashes.remove(process, now)

    def _message(self, process: BatchProcess, message: messages.FromWorker, now: float) -> None:
        match message:
            case messages.OfAttempt():
                job = process.job_of(message)
                if job is not None:
                    self._message_of(process, job, message, now)
            case messages.HandedBack(jobs):
                for returned in jobs:
                    if process.job_of(returned) is not None:
                        self._transitions.returned(process.remove(returned.job_id))
            case messages.InputAway(reason):
                self._stopping.input_away(reason, now)
            case messages.Report():
                pass  # only its arrival counts, as a sign of life

    def _message_of(self, process: BatchProcess, job: RunningJob, message: messages.FromWorker, now: float) -> None:
        """Make the move that a message about a job in hand leads to."""
        moves = self._transitions
        match message:
            case messages.Started():
                self._crashes.received(process, began=True)
                process.begun(job.job_id)
                moves.started(job, process.child.identity)
            case messages.Spawned():
                process.spawned(job, message, now, frozen=self._stopping.frozen)
                if not message.call:  # whose process makes others, too
                    moves.spawned(job, message.process)
            case messages.Progressed(_, _, done, speed, total):
                moves.progressed(job, done, total, speed)
            case messages.Encoded():
                job.encoded()
                self._monitor.freed(now)
            case messages.Verified(_, _, facts, intents, result):
                names = moves.granted(job, facts, intents, result)
                self._after_commit[process].append(messages.Grant(job.job_id, job.token, names))
            case messages.Published(_, _, facts, usage, displaced):
                process.remove(job.job_id)
                moves.succeeded(job, facts, usage)
                if displaced:
                    self._after_commit[process].append(messages.Discard(job.job_id, job.token))
            case messages.Answered(_, _, result, usage):
                process.remove(job.job_id)
                job.result = result
                moves.succeeded(job, None, usage)
            case messages.Ended():
                process.remove(job.job_id)
                self._ended(job, message, now)

    def _ended(self, job: RunningJob, message: messages.Ended, now: float) -> None:
        """Handle an attempt that ended without an output.

        A SIGKILL counts as out of memory only if the kernel counted one.
        """
        self._monitor.freed(now)
        failure = retry.taken_for(message.outcome.failure, unopened=message.unopened, retries_so_far=job.retries)
        outcome = replace(message.outcome, failure=failure)
        alone = self._dispatch.runs_alone(job)
        if failure is FailureKind.DISK:
            self._stopping.output_unwritable(outcome.reason, now)
            if job.state is JobState.PUBLISHING:
                self.listener.finished(job.job_id, INTERRUPTED, will_retry=True)  # the next run does, by the grant
                return
            outcome = INTERRUPTED
        elif message.killed and failure is not None and self._monitor.take_oom_kill():
            outcome = self._crashes.of_memory(job, "its ffmpeg", alone=alone)
        self._transitions.ended(job, outcome, message.usage, now, alone=alone)

    def _observe(self, now: float) -> None:
        """Take a reading when one is due, and act on what the governor decides."""
        resting = self._resting
        if resting != self._at_rest:
            self._at_rest, self._monitor.next_due = resting, now
            if resting:
                self._rest(now)
        if now < self._monitor.next_due:
            return
        readings, processes = self._monitor.slow_readings, self._dispatch.processes
        decision = self._monitor.look(processes, self._sources.pids, now)
        if decision.take_back:
            for process in processes:
                self._transitions.take_back(process)
                process.ask_back()
        if (problem := lost(self.locked)) is not None:
            self._stopping.output_unwritable(problem, now, end=True)
        may_start = self._stopping.mode.pause is Pause.NONE and self._stopping.phase is Phase.OPEN
        if decision.state.disk_low and may_start and self._queue and not processes:
            self._stopping.output_unwritable(f"The disk of {display(self.request.output)} is nearly full.", now)
        if resting:
            self._monitor.next_due = now + REST_SECONDS
        elif self._monitor.slow_readings > readings:
            self._tick(now)

    @property
    def _resting(self) -> bool:
        """Whether a run that waits for what may come has nothing to do now."""
        if not self._sources.waits or self._dispatch.processes or self._stopping.stopping:
            return False
        idle = len(self._queue) == self._queue.late or self._stopping.phase is Phase.WAITING
        return idle and self._sources.complete

    def _rest(self, now: float) -> None:
        """There is nothing more to do for now: report that of a folder that is watched, once for the same counts."""
        self._tick(now)
        self._transitions.notice("warning", self._calibration.keep())
        tally, named = self._tally, self.request.input_named
        settled = (tally.done, tally.failed)
        if self.request.watch and not self._queue and settled != self._rested_with:
            self._rested_with = settled
            made = f"{tally.succeeded} file{'' if tally.succeeded == 1 else 's'} made, {tally.failed} failed"
            self._transitions.notice("info", f"Nothing is left to do ({made}); {named} is watched for more.")

    def _tick(self, now: float) -> None:
        self.listener.tick(self._status_now(now).snapshot)

    def _status_now(self, now: float) -> RunStatus:
        stopping = self._stopping
        waits = stopping.schedule.seconds_to_open(stopping.clock) if stopping.phase is Phase.WAITING else 0.0
        return self._status.status(self._conditions(now), waits)

    @property
    def _identities(self) -> list[ProcessIdentity]:
        """Processes the run has started that do not end by themselves soon once the engine is gone."""
        children = [process.child for process in tuple(self._dispatch.processes)]
        return [*(child.identity for child in children), *self._transitions.hooks.identities]

    def _hooks_may_go_on(self) -> bool:
        """Whether the run, being over, still waits for its hooks; status is answered meanwhile."""
        now, before = time.monotonic(), self._stopping.mode
        self._stopping.wait((), now, 0.0)
        self._stopping.take_requests(now, lambda: self._status_now(now))
        self._stopping.answer()
        mode = self._stopping.mode
        if mode.stop is StopLevel.END:
            return False
        return mode.stop is before.stop and mode.terminated is before.terminated

    def _close(self, exit_code: ExitCode) -> None:
        self._ended_as = exit_code
        self._sources.stop()
        self._transitions.hooks.abandon()
        for process in self._dispatch.processes:
            process.child.kill()
            for job in process.jobs.values():
                if job.partial and job.state is JobState.RUNNING:
                    drop_partial(self._partials, job.partial)  # where the disk is full, room is needed
        self._transitions.notice("warning", self._calibration.keep())
        self._server.close()
        tally = self._tally
        self.journal.end_run(exit_code, done_before=tally.done_before, failed_before=tally.failed_before)

    def call_last_hook(self) -> None:
        """Call the user's hook for the end of the run, once it is over."""
        call_at_end(self._transitions.hooks, self.request, self._ended_as, self._tally, self.listener.notice)
