"""What would a run do? Its batches, formed one after another on a simulated clock. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyprocessor.costs.model import CostClass, CostModel
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import (
    Division,
    Job,
    PlannedBatch,
    PlannedFile,
    PlanReport,
    Profile,
    Reading,
    SkippedFile,
    display,
)
from pyprocessor.models.wording import memory_size
from pyprocessor.plan import modes, resources
from pyprocessor.plan.admission import Wait, memory_budget
from pyprocessor.plan.chances import PlannedRun
from pyprocessor.plan.division import Choice, choose, join_of, part_of
from pyprocessor.plan.packing import FormedBatch, OverBudget
from pyprocessor.plan.planner import RunningBatch, next_batch, shape, usable_cores
from pyprocessor.plan.queue import ReadyQueue


def preview(
    jobs: Iterable[tuple[Job, CostClass, Division]],
    reading: Reading,
    profile: Profile,
    model: CostModel,
    skipped: Sequence[SkippedFile] = (),
) -> PlanReport:
    """The plan of a run over `jobs` (each with its class at one thread), as things stand in `reading`."""
    return simulated(jobs, reading, profile, model, skipped)[0]


def simulated(
    jobs: Iterable[tuple[Job, CostClass, Division]],
    reading: Reading,
    profile: Profile,
    model: CostModel,
    skipped: Sequence[SkippedFile] = (),
) -> tuple[PlanReport, tuple[PlannedRun, ...]]:
    """The same plan, and when each job runs; one that waits for others of them begins after these."""
    settings, throttling, ready = profile.batch, profile.throttling, ReadyQueue()
    by_id: dict[str, Job] = {}
    later: dict[str, QueuedJob] = {}
    for place, (job, cost_class, division) in enumerate(jobs):
        by_id[job.id] = job
        rank = modes.rank(settings, job, place)
        later[job.id] = QueuedJob.of(job, cost_class, model, profile.estimation, division, rank=rank)
    runs = _Runs(model, {job.id: tuple(each for each in job.needs if each in by_id) for job in by_id.values()})
    runs.release(later, ready, 0.0)
    mode = modes.chosen(settings, len(by_id), ready.typical(), usable_cores(reading, throttling.cpu_limit_percent))
    settings = mode.settings
    disk_bytes = sum(job.cost.disk_bytes for job in by_id.values())
    divided = _Divided(by_id)
    batches: list[PlannedBatch] = []
    alone: list[OverBudget] = []
    refused: dict[str, OverBudget] = {}
    planned: list[QueuedJob] = []
    clock = _Clock()
    peak = most = 0
    waited = ""
    while ready or divided.to_join or later:
        divided.join(ready, clock.now)
        runs.release(later, ready, clock.now)
        now = shape(
            reading,
            settings,
            jobs_known=len(ready) + clock.files,
            typical=ready.typical(),
            more_to_come=False,
            cpu_limit_percent=throttling.cpu_limit_percent,
        )
        number, running = len(batches) + 1, clock.running()
        free = reading.free_disk_bytes - throttling.disk_reserve_bytes
        divided.divide(choose(ready, running, now, settings, profile.chunking, free), ready)
        formed = next_batch(ready, now, settings, profile.estimation, batch_id=number, running=running)
        if isinstance(formed, Wait):
            waited = formed.reason
            if not clock.advance(runs.next_end(clock.now)):
                break  # what is left waits for a job that is refused
            continue
        if (over := formed.over_budget) is not None:
            if throttling.strict_memory and over.hopeless:
                refused[over.job_id] = over
                for taken in formed.jobs:
                    if taken.job_id != over.job_id:
                        ready.put_back(taken)
                continue
            alone.append(over)
        planned += formed.jobs
        divided.started(formed, clock.now)
        runs.started(formed, clock.now, divided.parts)
        batches.append(_planned(formed, clock.now, clock.start(formed), by_id, waited if clock.now > 0 else ""))
        running = clock.running()
        peak, most = max(peak, sum(batch.memory_bytes for batch in running)), max(most, len(running))
    doubt = _doubt(planned)
    too_large = [SkippedFile(by_id[job_id].source.relative, over.refusal()) for job_id, over in refused.items()]
    report = PlanReport(
        batches=tuple(batches),
        skipped=(*skipped, *too_large),
        peak_memory_bytes=peak,
        memory_budget_bytes=memory_budget(reading, settings),
        disk_bytes=disk_bytes - sum(by_id[job_id].cost.disk_bytes for job_id in refused),
        seconds_low=max(clock.lanes, default=0.0) / doubt,
        seconds_high=max(clock.lanes, default=0.0) * doubt,
        processes=most,
        mode=mode.text,
        notes=(*([mode.note] if mode.note else []), *_notes(alone, by_id), *divided.notes.values()),
    )
    return report, tuple(runs.planned)


class _Runs:
    """When each job runs, and which may begin since those have ended that it waits for."""

    def __init__(self, model: CostModel, needs: Mapping[str, tuple[str, ...]]) -> None:
        self.planned: list[PlannedRun] = []
        self._model = model
        self._needs = needs
        self._ends: dict[str, float] = {}

    def release(self, later: dict[str, QueuedJob], ready: ReadyQueue, now: float) -> None:
        """Move what may begin by now from `later` to `ready`; what mostly waits begins at once."""
        for job in list(later.values()):
            if any(self._ends.get(needed, math.inf) > now for needed in self._needs[job.job_id]):
                continue
            del later[job.job_id]
            if job.waits:
                self._add(job, now, job.wall_seconds(1), 0, self._needs[job.job_id])
            else:
                ready.add(job)

    def started(self, formed: FormedBatch, now: float, parts: Mapping[str, Sequence[str]]) -> None:
        """Note when the jobs of a batch run, those that join `parts` after these."""
        for taken, (_, start, end) in zip(formed.jobs, formed.spans, strict=True):
            needs = (*self._needs.get(taken.job_id, ()), *parts.get(taken.job_id, ()))
            self._add(taken, now + start, end - start, formed.batch.cores, needs)

    def next_end(self, now: float) -> float:
        """The next moment at which a job ends; infinite where none does."""
        return min((end for end in self._ends.values() if end > now), default=math.inf) if self._needed else math.inf

    @property
    def _needed(self) -> bool:
        return any(self._needs.values())

    def _add(self, job: QueuedJob, start: float, seconds: float, cores: int, needs: tuple[str, ...]) -> None:
        self._ends[job.job_id] = start + seconds
        measured, spread = self._model.measured_count(job.cost_class), job.factors.spread
        self.planned.append(PlannedRun(job.job_id, job.cost_class, start, seconds, spread, measured, cores, needs))


class _Divided:
    """The jobs that are done in parts: their parts take their place, and what joins these follows the last one."""

    def __init__(self, by_id: dict[str, Job]) -> None:
        self.notes: dict[str, str] = {}
        """About each job that would outlast the others, by its id."""
        self.to_join: dict[str, QueuedJob] = {}
        """What joins the parts of a job, by the job's id."""
        self.parts: dict[str, list[str]] = {}
        """The ids of the parts of each job."""
        self._by_id = by_id
        self._ends: dict[str, list[float]] = {}
        """When the parts of a job end that have begun."""
        self._parts: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def divide(self, choices: Sequence[Choice], ready: ReadyQueue) -> None:
        for choice in choices:
            job, parts = choice.job, choice.parts
            self.notes.setdefault(job.job_id, choice.note)
            if parts < 2:
                continue
            ready.take(among=[job.job_id])
            whole = self._by_id[job.job_id]
            self.to_join[job.job_id], self._counts[job.job_id] = join_of(job), parts
            for number in range(1, parts + 1):
                part = part_of(job, parts, number)
                name = whole.source.relative + f" (part {number})".encode()
                cost = replace(whole.cost, cpu_seconds=part.cpu_seconds, disk_bytes=part.disk_bytes)
                source = replace(whole.source, relative=name)
                self._by_id[part.job_id] = replace(whole, source=source, output=b"", cost=cost)
                self._parts[part.job_id] = job.job_id
                self.parts.setdefault(job.job_id, []).append(part.job_id)
                ready.add(part)
            self._by_id[job.job_id] = replace(whole, cost=job.division.join)

    def started(self, formed: FormedBatch, now: float) -> None:
        """Note when the parts in a batch will end."""
        for taken, (_, _, end) in zip(formed.jobs, formed.spans, strict=True):
            if taken.job_id in self._parts:
                self._ends.setdefault(self._parts[taken.job_id], []).append(now + end)

    def join(self, ready: ReadyQueue, now: float) -> None:
        """Let what joins the parts follow where all have ended."""
        for job_id, ends in self._ends.items():
            if job_id in self.to_join and len(ends) == self._counts[job_id] and max(ends) <= now:
                ready.add(self.to_join.pop(job_id))


