"""May this waiting job start now, and if not, why does it wait? The one decision on that. Pure.

Batches are packed by predictions; `decide` looks again at the moment of each start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pyprocessor.costs.model import CostClass, CostModel
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import BatchSettings, Profile, Reading, RunState
from pyprocessor.models.wording import memory_size
from pyprocessor.plan import resources
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.queue import ReadyQueue

OVERHEAD_BYTES = 128 << 20
"""Of the budget, what the engine, the inspector and the batch processes take themselves."""
UNMEASURED_FACTOR = 4
"""Times its prediction: the worst that is assumed of a class never measured."""
RAMP_SECONDS = 1.0
"""How long an encode takes to show its size: x264 medium at 1080p reaches 86 % of its peak in its first second."""
FIRST_START_SECONDS = 0.5
"""How long the first start may wait while fewer files than cores are known, or the other files are still inspected."""
LONGEST_INSPECTING_SECONDS = 5.0
INSPECTING_SHARE = 0.02
"""Of all CPU-seconds, what inspecting may take before the first start: less than starting the longest first saves."""
LISTING_SECONDS = 10.0
"""How long a job that is to run alone waits for other files to be found; a watching run lists for ever."""
HALF_BUSY_PERCENT = 50.0
"""Of the CPU, what other programs may take while jobs of the idle band are started."""
_CLOSED = {
    RunState.WAITING: "the window in which the run may work is not open",
    RunState.PAUSED: "the run is paused",
    RunState.PAUSED_NOW: "the run is paused",
    RunState.DRAINING: "the run is stopping",
    RunState.ENDING: "the run is stopping",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a job does not start now: `reason` is the end of a sentence "It waits because ..."."""

    reason: str
    warn: bool = False
    """The user is warned of it, once."""
    for_memory: bool = field(default=False, compare=False)
    """Memory that running jobs leave is too little for it."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the governor allows until its next look, `look` being the number of the last one."""

    look: int = 0
    hold: str = ""
    """Why nothing may be started, as the end of a sentence; empty where files may be."""
    one_only: bool = False
    """One job, and only where nothing runs."""
    room_bytes: float = math.inf
    """Predicted memory of what may be started beside what runs."""
    wall_room_bytes: float = math.inf
    """Memory that is left to where the machine's ends."""
    share: float = 1.0
    """What concurrency and batch sizes are multiplied by."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for all decisions of one turn: the run, the machine, the clocks."""

    reading: Reading
    schedule: Schedule
    clock: datetime
    """Local time."""
    state: RunState = RunState.RUNNING
    input_away: bool = False
    allowance: Allowance = Allowance()
    reading_number: int = 0
    """Counts the readings at the slow interval."""
    more_to_come: bool = False
    """Whether files are still being listed or inspected."""
    pending: int = 0
    """Files that are listed and not inspected yet."""
    pending_ratio: float = 0.0
    """Their bytes over the bytes of the files that were inspected."""
    now: float = 0.0
    """Monotonic."""
    run_seconds: float = 0.0

    @property
    def closed(self) -> str:
        """Why the run starts nothing at all, as the end of a sentence; empty where it may."""
        return _CLOSED.get(self.state, "") or ("the input cannot be reached" if self.input_away else "")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a job would start beside."""

    running: Sequence[RunningJob]
    """Jobs that were sent to their processes and are not encoded."""
    ready: ReadyQueue
    free_slots: int
    concurrency: int
    """How many jobs may run at once."""
    assigned: bool = False
    """A batch process has the job already."""
    runs_alone: bool = False
    """A job runs that is to have nothing beside it."""
    begun: bool = True
    """A batch of this run was started before."""
    known_seconds: float = 0.0
    """Since the first job was ready."""
    started: int = 0
    """Jobs of classes never measured that were started since the last slow reading."""
    claimed_bytes: int = 0
    """Predicted memory of jobs that were started since the governor's last look."""
    kept_bytes: int = 0
    """Predicted memory of a job that comes first, and waits for memory in the other queue."""
    unavailable: str = ""
    """Why none of the job's back ends may be asked, as the end of a sentence; empty where it needs none."""
    kept_disk_bytes: int = 0
    """Predicted size of the parts of other jobs that are to come, and of what is joined of them."""


