"""The engine's loop: one thread that waits on every pipe, moves jobs through their states and remembers each move.

    findings -> ledger -> waiting -> dispatch -> batch processes
    messages -> ledger (state, journal, count) -> after the commit: grants -> listener
    readings -> watch -> governor -> hold, take back, suspend, shed

All that one turn of the loop writes is committed at once, before anything that depends on it is sent.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.context import BaseContext
from typing import Any

from pyprocessor.control.run_control import RunControl
from pyprocessor.control.run_mode import Pause, StopLevel
from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import Emergency, Surroundings
from pyprocessor.costs import CostModel
from pyprocessor.engine.dispatch import Conditions, Dispatch
from pyprocessor.engine.heartbeats import Heartbeats
from pyprocessor.engine.hooks import COUNTS, Call, end_call
from pyprocessor.engine.learning import learned
from pyprocessor.engine.monitor import Monitor
from pyprocessor.engine.pool import Active, BatchProcess
from pyprocessor.engine.recovery import begin_run, drop_partial, may_replace, recover, set_aside
from pyprocessor.engine.status import StatusTracker
from pyprocessor.engine.tally import Tally
from pyprocessor.engine.transitions import INTERRUPTED, Transitions
from pyprocessor.engine.worker_crashes import WorkerCrashes
from pyprocessor.errors import ExitCode, FailureKind, JournalError, OutputUnwritable, PyprocessorError
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.watch_client import WatchClient
from pyprocessor.jobs import retry
from pyprocessor.journal.journal import Journal
from pyprocessor.models import JobState, OutputFacts, Overrun, ProcessIdentity, RunStatus, Usage, display
from pyprocessor.models.listener import Listener, RunRequest
from pyprocessor.plan.hours import Phase, Schedule
from pyprocessor.publish.partials import Anchor
from pyprocessor.state.run_lock import RunLock
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.system import process_identity
from pyprocessor.tasks.registry import task
from pyprocessor.workers.messages import (
    Encoded,
    Ended,
    FromWorker,
    Grant,
    HandedBack,
    InputAway,
    Progressed,
    Published,
    Report,
    Spawned,
    Started,
    Verified,
)

TASK = "transcode"
TURN_SECONDS = 0.5
"""The longest the loop sleeps: timeouts are looked at this often."""
SETTLE_SECONDS = 10.0
"""How long processes that were told to end may take before they are killed."""
REMOVING_SECONDS = 1.0
"""How much of a turn it may take to bury processes."""
REST_SECONDS = 30.0
"""How often readings are taken while a run that watches has nothing to do."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `done_before` and `failed_before` count files that earlier runs settled and that still hold."""

    exit_code: ExitCode
    run_id: int
    done_before: int
    failed_before: int