def _notes(alone: Sequence[OverBudget], by_id: Mapping[str, Job]) -> tuple[str, ...]:
    if not alone:
        return ()
    most = max(alone, key=lambda over: (over.need_bytes, over.job_id))
    name = display(by_id[most.job_id].source.relative)
    note = most.note(name)
    if len(alone) > 1:
        note = (
            f"{len(alone)} files are predicted to take more memory each than the {memory_size(most.budget_bytes)} that "
            f"are allowed for all and will run with nothing beside (most: {name}, {memory_size(most.need_bytes)})."
        )
    return (note,)


class _Clock:
    """The simulated run: what is busy now, slot by slot."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lanes: list[float] = []
        self._busy: list[tuple[FormedBatch, list[float]]] = []
        """The batches that run, and when each of their slots that works is idle."""

    def start(self, formed: FormedBatch) -> list[int]:
        """Let a batch run from now on; returns the lanes of its slots, from 0."""
        lanes = [lane for lane, until in enumerate(self.lanes) if until <= self.now]
        while len(lanes) < formed.batch.slots:
            lanes.append(len(self.lanes))
            self.lanes.append(0.0)
        for slot, _, end in formed.spans:
            self.lanes[lanes[slot]] = self.now + end
        self._busy.append((formed, [self.now + seconds for seconds in formed.slot_seconds]))
        return lanes

    def advance(self, other: float) -> bool:
        """Go on to the next moment at which a slot falls idle, or to another; False where there is none."""
        moment = min([other, *(end for _, ends in self._busy for end in ends)])
        if moment == math.inf:
            return False
        self.now = moment
        left = [(formed, [end for end in ends if end > self.now]) for formed, ends in self._busy]
        self._busy = [(formed, ends) for formed, ends in left if ends]
        return True

    @property
    def files(self) -> int:
        """Files of the batches that run, about: those of slots that are idle by now are done."""
        return sum(math.ceil(len(formed.jobs) * len(ends) / formed.batch.slots) for formed, ends in self._busy)

    def running(self) -> list[RunningBatch]:
        running = []
        for formed, ends in self._busy:
            batch = formed.batch
            memory = batch.memory_budget_bytes * len(ends) // batch.slots
            left = sum(end - self.now for end in ends) / len(ends)
            holds: dict[str, int] = {}
            resources.add(holds, formed.jobs[0], times=len(ends))
            running.append(RunningBatch(len(ends), memory, batch.cores, left, tuple(holds.items())))
        return running


def _planned(
    formed: FormedBatch,
    start: float,
    lanes: Sequence[int],
    by_id: Mapping[str, Job],
    waited: str,
) -> PlannedBatch:
    doubt = _doubt(formed.jobs)
    files = []
    for taken, (slot, begins, ends) in zip(formed.jobs, formed.spans, strict=True):
        job = by_id[taken.job_id]
        cost = replace(job.cost, memory_bytes=taken.memory_with(formed.batch.threads))
        seconds, spread = ends - begins, taken.factors.spread
        span = (lanes[slot] + 1, start + begins, start + ends, seconds / spread, seconds * spread)
        files.append(PlannedFile(job.source.relative, job.output, cost, *span))
    return PlannedBatch(
        number=formed.batch.id,
        files=tuple(files),
        slots=formed.batch.slots,
        threads=formed.batch.threads,
        memory_bytes=formed.batch.memory_budget_bytes,
        seconds_low=formed.slot_seconds[-1] / doubt,
        seconds_high=formed.slot_seconds[-1] * doubt,
        start_seconds=start,
        end_seconds=start + formed.slot_seconds[-1],
        waits_because=waited,
    )


def _doubt(jobs: Iterable[QueuedJob]) -> float:
    """The factor that the time of several jobs may be off by: their spreads' mean, weighted by work."""
    spreads = [(job.cpu_seconds, math.log(job.factors.spread)) for job in jobs]
    work = math.fsum(seconds for seconds, _ in spreads)
    return math.exp(math.fsum(seconds * spread for seconds, spread in spreads) / work) if work else 1.0