def decide(
    job: QueuedJob,
    threads: int,
    on: Conditions,
    beside: Surroundings,
    profile: Profile,
    model: CostModel,
    *,
    due: float = -math.inf,
) -> Wait | None:
    """None if the job may start now with so many threads, else why it waits; a retry starts when `due`."""
    if due > on.now:
        return Wait(f"it failed, and is tried again in {due - on.now:.0f} s")
    if on.closed or on.allowance.hold:
        return Wait(on.closed or on.allowance.hold)
    if (wait := not_free(job, on, beside.ready)) is not None:
        return wait
    if not beside.assigned and (wait := too_late(job, threads, on) or turn(job, on, beside)) is not None:
        return wait
    if beside.unavailable:
        return Wait(beside.unavailable)
    if beside.free_slots < 1:
        return Wait(f"as many files run as may at once ({beside.concurrency})")
    if job.resources:
        in_use = resources.held(other.queued for other in beside.running)
        if why := resources.shortage(job, in_use, profile.batch):
            return Wait(why)
    if not beside.running:
        need, room = job.memory_with(threads), on.allowance.wall_room_bytes
        if not room < need <= memory_limit(on.reading, profile.batch):
            return None
        left = f"other programs leave {memory_size(max(0, int(room)))} of memory"
        return Wait(f"it is predicted to take {memory_size(need)}, and {left}", warn=True)
    budget = memory_budget(on.reading, profile.batch)
    return _memory(job, threads, budget, on, beside, model) or _room(job, threads, on, beside, profile)


def too_late(job: QueuedJob, threads: int, on: Conditions) -> Wait | None:
    """Wait for another run where the job is not predicted to be done before this one's time is up."""
    seconds = job.wall_seconds(threads)
    if on.schedule.fits(seconds, job.factors.spread, on.clock):
        return None
    return Wait("it is not predicted to be done before the run's time is up")


def not_free(job: QueuedJob, on: Conditions, ready: ReadyQueue) -> Wait | None:
    """Why a job of the idle band does not start, where other programs use the machine; None for all other jobs."""
    others = on.reading.cpu_percent - on.reading.our_cpu_percent
    if others <= HALF_BUSY_PERCENT or not ready.is_idle(job):
        return None
    return Wait(f"other programs use {others:.0f} % of the CPU, and it is to run when that is free")


def turn(job: QueuedJob, on: Conditions, beside: Surroundings) -> Wait | None:
    """Why it is not the job's turn to go into a batch, where it is not."""
    if (wait := not_free(job, on, beside.ready)) is not None:
        return wait
    if beside.runs_alone:
        return Wait("a file is running that is to have nothing beside it")
    if job.alone:
        listing = on.more_to_come and on.run_seconds <= LISTING_SECONDS
        others = bool(beside.running or beside.ready)
        return Wait("it is to run with nothing beside it, after the other files") if others or listing else None
    if beside.begun or may_begin(beside.ready, on, beside.known_seconds):
        return None
    return Wait("other files are still being inspected, and the longest is to start first")


def may_begin(ready: ReadyQueue, on: Conditions, known_seconds: float) -> bool:
    """Whether the first job of a run may start, although more files may come: a short listing is inspected whole."""
    if not on.more_to_come:
        return True
    known, cores = len(ready), on.reading.cores
    if known < cores and on.run_seconds <= FIRST_START_SECONDS:
        return False
    if not known:
        return True
    # A pending file is taken to need as much work a byte as the known ones, and as long to be inspected.
    worth = INSPECTING_SHARE * ready.cpu_seconds * (1 + on.pending_ratio)
    needed = known_seconds + known_seconds * on.pending / max(1, known - 1)
    return needed > min(worth, max(FIRST_START_SECONDS, worth / cores), LONGEST_INSPECTING_SECONDS)


