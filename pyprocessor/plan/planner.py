"""How many batch processes, slots and threads, and what goes into the next batch.

Pure: the same jobs, cost model and reading give the same batches. A batch is formed when a process or slots are free,
from what is left: one to two minutes of work a slot, less where there is little left to share out, so that all
processes end together. Predicted memory of what runs at once stays within the budget; a job that alone exceeds it runs
alone.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyprocessor.costs import CostClass, CostModel, thread_growth, wall_seconds
from pyprocessor.models import Batch, BatchSettings, Cost, EstimationSettings, Job, Reading
from pyprocessor.plan.ready import Entry, Ready

SLOTS_PER_PROCESS = 4
"""More processes cost memory, fewer lose more jobs' work when one dies."""
MAX_THREADS = 16
"""Encoders gain nothing from more; x264 loses quality."""
OVERHEAD_BYTES = 128 << 20
"""Of the budget, what the engine, the scout and the batch processes take themselves."""
MIN_MEMORY_BYTES = 32 << 20
"""The least an ffmpeg takes."""
MIN_BATCH_SECONDS = 1.0
"""A shorter batch costs more to start than it gains by ending evenly (a process starts in some 50 ms)."""
_LONG_SHARE = 0.75
_THREAD_GROWTH = 0.15


@dataclass(frozen=True, slots=True)
class Shape:
    """What runs at once: `processes` batch processes, together `concurrency` jobs of `threads` threads each.

    `max_processes` is how many there may be while some are nearly done; `memory_budget_bytes` is for all jobs together.
    """

    processes: int
    slots_per_process: int
    concurrency: int
    max_processes: int
    threads: int
    memory_budget_bytes: int


@dataclass(frozen=True, slots=True)
class Running:
    """A batch that runs: the slots it occupies and the memory it is predicted to take."""

    slots: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class FormedBatch:
    """A batch with the entries it took. `slot_seconds` is how long each slot is predicted to be busy, shortest first;
    `note` is a sentence for the user."""

    batch: Batch
    entries: tuple[Entry, ...]
    slot_seconds: tuple[float, ...]
    note: str | None = None

    @property
    def seconds(self) -> float:
        """Predicted wall time from start to end."""
        return self.slot_seconds[-1]


def entry(job: Job, cost_class: CostClass, model: CostModel, estimation: EstimationSettings) -> Entry:
    """The light entry that stands for a job; `job.cost` and `cost_class` are for one thread."""
    margin = model.memory_margin(cost_class, estimation.memory_safety_factor)
    return Entry(
        job_id=job.id,
        cpu_seconds=job.cost.cpu_seconds,
        memory_bytes=math.ceil(job.cost.memory_bytes * margin),
        cost_class=cost_class,
        disk_bytes=job.cost.disk_bytes,
        priority=job.priority,
        tenant=job.tenant,
    )


