"""How many batch processes, slots and threads, and what goes into the next batch.

Pure: the same jobs, cost model and reading give the same batches. A batch is formed when a process or slots are free,
from what is left: one to two minutes of work a slot, less where there is little left to share out, so that all
processes end together. Predicted memory of what runs at once stays within the budget; a job that alone exceeds it runs
alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyprocessor.costs import FILE_SECONDS, CostClass, CostModel
from pyprocessor.models import BatchSettings, Cost, EstimationSettings, Job, Reading
from pyprocessor.plan.admission import memory_need
from pyprocessor.plan.packing import MIN_BATCH_SECONDS, FormedBatch, Packing, wall
from pyprocessor.plan.ready import Entry, Ready
from pyprocessor.plan.widening import MAX_THREADS, Widening, finish_seconds, scheduled

SLOTS_PER_PROCESS = 4
"""More processes cost memory, fewer lose more jobs' work when one dies."""
OVERHEAD_BYTES = 128 << 20
"""Of the budget, what the engine, the scout and the batch processes take themselves."""
MIN_MEMORY_BYTES = 32 << 20
"""The least an ffmpeg takes."""
SCHEDULED_PER_CORE = 5
"""With at most so many jobs left for every core, it is worked out where each is to run."""
GAP_SECONDS = 0.02
"""Between two ffmpegs on one slot: the one's end is seen, the other is started (measured with 200 files of 50 ms)."""
FIRST_START_SECONDS = 0.5
"""How long the first start may wait while fewer files than cores are known, or the other files are still inspected."""
LONGEST_HOLD_SECONDS = 5.0
_HOLD_SHARE = 0.02
"""Of all CPU-seconds, what inspecting the other files may take before the first one starts: 1 % of the time of a run on
two cores. Starting with the longest file saves more than that."""
_THREAD_GROWTH = 0.15


@dataclass(frozen=True, slots=True)
class Shape:
    """What runs at once: `processes` batch processes, together `concurrency` jobs of `threads` threads each, or fewer
    jobs that have more of `cores`.

    `max_processes` is how many there may be while some are nearly done and many jobs are left; `memory_budget_bytes` is
    for all jobs together; `share` (up to 1) is what the sizes of batches are to be multiplied by.
    """

    processes: int
    concurrency: int
    max_processes: int
    threads: int
    memory_budget_bytes: int
    memory_limit_bytes: int
    """What the budget would be if nobody else used memory."""
    cores: int
    share: float = 1.0
    stretch: bool = True
    """Whether a job may have threads for cores that may fall idle beside it."""


@dataclass(frozen=True, slots=True)
class Running:
    """A batch that runs: the slots it occupies, the memory it is predicted to take, the cores of each of its jobs,
    and in how many seconds, on average, each of those slots is predicted to be idle (infinite where nobody knows)."""

    slots: int
    memory_bytes: int
    cores: int = 1
    seconds_left: float = math.inf


def entry(job: Job, cost_class: CostClass, model: CostModel, estimation: EstimationSettings) -> Entry:
    """The light entry that stands for a job; `job.cost` is what `model` predicts at one thread, as is `cost_class`."""
    price = model.price(cost_class, estimation.memory_safety_factor)
    margin = model.memory_margin(cost_class, estimation.memory_safety_factor)
    return Entry(
        job_id=job.id,
        prior_cpu_seconds=job.cost.cpu_seconds / price.cpu,
        prior_memory_bytes=job.cost.memory_bytes * margin / price.memory,
        cost_class=cost_class,
        disk_bytes=job.cost.disk_bytes,
        priority=job.priority,
        tenant=job.tenant,
        price=price,
    )


