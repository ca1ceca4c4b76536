"""The engine's loop: one thread that waits on every pipe, moves jobs through their states and remembers each move.

    findings -> ledger -> waiting -> dispatch -> batch processes
    messages -> ledger (state, journal, count) -> after the commit: grants -> listener
    readings -> watch -> governor -> hold, take back, suspend, shed

All that one turn of the loop writes is committed at once, before anything that depends on it is sent.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any

from pyprocessor.costs import CostModel
from pyprocessor.engine.calibrating import learned
from pyprocessor.engine.child import context
from pyprocessor.engine.course import Pause, Wish
from pyprocessor.engine.discovery import Discovery
from pyprocessor.engine.dispatch import Conditions, Dispatch
from pyprocessor.engine.hold import Held, hold
from pyprocessor.engine.interrupt import Interrupts
from pyprocessor.engine.ledger import INTERRUPTED, Ledger
from pyprocessor.engine.listener import Listener, RunRequest
from pyprocessor.engine.messages import (
    Closed,
    Encoded,
    Ended,
    FromWorker,
    Grant,
    HandedBack,
    Progressed,
    Published,
    Spawned,
    Started,
    Verified,
)
from pyprocessor.engine.outlook import Outlook
from pyprocessor.engine.pool import Active, BatchProcess
from pyprocessor.engine.recovery import drop_partial, recover, refuse_if_busy, was_published
from pyprocessor.engine.schedule import Phase, Schedule
from pyprocessor.engine.steering import Steering
from pyprocessor.engine.system import network_filesystem, process_identity
from pyprocessor.engine.tally import Tally
from pyprocessor.engine.watch import Watch
from pyprocessor.errors import ChildUnstartable, ExitCode, FailureKind, PyprocessorError
from pyprocessor.journal.journal import Journal
from pyprocessor.models import JobState, Outcome, OutcomeKind, OutputFacts, Overrun, Standing, Usage, display
from pyprocessor.publish.state_folder import StateFolder, prepare_state_folder
from pyprocessor.tasks.registry import task

TASK = "transcode"
TURN_SECONDS = 0.5
"""The longest the loop sleeps: timeouts are looked at this often."""
SETTLE_SECONDS = 10.0
"""How long processes that were told to end may take before they are killed."""
STILLBORN_AT_MOST = 10
"""Batch processes in a row that end before they begin a file: more will not help."""
NO_MEMORY = "memory ran out and the system killed its ffmpeg"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `done_before` and `failed_before` count files that earlier runs settled and that still hold."""

    exit_code: ExitCode
    run_id: int
    done_before: int
    failed_before: int


class Engine:
    """One run over one request.

    `model` is what to predict costs with instead of what earlier runs learned, and `cores` how many cores to reckon
    with instead of those there are; both are for measurements.
    """

    def __init__(
        self,
        request: RunRequest,
        listener: Listener,
        *,
        start_method: str | None = None,
        model: CostModel | None = None,
        cores: float | None = None,
    ) -> None:
        self._request = request
        self._listener = listener
        self._context = context(start_method)
        self._model = model
        self._cores = cores

    def run(self) -> RunResult:
        """Do all there is to do. Raises `OutputBusy`, `OutputUnwritable` or `JournalError` before anything began."""
        folder = prepare_state_folder(self._request.output)
        # What was imported stays to the end: collecting garbage need not go through it again and again.
        gc.freeze()
        with hold(folder.path, self._request.output) as held:
            local = not network_filesystem(folder.path)
            with Journal.open(folder.path, wal=local) as journal, Interrupts() as interrupts:
                refuse_if_busy(journal, self._request.output)
                run = _Run(
                    self._request,
                    self._listener,
                    self._context,
                    folder,
                    held,
                    journal,
                    interrupts,
                    model=self._model,
                    cores=self._cores,
                )
                return run.go()


