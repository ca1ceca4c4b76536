"""The engine's loop: one thread that waits on every pipe, moves jobs through their states and remembers each move.

    findings -> ledger -> ready -> batches -> batch processes
    messages -> ledger (state, journal, count) -> after the commit: grants -> listener

All that one turn of the loop writes is committed at once, before anything that depends on it is sent.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any

from pyprocessor.costs import CostModel
from pyprocessor.engine.child import context
from pyprocessor.engine.discovery import Discovery
from pyprocessor.engine.hold import hold
from pyprocessor.engine.interrupt import Interrupts, Wish
from pyprocessor.engine.ledger import INTERRUPTED, Again, Ledger
from pyprocessor.engine.listener import Listener, RunRequest
from pyprocessor.engine.messages import (
    Closed,
    Ended,
    FromWorker,
    Grant,
    HandedBack,
    Progressed,
    Published,
    Spawned,
    Started,
    Verified,
    WorkerSetup,
    WorkItem,
)
from pyprocessor.engine.pool import Active, BatchProcess
from pyprocessor.engine.recovery import recover, was_published
from pyprocessor.engine.system import Sampler, network_filesystem, process_identity
from pyprocessor.engine.tally import Tally
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Batch, JobState, display
from pyprocessor.plan.planner import Running, next_batch, shape
from pyprocessor.plan.ready import Entry, Ready
from pyprocessor.publish.partials import partial_name
from pyprocessor.publish.state_folder import StateFolder, prepare_state_folder
from pyprocessor.tasks.registry import task

TASK = "transcode"
TURN_SECONDS = 0.5
"""The longest the loop sleeps: readings, timeouts and retries are looked at this often."""
FIRST_BATCH_SECONDS = 0.5
"""How long the first batch may wait for as many files as there are cores to be known."""
SETTLE_SECONDS = 10.0
"""How long processes that were told to end may take before they are killed."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `done_before` and `failed_before` count files that earlier runs settled and that still hold."""

    exit_code: ExitCode
    run_id: int
    done_before: int
    failed_before: int


class Engine:
    """One run over one request."""

    def __init__(self, request: RunRequest, listener: Listener, *, start_method: str | None = None) -> None:
        self._request = request
        self._listener = listener
        self._context = context(start_method)

    def run(self) -> RunResult:
        """Do all there is to do. Raises `OutputBusy`, `OutputUnwritable` or `JournalError` before anything began."""
        folder = prepare_state_folder(self._request.output)
        with hold(folder.path, self._request.output):
            local = not network_filesystem(folder.path)
            with Journal.open(folder.path, wal=local) as journal, Interrupts() as interrupts:
                return _Run(self._request, self._listener, self._context, folder, journal, interrupts).go()