def shape(
    reading: Reading,
    settings: BatchSettings,
    *,
    jobs_known: int,
    typical: Cost,
    more_to_come: bool,
    cpu_limit_percent: float | None = None,
    share: float = 1.0,
    measured: bool = True,
) -> Shape:
    """How many processes, slots and threads suit this machine now.

    `jobs_known` counts the jobs that are not done, waiting and running; with `more_to_come` it is no bound. `typical`
    is one job's cost at one thread (`Ready.typical`). Of all cores only `cpu_limit_percent` are reckoned with. `share`
    is the governor's: what runs at once, and the size of batches, are to be that part of what they would be; threads
    are not widened in exchange, since they take memory too.

    Where memory holds fewer jobs than there are cores, each gets more threads, unless most of the work was never
    `measured`: it may well turn out smaller, and jobs side by side use cores best.
    """
    budget, limit = memory_budget(reading, settings), memory_limit(reading, settings)
    cores = max(1, int(reading.cores * min(cpu_limit_percent or 100.0, 100.0) / 100 + 0.5))
    share = min(max(share, 0.0), 1.0)
    if not settings.enabled:
        return Shape(1, 1, 1, min(cores, MAX_THREADS), budget, limit, cores, share)
    need = max(typical.memory_bytes, MIN_MEMORY_BYTES)
    by_memory = max(1, budget // need)
    most_at_once = by_memory if more_to_come else min(by_memory, max(1, jobs_known))
    concurrency = min(cores, most_at_once)
    if settings.jobs is None and cpu_limit_percent is None:
        # While one very short file makes way for the next, its core has nothing to do.
        busy = 1 + GAP_SECONDS / max(typical.cpu_seconds, GAP_SECONDS)
        concurrency = max(concurrency, min(int(cores * busy + 0.5), most_at_once))
    if settings.jobs is not None:
        # Asked for by name: that many processes even where there are fewer cores, but not more than memory holds.
        concurrency = max(concurrency, min(settings.jobs, most_at_once))
    hoped_for = concurrency if measured else cores if more_to_come else min(cores, max(1, jobs_known))
    threads = max(1, min(cores // max(hoped_for, concurrency), MAX_THREADS))
    while threads > 1 and concurrency * need * (1 + _THREAD_GROWTH * (threads - 1)) > budget:
        threads -= 1
    concurrency, cores = max(1, int(concurrency * share)), max(1, int(cores * share))
    if settings.jobs is not None:
        processes = max_processes = min(max(1, int(settings.jobs * share)), concurrency)
    else:
        processes = min(concurrency, max(2, -(-concurrency // SLOTS_PER_PROCESS)))
        # A batch of fixed size that got a single idle slot would keep it to the end, long after the others.
        max_processes = processes if settings.batch_size is not None else min(concurrency, 2 * processes)
    return Shape(
        processes,
        concurrency,
        max_processes,
        threads,
        budget,
        limit,
        cores,
        share,
        cpu_limit_percent is None and share >= 1,
    )


def may_begin(
    ready: Ready, cores: float, *, more_to_come: bool, pending: int, run_seconds: float, held_seconds: float
) -> bool:
    """Whether the first file of a run may start, although `more_to_come` from the listing.

    Longest first holds only among files that are known, and a file that turns out to be the only one gets all threads.
    So a short listing is inspected whole, and one that would take long is not waited for. `pending` files were listed
    and are still to be inspected; `held_seconds` counts from when the first file was known.
    """
    if not more_to_come:
        return True
    known = len(ready)
    if known < cores and run_seconds <= FIRST_START_SECONDS:
        return False
    if not known:
        return True
    # What is pending is taken to be like what is known, in its work and in the time that inspecting it takes.
    worth = _HOLD_SHARE * ready.cpu_seconds * (known + pending) / known
    needed = held_seconds + held_seconds * pending / max(1, known - 1)
    return needed > min(worth, max(FIRST_START_SECONDS, worth / cores), LONGEST_HOLD_SECONDS)


def memory_budget(reading: Reading, settings: BatchSettings) -> int:
    """Bytes that jobs may take together: the allowed share of the total less what others use and we take ourselves."""
    others = max(0, reading.used_memory_bytes - reading.our_memory_bytes)
    return _allowed(reading, settings, others)


def memory_limit(reading: Reading, settings: BatchSettings) -> int:
    """What `memory_budget` would be if nobody else used memory."""
    return _allowed(reading, settings, 0)


def _allowed(reading: Reading, settings: BatchSettings, others: int) -> int:
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
    waits, and before which no job gets more threads than others.
    """
    cores = max(shape.cores, shape.concurrency)
    free_cores = cores - sum(r.slots * r.cores for r in running)
    free_slots = min(shape.concurrency - sum(r.slots for r in running), free_cores)
    if not ready or free_slots < 1 or (settings.jobs is not None and len(running) >= shape.processes):
        return None
    # Under memory pressure a fixed size shrinks as the automatic one does.
    fixed = max(1, int(settings.batch_size * shape.share)) if settings.enabled and settings.batch_size else None
    if fixed is not None and more_to_come and len(ready) < fixed:
        return None
    room = _room(ready, shape, running)
    if room is None and running:
        return None
    listed: list[Entry] = []
    if fixed is not None or not settings.enabled or more_to_come:
        widening = Widening(base=max(1, min(shape.threads, free_cores // free_slots)), most=MAX_THREADS)
    else:
        # Batches of at least several files cannot be laid out file by file.
        if estimation.min_batch_size <= 1 and not ready.several_tenants:
            listed = _listed(ready, shape, room)
        widening = _widening(ready, shape, running, free_slots, free_cores, listed)
    if listed:
        first = next((e for e in listed if e.job_id not in widening.later), None)
    elif len(running) >= shape.max_processes:
        return None
    else:
        first = ready.first(None if room is None else lambda e: e.memory_bytes <= room)
    if first is None:
        return None
    wanted = threads = widening.threads(first)
    while threads > 1 and (room is None or memory_need(first, threads) > room):
        threads -= 1
    each = min(threads, widening.cores(first))
    free_slots = max(1, min(free_slots, free_cores // each))
    processes = shape.processes - len(running)
    if fixed is not None:
        processes = min(processes, -(-len(ready) // fixed))
    slots = 1 if room is None else -(-free_slots // max(1, processes))
    packing = Packing(
        ready,
        lambda e: widening.threads(e) == wanted,
        slots,
        threads,
        each,
        cap=math.inf if room is None else max(room * slots / free_slots, memory_need(first, threads)),
        room=math.inf if room is None else room,
    )
    if fixed is not None:
        if not packing.take_exactly(fixed, may_exceed=not running):
            packing.undo()
            return None
    elif not settings.enabled:
        packing.take_exactly(len(ready), may_exceed=True)
    elif room is None:
        # One at a time, so that each is told of by name.
        packing.take_exactly(1, may_exceed=True)
    elif listed:
        # A process for every short file that comes later would cost more than it gains.
        packing.take_scheduled(
            [e.job_id for e in listed if e.job_id not in widening.later and widening.threads(e) == wanted],
            [
                e.job_id
                for e in listed
                if e.job_id in widening.later and wall(e.cpu_seconds, 1, each) < MIN_BATCH_SECONDS
            ],
            estimation.max_batch_size,
        )
    else:
        packing.take_worth(estimation, shape.share, free_slots, max(1, cores // each))
    return packing.formed(batch_id, shape.memory_budget_bytes, shape.memory_limit_bytes)


def _listed(ready: Ready, shape: Shape, room: float | None) -> list[Entry]:
    """All jobs that fit, in their order, where few enough are left to say of each where it is to run; else none."""
    if len(ready) > SCHEDULED_PER_CORE * max(shape.cores, shape.concurrency):
        return []
    fitting = [e for e in ready.longer_than(-1.0) if room is None or e.memory_bytes <= room]
    return sorted(fitting, key=lambda e: (-e.priority, e.tries, -e.cpu_seconds, e.job_id))


def _widening(
    ready: Ready,
    shape: Shape,
    running: Sequence[Running],
    free_slots: int,
    free_cores: int,
    listed: Sequence[Entry],
) -> Widening:
    """How wide the jobs are to be that start now on the free cores; a schedule of all that are `listed`, if any are."""
    cores = max(shape.cores, shape.concurrency)
    base = max(1, min(shape.threads, free_cores // free_slots))
    core_seconds = base * wall(ready.cpu_seconds, len(ready), base)
    core_seconds += sum(r.slots * r.cores * r.seconds_left for r in running if r.seconds_left < math.inf)
    longest = ready.longer_than(core_seconds / cores - FILE_SECONDS)
    finish = finish_seconds(core_seconds, (e.cpu_seconds for e in longest), cores, base)
    if not listed:
        return Widening(base, min(free_cores, MAX_THREADS), finish)
    idle_after = [0.0] * free_cores
    for batch in running:
        # However little is left to do, what is occupied is not idle.
        idle_after += [max(batch.seconds_left, FILE_SECONDS)] * (batch.slots * batch.cores)
    # Several threads each, and yet more jobs than run at once: memory bounds them, and cores would lie idle.
    bound = base if len(ready) > free_slots else 1
    works = [(e.cpu_seconds, e.job_id, e.price.spread) for e in listed]
    return scheduled(works, idle_after, finish, bound, stretch=shape.stretch)


def _room(ready: Ready, shape: Shape, running: Sequence[Running]) -> float | None:
    """Bytes the next batch may take; None when only jobs are left that exceed the whole budget.

    Where the job that is next does not fit beside what runs, smaller ones may pass it, but only as far as it will fit
    once the largest running batch has ended: so it is never starved.
    """
    budget = shape.memory_budget_bytes
    head = ready.first(lambda e: e.memory_bytes <= budget)
    if head is None:
        return None
    free = budget - sum(r.memory_bytes for r in running)
    if head.memory_bytes > free:
        free = min(free, free + max(r.memory_bytes for r in running) - head.memory_bytes)
    return free
