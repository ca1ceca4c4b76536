"""Which waiting jobs are done in parts side by side, and in how many, and which whole with more threads? Pure.

Only a job that outlasts its fair share of the cores gains by parts: where enough other jobs keep all cores busy to the
end, parts cost more than they save. Each way is a schedule on paper: the job whole with as many threads as it needs to
end with the rest (`plan.widening`), or its parts on the cores as they fall idle and, after the last, what joins them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyprocessor.costs.model import FILE_SECONDS, CostFactors, class_of, speed
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import WHOLE, BatchSettings, Chunking, CostFeatures
from pyprocessor.models.wording import count, duration, memory_size, size
from pyprocessor.plan.planner import RunningBatch, Shape
from pyprocessor.plan.queue import ReadyQueue
from pyprocessor.plan.widening import MAX_THREADS, fewest_threads, finish_seconds

MOST_EXTRA = 0.03
"""Of a job's CPU-seconds, what doing it in parts may cost more."""
WORTH = 0.98
"""Parts are taken when all then ends within this share of the time, and `LEAST_GAIN_SECONDS` earlier."""
LEAST_GAIN_SECONDS = 0.3
"""Finding the cuts and making further jobs takes some tenths of a second."""
UNEVEN = 0.15
"""By this share the longest of several parts is taken to outlast its prediction, since content varies."""
AS_GOOD = 1.01
"""Of two ways that end within this factor of each other the one with fewer parts is taken."""
LEAST_ROUNDS = 2
"""So many parts for each core where there may be: those that follow even out that one took longer than predicted."""
MOST_ROUNDS = 4
"""The most parts for each core that are compared: more gain nothing that can be predicted."""


_MOST_DOUBT = 2.0
"""By which factor a job may take longer than predicted and is still looked for."""
JOIN = "join"
"""What stands for the encoder where parts are joined."""
_NO_TIME = 1e-9
_ASKED_FOR = "the profile asks for it"


@dataclass(frozen=True, slots=True)
class Choice:
    """In how many parts a job is to be done, 1 being whole; `why` is the end of a sentence "... because ..."."""

    job: QueuedJob
    parts: int
    why: str

    @property
    def note(self) -> str:
        """A sentence for the user."""
        return f"{self.job.name}: {f'in {self.parts} parts' if self.parts > 1 else 'whole'}, because {self.why}."


def part_of(job: QueuedJob, parts: int, number: int) -> QueuedJob:
    """One of the parts of a job, from 1, as far as is known before the cuts are."""
    extra = job.division.part_seconds / job.factors.cpu
    return replace(
        job,
        job_id=f"{job.job_id} {number:04}",
        name=f"{job.name} (part {number})",
        prior_cpu_seconds=job.prior_cpu_seconds / parts + extra,
        disk_bytes=job.disk_bytes // parts,
        division=WHOLE,
    )