class Run:
    """One run, from the journal that is opened for it to the end that is entered there."""

    def __init__(
        self,
        request: RunRequest,
        listener: Listener,
        context: BaseContext,
        folder: StateFolder,
        held: RunLock,
        journal: Journal,
        interrupts: SignalQueue,
        *,
        emergency: Emergency | None,
        made_private: tuple[str, ...],
        rebuilt: str | None,
        model: CostModel | None,
        cores: float | None,
    ) -> None:
        self._request = request
        self._listener = listener
        self._folder = folder
        self._partials = Anchor.of(folder.partials)
        self._held = held
        self._journal = journal
        self._began = time.monotonic()
        self._tally = Tally(self._began)
        self._calibration, problem = learned(model)
        self._transitions = Transitions(request, journal, self._calibration, self._tally, listener, folder.logs)
        engine = process_identity(os.getpid())
        assert engine is not None
        self._run_id, self._behind = begin_run(journal, folder, request.arguments, engine)
        self._control = RunControl(
            folder.path,
            interrupts,
            self._transitions.notice,
            request.profile.schedule.grace_seconds,
            Surroundings(request.output, emergency, lambda: self._status.latest, lambda: self._identities),
        )
        self._to_tell = [("warning", sentence) for sentence in (problem, *made_private) if sentence is not None]
        if rebuilt is not None:
            self._to_tell.append(("error", rebuilt))
        work = task(TASK)
        known = (request, work, self._calibration, journal, context, self._began)
        self._discovery: Discovery | WatchClient
        if request.watch:
            transitions = self._transitions
            self._discovery = WatchClient(*known, in_hand=transitions.in_hand, notify=transitions.notice)
        else:
            self._discovery = Discovery(*known)
        self._at_rest = False
        self._told_at: tuple[int, int] | None = None
        self._monitor = Monitor(request, journal, self._transitions, self._calibration, self._began, cores=cores)
        self._dispatch = Dispatch(
            request, context, folder, self._run_id, work, journal, self._transitions, self._calibration
        )
        self._heartbeats = Heartbeats(request.profile.errors)
        self._grants: list[tuple[BatchProcess, Grant]] = []
        self._taken = 0
        self._end_by = math.inf
        self._disk_trouble = False
        self._input_lost = False
        self._ended_as = ExitCode.INTERNAL
        self._crashes = WorkerCrashes(
            request, self._partials, journal, self._transitions, self._dispatch, self._monitor
        )
        self._schedule = Schedule.begin(request.profile.schedule, local_time(), daily=request.watch)
        self._phase = Phase.OPEN
        self._status = StatusTracker(self._tally, self._dispatch, self._monitor, self._calibration)

    # ------------------------------------------------------------ the loop

    def go(self) -> RunResult:
        self._standing(self._began)  # the status of a loop that hangs before anybody asks
        with self._control:
            return self._go()

    def _begin(self) -> None:
        """Settle what earlier runs left, which may take long, or hang, as any turn may."""
        for level, text in self._to_tell:
            self._transitions.notice(level, text)
        request = self._request
        for note in recover(self._journal, self._folder, request.output, behind=self._behind, folders=request.folders):
            self._transitions.notice(note.level, note.text)
        if not self._request.retry_failed:  # which starts them over
            for sentence in set_aside(self._journal, self._request.profile.errors.max_killed_runs):
                self._transitions.notice("warning", sentence)
        # Not before: what recovery has just given its name is to be seen as lying there.
        self._discovery.begin(time.monotonic())

    def _go(self) -> RunResult:
        try:
            self._begin()
            while not self._over():
                heard = self._wait()
                now = time.monotonic()
                with self._journal.transaction():
                    self._take_requests(now, heard)
                    self._keep_hours(now)
                    self._discover(now, heard)
                    for process in tuple(self._dispatch.processes):
                        if process.connection in heard:
                            self._receive(process, now)
                    self._give_up(self._heartbeats.too_long(self._dispatch.processes), now, silent=True)
                    self._dispatch.waiting.take_up_retries(now)
                    self._observe(now)
                self._send_grants()
                self._control.send_answers()
                self._fill(now)
                self._transitions.hooks.poll(now)
            if self._dispatch.waiting.late and not self._stopping:
                self._note(self._schedule.none_fits(self._dispatch.waiting.late, local_time()))
            self._tell(time.monotonic())
            self._transitions.hooks.finish(self._hooks_may_go_on)
            exit_code = self._exit_code()
        except BaseException as error:
            exit_code = error.exit_code if isinstance(error, PyprocessorError) else ExitCode.INTERNAL
            with contextlib.suppress(OutputUnwritable, JournalError):  # the error that is under way tells of it
                self._close(exit_code)
            raise
        self._close(exit_code)
        return RunResult(exit_code, self._run_id, self._tally.done_before, self._tally.failed_before)

    def _close(self, exit_code: ExitCode) -> None:
        """Leave nothing running, and journal the end."""
        self._ended_as = exit_code
        self._discovery.stop()
        self._transitions.hooks.abandon()
        for process in self._dispatch.processes:
            process.child.kill()
            for active in process.jobs.values():
                if active.prepared is not None and active.state is JobState.RUNNING:
                    drop_partial(self._partials, active.prepared.item.partial)  # where the disk is full, room is needed
        self._note(self._calibration.keep())
        tally = self._tally
        self._control.close()
        self._journal.end_run(exit_code, done_before=tally.done_before, failed_before=tally.failed_before)

    def _hooks_may_go_on(self) -> bool:
        """Whether the run, being over, still waits for its hooks; who asks how it stands gets an answer meanwhile."""
        now, before = time.monotonic(), self._control.mode
        self._take_requests(now, self._control.wait((), now, 0.0))
        self._control.send_answers()
        mode = self._control.mode
        return mode.stop is before.stop is not StopLevel.END and mode.terminated is before.terminated

    def last_call(self) -> Call | None:
        """What the user's hook is to hear of the run, once it is over."""
        counts = {name: getattr(self._tally, name) for name in COUNTS}
        request, hooks = self._request, self._transitions.hooks
        return end_call(
            hooks.settings,
            [given.path for given in request.inputs],
            request.output,
            self._ended_as,
            counts,
            spent_seconds=hooks.spent_seconds,
        )

    @property
    def _stopping(self) -> bool:
        trouble = self._disk_trouble or self._input_lost
        return self._control.mode.stop > StopLevel.GO_ON or trouble or self._phase is Phase.OVER

    @property
    def _resting(self) -> bool:
        """Whether a run that watches has nothing to do now."""
        waiting = self._dispatch.waiting
        idle = not self._dispatch.processes and (len(waiting) == waiting.late or self._phase is Phase.WAITING)
        return self._request.watch and idle and self._discovery.complete and not self._stopping

    def _over(self) -> bool:
        if self._dispatch.processes:
            return False
        waiting = self._dispatch.waiting
        return self._stopping or (self._discovery.finished and len(waiting) == waiting.late)

    def _wait(self) -> Collection[Any]:
        """Sleep until something is to be done; returns the connections that have something to say."""
        now = time.monotonic()
        connections = [*(process.connection for process in self._dispatch.processes), *self._discovery.connections]
        due = min(self._dispatch.waiting.next_due, self._monitor.next_due) - now
        return self._control.wait(connections, now, min(max(due, 0.0), TURN_SECONDS))

    @property
    def _identities(self) -> list[ProcessIdentity]:
        """What the run has started and does not end by itself once the engine is gone, or late."""
        return [*(process.identity for process in tuple(self._dispatch.processes)), *self._transitions.hooks.identities]

    def _exit_code(self) -> ExitCode:
        unfinished = bool(self._dispatch.waiting) or not self._discovery.listed
        if self._disk_trouble:
            return ExitCode.OUTPUT_UNWRITABLE
        if self._control.mode.stop > StopLevel.GO_ON and unfinished:
            return self._control.mode.exit_code
        if (
            self._input_lost
            or self._crashes.left_undecided
            or self._dispatch.waiting.late
            or (self._phase is Phase.OVER and unfinished)
        ):
            return ExitCode.TRY_AGAIN
        if self._tally.failed or self._tally.failed_before or self._tally.troubles:
            return ExitCode.SOME_FAILED
        return ExitCode.OK

    def _note(self, problem: str | None) -> None:
        if problem is not None:
            self._transitions.notice("warning", problem)

    # ------------------------------------------------------------ stopping and pausing

    def _take_requests(self, now: float, heard: Collection[Any]) -> None:
        """Act on signals, and on what is asked from other terminals."""
        before = self._control.mode
        self._control.take_requests(heard, now, lambda: self._standing(now))
        mode = self._control.mode
        if mode.stop > before.stop:
            self._stop_processes(now, end=mode.stop is StopLevel.END)
        if mode.pause is not before.pause:
            for process in self._dispatch.processes:
                if mode.pause is not Pause.NONE:
                    self._take_back(process, now)
                process.pause(mode.pause, now)
        if now > self._end_by:
            self._give_up(tuple(self._dispatch.processes), now, silent=False)

    def _keep_hours(self, now: float) -> None:
        """Begin and end with the window of the day."""
        clock = local_time()
        self._schedule = self._schedule.seen(clock)
        phase = self._schedule.phase(clock)
        if phase is self._phase or self._phase is Phase.OVER:
            return
        self._phase = phase
        self._note(self._schedule.sentence(clock, frozen=self._control.is_frozen))
        if phase is Phase.OVER or (phase is Phase.WAITING and self._request.watch):
            self._stop_processes(now, end=self._request.profile.schedule.overrun is Overrun.REQUEUE)
        elif phase is Phase.OPEN and not self._stopping:  # perhaps a window that has come back
            self._end_by = math.inf
            self._dispatch.waiting.reconsider()

    def _stop_processes(self, now: float, *, end: bool) -> None:
        stopping = self._stopping
        if stopping:
            self._discovery.stop()
            self._control.end_pause()
        if end:
            self._end_by = min(self._end_by, now + SETTLE_SECONDS)
        for process in self._dispatch.processes:
            self._take_back(process, now)
            if end:
                process.end()
            else:
                process.drain()
            if stopping:
                process.pause(Pause.NONE, now)

    def _take_back(self, process: BatchProcess, now: float) -> None:
        """Queue again what the process was never sent."""
        for job_id in process.take_back_unsent():
            self._dispatch.waiting.put_back(self._transitions.returned(process.let_go(job_id)), now)

    def _disk_full(self, reason: str, now: float, *, end: bool = False) -> None:
        """Start nothing more; `end` says that what runs could not be given its name either."""
        if not self._disk_trouble:
            self._disk_trouble = True
            self._transitions.notice(
                "error",
                f"{reason} Nothing more is started; make room or mend the folder and run the same command again.",
            )
            self._stop_processes(now, end=end)

    def _input_away(self, reason: str, now: float) -> None:
        """No file is to fail for it: a run that watches waits for the folder, and any other stops."""
        if isinstance(self._discovery, WatchClient):
            self._discovery.doubt()
        elif not self._stopping:
            self._input_lost = True
            self._transitions.notice("error", f"{reason} The run stops; run the same command again when it is back.")
            self._stop_processes(now, end=True)

    # ------------------------------------------------------------ what is found

    def _discover(self, now: float, heard: Collection[Any]) -> None:
        if self._discovery.finished:
            return
        files = self._discovery.files
        said = self._discovery.handle(now) if any(c in heard for c in self._discovery.connections) else ()
        for finding in itertools.chain(said, self._discovery.check(now)):
            if isinstance(finding, InputAway):
                self._input_away(finding.reason, now)
                break
            again = self._transitions.take(finding)
            if again is not None:
                self._dispatch.waiting.take_in(again)
                self._taken += 1
                if self._request.limit is not None and self._taken >= self._request.limit:
                    self._discovery.stop()
                    break
        if self._discovery.files != files or self._discovery.finished:
            self._listener.found(self._discovery.files, self._discovery.complete)
            self._listener.queued(self._tally.total, self._tally.media_seconds)

    # ------------------------------------------------------------ what batch processes say

    def _receive(self, process: BatchProcess, now: float) -> None:
        self._heartbeats.heard(process)
        try:
            for message in process.child.receive():
                self._message(process, message, now)
        except EOFError:
            self._died(process, now)

    def _message(self, process: BatchProcess, message: FromWorker, now: float) -> None:
        match message:
            case Started(job_id):
                self._crashes.began(process)
                self._transitions.started(process.jobs[job_id], process.identity)
            case Spawned(job_id, ffmpeg):
                active = process.jobs[job_id]
                process.spawned(active, ffmpeg, now, frozen=self._control.is_frozen)
                self._transitions.spawned(active, ffmpeg)
            case Progressed(job_id, seconds, speed):
                process.jobs[job_id].progress_seconds, process.jobs[job_id].speed = seconds, speed
                self._listener.progressed(job_id, seconds, speed)
            case Encoded(job_id):
                process.jobs[job_id].encoded()
                self._monitor.freed(now)
            case Verified(job_id, facts):
                active = process.jobs[job_id]
                self._transitions.granted(active, facts)
                self._grants.append((process, Grant(job_id, self._may_replace(job_id))))
            case Published(job_id, facts, usage):
                active = process.let_go(job_id)
                self._transitions.published(active, facts, usage)
                self._learn(active, facts, usage)
            case Ended(job_id):
                self._ended(process.let_go(job_id), message, now)
            case HandedBack(job_ids):
                for job_id in job_ids:
                    self._dispatch.waiting.put_back(self._transitions.returned(process.let_go(job_id)), now)
            case InputAway(reason):
                self._input_away(reason, now)
            case Report():
                pass  # that it was said is all; the end-of-file that follows a farewell is the end, with or without it

    def _may_replace(self, job_id: str) -> bool:
        row = self._journal.job(job_id)
        assert row is not None
        return self._request.overwrite or may_replace(self._journal, self._request.output, row)

    def _learn(self, active: Active, facts: OutputFacts, usage: Usage) -> None:
        if active.prepared is not None:
            features, source = active.prepared.features, active.prepared.item.source
            self._note(self._calibration.observe(features, source, active.threads, usage, facts.size_bytes))
            self._dispatch.reprice()

    def _ended(self, active: Active, message: Ended, now: float) -> None:
        """An attempt ended without an output. A SIGKILL that nobody of us sent is memory's doing only with evidence."""
        self._monitor.freed(now)
        failure = retry.taken_for(message.outcome.failure, unopened=message.unopened, retries_so_far=active.retries)
        outcome = replace(message.outcome, failure=failure)
        alone = self._dispatch.runs_alone(active)
        if outcome.failure is FailureKind.DISK:
            self._disk_full(outcome.reason, now)
            if active.state is JobState.PUBLISHING:
                # It is verified and lies there: the next run gives it its name, by the grant.
                self._listener.finished(active.job_id, INTERRUPTED, will_retry=True)
                return
            outcome = INTERRUPTED
        elif message.killed and outcome.failure is not None and self._monitor.killed_for_memory():
            outcome = self._crashes.of_memory(active, "its ffmpeg", alone=alone)
        self._dispatch.waiting.put_back(self._transitions.ended(active, outcome, message.usage, alone=alone), now)

    def _died(self, process: BatchProcess, now: float, *, silent: bool = False) -> None:
        """The process is gone, or given up on. Whatever it still owned is charged to it, exit code 0 or not."""
        self._grants = [(owner, grant) for owner, grant in self._grants if owner is not process]
        self._crashes.remove_dead(process, now, silent=silent)

    def _give_up(self, processes: Iterable[BatchProcess], now: float, *, silent: bool) -> None:
        """Bury processes that may hang, each of which takes a second then: as many as one turn may take, the others in
        the next ones. Between turns, whoever asks is answered."""
        for process in processes:
            self._died(process, now, silent=silent)
            if time.monotonic() - now > REMOVING_SECONDS:
                break

    # ------------------------------------------------------------ what batch processes are given

    def _send_grants(self) -> None:
        for process, grant in self._grants:
            process.child.send(grant)
        self._grants.clear()

    def _fill(self, now: float) -> None:
        """Start what may be started."""
        if self._stopping or self._control.is_paused or self._phase is not Phase.OPEN or self._discovery.away:
            return
        self._dispatch.fill(
            Conditions(
                reading=self._monitor.reading,
                reading_number=self._monitor.readings,
                allowance=self._monitor.allowance,
                more_to_come=not self._discovery.complete,
                pending=self._discovery.pending,
                now=now,
                run_seconds=now - self._began,
                schedule=self._schedule,
                clock=local_time(),
            )
        )

    # ------------------------------------------------------------ readings

    def _observe(self, now: float) -> None:
        """Take a reading when one is due, do what the governor says of it, and tell where the run stands."""
        resting = self._resting
        if resting != self._at_rest:
            self._rest(resting, now)
        if not self._monitor.due(now):
            return
        readings = self._monitor.readings
        decision = self._monitor.look(self._dispatch.processes, self._discovery.pids, now)
        if self._monitor.learned:
            self._monitor.learned = False
            self._dispatch.reprice()
        if decision.take_back:
            for process in self._dispatch.processes:
                self._take_back(process, now)
                process.ask_back()
        lost = self._held.lost()
        if lost is not None:
            self._disk_full(lost, now, end=True)
        idle = self._dispatch.waiting and not self._dispatch.processes and not self._control.is_paused
        if self._monitor.disk_is_low and idle and self._phase is Phase.OPEN:
            self._disk_full(f"The disk of {display(self._request.output)} is nearly full.", now)
        if resting:
            self._monitor.next_due = now + REST_SECONDS
        elif self._monitor.readings > readings:
            self._tell(now)

    def _rest(self, resting: bool, now: float) -> None:
        """A run that watches has come to rest, or has something to do again."""
        self._at_rest = resting
        self._monitor.next_due = now
        if not resting:
            return
        self._tell(now)
        self._note(self._calibration.keep())
        tally, named = self._tally, self._request.input_named
        settled = (tally.done, tally.failed)
        if not self._dispatch.waiting and settled != self._told_at:
            self._told_at = settled
            made = f"{tally.succeeded} file{'' if tally.succeeded == 1 else 's'} made, {tally.failed} failed"
            self._transitions.notice("info", f"Nothing is left to do ({made}); {named} is watched for more.")

    def _tell(self, now: float) -> None:
        self._listener.tick(self._standing(now).snapshot)

    def _standing(self, now: float) -> RunStatus:
        waits = self._phase is Phase.WAITING
        return self._status.standing(
            now,
            listing_done=self._discovery.complete,
            state=self._control.state(stopping=self._stopping, waits=waits),
            begins_in_seconds=self._schedule.seconds_to_open(local_time()) if waits else 0.0,
        )


def local_time() -> datetime:
    """What clocks on the wall show: windows are about nothing else."""
    return datetime.now()  # noqa: DTZ005
