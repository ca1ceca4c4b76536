"""A machine on paper: runs the planner's batches by true costs that may differ from the predicted ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyprocessor.costs.model import FILE_SECONDS, CostClass, speed, wall_seconds
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import WHOLE, BatchSettings, Chunking, Division, EstimationSettings, Reading
from pyprocessor.plan.admission import Wait
from pyprocessor.plan.division import Choice, choose, join_of, part_of
from pyprocessor.plan.packing import FormedBatch
from pyprocessor.plan.planner import RunningBatch, next_batch, shape
from pyprocessor.plan.queue import ReadyQueue
from pyprocessor.plan.widening import MAX_THREADS

GIB = 1 << 30
CPU_EFFICIENCY = 0.96
"""Of what one thread does with its CPU time, what each of several does (x264, 1 to 2 threads, real clips). They wait
for each other besides, which is no loss where others run meanwhile."""
PROCESS_SECONDS = 0.05
"""What starting a batch process takes."""
DIVIDING_SECONDS = 0.5
"""Until the parts of a job are known."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A job as predicted at one thread, and by what factor it really takes longer."""

    cpu_seconds: float
    memory_bytes: int
    cost_class: CostClass
    factor: float = 1.0
    division: Division = WHOLE

    @property
    def true_seconds(self) -> float:
        return self.cpu_seconds * self.factor


@dataclass(slots=True)
class _Job:
    """A job that runs: what is left of the time that it takes beside its work, and of its work in core-seconds."""

    beside: float
    left: float
    job_id: str

    def seconds(self, rate: float) -> float:
        return self.beside + self.left / rate

    def advance(self, seconds: float, rate: float) -> None:
        first = min(seconds, self.beside)
        self.beside -= first
        self.left -= (seconds - first) * rate


@dataclass(slots=True)
class _Process:
    """One batch as it runs, and what is left of it."""

    formed: FormedBatch
    waiting: list[QueuedJob]
    jobs: list[_Job] = field(default_factory=list)

    def running(self) -> RunningBatch:
        """What the engine would tell the planner."""
        batch = self.formed.batch
        occupied = min(batch.slots, len(self.jobs) + len(self.waiting))
        # ffmpeg tells how far it is, so what runs is known better than what waits.
        begun = sum(job.seconds(speed(batch.cores)) for job in self.jobs)
        to_come = sum(wall_seconds(e.cpu_seconds, batch.cores) for e in self.waiting)
        return RunningBatch(
            occupied,
            batch.memory_budget_bytes * occupied // batch.slots,
            batch.cores,
            (begun + to_come) / max(1, occupied),
        )


@dataclass(frozen=True, slots=True)
class Simulated:
    """How it went. `most_cores` is how many cores were given at once at most."""

    seconds: float
    batches: tuple[FormedBatch, ...]
    most_cores: int
    parts: int = 0
    """In how many parts jobs were done that were divided."""


