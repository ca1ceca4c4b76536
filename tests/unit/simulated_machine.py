"""A machine on paper: runs the planner's batches by true costs that may differ from the predicted ones."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyprocessor.costs import CostClass, wall_seconds
from pyprocessor.models import BatchSettings, Cost, EstimationSettings, Reading
from pyprocessor.plan.packing import FormedBatch
from pyprocessor.plan.planner import Running, next_batch, shape
from pyprocessor.plan.ready import Entry, Ready
from pyprocessor.plan.widening import MAX_THREADS

GIB = 1 << 30
PROCESS_SECONDS = 0.05
"""What starting a batch process takes."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A job as predicted at one thread, and by what factor it really takes longer."""

    cpu_seconds: float
    memory_bytes: int
    cost_class: CostClass
    factor: float = 1.0

    @property
    def true_seconds(self) -> float:
        return self.cpu_seconds * self.factor


@dataclass(slots=True)
class _Process:
    """One batch as it runs: what is left of it, when each of its slots ends what it does."""

    formed: FormedBatch
    waiting: list[Entry]
    ends: list[float] = field(default_factory=list)

    def running(self, now: float) -> Running:
        """What the engine would tell the planner."""
        occupied = min(self.formed.batch.slots, len(self.ends) + len(self.waiting))
        threads = self.formed.batch.threads
        # ffmpeg tells how far it is, so what runs is known better than what waits.
        begun = sum(end - now for end in self.ends)
        to_come = sum(wall_seconds(Cost(e.cpu_seconds, 0, 0), threads) for e in self.waiting)
        return Running(
            occupied,
            self.formed.batch.memory_budget_bytes * occupied // self.formed.batch.slots,
            threads,
            (begun + to_come) / max(1, occupied),
        )


@dataclass(frozen=True, slots=True)
class Simulated:
    """How it went. `most_threads` is the highest sum of threads that ran at once."""

    seconds: float
    batches: tuple[FormedBatch, ...]
    most_threads: int


def simulate(
    clips: Sequence[Clip],
    cores: int,
    *,
    settings: BatchSettings = BatchSettings(),  # noqa: B008 - frozen
    estimation: EstimationSettings = EstimationSettings(),  # noqa: B008 - frozen
    total_memory_bytes: int = 256 * GIB,
) -> Simulated:
    """Run all clips to the end, forming batches whenever a slot falls idle, as the engine does."""
    reading = Reading(0.0, cores, total_memory_bytes, GIB // 4, GIB // 4, 0.0, 1 << 40)
    truth = {f"{number:06}": clip for number, clip in enumerate(clips)}
    ready = Ready()
    for job_id, clip in truth.items():
        ready.add(Entry(job_id, clip.cpu_seconds, clip.memory_bytes, clip.cost_class))
    now = 0.0
    processes: list[_Process] = []
    formed_batches: list[FormedBatch] = []
    events: list[tuple[float, int, _Process]] = []
    serial = itertools.count()
    most_threads = 0

    def begin(process: _Process, at: float) -> None:
        entry = process.waiting.pop(0)
        threads = process.formed.batch.threads
        end = at + wall_seconds(Cost(truth[entry.job_id].true_seconds, 0, 0), threads)
        process.ends.append(end)
        heapq.heappush(events, (end, next(serial), process))

    while ready or events:
        while True:
            running = [p.running(now) for p in processes]
            known = len(ready) + sum(len(p.ends) + len(p.waiting) for p in processes)
            form = shape(reading, settings, jobs_known=known, typical=ready.typical(), more_to_come=False)
            formed = next_batch(ready, form, settings, estimation, batch_id=len(formed_batches) + 1, running=running)
            if formed is None:
                break
            formed_batches.append(formed)
            process = _Process(formed, list(formed.entries))
            processes.append(process)
            for _ in range(formed.batch.slots):
                begin(process, now + PROCESS_SECONDS)
        most_threads = max(most_threads, sum(len(p.ends) * p.formed.batch.threads for p in processes))
        now, _, process = heapq.heappop(events)
        process.ends.remove(now)
        if process.waiting:
            begin(process, now)
        elif not process.ends:
            processes.remove(process)
    return Simulated(now, tuple(formed_batches), most_threads)


def ideal_seconds(clips: Sequence[Clip], cores: int) -> float:
    """A bound that no schedule beats, given how well encodes use threads: the least time in which every clip can end
    with as many threads as it needs for that, while all of them together fit into `cores` for that time.
    """
    low, high = 0.0, sum(wall_seconds(Cost(c.true_seconds, 0, 0), 1) for c in clips) + 1.0
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
        cost = Cost(clip.true_seconds, 0, 0)
        threads = next((t for t in range(1, min(cores, MAX_THREADS) + 1) if wall_seconds(cost, t) <= seconds), None)
        if threads is None:
            return float("inf")
        area += threads * wall_seconds(cost, threads)
    return area
