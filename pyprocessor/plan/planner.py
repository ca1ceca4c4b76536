"""How many batch processes, slots and threads suit the machine, and what goes into the next batch?

Pure: the same jobs, cost model and reading give the same batches. Predicted memory of what runs at once stays within
the budget; a job that alone exceeds it runs alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyprocessor.costs.job_prior import THREAD_GROWTH
from pyprocessor.costs.model import FILE_SECONDS
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, Cost, EstimationSettings, Reading
from pyprocessor.models.wording import duration
from pyprocessor.plan import resources
from pyprocessor.plan.admission import Wait, memory_budget, memory_limit
from pyprocessor.plan.modes import in_order
from pyprocessor.plan.packing import MIN_BATCH_SECONDS, FormedBatch, Packing
from pyprocessor.plan.queue import ReadyQueue
from pyprocessor.plan.widening import MAX_THREADS, Widening, finish_seconds, scheduled

SLOTS_PER_PROCESS = 4
"""More processes cost memory, fewer lose more jobs' work when one dies."""
SHORT_SLOT_SECONDS = 0.1
"""How long a file takes at least for each slot of its process: that verifies and syncs one at a time (25 ms each)."""
MIN_MEMORY_BYTES = 32 << 20
"""The least an ffmpeg takes."""
SCHEDULED_PER_CORE = 5
"""With at most so many jobs left for every core, it is worked out where each is to run."""
GAP_SECONDS = 0.02
"""Between two ffmpegs on one slot: the one's end is seen, the other is started (measured with 200 files of 50 ms)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What runs at once: `concurrency` jobs of `threads` in all `processes`, or fewer of more `cores`."""

    processes: int
    concurrency: int
    max_processes: int
    """While some processes are nearly done and many jobs are left."""
    threads: int
    memory_budget_bytes: int
    """For all jobs together."""
    memory_limit_bytes: int
    """What the budget would be if no other program used memory."""
    cores: int
    share: float = 1.0
    """What the sizes of batches are multiplied by, at most 1."""
    stretch: bool = True
    """Whether a job may have threads for cores that may fall idle beside it."""


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch that runs, as the planner sees it; one whose jobs mostly wait has no slots and no cores."""

    slots: int
    """Those that are occupied."""
    memory_bytes: int
    cores: int = 1
    """Of each of its jobs."""
    seconds_left: float = math.inf
    """The mean until each of its slots is idle; infinite where that is not known."""
    resources: tuple[tuple[str, int], ...] = ()
    """What its jobs may hold at once."""


def usable_cores(reading: Reading, cpu_limit_percent: float | None) -> int:
    """How many cores all jobs together may use."""
    return max(1, int(reading.cores * min(cpu_limit_percent or 100.0, 100.0) / 100 + 0.5))


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
    calls: bool = False,
) -> Shape:
    """How many processes, slots and threads suit this machine now.

    `jobs_known` counts waiting and running jobs; with `more_to_come` it is no bound. `typical` is the mean cost at one
    thread, most of the work being `calls` or files. `share` is the governor's part of the usual number of jobs. Where
    memory holds fewer jobs than there are cores, each gets more threads, unless most of the work was never `measured`:
    it may turn out smaller.
    """
    budget, limit = memory_budget(reading, settings), memory_limit(reading, settings)
    cores = usable_cores(reading, cpu_limit_percent)
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
    if settings.most_jobs is not None:
        concurrency = min(concurrency, settings.most_jobs)
    hoped_for = concurrency if measured else cores if more_to_come else min(cores, max(1, jobs_known))
    threads = max(1, min(cores // max(hoped_for, concurrency), MAX_THREADS))
    while threads > 1 and concurrency * need * (1 + THREAD_GROWTH * (threads - 1)) > budget:
        threads -= 1
    concurrency, cores = max(1, int(concurrency * share)), max(1, int(cores * share))
    if settings.jobs is not None:
        processes = max_processes = min(max(1, int(settings.jobs * share)), concurrency)
    else:
        slots = SLOTS_PER_PROCESS
        if not calls:
            slots = max(1, min(int(typical.cpu_seconds / SHORT_SLOT_SECONDS), slots))
        processes = min(concurrency, max(2, -(-concurrency // slots)))
        # A batch of fixed size that got a single idle slot would keep it to the end, long after the others.
        max_processes = processes if settings.batch_size is not None else min(concurrency, 2 * processes)
    stretch = cpu_limit_percent is None and share >= 1
    return Shape(processes, concurrency, max_processes, threads, budget, limit, cores, share, stretch)


def next_batch(
    ready: ReadyQueue,
    shape: Shape,
    settings: BatchSettings,
    estimation: EstimationSettings,
    *,
    batch_id: int,
    running: Sequence[RunningBatch] = (),
    more_to_come: bool = False,
    available: Callable[[QueuedJob], bool] = lambda _: True,
) -> FormedBatch | Wait:
    """Take the next batch out of `ready`, or say why none is to be started now.

    With `more_to_come` a fixed batch size waits for further jobs, and no job gets more threads than others. `available`
    says whether the back end of a job that needs one may be asked.
    """
    cores = max(shape.cores, shape.concurrency)
    free_cores, processes_taken = _free_cores(shape, running), _processes(running)
    in_use: Counter[str] = Counter()
    for batch in running:
        in_use.update(dict(batch.resources))

    head = ready.first()
    idle_waits = head is not None and not ready.is_idle(head)

    def startable(job: QueuedJob) -> bool:
        if idle_waits and ready.is_idle(job):
            return False
        return resources.how_many_fit(job, in_use, settings) >= 1 and (job.asking is None or available(job))

    if head is None:
        return Wait("no file is ready")
    if isinstance(free_slots := slots_beside(shape, settings, running), Wait):
        return free_slots
    # Under memory pressure a fixed size shrinks as the automatic one does.
    fixed = max(1, int(settings.batch_size * shape.share)) if settings.enabled and settings.batch_size else None
    if fixed is not None and more_to_come and len(ready) < fixed:
        return Wait(f"a batch has {fixed} files, and more are being looked for")
    if (in_use or head.asking is not None) and ready.first(startable) is None:
        return Wait(resources.shortage(head, in_use, settings) or "its back end may not be asked now")
    room = _room(ready, shape, running, startable)
    if room is None and running:
        return Wait("it is predicted to take more memory than all files may together, so nothing is to run beside it")
    listed: list[QueuedJob] = []
    if fixed is not None or not settings.enabled or more_to_come:
        widening = Widening(base=max(1, min(shape.threads, free_cores // free_slots)), most=MAX_THREADS)
    else:
        # Batches of at least several files cannot be laid out file by file, and many files need no schedule.
        few = len(ready) <= SCHEDULED_PER_CORE * cores
        if few and estimation.min_batch_size <= 1 and ready.by_cost_alone and not in_order(settings):
            startables = filter(startable, ready.longer_than(-1.0))
            fitting = [e for e in startables if room is None or e.memory_bytes <= room]
            listed = sorted(fitting, key=lambda e: (e.band, -e.cpu_seconds, e.job_id))
        # Who asks for more jobs at once than there are cores gets them: none takes the place of another.
        most = 1 if settings.jobs is not None and shape.concurrency > shape.cores else shape.cores
        widening = _widening(ready, shape, running, free_slots, free_cores, listed, min(most, MAX_THREADS))
    if listed:
        first = next((e for e in listed if e.job_id not in widening.later), None)
    elif processes_taken >= shape.max_processes:
        return Wait(f"as many batch processes run as may at once ({shape.max_processes})")
    else:
        first = ready.first(lambda e: startable(e) and (room is None or e.memory_bytes <= room))
    if first is None:
        later = "it ends sooner if it waits for cores that running files use"
        return Wait(later if listed else "running files leave too little memory for it")
    wanted = threads = widening.threads(first)
    while threads > 1 and (room is None or first.memory_with(threads) > room):
        threads -= 1
    # Where more may be added at any time, no job keeps cores from those that come later.
    each = 1 if settings.most_jobs is not None else min(threads, widening.cores(first))
    free_slots = max(1, min(free_slots, free_cores // each))
    processes = shape.processes - processes_taken
    if fixed is not None:
        processes = min(processes, -(-len(ready) // fixed))
    slots = 1 if room is None else -(-free_slots // max(1, processes))
    slots = int(min(slots, resources.how_many_fit(first, in_use, settings)))
    kind = first.kind

    def suitable(job: QueuedJob) -> bool:
        """Whether it fits into a batch with the first; one process does the calls of one kind."""
        if idle_waits and ready.is_idle(job):
            return False
        return widening.threads(job) == wanted and job.kind == kind

    packing = Packing(
        ready,
        suitable,
        slots,
        threads,
        each,
        cap=math.inf if room is None else max(room * slots / free_slots, first.memory_with(threads)),
        room=math.inf if room is None else room,
    )
    if first.asking is not None:
        # No more than begin at once: who waits in a process keeps others from the back end, or it may be down by then.
        why = "no more of its kind begin at once"
        packing.take_exactly(slots, may_exceed=room is None)
    elif fixed is not None:
        why = f"batches of {fixed} were asked for"
        if not packing.take_exactly(fixed, may_exceed=not running):
            for taken in packing.taken:
                ready.put_back(taken)
            return Wait(f"running files leave too little memory for a batch of {fixed} files")
    elif not settings.enabled:
        why = "batches are disabled, and one process does all files"
        packing.take_in_turn(lambda: ready.first(startable))
    elif room is None:
        # One at a time, so that a notice names each.
        why = "it needs more memory than all files may take together"
        packing.take_exactly(1, may_exceed=True)
    elif listed:
        # A process for every short file that comes later would cost more than it gains.
        why = "few files are left, and all are to end together"
        packing.take_scheduled(
            [e.job_id for e in listed if e.job_id not in widening.later and suitable(e)],
            [
                e.job_id
                for e in listed
                if e.job_id in widening.later and e.kind == kind and e.wall_seconds(each) < MIN_BATCH_SECONDS
            ],
            estimation.max_batch_size,
        )
    else:
        all_slots = max(1, cores // each)
        seconds = packing.take_worth(estimation, shape.share, free_slots, all_slots, in_order=in_order(settings))
        why = f"each of its slots is to have work for about {duration(seconds)}"
    return packing.formed(batch_id, shape.memory_budget_bytes, shape.memory_limit_bytes, why)


def slots_beside(shape: Shape, settings: BatchSettings, running: Sequence[RunningBatch]) -> int | Wait:
    """Return how many slots are free for another process beside those that run, or why none is."""
    occupied = sum(r.slots for r in running)
    if (free_slots := min(shape.concurrency - occupied, _free_cores(shape, running))) < 1:
        return Wait(f"as many files run as may at once ({occupied})")
    if settings.jobs is not None and _processes(running) >= shape.processes:
        return Wait(f"as many batches run as may at once ({shape.processes})")
    return free_slots


def _free_cores(shape: Shape, running: Sequence[RunningBatch]) -> int:
    return max(shape.cores, shape.concurrency) - sum(r.slots * r.cores for r in running)


def _processes(running: Sequence[RunningBatch]) -> int:
    return sum(r.slots > 0 for r in running)


def _widening(
    ready: ReadyQueue,
    shape: Shape,
    running: Sequence[RunningBatch],
    free_slots: int,
    free_cores: int,
    listed: Sequence[QueuedJob],
    most: int,
) -> Widening:
    """The threads, `most` each, of jobs that start now; by a schedule of the `listed` ones, if any."""
    cores = max(shape.cores, shape.concurrency)
    base = max(1, min(shape.threads, free_cores // free_slots))
    core_seconds = base * ready.wall_seconds(base)
    core_seconds += sum(r.slots * r.cores * r.seconds_left for r in running if r.seconds_left < math.inf)
    longest = ready.longer_than(core_seconds / cores - FILE_SECONDS)
    finish = finish_seconds(core_seconds, (e.cpu_seconds for e in longest), cores, base)
    if not listed:
        return Widening(base, min(free_cores, most), finish)
    idle_after = [0.0] * free_cores
    for batch in running:
        # However little is left to do, what is occupied is not idle.
        idle_after += [max(batch.seconds_left, FILE_SECONDS)] * (batch.slots * batch.cores)
    # Several threads each, and yet more jobs than run at once: memory bounds them, and cores would lie idle.
    bound = base if len(ready) > free_slots else 1
    works = [(e.cpu_seconds, e.job_id, e.factors.spread) for e in listed]
    return scheduled(works, idle_after, finish, bound, stretch=shape.stretch, most=most)


def _room(
    ready: ReadyQueue, shape: Shape, running: Sequence[RunningBatch], startable: Callable[[QueuedJob], bool]
) -> float | None:
    """Bytes the next batch may take; None when only jobs are left that exceed the whole budget.

    Smaller jobs may pass one that does not fit, but only as far as it will fit once the largest running batch ends.
    """
    budget = shape.memory_budget_bytes
    head = ready.first(lambda e: e.memory_bytes <= budget and startable(e))
    if head is None:
        return None
    free = budget - sum(r.memory_bytes for r in running)
    if head.memory_bytes > free:
        free = min(free, free + max(r.memory_bytes for r in running) - head.memory_bytes)
    return free