class _Run:
    def __init__(
        self,
        request: RunRequest,
        listener: Listener,
        context: BaseContext,
        folder: StateFolder,
        journal: Journal,
        interrupts: Interrupts,
    ) -> None:
        self._request = request
        self._listener = listener
        self._context = context
        self._folder = folder
        self._journal = journal
        self._interrupts = interrupts
        began = time.monotonic()
        self._tally = Tally(began)
        self._model = CostModel.priors()
        self._ledger = Ledger(request, journal, self._model, self._tally, listener)
        engine = process_identity(os.getpid())
        assert engine is not None
        self._run_id = journal.begin_run(request.arguments, engine)
        for note in recover(journal, folder, request.output):
            self._ledger.notice("info", note)
        self._discovery = Discovery(request, task(TASK), self._model, journal, context, began)
        self._sampler = Sampler(request.output)
        self._reading = self._sampler.read((), began)
        self._sampled = began
        self._ready = Ready()
        self._retries: list[tuple[float, str, Again]] = []
        self._suspects: deque[Entry] = deque()
        self._processes: list[BatchProcess] = []
        self._grants: list[tuple[BatchProcess, Grant]] = []
        self._batches = 0
        self._taken = 0
        self._wish = Wish.GO_ON
        self._end_by = math.inf
        self._disk_trouble = False

    # ------------------------------------------------------------ the loop

    def go(self) -> RunResult:
        exit_code = ExitCode.INTERNAL
        try:
            while not self._over():
                self._wait()
                now = time.monotonic()
                with self._journal.transaction():
                    self._heed(now)
                    self._discover(now)
                    for process in tuple(self._processes):
                        self._hear(process, now)
                    self._take_up_retries(now)
                self._send_grants()
                self._fill()
                self._observe(now)
            self._observe(time.monotonic(), last=True)
            exit_code = self._exit_code()
        finally:
            self._discovery.stop()
            for process in self._processes:
                process.child.kill()
            self._journal.end_run(exit_code)
        return RunResult(exit_code, self._run_id, self._tally.done_before, self._tally.failed_before)

    @property
    def _stopping(self) -> bool:
        return self._wish > Wish.GO_ON or self._disk_trouble

    @property
    def _waiting_jobs(self) -> int:
        return len(self._ready) + len(self._suspects) + len(self._retries)

    def _over(self) -> bool:
        if self._processes:
            return False
        return self._stopping or (self._discovery.finished and not self._waiting_jobs)

    def _wait(self) -> None:
        sources: list[Any] = [self._interrupts.wakeup, *(process.connection for process in self._processes)]
        if self._discovery.connection is not None:
            sources.append(self._discovery.connection)
        due = self._retries[0][0] - time.monotonic() if self._retries else TURN_SECONDS
        wait(sources, timeout=min(max(due, 0.0), TURN_SECONDS))

    def _exit_code(self) -> ExitCode:
        unfinished = bool(self._waiting_jobs) or not self._discovery.listed
        if self._disk_trouble:
            return ExitCode.OUTPUT_UNWRITABLE
        if self._wish > Wish.GO_ON and unfinished:
            return self._interrupts.exit_code
        if self._tally.failed or self._tally.failed_before or self._tally.troubles:
            return ExitCode.SOME_FAILED
        return ExitCode.OK

    # ------------------------------------------------------------ stopping

    def _heed(self, now: float) -> None:
        """Act on signals."""
        self._interrupts.drain_wakeup()
        if self._interrupts.wish > self._wish:
            self._wish = self._interrupts.wish
            if self._wish is Wish.DRAIN:
                self._ledger.notice(
                    "warning", "Stopping: running files are finished first; interrupt again to end them now."
                )
            else:
                self._ledger.notice("warning", "Stopping now; the same command goes on from here.")
                self._end_by = now + SETTLE_SECONDS
            self._stop_processes()
        if now > self._end_by:
            for process in tuple(self._processes):
                self._died(process, now)

    def _stop_processes(self) -> None:
        self._discovery.stop()
        for process in self._processes:
            for job_id in process.take_back_unsent():
                self._put_back(self._ledger.returned(process.let_go(job_id)), 0.0)
            if self._wish is Wish.END:
                process.end()
            else:
                process.drain()

    # ------------------------------------------------------------ what is found

    def _discover(self, now: float) -> None:
        if self._discovery.finished:
            return
        files = self._discovery.files
        for finding in itertools.chain(self._discovery.handle(now), self._discovery.check(now)):
            entry = self._ledger.take(finding)
            if entry is not None:
                self._ready.add(entry)
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
                self._ledger.started(process.jobs[job_id], process.identity)
            case Spawned(job_id, ffmpeg):
                self._ledger.spawned(process.jobs[job_id], ffmpeg)
            case Progressed(job_id, seconds, speed):
                process.jobs[job_id].progress_seconds = seconds
                self._listener.progressed(job_id, seconds, speed)
            case Verified(job_id, facts):
                active = process.jobs[job_id]
                self._ledger.granted(active, facts)
                self._grants.append((process, Grant(job_id, active.replace)))
            case Published(job_id, facts, usage):
                self._ledger.published(process.let_go(job_id), facts, usage)
            case Ended(job_id, outcome, usage):
                active = process.let_go(job_id)
                if outcome.failure is FailureKind.DISK:
                    self._disk_full(outcome.reason)
                    outcome = INTERRUPTED
                self._put_back(self._ledger.ended(active, outcome, usage), now)
            case HandedBack(job_ids):
                for job_id in job_ids:
                    self._put_back(self._ledger.returned(process.let_go(job_id)), now)
            case Closed():
                pass  # the end-of-file that follows is the end, with or without this farewell

    def _disk_full(self, reason: str) -> None:
        if not self._disk_trouble:
            self._disk_trouble = True
            self._ledger.notice(
                "error",
                f"{reason} Nothing more is started; make room or mend the folder and run the same command again.",
            )
            self._stop_processes()

    def _died(self, process: BatchProcess, now: float) -> None:
        """The process is gone, or given up on. Whatever it still owned is charged to it, exit code 0 or not."""
        process.child.kill()
        self._processes.remove(process)
        self._grants = [(owner, grant) for owner, grant in self._grants if owner is not process]
        for active in tuple(process.jobs.values()):
            process.let_go(active.job_id)
            if active.state is JobState.RUNNING and not process.ending:
                self._put_back(self._ledger.crashed(active), now)
            elif active.state is JobState.PUBLISHING:
                row = self._journal.job(active.job_id)
                assert row is not None
                if row.granted is not None and was_published(self._request.output, row):
                    self._ledger.published(active, row.granted, None)
                else:
                    self._put_back(self._ledger.returned(active), now)
            else:
                self._put_back(self._ledger.returned(active), now)

    def _put_back(self, again: Again | None, now: float) -> None:
        if again is None:
            return
        if again.delay_seconds > 0:
            heapq.heappush(self._retries, (now + again.delay_seconds, again.entry.job_id, again))
        else:
            self._ready.put_back(again.entry)

    def _take_up_retries(self, now: float) -> None:
        while self._retries and self._retries[0][0] <= now:
            again = heapq.heappop(self._retries)[2]
            if again.suspect:
                self._suspects.append(again.entry)
            else:
                self._ready.put_back(again.entry)

    # ------------------------------------------------------------ what batch processes are given

    def _send_grants(self) -> None:
        for process, grant in self._grants:
            process.child.send(grant)
        self._grants.clear()

    def _fill(self) -> None:
        """Form batches for free slots and keep the processes fed."""
        if self._stopping:
            return
        self._form_batches()
        for process in self._processes:
            for job_id in process.next_to_send():
                process.child.send(self._work_item(process, job_id))
            process.close_if_done()

    def _form_batches(self) -> None:
        settings, estimation = self._request.profile.batch, self._request.profile.estimation
        if self._suspects and not self._processes:
            # It may have killed its process: it gets one of its own, beside which nobody is harmed.
            suspect = self._suspects.popleft()
            self._batches += 1
            batch = Batch(self._batches, (suspect.job_id,), 1, 1, suspect.memory_bytes)
            self._begin_batch(batch, (suspect,))
        if self._batches == 0 and not self._enough_to_begin():
            return
        known = len(self._ready) + len(self._retries) + sum(len(process.jobs) for process in self._processes)
        more_to_come = not self._discovery.finished
        form = shape(
            self._reading, settings, jobs_known=known, typical=self._ready.typical(), more_to_come=more_to_come
        )
        while True:
            formed = next_batch(
                self._ready,
                form,
                settings,
                estimation,
                batch_id=self._batches + 1,
                running=[Running(process.occupied_slots, process.memory_bytes) for process in self._processes],
                more_to_come=more_to_come,
            )
            if formed is None:
                return
            self._batches += 1
            if formed.note is not None:
                self._ledger.notice("warning", formed.note)
            self._begin_batch(formed.batch, formed.entries)

    def _enough_to_begin(self) -> bool:
        """False in the first moments of a run that knows of fewer files than it has cores.

        A file that turns out to be the only one gets all threads, but what has started keeps its one.
        """
        settled = self._discovery.finished or time.monotonic() - self._tally.began > FIRST_BATCH_SECONDS
        return settled or len(self._ready) >= self._reading.cores

    def _begin_batch(self, batch: Batch, entries: tuple[Entry, ...]) -> None:
        """Start a process for the batch and enter both in the journal, before it is given any work."""
        active: list[Active] = []
        for entry in entries:
            row = self._journal.job(entry.job_id)
            assert row is not None
            active.append(
                Active(
                    entry=entry,
                    name=display(row.source.relative),
                    media_seconds=row.media_seconds or 0.0,
                    crashes=row.crashes,
                    retries=row.retries_charged,
                    replace=self._request.overwrite or row.produced is not None,
                )
            )
        setup = WorkerSetup(
            run_id=self._run_id,
            batch_id=batch.id,
            slots=batch.slots,
            profile=self._request.profile,
            ffmpeg=self._request.tool_path,
            output_root=self._request.output,
            partials=self._folder.partials,
            receipts=self._folder.receipts,
            logs=self._folder.logs,
        )
        process = BatchProcess(self._context, setup, batch, active)
        self._processes.append(process)
        with self._journal.transaction():
            self._journal.begin_batch(batch, process.identity)
            self._journal.assign(batch.job_ids, batch.id)

    def _work_item(self, process: BatchProcess, job_id: str) -> WorkItem:
        row = self._journal.job(job_id)
        assert row is not None
        source = row.source
        cached = self._journal.media(source.path, source.size_bytes, source.mtime_ns)
        assert cached is not None
        assert cached.media is not None
        return WorkItem(
            job_id=job_id,
            task=row.task,
            source=source,
            media=cached.media,
            threads=process.batch.threads,
            partial=partial_name(row.id, row.attempts + 1, self._request.profile.extension),
            output=row.output,
        )

    # ------------------------------------------------------------ telling

    def _observe(self, now: float, *, last: bool = False) -> None:
        """Take a reading when one is due, and tell the listener where the run stands."""
        interval = self._request.profile.monitoring.sample_interval_seconds
        if not last and now - self._sampled < interval:
            return
        self._sampled = now
        groups = [process.child.pid for process in self._processes]
        if self._discovery.pid is not None:
            groups.append(self._discovery.pid)
        self._reading = self._sampler.read(groups, now)
        self._journal.add_reading(self._reading)
        running = [job for process in self._processes for job in process.running]
        behind = sum(
            job.entry.cpu_seconds * min(1.0, job.progress_seconds / job.media_seconds)
            for job in running
            if job.media_seconds > 0
        )
        self._listener.tick(
            self._tally.snapshot(
                now, self._reading, len(running), self._discovery.finished, self._stopping, cost_running=behind
            )
        )