def simulate(
    clips: Sequence[Clip],
    cores: int,
    *,
    settings: BatchSettings = BatchSettings(),  # noqa: B008 - frozen
    estimation: EstimationSettings = EstimationSettings(),  # noqa: B008 - frozen
    total_memory_bytes: int = 256 * GIB,
    uneven: float = 1.1,
) -> Simulated:
    """Run all clips to the end, forming batches whenever a slot falls idle, as the engine does.

    Parts of a divided clip take up to `uneven` times longer or shorter than they should.
    """
    reading = Reading(0.0, cores, total_memory_bytes, GIB // 4, GIB // 4, 0.0, 1 << 40)
    truth = {f"{number:06}": clip for number, clip in enumerate(clips)}
    ready = ReadyQueue()
    for job_id, clip in truth.items():
        ready.add(QueuedJob(job_id, clip.cpu_seconds, clip.memory_bytes, clip.cost_class, division=clip.division))
    seconds_of = {job_id: clip.true_seconds for job_id, clip in truth.items()}
    arriving: list[tuple[float, QueuedJob]] = []
    left: dict[str, set[str]] = {}
    joins: dict[str, QueuedJob] = {}
    parts = 0
    now = 0.0
    processes: list[_Process] = []
    formed_batches: list[FormedBatch] = []
    most_cores = 0

    def begin(process: _Process, beside: float) -> None:
        entry = process.waiting.pop(0)
        process.jobs.append(_Job(beside + FILE_SECONDS, seconds_of[entry.job_id], entry.job_id))

    def divide(choice: Choice) -> None:
        job = choice.job
        ready.take(among=[job.job_id])
        made = [part_of(job, choice.parts, number) for number in range(1, choice.parts + 1)]
        rng = random.Random(job.job_id)
        share = [uneven ** rng.uniform(-1, 1) for _ in made]
        for part, own in zip(made, share, strict=True):
            whole = truth[job.job_id].true_seconds
            seconds_of[part.job_id] = whole * own / sum(share) + job.division.part_seconds
            arriving.append((now + DIVIDING_SECONDS, part))
        left[job.job_id] = {part.job_id for part in made}
        joins[job.job_id], seconds_of[job.job_id] = join_of(job), job.division.join.cpu_seconds

    def ended(job_id: str) -> None:
        for parent, waits_for in left.items():
            if job_id in waits_for:
                waits_for.remove(job_id)
                if not waits_for:
                    ready.add(joins[parent])

    while ready or processes or arriving:
        for moment, job in tuple(arriving):
            if moment <= now + 1e-9:
                arriving.remove((moment, job))
                ready.add(job)
        while True:
            running = [p.running() for p in processes]
            known = len(ready) + sum(len(p.jobs) + len(p.waiting) for p in processes)
            more = bool(arriving)
            form = shape(reading, settings, jobs_known=known, typical=ready.typical(), more_to_come=more)
            to_come = 0.0 if more else None
            for choice in choose(ready, running, form, settings, Chunking.AUTO, to_come_seconds=to_come):
                if choice.parts > 1:
                    parts += choice.parts
                    divide(choice)
            number = len(formed_batches) + 1
            formed = next_batch(
                ready, form, settings, estimation, batch_id=number, running=running, more_to_come=bool(arriving)
            )
            if isinstance(formed, Wait):
                break
            formed_batches.append(formed)
            process = _Process(formed, list(formed.jobs))
            processes.append(process)
            for _ in range(formed.batch.slots):
                begin(process, PROCESS_SECONDS)
        if not processes:
            now = min(moment for moment, _ in arriving)
            continue
        most_cores = max(most_cores, sum(len(p.jobs) * p.formed.batch.cores for p in processes))
        # Where there are more threads than cores each has its share of them.
        part = min(1.0, cores / sum(len(p.jobs) * p.formed.batch.threads for p in processes))
        rates = [_rate(p.formed.batch.threads, part) for p in processes]
        step = min(job.seconds(rate) for p, rate in zip(processes, rates, strict=True) for job in p.jobs)
        step = min([step, *(moment - now for moment, _ in arriving)])
        now += step
        for process, rate in zip(tuple(processes), rates, strict=True):
            for job in tuple(process.jobs):
                job.advance(step, rate)
                if job.left <= 1e-9:
                    process.jobs.remove(job)
                    ended(job.job_id)
                    if process.waiting:
                        begin(process, 0.0)
            if not process.jobs:
                processes.remove(process)
    return Simulated(now, tuple(formed_batches), most_cores, parts)


def _rate(threads: int, part: float) -> float:
    """Of one core, what a job with so many threads gets done that have this part of a core each."""
    return min(speed(threads), part * threads * (CPU_EFFICIENCY if threads > 1 else 1.0))


def ideal_seconds(clips: Sequence[Clip], cores: int) -> float:
    """A bound that no schedule beats, given how well encodes use threads: the least time in which every clip can end
    with as many threads as it needs for that, while all of them together fit into `cores` for that time.
    """
    low, high = 0.0, sum(wall_seconds(c.true_seconds, 1) for c in clips) + 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _area(clips, cores, middle) <= cores * middle:
            high = middle
        else:
            low = middle
    return high


def _area(clips: Sequence[Clip], cores: int, seconds: float) -> float:
    """Core-seconds that all clips take when each has the fewest threads with which it ends within `seconds`."""
    area = 0.0
    for clip in clips:
        able = (t for t in range(1, min(cores, MAX_THREADS) + 1) if wall_seconds(clip.true_seconds, t) <= seconds)
        threads = next(able, None)
        if threads is None:
            return float("inf")
        area += threads * wall_seconds(clip.true_seconds, threads)
    return area
