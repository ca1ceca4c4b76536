"""Which waiting jobs are started now? Forms batches, starts their processes, and sends them their jobs one by one."""

from __future__ import annotations

import itertools
import math
import os
import secrets
import time
from dataclasses import dataclass, field, replace
from multiprocessing.context import BaseContext

from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.transitions import Transitions
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.intake.details import JobDetails
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.jobs.timeouts import check_deadline, timeouts
from pyprocessor.journal.database import LOG_NAME
from pyprocessor.journal.journal import Journal
from pyprocessor.models import WHOLE, Batch, Chunking, JobState, Mode, Origin, WaitingFile
from pyprocessor.models.run import RunRequest
from pyprocessor.plan import admission
from pyprocessor.plan.admission import Conditions, Surroundings, Wait
from pyprocessor.plan.ahead import LEAST_AHEAD
from pyprocessor.plan.division import choose
from pyprocessor.plan.eta import Work
from pyprocessor.plan.packing import OverBudget
from pyprocessor.plan.planner import RunningBatch, Shape, next_batch, shape
from pyprocessor.publish.partials import partial_name
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.workers.messages import Command, Params, WorkerSetup, WorkItem

TOKEN_BYTES = 4
"""Of the token of an attempt; as text it is twice as long."""
LINGER_SECONDS = 2.0
"""How long a process that may be given more jobs waits for them: starting one takes longer than many a call."""


