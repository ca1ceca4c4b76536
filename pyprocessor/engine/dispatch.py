"""From waiting jobs to running ones: forms batches, starts their processes, and feeds them job by job.

A batch is packed for the memory that its jobs are predicted to take. What starts is decided anew for every job, with
what the running ones really take: so a prediction that turns out too low costs time, and not the machine.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.context import BaseContext

from pyprocessor.costs import CostClass, wall_seconds
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.pool import Active, BatchProcess, Prepared
from pyprocessor.engine.transitions import Transitions
from pyprocessor.engine.waiting import Waiting
from pyprocessor.governor.governor import Allowance
from pyprocessor.jobs.timeouts import timeouts
from pyprocessor.journal.database import LOG_NAME
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Batch, Cost, Reading, display
from pyprocessor.models.listener import RunRequest
from pyprocessor.models.wording import memory_size
from pyprocessor.plan.admission import RunningJob, may_start, memory_need
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.packing import OverBudget
from pyprocessor.plan.planner import Running, may_begin, memory_budget, memory_limit, next_batch, shape
from pyprocessor.plan.ready import Entry
from pyprocessor.publish.partials import partial_name
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.tasks.base import Task
from pyprocessor.workers.messages import WorkerSetup, WorkItem

LISTING_SECONDS = 10.0
"""How long what is to run alone waits for other files to be found; a listing may go on for as long as the run does."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which jobs are started now.

    `reading_number` counts the readings at the slow interval, `more_to_come` says that the listing or inspecting goes
    on, the latter of `pending` files, `now` is monotonic, `clock` local time, and `run_seconds` how long the run has
    lasted."""

    reading: Reading
    reading_number: int
    allowance: Allowance
    more_to_come: bool
    pending: int
    now: float
    run_seconds: float
    schedule: Schedule
    clock: datetime


class Dispatch:
    """The batch processes of one run, and the jobs that wait for them."""

    def __init__(
        self,
        request: RunRequest,
        context: BaseContext,
        folder: StateFolder,
        run_id: int,
        task: Task,
        journal: Journal,
        transitions: Transitions,
        calibration: Calibration,
    ) -> None:
        self._request = request
        self._context = context
        self._folder = folder
        self._run_id = run_id
        self._task = task
        self._journal = journal
        self._transitions = transitions
        self._calibration = calibration
        self.processes: list[BatchProcess] = []
        self.waiting = Waiting()
        self._batches = 0
        self._known_since = math.inf
        self._alone = False
        self._concurrency = 1
        self._formed_at = -1
        self.width = 0
        """Threads of all files that would run at once now."""
        self._reading_number = 0
        self._admitted = 0
        self._look = 0
        self._claimed_bytes = 0
        self._told_waiting = False

    @property
    def running(self) -> list[tuple[Active, int]]:
        """Every job that runs, with the cores that it is reckoned to take."""
        return [(job, process.batch.cores) for process in self.processes for job in process.running]

    def work(self) -> list[tuple[CostClass, float]]:
        """Predicted CPU-seconds of what waits, by class and by job, in no order."""
        held = [(job.entry.cost_class, job.entry.cpu_seconds) for process in self.processes for job in process.unsent]
        return [*self.waiting.ready.work(), *held]

    def runs_alone(self, active: Active) -> bool:
        """Whether no other file is being encoded."""
        return not any(job is not active and not job.is_encoded for job, _ in self.running)

    def reprice(self) -> None:
        """Predict what waits anew with what the cost model knows now."""
        if self.waiting.ready.reprice(self._calibration.model, self._request.profile.estimation):
            self.waiting.reconsider()

    def fill(self, conditions: Conditions) -> None:
        """Form batches for free slots and feed the processes: idle slots first, then what is to follow at once."""
        if conditions.reading_number != self._reading_number:
            self._reading_number = conditions.reading_number
            self._admitted = 0
        if conditions.allowance.look != self._look:
            self._look = conditions.allowance.look
            self._claimed_bytes = 0
        if conditions.allowance.admit:
            self._form_batches(conditions)
            for ahead in (0, 1):
                for process in self.processes:
                    most = process.batch.slots * (1 + ahead)
                    while len(process.sent) < most and self._send_next(process, conditions):
                        pass
        for process in self.processes:
            process.close_if_done()

    # ------------------------------------------------------------ batches

    def _form_batches(self, conditions: Conditions) -> None:
        if not self.processes:
            entry = self._next_alone(conditions)
            self._alone = entry is not None
            if entry is not None:
                self._begin(Batch(self._batches + 1, (entry.job_id,), 1, 1, entry.memory_bytes), (entry,))
        if self._alone or (self._batches == 0 and not self._enough_to_begin(conditions)):
            return
        occupied = sum(process.occupied_slots for process in self.processes)
        if conditions.allowance.look == self._formed_at and occupied >= self._concurrency:
            return  # no slot has become free since batches were last formed
        self._formed_at = conditions.allowance.look
        settings, estimation = self._request.profile.batch, self._request.profile.estimation
        ready = self.waiting.ready
        known = len(self.waiting) + sum(len(process.jobs) for process in self.processes)
        form = shape(
            conditions.reading,
            settings,
            jobs_known=known,
            typical=ready.typical(),
            more_to_come=conditions.more_to_come,
            cpu_limit_percent=self._request.profile.throttling.cpu_limit_percent,
            share=conditions.allowance.share,
            measured=self._is_measured(),
        )
        self._concurrency = form.concurrency
        self.width = form.concurrency * form.threads
        while True:
            formed = next_batch(
                ready,
                form,
                settings,
                estimation,
                batch_id=self._batches + 1,
                running=[_running(p, conditions.now) for p in self.processes if p.occupied_slots],
                more_to_come=conditions.more_to_come,
            )
            if formed is None:
                return
            entries = self._in_time(formed.entries, formed.batch.threads, conditions)
            if formed.over_budget is not None:
                entries = self._allowed(entries, formed.batch.threads, formed.over_budget)
            if not entries:
                continue
            slots = min(formed.batch.slots, len(entries))
            self._begin(replace(formed.batch, job_ids=tuple(e.job_id for e in entries), slots=slots), entries)

    def _next_alone(self, conditions: Conditions) -> Entry | None:
        """The next job to run alone, now; those that time, or `--strict-memory`, rules out are seen to on the way."""
        settings = self._request.profile.batch
        budget, limit = memory_budget(conditions.reading, settings), memory_limit(conditions.reading, settings)
        while self._time_for_those_alone(conditions) and (entry := self.waiting.take_alone()) is not None:
            entry = self._priced(entry)
            if not self._in_time((entry,), 1, conditions, alone=True):
                continue
            over = OverBudget(entry.job_id, memory_need(entry, 1), budget, limit)
            if self._allowed((entry,), 1, over):
                return entry
        return None

    def _time_for_those_alone(self, conditions: Conditions) -> bool:
        """Whether nothing else is to be done: what runs alone may be a danger to the run, and holds up all others."""
        listed = not conditions.more_to_come or conditions.run_seconds > LISTING_SECONDS
        return listed and not self.waiting.ready

    def _is_measured(self) -> bool:
        """Whether attempts of the class that most of the waiting work is of were ever measured."""
        work = self.waiting.ready.work()
        if not work:
            return True
        cost_class, _ = max(work, key=lambda part: part[1])
        return self._calibration.model.measured_count(cost_class) > 0

    def _allowed(self, entries: tuple[Entry, ...], threads: int, largest: OverBudget) -> tuple[Entry, ...]:
        """Tell of jobs that need more memory than is ever allowed, and end them here where that is asked for.

        One that would fit if others used less memory runs alone without a word: the governor tells of that.
        """
        kept: list[Entry] = []
        for entry in entries:
            over = replace(largest, job_id=entry.job_id, need_bytes=memory_need(entry, threads))
            if over.hopeless and self._request.profile.throttling.strict_memory:
                self._transitions.refused(entry, over.refusal(self._name(entry.job_id)))
                continue
            if over.hopeless:
                self._transitions.notice("warning", over.note(self._name(entry.job_id)), job_id=entry.job_id)
            kept.append(entry)
        return tuple(kept)

    def _name(self, job_id: str) -> str:
        row = self._journal.job(job_id)
        assert row is not None
        return display(row.source.relative)

    def _in_time(
        self, entries: tuple[Entry, ...], threads: int, conditions: Conditions, *, alone: bool = False
    ) -> tuple[Entry, ...]:
        """Those that will be done before the run is to be over; the others are set aside."""
        kept: list[Entry] = []
        for entry in entries:
            seconds = wall_seconds(Cost(entry.cpu_seconds, 0, 0), threads)
            spread = self._calibration.model.spread(entry.cost_class)
            if conditions.schedule.fits(seconds, spread, conditions.clock):
                kept.append(entry)
                continue
            self.waiting.set_aside(entry, alone=alone)
            if not conditions.schedule.ever_fits(seconds, spread):
                text = conditions.schedule.never_fits(self._name(entry.job_id), seconds)
                self._transitions.notice("warning", text, job_id=entry.job_id)
        return tuple(kept)

    def _enough_to_begin(self, conditions: Conditions) -> bool:
        """False while the first start waits for other files to be inspected (`may_begin`)."""
        ready = self.waiting.ready
        if ready:
            self._known_since = min(self._known_since, conditions.now)
        return may_begin(
            ready,
            conditions.reading.cores,
            more_to_come=conditions.more_to_come,
            pending=conditions.pending,
            run_seconds=conditions.run_seconds,
            held_seconds=max(0.0, conditions.now - self._known_since),
        )

    def _begin(self, batch: Batch, entries: tuple[Entry, ...]) -> None:
        """Start a process for the batch and enter both in the journal, before it is given any work."""
        self._batches = batch.id
        active: list[Active] = []
        for entry in entries:
            row = self._journal.job(entry.job_id)
            assert row is not None
            active.append(
                Active(
                    entry=entry,
                    name=display(row.source.relative),
                    threads=1 if entry.narrow else batch.threads,
                    media_seconds=row.media_seconds or 0.0,
                    crashes=row.crashes,
                    retries=row.retries_charged,
                    sheds=row.sheds,
                    alone=self._alone,
                )
            )
        throttling = self._request.profile.throttling
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
            nice=throttling.nice,
            io_idle=throttling.io_idle,
            journal_log=os.path.join(self._folder.path, LOG_NAME),
            folders=self._request.folders,
        )
        process = BatchProcess(self._context, setup, batch, active)
        self.processes.append(process)
        with self._journal.transaction():
            self._journal.begin_batch(batch, process.identity)
            self._journal.assign(batch.job_ids, batch.id)

    # ------------------------------------------------------------ jobs

    def _send_next(self, process: BatchProcess, conditions: Conditions) -> bool:
        """Send the next job, where it may start now or as soon as a slot is free."""
        job = process.next_unsent()
        if job is None:
            return False
        throttling = self._request.profile.throttling
        threads, model = job.threads, self._calibration.model
        job.entry = self._priced(job.entry)
        allowance = conditions.allowance
        sent = [other for other_process in self.processes for other in other_process.sent]
        verdict = may_start(
            job.entry,
            threads,
            [_running_job(other, conditions.now) for other in sent],
            memory_budget(conditions.reading, self._request.profile.batch),
            model,
            concurrency=self._concurrency,
            admitted_this_reading=self._admitted,
        )
        if not verdict.start:
            return False
        need = memory_need(job.entry, threads)
        if not sent and allowance.wall_room_bytes < need <= memory_limit(
            conditions.reading, self._request.profile.batch
        ):
            self._tell_of_waiting(job, need, allowance.wall_room_bytes)
            return False
        claimed = self._claimed_bytes + need
        if sent and (allowance.one_only or claimed > allowance.room_bytes):
            return False
        disk = sum(other.entry.disk_bytes for other in sent) + job.entry.disk_bytes
        if sent and conditions.reading.free_disk_bytes - disk < throttling.disk_reserve_bytes:
            return False
        self._claimed_bytes, self._told_waiting = claimed, False
        if model.measured_count(replace(job.entry.cost_class, threads=threads)) == 0:
            self._admitted += 1
        process.send_next(self._prepare(job).item)
        return True

    def _priced(self, entry: Entry) -> Entry:
        """The entry at what its class is predicted to take by now."""
        factor = self._request.profile.estimation.memory_safety_factor
        return replace(entry, price=self._calibration.model.price(entry.cost_class, factor))

    def _tell_of_waiting(self, job: Active, need: int, room: float) -> None:
        """Tell, once, that other programs leave too little memory for even one file."""
        if not self._told_waiting:
            self._told_waiting = True
            text = f"{job.name} waits: it is predicted to take {memory_size(need)}, and other programs leave "
            self._transitions.notice("warning", f"{text}{memory_size(max(0, int(room)))} of memory.", job_id=job.job_id)

    def _prepare(self, job: Active) -> Prepared:
        """The job's work item and features, looked up when first asked for, and what it is reckoned with now."""
        threads = job.threads
        prepared = job.prepared
        if prepared is None:
            row = self._journal.job(job.job_id)
            assert row is not None
            source = row.source
            cached = self._journal.media(source.path, source.size_bytes, source.mtime_ns)
            assert cached is not None
            assert cached.media is not None
            features = self._task.features(self._request.profile, cached.media)
            features = self._calibration.with_history(features, source)
            predicted = self._calibration.predict(features, threads)
            limits = timeouts(self._request.profile.errors, predicted, features)
            item = WorkItem(
                job_id=job.job_id,
                task=row.task,
                source=source,
                media=cached.media,
                threads=threads,
                partial=partial_name(row.id, row.attempts + 1, self._request.profile.extension),
                output=row.output,
                stall_seconds=limits.stall_seconds,
                wall_limit_seconds=limits.wall_limit_seconds,
            )
            prepared = job.prepared = Prepared(item, features)
        job.predicted = self._calibration.predict(prepared.features, threads)
        job.need_bytes = memory_need(job.entry, threads)
        return prepared


def _running(process: BatchProcess, now: float) -> Running:
    """The process as the planner sees it."""
    slots = process.occupied_slots
    left = sum(job.seconds_left(process.batch.cores, now) for job in process.jobs.values())
    return Running(slots, process.memory_bytes, process.batch.cores, left / slots if slots else 0.0)


def _running_job(job: Active, now: float) -> RunningJob:
    return RunningJob(
        cost_class=job.entry.cost_class,
        threads=job.threads,
        predicted_bytes=max(memory_need(job.entry, job.threads), job.likely_bytes),
        memory_bytes=job.memory_bytes,
        age_seconds=max(0.0, now - job.started_seconds),
    )