class _Run:
    def __init__(
        self,
        request: RunRequest,
        listener: Listener,
        context: BaseContext,
        folder: StateFolder,
        held: Held,
        journal: Journal,
        interrupts: Interrupts,
        *,
        model: CostModel | None,
        cores: float | None,
    ) -> None:
        self._request = request
        self._listener = listener
        self._folder = folder
        self._held = held
        self._journal = journal
        self._began = time.monotonic()
        self._tally = Tally(self._began)
        self._calibration, problem = learned(model)
        self._ledger = Ledger(request, journal, self._calibration, self._tally, listener)
        engine = process_identity(os.getpid())
        assert engine is not None
        self._run_id = journal.begin_run(request.arguments, engine)
        self._steering = Steering(folder.path, interrupts, self._ledger, request.profile.schedule.grace_seconds)
        if problem is not None:
            self._ledger.notice("warning", problem)
        for note in recover(journal, folder, request.output):
            self._ledger.notice("info", note)
        work = task(TASK)
        self._discovery = Discovery(request, work, self._calibration, journal, context, self._began)
        self._watch = Watch(request, journal, self._ledger, self._began, cores=cores)
        self._dispatch = Dispatch(
            request, context, folder, self._run_id, work, journal, self._ledger, self._calibration
        )
        self._grants: list[tuple[BatchProcess, Grant]] = []
        self._taken = 0
        self._end_by = math.inf
        self._disk_trouble = False
        self._stillborn = 0
        self._schedule = Schedule.begin(request.profile.schedule, local_time())
        self._phase = Phase.OPEN
        self._outlook = Outlook(self._tally, self._dispatch, self._watch, self._calibration)

    # ------------------------------------------------------------ the loop

    def go(self) -> RunResult:
        exit_code = ExitCode.INTERNAL
        try:
            while not self._over():
                heard = self._wait()
                now = time.monotonic()
                with self._journal.transaction():
                    self._heed(now, heard)
                    self._keep_hours(now)
                    self._discover(now, heard)
                    for process in tuple(self._dispatch.processes):
                        if process.connection in heard:
                            self._hear(process, now)
                    self._dispatch.waiting.take_up_retries(now)
                    self._observe(now)
                self._send_grants()
                self._steering.answer()
                self._fill(now)
            if self._dispatch.waiting.late and not self._stopping:
                self._note(self._schedule.none_fits(self._dispatch.waiting.late, local_time()))
            self._tell(time.monotonic())
            exit_code = self._exit_code()
        except PyprocessorError as error:
            exit_code = error.exit_code
            raise
        finally:
            self._discovery.stop()
            for process in self._dispatch.processes:
                process.child.kill()
            self._note(self._calibration.keep())
            tally = self._tally
            self._steering.close()
            self._journal.end_run(exit_code, done_before=tally.done_before, failed_before=tally.failed_before)
        return RunResult(exit_code, self._run_id, self._tally.done_before, self._tally.failed_before)

    @property
    def _stopping(self) -> bool:
        return self._steering.course.wish > Wish.GO_ON or self._disk_trouble or self._phase is Phase.OVER

    def _over(self) -> bool:
        if self._dispatch.processes:
            return False
        waiting = self._dispatch.waiting
        return self._stopping or (self._discovery.finished and len(waiting) == waiting.late)

    def _wait(self) -> Collection[Any]:
        """Sleep until something is to be done; returns the connections that have something to say."""
        processes = self._dispatch.processes
        now = time.monotonic()
        sources: list[Any] = [*self._steering.sources(now), *(process.connection for process in processes)]
        if self._discovery.connection is not None:
            sources.append(self._discovery.connection)
        due = min(self._dispatch.waiting.next_due, self._watch.next_due) - now
        return wait(sources, timeout=min(max(due, 0.0), TURN_SECONDS))

    def _exit_code(self) -> ExitCode:
        unfinished = bool(self._dispatch.waiting) or not self._discovery.listed
        if self._disk_trouble:
            return ExitCode.OUTPUT_UNWRITABLE
        if self._steering.course.wish > Wish.GO_ON and unfinished:
            return self._steering.course.exit_code
        if self._dispatch.waiting.late or (self._phase is Phase.OVER and unfinished):
            return ExitCode.TRY_AGAIN
        if self._tally.failed or self._tally.failed_before or self._tally.troubles:
            return ExitCode.SOME_FAILED
        return ExitCode.OK

    def _note(self, problem: str | None) -> None:
        if problem is not None:
            self._ledger.notice("warning", problem)

    # ------------------------------------------------------------ stopping and pausing

    def _heed(self, now: float, heard: Collection[Any]) -> None:
        """Act on signals, and on what is asked from other terminals."""
        before = self._steering.course
        self._steering.heed(heard, now, lambda: self._standing(now))
        course = self._steering.course
        if course.wish > before.wish:
            self._stop_processes(now, end=course.wish is Wish.END)
        if course.pause is not before.pause:
            for process in self._dispatch.processes:
                if course.pause is not Pause.NONE:
                    self._take_back(process, now)
                process.pause(course.pause, now)
        if now > self._end_by:
            for process in tuple(self._dispatch.processes):
                self._died(process, now)

    def _keep_hours(self, now: float) -> None:
        """Begin and end with the window of the day."""
        clock = local_time()
        self._schedule = self._schedule.seen(clock)
        phase = self._schedule.phase(clock)
        if phase is self._phase or self._phase is Phase.OVER:
            return
        self._phase = phase
        self._note(self._schedule.sentence(clock))
        if phase is Phase.OVER:
            self._stop_processes(now, end=self._request.profile.schedule.overrun is Overrun.REQUEUE)

    def _stop_processes(self, now: float, *, end: bool) -> None:
        self._discovery.stop()
        if end:
            self._end_by = min(self._end_by, now + SETTLE_SECONDS)
        for process in self._dispatch.processes:
            self._take_back(process, now)
            if end:
                process.end()
            else:
                process.drain()

    def _take_back(self, process: BatchProcess, now: float) -> None:
        """Queue again what the process was never sent."""
        for job_id in process.take_back_unsent():
            self._dispatch.waiting.put_back(self._ledger.returned(process.let_go(job_id)), now)

    def _disk_full(self, reason: str, now: float) -> None:
        if not self._disk_trouble:
            self._disk_trouble = True
            self._ledger.notice(
                "error",
                f"{reason} Nothing more is started; make room or mend the folder and run the same command again.",
            )
            self._stop_processes(now, end=False)

    # ------------------------------------------------------------ what is found

    def _discover(self, now: float, heard: Collection[Any]) -> None:
        if self._discovery.finished:
            return
        files = self._discovery.files
        said = self._discovery.handle(now) if self._discovery.connection in heard else ()
        for finding in itertools.chain(said, self._discovery.check(now)):
            entry = self._ledger.take(finding)
            if entry is not None:
                self._dispatch.waiting.ready.add(entry)
                self._taken += 1
                if self._request.limit is not None and self._taken >= self._request.limit:
                    self._discovery.stop()
                    break
        if self._discovery.files != files or self._discovery.finished:
            self._listener.found(self._discovery.files, self._discovery.finished)
            self._listener.queued(self._tally.total, self._tally.media_seconds)

    # ------------------------------------------------------------ what batch processes say

    def _hear(self, process: BatchProcess, now: float) -> None:
        try:
            for message in process.child.receive():
                self._message(process, message, now)
        except EOFError:
            self._died(process, now)

    def _message(self, process: BatchProcess, message: FromWorker, now: float) -> None:
        match message:
            case Started(job_id):
                self._stillborn, process.began = 0, True
                self._ledger.started(process.jobs[job_id], process.identity, process.batch.threads)
            case Spawned(job_id, ffmpeg):
                active = process.jobs[job_id]
                process.spawned(active, ffmpeg, now, frozen=self._steering.is_frozen)
                self._ledger.spawned(active, ffmpeg)
            case Progressed(job_id, seconds, speed):
                process.jobs[job_id].progress_seconds, process.jobs[job_id].speed = seconds, speed
                self._listener.progressed(job_id, seconds, speed)
            case Encoded(job_id):
                process.jobs[job_id].encoded()
                self._watch.freed(now)
            case Verified(job_id, facts):
                active = process.jobs[job_id]
                self._ledger.granted(active, facts)
                self._grants.append((process, Grant(job_id, active.replace)))
            case Published(job_id, facts, usage):
                active = process.let_go(job_id)
                self._ledger.published(active, facts, usage)
                self._learn(process, active, facts, usage)
            case Ended(job_id, outcome, usage, killed):
                self._ended(process, process.let_go(job_id), outcome, usage, killed, now)
            case HandedBack(job_ids):
                for job_id in job_ids:
                    self._dispatch.waiting.put_back(self._ledger.returned(process.let_go(job_id)), now)
            case Closed():
                pass  # the end-of-file that follows is the end, with or without this farewell

    def _learn(self, process: BatchProcess, active: Active, facts: OutputFacts, usage: Usage) -> None:
        if active.prepared is not None:
            features = active.prepared.features
            self._note(self._calibration.observe(features, process.batch.threads, usage, facts.size_bytes))
            waiting = self._dispatch.waiting
            if waiting.ready.reprice(self._calibration.model, self._request.profile.estimation):
                waiting.reconsider()

    def _ended(
        self, process: BatchProcess, active: Active, outcome: Outcome, usage: Usage | None, killed: bool, now: float
    ) -> None:
        """An attempt ended without an output. A SIGKILL that nobody of us sent is memory's doing only with evidence."""
        self._watch.freed(now)
        if outcome.failure is FailureKind.DISK:
            self._disk_full(outcome.reason, now)
            outcome = INTERRUPTED
        elif killed and outcome.failure is not None and self._watch.killed_for_memory():
            if self._dispatch.is_alone(process):
                outcome = Outcome(
                    OutcomeKind.FAILED,
                    f"{active.name}: {NO_MEMORY}, though nothing ran beside it.",
                    FailureKind.RESOURCE,
                )
            else:
                outcome = Outcome(OutcomeKind.SHED, f"{active.name}: {NO_MEMORY}; it is done later.")
                self._ledger.notice("warning", outcome.reason, job_id=active.job_id)
        self._dispatch.waiting.put_back(self._ledger.ended(active, outcome, usage), now)

    def _died(self, process: BatchProcess, now: float) -> None:
        """The process is gone, or given up on. Whatever it still owned is charged to it, exit code 0 or not."""
        process.child.kill()
        self._dispatch.processes.remove(process)
        if process.jobs and not process.began and not process.draining:
            self._stillborn += 1
            if self._stillborn >= STILLBORN_AT_MOST:
                raise ChildUnstartable(
                    f"{self._stillborn} batch processes in a row ended before they began a file; see whether something "
                    "on this system kills them (memory limits, security software), and run the same command again."
                )
        self._journal.end_batch(process.batch.id, process.child.exit_code)
        self._grants = [(owner, grant) for owner, grant in self._grants if owner is not process]
        waiting = self._dispatch.waiting
        for active in tuple(process.jobs.values()):
            process.let_go(active.job_id)
            if active.prepared is not None:
                drop_partial(self._folder, active.prepared.item.partial)
            if active.state is JobState.RUNNING and not process.ending:
                waiting.put_back(self._ledger.crashed(active), now)
            elif active.state is JobState.PUBLISHING:
                row = self._journal.job(active.job_id)
                assert row is not None
                if row.granted is not None and was_published(self._request.output, row):
                    self._ledger.published(active, row.granted, None)
                else:
                    waiting.put_back(self._ledger.returned(active), now)
            else:
                waiting.put_back(self._ledger.returned(active), now)

    # ------------------------------------------------------------ what batch processes are given

    def _send_grants(self) -> None:
        for process, grant in self._grants:
            process.child.send(grant)
        self._grants.clear()

    def _fill(self, now: float) -> None:
        """Start what may be started."""
        if self._stopping or self._steering.is_paused or self._phase is not Phase.OPEN:
            return
        self._dispatch.fill(
            Conditions(
                reading=self._watch.reading,
                reading_number=self._watch.readings,
                allowance=self._watch.allowance,
                more_to_come=not self._discovery.finished,
                now=now,
                run_seconds=now - self._began,
                schedule=self._schedule,
                clock=local_time(),
            )
        )

    # ------------------------------------------------------------ readings

    def _observe(self, now: float) -> None:
        """Take a reading when one is due, do what the governor says of it, and tell where the run stands."""
        if not self._watch.due(now):
            return
        readings = self._watch.readings
        decision = self._watch.look(self._dispatch.processes, self._discovery.pid, now)
        if decision.take_back:
            for process in self._dispatch.processes:
                self._take_back(process, now)
                process.ask_back()
        lost = self._held.lost()
        if lost is not None:
            self._disk_full(lost, now)
        idle = self._dispatch.waiting and not self._dispatch.processes and not self._steering.is_paused
        if self._watch.disk_is_low and idle:
            self._disk_full(f"The disk of {display(self._request.output)} is nearly full.", now)
        if self._watch.readings > readings:
            self._tell(now)

    def _tell(self, now: float) -> None:
        self._listener.tick(self._standing(now).snapshot)

    def _standing(self, now: float) -> Standing:
        waits = self._phase is Phase.WAITING
        return self._outlook.standing(
            now,
            listing_done=self._discovery.finished,
            state=self._steering.state(stopping=self._stopping, waits=waits),
            begins_in_seconds=self._schedule.seconds_to_open(local_time()) if waits else 0.0,
        )


def local_time() -> datetime:
    """What clocks on the wall show: windows are about nothing else."""
    return datetime.now()  # noqa: DTZ005