@dataclass(eq=False)
class Dispatch:
    """The batch processes of one run, and the jobs that wait for them."""

    request: RunRequest
    context: BaseContext
    folder: StateFolder
    run_id: int
    journal: Journal
    transitions: Transitions
    calibration: Calibration
    processes: list[BatchProcess] = field(default_factory=list)
    width: int = 0
    """Threads of all jobs that would run at once now."""
    _batches: int = 0
    _begun: bool = False
    """Whether a batch was started that takes cores."""
    _known_since: float = math.inf
    """When the first job was ready."""
    _runs_alone: bool = False
    _shape: Shape | None = None
    _concurrency: int = 1
    _formed_at: int = -1
    """The governor's look at which batches were last formed."""
    _formed: Wait | None = None
    _first_for_memory: QueuedJob | None = None
    """The job that is next among those that mostly wait, where memory was short for it."""
    _reading_number: int = 0
    _started_unmeasured: int = 0
    _look: int = 0
    _claimed_bytes: int = 0
    _warned: bool = False

    def __post_init__(self) -> None:
        self.queue, self._backends = self.transitions.queue, self.transitions.backends
        self.profile, self.settings = self.request.profile, self.request.profile.batch
        self._begun = self.settings.mode is Mode.STREAMING
        self._details = JobDetails(self.request, self.journal)

    @property
    def running(self) -> list[RunningJob]:
        return [job for process in self.processes for job in process.running]

    def work(self) -> list[Work]:
        """Predicted CPU-seconds of all jobs that wait, with the factor they may be off by, in no order."""
        unsent = [job.queued for process in self.processes for job in process.unsent]
        return [
            *self.queue.ready.work(),
            *self.queue.waiting.work(),
            *((job.cpu_seconds, job.factors.spread) for job in unsent),
            *self.transitions.divisions.work(),
        ]

    def runs_alone(self, job: RunningJob) -> bool:
        """Whether no other file is being encoded."""
        others = (other for process in self.processes for other in process.jobs.values() if other is not job)
        return not any(other.state is JobState.RUNNING and not other.is_encoded for other in others)

    def fill(self, on: Conditions) -> None:
        """Form batches for free slots and send jobs: for idle slots first, then one ahead for each slot."""
        self._backends.look()
        if on.closed:
            return
        if on.reading_number != self._reading_number:
            self._reading_number, self._started_unmeasured = on.reading_number, 0
        if on.allowance.look != self._look:
            self._look, self._claimed_bytes = on.allowance.look, 0
        if self.queue.ready:
            self._known_since = min(self._known_since, on.now)
        if not on.allowance.hold:
            self._start(on)
        for process in self.processes:
            process.flush()
            if not process.unsent and not self._keeps(process, on):
                process.order(Command.CLOSE)

    def _start(self, on: Conditions) -> None:
        """Start what may be started on cores."""
        self._form_batches(on)
        processes = [process for process in self.processes if not process.waits]
        for ahead in range(1, LEAST_AHEAD + 1):
            for process in processes:
                while self._send_next(process, ahead, on):
                    pass

    def _keeps(self, process: BatchProcess, on: Conditions) -> bool:
        """Whether a process that was sent all it has stays, to be given more."""
        if not self._takes_more(process):
            return False
        process.idle_since = math.inf if process.jobs else min(process.idle_since, on.now)
        head = self.queue.head()
        if process.jobs or head is None:
            return bool(process.jobs) or (on.more_to_come and on.now - process.idle_since < LINGER_SECONDS)
        return not head[0].alone and on.now - process.idle_since < LINGER_SECONDS

    def _takes_more(self, process: BatchProcess) -> bool:
        """Whether a process may be given more jobs than its batch was formed of."""
        full = process.affinity is None and process.given >= self.profile.estimation.max_batch_size
        return process.takes_more and not full and (process.waits or self.settings.batch_size is None)

    def next_waiting(self, on: Conditions) -> WaitingFile | None:
        """The file that starts next, and why it waits; None where none waits."""
        for process in self.processes:
            if (job := process.next_unsent()) is not None:
                beside = self._beside(on, assigned_to=process, ahead=1)
                return _waiting(job.queued, self._decide(job.queued, job.threads, on, beside))
        head = self.queue.head()
        return None if head is None else _waiting(head[0], self._why(head[0], on, due=head[1]))

    def _why(self, job: QueuedJob, on: Conditions, *, due: float) -> Wait | None:
        """Why the job that is next waits."""
        return self._decide(job, 1, on, self._beside(on), due=due) or self._formed

    def _decide(
        self, job: QueuedJob, threads: int, on: Conditions, beside: Surroundings, due: float = -math.inf
    ) -> Wait | None:
        others = (other.job_id for other in beside.running)
        kept = self.transitions.divisions.kept_bytes(itertools.chain([job.job_id], others))
        if kept or job.asking is not None:
            beside = replace(beside, kept_disk_bytes=kept, unavailable=self._backends.shortage(job))
        return admission.decide(job, threads, on, beside, self.profile, self.calibration.model, due=due)

    def _beside(self, on: Conditions, assigned_to: BatchProcess | None = None, ahead: int = 1) -> Surroundings:
        """What the next waiting job, or the next of a process that has `ahead` per slot, would start beside."""
        free = self._free_slots
        if assigned_to is not None:
            free = assigned_to.batch.slots * ahead - len(assigned_to.sent)
        return Surroundings(
            running=[job for process in self.processes for job in process.at_once],
            ready=self.queue.ready,
            free_slots=free,
            concurrency=self._concurrency,
            assigned=assigned_to is not None,
            runs_alone=self._runs_alone and bool(self.processes),
            begun=self._begun,
            known_seconds=max(0.0, on.now - self._known_since),
            started=self._started_unmeasured,
            claimed_bytes=self._claimed_bytes,
        )

    @property
    def _free_slots(self) -> int:
        return self._concurrency - sum(process.occupied_slots for process in self.processes if not process.waits)

    def _form_batches(self, on: Conditions) -> None:
        """Form batches as long as slots are free, and start their processes."""
        if not self.processes:
            self._runs_alone = self._begin_alone(on)
        if on.allowance.look == self._formed_at and self._free_slots < 1:
            return  # no slot has become free since batches were last formed
        head = self.queue.ready.first()
        if self._runs_alone or (head is not None and admission.turn(head, on, self._beside(on)) is not None):
            return
        self._formed_at = on.allowance.look
        settings, ready = self.settings, self.queue.ready
        main_class = ready.main_class()
        assigned = sum(len(process.jobs) for process in self.processes if not process.waits)
        form = shape(
            on.reading,
            settings,
            jobs_known=len(self.queue) - len(self.queue.waiting) + assigned,
            typical=ready.typical(),
            more_to_come=on.more_to_come,
            cpu_limit_percent=self.profile.throttling.cpu_limit_percent,
            share=on.allowance.share,
            measured=main_class is None or self.calibration.model.measured_count(main_class) > 0,
            calls=main_class is not None and bool(main_class.given),
        )
        self._shape, self._concurrency, self.width = form, form.concurrency, form.concurrency * form.threads
        self._divide(form, on)
        self._formed = Wait(f"as many files run as may at once ({form.concurrency})")
        while self._free_slots > 0:
            formed = next_batch(
                ready,
                form,
                settings,
                self.profile.estimation,
                batch_id=self._batches + 1,
                running=self._planned(on),
                more_to_come=on.more_to_come,
                available=self._backends.available,
            )
            if isinstance(formed, Wait):
                self._formed = formed
                return
            jobs = [job for job in formed.jobs if not self._leave_if_late(job, formed.batch.threads, on)]
            if (over := formed.over_budget) is not None:
                jobs = [job for job in jobs if not self._refuse_if_too_large(job, formed.batch.threads, over)]
            if jobs := self._backends.given(jobs):
                ids, slots = tuple(job.job_id for job in jobs), min(formed.batch.slots, len(jobs))
                self._begin(replace(formed.batch, job_ids=ids, slots=slots), jobs, formed.why)

    def _planned(self, on: Conditions) -> list[RunningBatch]:
        return [process.planned(on.now) for process in self.processes if process.occupied_slots]

    def _divide(self, form: Shape, on: Conditions) -> None:
        """Have those jobs done in parts that would outlast the others, or that the profile wants so."""
        chunking, divisions, ready = self.profile.chunking, self.transitions.divisions, self.queue.ready
        always = chunking is Chunking.ALWAYS
        if chunking is Chunking.OFF or not ready.divisible:
            return
        to_come = on.pending_ratio * ready.wall_seconds(1) if on.more_to_come else None
        beside = [job for process in self.processes for job in process.jobs.values()]
        free = on.reading.free_disk_bytes - self.profile.throttling.disk_reserve_bytes
        free -= sum(job.queued.disk_bytes for job in beside) + divisions.kept_bytes([job.job_id for job in beside])
        for choice in choose(ready, self._planned(on), form, self.settings, chunking, free, to_come):
            if choice.parts > 1:
                divisions.divide(choice.job, choice.parts)
            elif always:
                ready.add(replace(choice.job, division=WHOLE))  # decided, and said, once
            if choice.parts > 1 or always:
                level = "info" if always else "debug"
                self.transitions.notice(level, choice.note, job_id=choice.job.job_id, kind="divided")

    def _begin_alone(self, on: Conditions) -> bool:
        """Start the next job that is to run alone, where it is its turn; returns whether one was started."""
        head = self.queue.head()
        if head is None or not head[0].alone:
            return False
        if admission.turn(head[0], on, replace(self._beside(on), runs_alone=False)) is not None:
            return False
        while (job := self.queue.take_alone()) is not None:
            job = self._priced(job)
            if self._leave_if_late(job, 1, on) or self._refuse_if_too_large(job, 1, self._over_budget(job, on)):
                continue
            if given := self._backends.given([job]):
                self._begin(
                    Batch(self._batches + 1, (job.job_id,), 1, 1, job.memory_bytes), given, "it is to run alone"
                )
            return bool(given)
        return False

    def _over_budget(self, job: QueuedJob, on: Conditions) -> OverBudget:
        of = (on.reading, self.profile.batch)
        return OverBudget(job.job_id, job.memory_bytes, admission.memory_budget(*of), admission.memory_limit(*of))

    def _refuse_if_too_large(self, job: QueuedJob, threads: int, largest: OverBudget) -> bool:
        """Fail a job that needs more memory than is ever allowed, or without `--strict-memory` only warn of it."""
        over = replace(largest, job_id=job.job_id, need_bytes=job.memory_with(threads))
        if not over.hopeless:
            return False
        if self.profile.throttling.strict_memory:
            self.transitions.refused(job.job_id, job.name, over.refusal(), FailureKind.RESOURCE, job.cpu_seconds)
            return True
        self.transitions.notice("warning", over.note(job.name), job_id=job.job_id)
        return False

    def _leave_if_late(self, job: QueuedJob, threads: int, on: Conditions) -> bool:
        """Leave a job for another run that would not be done before the run is to be over."""
        if admission.too_late(job, threads, on) is None:
            return False
        self.queue.leave(job)
        seconds = job.wall_seconds(threads)
        if not on.schedule.ever_fits(seconds, job.factors.spread):
            text = on.schedule.never_fits(job.name, seconds)
            self.transitions.notice("warning", text, job_id=job.job_id)
        return True

    def _begin(self, batch: Batch, jobs: list[QueuedJob], why: str) -> None:
        """Start a process for the batch and enter both in the journal, before it is sent any work."""
        self._batches = batch.id
        if batch.cores:
            self._begun, self._formed = True, None
        else:
            self.width = max(self.width, 1)  # what little they compute
        log = os.path.join(self.folder.path, LOG_NAME)
        setup = WorkerSetup(self.run_id, batch.slots, self.request, self.folder, log)
        process = BatchProcess(self.context, setup, batch, [RunningJob.of(job, batch) for job in jobs])
        self.processes.append(process)
        with self.journal.transaction():
            self.journal.begin_batch(batch, process.child.identity)
            self.journal.assign(batch.job_ids, batch.id)
            self.transitions.notice("debug", process.beginning(why), kind="batch")

    def _send_next(self, process: BatchProcess, ahead: int, on: Conditions) -> bool:
        """Send the process its next job, where that may start; it may have `ahead` jobs for each slot."""
        job = process.next_unsent()
        if job is None or len(process.sent) >= process.batch.slots * ahead:
            return False
        job.queued = self._priced(job.queued)
        beside = self._beside(on, assigned_to=process, ahead=ahead)
        first = self._first_for_memory
        if first is not None and first.priority < job.queued.priority:
            beside = replace(beside, kept_bytes=first.memory_bytes)
        wait = self._decide(job.queued, job.threads, on, beside)
        if wait is not None:
            if wait.warn and not self._warned:
                self._warned = True
                self.transitions.notice("warning", f"{job.name} waits: {wait.reason}.", job_id=job.job_id)
            return False
        self._warned = False
        if sent := self._send(process, job):
            self._claim(job.queued, job.threads)
        return sent

    def _send(self, process: BatchProcess, job: RunningJob) -> bool:
        """Send the process its next job, unless that fails before; False where it is to begin others before."""
        try:
            item = self._work_item(job)
        except JobError as error:  # an input may be gone since
            process.remove(job.job_id)
            with self.journal.transaction():
                self.transitions.failed_unsent(job, error)
            return True
        if not process.has_room_for(job):
            return False
        process.send_next(item)
        return True

    def _claim(self, job: QueuedJob, threads: int) -> None:
        """Note what a job that starts is predicted to take, until a reading shows it."""
        self._claimed_bytes += job.memory_with(threads)
        self._started_unmeasured += admission.unmeasured(job, threads, self.calibration.model)

    def _priced(self, job: QueuedJob) -> QueuedJob:
        model, safety = self.calibration.model, self.profile.estimation.memory_safety_factor
        return job if model.factors(job.cost_class, safety) is job.factors else job.priced(model, safety)

    def _work_item(self, job: RunningJob) -> WorkItem:
        """What the process needs to do the job, whose prediction is noted as of now. Raises JobError."""
        row = self.transitions.row(job.job_id)
        check_deadline(row.deadline, time.time())
        job.crashes, job.retries, job.sheds = row.crashes, row.retries_charged, row.sheds
        details = self._details.of(row)
        reused, features = self.transitions.reuse.of(row.id, details.features)
        features = self.calibration.with_history(features, row.source)
        job.features = features if reused is None else None
        job.whole = self.calibration.with_history(details.whole, row.source) if details.whole is not None else None
        job.parts_cpu_seconds = self.transitions.divisions.cpu_seconds(row.id) if job.whole is not None else 0.0
        job.media_seconds = details.media_seconds(row)
        job.source, job.inputs = row.source, details.inputs
        job.token = secrets.token_hex(TOKEN_BYTES)
        job.partial = partial_name(row.id, job.token)
        job.predicted_cost = self.calibration.predict(features, job.threads)
        job.predicted_bytes = job.queued.memory_with(job.threads)
        job.message_bytes = details.message_bytes + (len(reused.result or "") if reused is not None else 0)
        return WorkItem(
            job_id=job.job_id,
            token=job.token,
            task=row.task,
            params=Params.OF_THE_RUN if row.origin is Origin.FOLDER else details.params,
            fingerprint=row.params_fingerprint,
            inputs=details.inputs,
            found=details.found,
            threads=job.threads,
            partial=job.partial,
            products=row.products,
            limits=timeouts(self.profile.errors, job.predicted_cost, features, row.timeout_seconds),
            children=details.children,
            deadline=row.deadline,
            backend=job.queued.backend,
            reused=reused,
        )


def _waiting(job: QueuedJob, wait: Wait | None) -> WaitingFile:
    return WaitingFile(job.name, wait.reason if wait is not None else "it is about to start")