def join_of(job: QueuedJob) -> QueuedJob:
    """What is left of a job once all its parts are there."""
    join = job.division.join
    return replace(
        job,
        prior_cpu_seconds=join.cpu_seconds,
        prior_memory_bytes=join.memory_bytes,
        disk_bytes=join.disk_bytes,
        wait_seconds=join.wait_seconds,
        cost_class=class_of(CostFeatures(job.cost_class.task, JOIN, given=join), 1),
        factors=CostFactors(),
        division=WHOLE,
    )


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Cores as they fall idle, in order, and the work that is left in core-seconds."""

    idle_after: tuple[float, ...]
    core_seconds: float
    ends: float = 0.0
    """When the last of the jobs is joined that were divided up to now."""


def choose(
    ready: ReadyQueue,
    running: Sequence[RunningBatch],
    shape: Shape,
    settings: BatchSettings,
    chunking: Chunking,
    free_disk_bytes: float = math.inf,
    to_come_seconds: float | None = None,
) -> list[Choice]:
    """Those ready jobs that would outlast the others, longest first, and how each is to be done.

    With `Chunking.ALWAYS` also all others of which the profile asks for parts. `free_disk_bytes` is what outputs may
    take beside those of running jobs. While files are still inspected, `to_come_seconds` is what these are guessed to
    need, in core-seconds, and whole jobs have one thread. Jobs that nobody expects to be divided are left out.
    """
    cores, always = shape.cores, chunking is Chunking.ALWAYS
    lanes = 1 if not settings.enabled else min(cores, settings.jobs or cores)
    core_seconds = ready.wall_seconds(1) + (to_come_seconds or 0.0)
    core_seconds += sum(r.slots * r.cores * r.seconds_left for r in running if r.seconds_left < math.inf)
    fair = core_seconds / cores
    # Those that may outlast the others are widened, which costs more than parts do.
    long = sorted(ready.longer_than(fair / _MOST_DOUBT - FILE_SECONDS), key=_order)
    late = [job for job in long if job.wall_seconds(1, job.doubtful_cpu_seconds) > fair]
    idle_after = [0.0] * cores
    for batch in running:
        idle_after += [max(batch.seconds_left, FILE_SECONDS)] * (batch.slots * batch.cores)
    schedule = _Schedule(tuple(sorted(idle_after)[-cores:]), core_seconds)
    most = min(cores, MAX_THREADS) if to_come_seconds is None else 1
    whole, rest = _finish(schedule, late, cores, most), list(late)
    choices: list[Choice] = []
    drawn: list[tuple[float, int]] = []
    for job in late:
        if why := _why_whole(job, shape, lanes, free_disk_bytes, always=always):
            choices.append(Choice(job, 1, why))
        elif job.division.most_parts > 1:
            parts, schedule = _in_parts(job, schedule, min(lanes, _at_once(job, shape)), always=always)
            free_disk_bytes -= 2 * job.disk_bytes
            choices.append(Choice(job, parts, ""))
            rest.remove(job)
            drawn.append((_finish(schedule, rest, cores, most), len(choices)))
    choices = _decided(choices, drawn, whole, most, always=always)
    others = set(ready.longer_than(-1.0)).difference(late) if always else ()
    for job in sorted(others, key=_order):
        if why := _why_whole(job, shape, lanes, free_disk_bytes, always=True):
            choices.append(Choice(job, 1, why))
        elif job.division.most_parts > 1:
            free_disk_bytes -= 2 * job.disk_bytes
            choices.append(Choice(job, 2, _ASKED_FOR))
    return choices


def _order(job: QueuedJob) -> tuple[float, str]:
    return -job.cpu_seconds, job.job_id


def _decided(
    choices: Sequence[Choice], drawn: Sequence[tuple[float, int]], whole: float, most: int, *, always: bool
) -> list[Choice]:
    """The choices with their reasons, as many divided as it takes for all to end about as early as it may.

    `drawn` has when all ends with the jobs up to a place in `choices` divided, `whole` when it ends with none.
    """
    best = min((seconds for seconds, _ in drawn), default=math.inf)
    seconds, divided = whole, 0
    if best <= min(whole * WORTH, whole - LEAST_GAIN_SECONDS):
        seconds, divided = next((s, number) for s, number in drawn if s <= best * AS_GOOD)
    made = []
    for number, choice in enumerate(choices, start=1):
        job, parts, why = choice.job, choice.parts, choice.why
        if parts > 1 and number <= divided:
            threads = count(fewest_threads(job.doubtful_cpu_seconds, whole, most) or most, "thread")
            why = f"all is predicted to take {duration(seconds)} then, and {duration(whole)} with it whole at {threads}"
        elif parts > 1 and always:
            why = _ASKED_FOR
        elif parts > 1:
            parts, why = 1, f"in parts all is predicted to take {duration(best)}, and {duration(whole)} with it whole"
            if divided:
                why = f"with others in parts all is predicted to take {duration(seconds)}, which this would not shorten"
        made.append(Choice(job, parts, why))
    return made


def _why_whole(job: QueuedJob, shape: Shape, lanes: int, free_disk_bytes: float, *, always: bool) -> str:
    """Why a job cannot be divided, or parts would gain nothing whatever they take; empty where they may."""
    division = job.division
    if division.most_parts < 2:
        return division.why_whole[:1].lower() + division.why_whole[1:].rstrip(".")
    if job.tries or job.narrow or job.alone:
        return "it failed before, and is tried again as it is"
    if 2 * job.disk_bytes > free_disk_bytes:
        need, free = size(2 * job.disk_bytes), size(max(0, int(free_disk_bytes)))
        return f"its parts and what is joined of them take {need} of the disk, and {free} are free"
    if always:
        return ""
    if lanes < 2:
        return "only one file runs at a time"
    if _at_once(job, shape) < 2:
        return f"memory holds only one part at a time, which takes {memory_size(job.memory_bytes)}"
    if _most_parts(job) < 2:
        return f"parts would take over {MOST_EXTRA:.0%} more CPU time"
    return ""


def _at_once(job: QueuedJob, shape: Shape) -> int:
    """How many parts of a job memory holds; one takes as much as the whole at one thread."""
    return max(1, shape.memory_budget_bytes // max(1, job.memory_bytes))


def _most_parts(job: QueuedJob) -> int:
    """The most parts of which the extra cost is worth it."""
    division = job.division
    extra = MOST_EXTRA * job.cpu_seconds - division.join.cpu_seconds
    if extra < 2 * division.part_seconds:
        return 1
    return int(min(division.most_parts, extra / max(division.part_seconds, _NO_TIME)))


def _in_parts(job: QueuedJob, on: _Schedule, lanes: int, *, always: bool) -> tuple[int, _Schedule]:
    """The fewest parts with which a job is joined about as early as it may be, and what is then left of the cores."""
    most = max(2, min(job.division.most_parts if always else _most_parts(job), MOST_ROUNDS * lanes))
    least = LEAST_ROUNDS * lanes
    numbers = range(least, most + 1, max(1, lanes // 4)) if least <= most else range(2, most + 1)
    tried = [(number, _with_parts(job, number, on, lanes)) for number in numbers]
    best = min(after.ends for _, after in tried)
    return next((number, after) for number, after in tried if after.ends <= best * AS_GOOD)


def _with_parts(job: QueuedJob, parts: int, on: _Schedule, lanes: int) -> _Schedule:
    """The schedule with a job in so many parts, on the cores that are idle first; with fewer parts each has several."""
    division = job.division
    threads = min(max(1, lanes // parts), MAX_THREADS)
    seconds = FILE_SECONDS + (job.cpu_seconds / parts + division.part_seconds) / speed(threads)
    idle = sorted(on.idle_after)
    used = idle[threads - 1 : min(len(idle), lanes) : threads]
    left = idle[len(used) * threads :]
    heapq.heapify(used)
    for _ in range(parts):
        last = used[0] + seconds
        heapq.heapreplace(used, last)
    join = FILE_SECONDS + division.join.cpu_seconds + division.join.wait_seconds
    core_seconds = on.core_seconds - job.wall_seconds(1) + parts * threads * seconds + join
    ends = max(max(used) + UNEVEN * seconds, core_seconds / len(idle)) + join
    after = tuple(sorted([*left, *(moment for moment in used for _ in range(threads))]))
    return _Schedule(after, core_seconds, max(on.ends, ends))


def _finish(on: _Schedule, whole: Sequence[QueuedJob], cores: int, most: int) -> float:
    """When all ends with these long jobs whole, each with the fewest threads with which it ends with the rest."""
    within = finish_seconds(on.core_seconds, [job.doubtful_cpu_seconds for job in whole], cores, 1)
    core_seconds, longest = on.core_seconds, on.ends
    for job in whole:
        threads = fewest_threads(job.doubtful_cpu_seconds, within, most) or most
        seconds = job.wall_seconds(threads)
        core_seconds += max(0.0, threads * seconds - job.wall_seconds(1))
        longest = max(longest, seconds)
    return max(longest, core_seconds / cores)