def shape(reading: Reading, settings: BatchSettings, *, jobs_known: int, typical: Cost, more_to_come: bool) -> Shape:
    """How many processes, slots and threads suit this machine now.

    `jobs_known` counts the jobs that are not done, waiting and running; with `more_to_come` it is no bound. `typical`
    is one job's cost at one thread (`Ready.typical`).
    """
    budget = memory_budget(reading, settings)
    cores = max(1, int(reading.cores + 0.5))
    if not settings.enabled:
        return Shape(1, 1, 1, 1, min(cores, MAX_THREADS), budget)
    need = max(typical.memory_bytes, MIN_MEMORY_BYTES)
    by_memory = max(1, budget // need)
    most_at_once = by_memory if more_to_come else min(by_memory, max(1, jobs_known))
    concurrency = min(cores, most_at_once)
    if settings.jobs is not None:
        # Asked for by name: that many processes even where there are fewer cores, but not more than memory holds.
        processes = max_processes = min(settings.jobs, most_at_once)
        concurrency = max(concurrency, processes)
    else:
        processes = min(concurrency, max(2, -(-concurrency // SLOTS_PER_PROCESS)))
        # A batch of fixed size that got a single idle slot would keep it to the end, long after the others.
        max_processes = processes if settings.batch_size is not None else min(concurrency, 2 * processes)
    threads = max(1, min(cores // concurrency, MAX_THREADS))
    while threads > 1 and concurrency * need * (1 + _THREAD_GROWTH * (threads - 1)) > budget:
        threads -= 1
    return Shape(processes, -(-concurrency // processes), concurrency, max_processes, threads, budget)


def memory_budget(reading: Reading, settings: BatchSettings) -> int:
    """Bytes that jobs may take together: the allowed share of the total less what others use and we take ourselves."""
    others = max(0, reading.used_memory_bytes - reading.our_memory_bytes)
    ours = int(reading.total_memory_bytes * settings.max_memory_percent / 100) - others
    if settings.memory_limit_bytes is not None:
        ours = min(ours, settings.memory_limit_bytes)
    return max(0, ours - OVERHEAD_BYTES)


def next_batch(
    ready: Ready,
    shape: Shape,
    settings: BatchSettings,
    estimation: EstimationSettings,
    *,
    batch_id: int,
    running: Sequence[Running] = (),
    more_to_come: bool = False,
) -> FormedBatch | None:
    """Take the next batch out of `ready`, or None when none is to be started now.

    `running` are the batches that run; `more_to_come` says that further jobs may be added, for which a fixed batch size
    waits.
    """
    free_slots = shape.concurrency - sum(r.slots for r in running)
    if not ready or free_slots < 1 or len(running) >= shape.max_processes:
        return None
    fixed = settings.batch_size if settings.enabled else None
    if fixed is not None and more_to_come and len(ready) < fixed:
        return None
    room = _room(ready, shape, running)
    alone = room is None
    if alone and running:
        return None
    if room is None:
        packing = _Packing(ready, shape, slots=1, cap=math.inf, room=math.inf)
    else:
        first = ready.first(lambda e: _need(e, shape) <= room)
        if first is None:
            return None
        slots = -(-free_slots // max(1, shape.processes - len(running)))
        share = room * slots / free_slots
        packing = _Packing(ready, shape, slots, cap=max(share, _need(first, shape)), room=room)
    if fixed is not None:
        if not packing.take_exactly(fixed, may_exceed=not running):
            packing.undo()
            return None
    elif not settings.enabled:
        packing.take_exactly(len(ready), may_exceed=True)
    else:
        packing.take_worth(estimation, free_slots)
    return packing.formed(batch_id)


def _need(entry: Entry, shape: Shape) -> int:
    """Predicted bytes of a job at the threads it will have."""
    if shape.threads == 1:
        return entry.memory_bytes
    return math.ceil(entry.memory_bytes * thread_growth(entry.cost_class, shape.threads))


def _room(ready: Ready, shape: Shape, running: Sequence[Running]) -> float | None:
    """Bytes the next batch may take; None when only jobs are left that exceed the whole budget.

    Where the job that is next does not fit beside what runs, smaller ones may pass it, but only as far as it will fit
    once the largest running batch has ended: so it is never starved.
    """
    budget = shape.memory_budget_bytes
    head = ready.first(lambda e: _need(e, shape) <= budget)
    if head is None:
        return None
    free = budget - sum(r.memory_bytes for r in running)
    need = _need(head, shape)
    if need > free:
        free = min(free, free + max(r.memory_bytes for r in running) - need)
    return free


class _Packing:
    """A batch while it is put together. `cap` bounds what runs at once, and may be raised up to `room`."""

    def __init__(self, ready: Ready, shape: Shape, slots: int, cap: float, room: float) -> None:
        self._ready = ready
        self._shape = shape
        self._slots = slots
        self._cap = cap
        self._room = room
        self._taken: list[Entry] = []
        self._largest_first: list[int] = []
        self._loads = [0.0] * slots

    def take_worth(self, estimation: EstimationSettings, free_slots: int) -> None:
        """Take jobs until every slot has its share of work."""
        left = _wall(self._ready.cpu_seconds, len(self._ready), self._shape)
        fair = left / (2 * self._shape.concurrency)
        target = max(MIN_BATCH_SECONDS, min(estimation.target_batch_seconds, fair))
        while len(self._taken) < max(1, estimation.max_batch_size):
            if len(self._taken) >= estimation.min_batch_size and self._has_enough(target, free_slots):
                return
            if self._take():
                continue
            if len(self._taken) >= self._slots or self._slots == 1:
                return
            self._reduce_slots(max(1, len(self._taken)))

    def take_exactly(self, count: int, *, may_exceed: bool) -> bool:
        """Take `count` jobs, or all there are, with as many slots as fit; False where memory must be waited for."""
        count = min(count, len(self._taken) + len(self._ready))
        while len(self._taken) < count:
            if self._take():
                continue
            if self._slots > 1:
                self._reduce_slots(self._slots - 1)
            elif self._cap < self._room:
                self._cap = self._room
            elif may_exceed:
                self._cap = self._room = math.inf
            else:
                return False
        return True

    def undo(self) -> None:
        for taken in self._taken:
            self._ready.put_back(taken)

    def formed(self, batch_id: int) -> FormedBatch:
        slots = min(self._slots, len(self._taken))
        memory = sum(self._largest_first[:slots])
        note = None
        if memory > self._shape.memory_budget_bytes:
            note = (
                f"A file is predicted to take {memory >> 20} MiB of memory, more than the "
                f"{self._shape.memory_budget_bytes >> 20} MiB that are allowed for all; it runs alone."
            )
        batch = Batch(batch_id, tuple(e.job_id for e in self._taken), slots, self._shape.threads, memory)
        return FormedBatch(batch, tuple(self._taken), tuple(sorted(self._loads)[-slots:]), note)

    def _take(self) -> bool:
        """Take the next job that fits beside the largest ones that could run with it."""
        allowed = self._cap - sum(self._largest_first[: self._slots - 1])
        entry = self._ready.take(lambda e: _need(e, self._shape) <= allowed)
        if entry is None:
            return False
        self._taken.append(entry)
        self._largest_first.append(_need(entry, self._shape))
        self._largest_first.sort(reverse=True)
        self._load(entry)
        return True

    def _load(self, entry: Entry) -> None:
        heapq.heapreplace(self._loads, self._loads[0] + _wall(entry.cpu_seconds, 1, self._shape))

    def _reduce_slots(self, slots: int) -> None:
        self._slots = slots
        self._loads = [0.0] * slots
        for entry in self._taken:
            self._load(entry)

    def _has_enough(self, target: float, free_slots: int) -> bool:
        """Every slot has its target; beside a long job the others fill up too, as long as others get their share."""
        if not self._taken:
            return False
        longest = max(self._loads)
        if longest > target:
            left = _wall(self._ready.cpu_seconds, len(self._ready), self._shape)
            target = max(target, min(_LONG_SHARE * longest, left / free_slots))
        return self._loads[0] >= target


def _wall(cpu_seconds: float, files: int, shape: Shape) -> float:
    """Wall time of that many files on one slot, one after another."""
    return files * wall_seconds(Cost(cpu_seconds / files, 0, 0), shape.threads) if files else 0.0