def _memory(
    job: QueuedJob, threads: int, budget: int, on: Conditions, beside: Surroundings, model: CostModel
) -> Wait | None:
    """Wait for memory beside what runs, or for a class never measured to show what it takes.

    Where one job outgrew its prediction, all of its class are assumed to.
    """
    outgrown: dict[CostClass, float] = {}
    for other in beside.running:
        if other.memory_bytes > other.expected_bytes > 0:
            factor = other.memory_bytes / other.expected_bytes
            outgrown[other.queued.cost_class] = max(outgrown.get(other.queued.cost_class, 1.0), factor)
    taken = sum(
        max(other.memory_bytes, other.expected_bytes * outgrown.get(other.queued.cost_class, 1.0))
        for other in beside.running
    )
    wanted = job.memory_with(threads) * outgrown.get(job.cost_class, 1.0)
    if taken + wanted > budget:
        return Wait(
            f"it is assumed to take {memory_size(wanted)}, and of {memory_size(budget)} the files that run take "
            f"{memory_size(taken)}",
            for_memory=True,
        )
    if taken + beside.kept_bytes + wanted > budget:
        return Wait("the memory that is left is kept for a job that comes first", for_memory=True)
    worst = UNMEASURED_FACTOR * job.memory_with(threads) * beside.concurrency
    if worst <= budget or not unmeasured(job, threads, model):
        return None
    if beside.started > 0:
        return Wait("files of its kind were never measured, and are started one after each reading")
    alike = [on.now - other.started_seconds for other in beside.running if other.queued.cost_class == job.cost_class]
    shown = sum(age >= RAMP_SECONDS for age in alike)
    if len(alike) - shown >= max(1, shown):
        return Wait("files of its kind were never measured, and those that run have yet to show their size")
    return None


def unmeasured(job: QueuedJob, threads: int, model: CostModel) -> bool:
    """Whether no attempt of the job's class with so many threads was ever measured."""
    return model.measured_count(job.cost_class._replace(threads=threads)) == 0


def _room(job: QueuedJob, threads: int, on: Conditions, beside: Surroundings, profile: Profile) -> Wait | None:
    """Wait for what the governor allows beside what runs, and for room on the output's disk."""
    if on.allowance.one_only:
        return Wait("memory was over its limit, and for now a file is started only where none runs")
    need = job.memory_with(threads)
    claimed = beside.claimed_bytes + beside.kept_bytes
    if claimed + need > on.allowance.room_bytes:
        left = memory_size(max(0, on.allowance.room_bytes - claimed))
        why = f"it is predicted to take {memory_size(need)}, and running files leave {left} of memory"
        return Wait(why, for_memory=True)
    disk = sum(other.queued.disk_bytes for other in beside.running) + job.disk_bytes + beside.kept_disk_bytes
    reserve = profile.throttling.disk_reserve_bytes
    if on.reading.free_disk_bytes - disk < reserve:
        return Wait(f"its output and those of running files would leave less than {memory_size(reserve)} of the disk")
    return None


def memory_budget(reading: Reading, settings: BatchSettings) -> int:
    """Bytes that jobs may take together: the allowed share, less what others and our processes take."""
    return memory_limit(reading, settings, max(0, reading.used_memory_bytes - reading.our_memory_bytes))


def memory_limit(reading: Reading, settings: BatchSettings, others: int = 0) -> int:
    """What `memory_budget` would be if other programs used so many bytes."""
    ours = int(reading.total_memory_bytes * settings.max_memory_percent / 100) - others
    if settings.memory_limit_bytes is not None:
        ours = min(ours, settings.memory_limit_bytes)
    return max(0, ours - OVERHEAD_BYTES)
