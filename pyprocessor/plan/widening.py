"""How many threads does a job get, where one is not enough? Pure.

A job that would still run when all else is done gets as many as it needs to end with the rest. When few jobs are left,
several schedules are compared and the one that ends first is begun. A job that may still run when cores fall idle
beside it has threads for those, too, since none can be added later.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyprocessor.costs.model import FILE_SECONDS, speed, wall_seconds
from pyprocessor.jobs.queued_job import QueuedJob

MAX_THREADS = 16
"""Encoders gain nothing from more; x264 loses quality."""
_SPEEDS = tuple(speed(threads) for threads in range(1, MAX_THREADS + 1))
_BISECTIONS = 30
_TARGETS = (1.0, 1.05, 1.1, 1.2, 0.95, 0.9, 0.85, 0.76, 0.66, 0.57, 0.5, 0.43, 0.33, 0.25, 0.17)
"""Of the least possible time: in what time a single job is to be done, in the schedules that are compared."""
_MOST_STRETCH = 2
"""How many times its cores a job has threads at most."""
_WORTH_WAITING = 0.95
"""A job waits for more cores when it then ends within this share of the time."""

Work = tuple[float, str, float]
"""CPU-seconds and id of a job, and by what factor it may take longer."""


@dataclass(frozen=True, slots=True)
class Widening:
    """Cores for the jobs that are to start now: `base` at least, `most` at most."""

    base: int
    most: int
    finish_seconds: float = math.inf
    """A job that may take longer is widened."""
    scheduled: Mapping[str, int] = field(default_factory=dict)
    """The cores of all jobs of the schedule, where there is one."""
    later: frozenset[str] = frozenset()
    """Jobs that end sooner if they wait for more cores."""
    stretched: Mapping[str, int] = field(default_factory=dict)
    """The threads of jobs that take over cores which fall idle."""

    def threads(self, job: QueuedJob) -> int:
        """How many threads its ffmpeg gets: one for each of its cores, or more."""
        return max(self.cores(job), self.stretched.get(job.job_id, 0))

    def cores(self, job: QueuedJob) -> int:
        """How many cores this job is assumed to take."""
        wanted = self.scheduled.get(job.job_id)
        if wanted is None:
            wanted = fewest_threads(job.doubtful_cpu_seconds, self.finish_seconds, self.most) or self.most
        return min(max(self.base, wanted), max(self.base, self.most))


def fewest_threads(cpu_seconds: float, within_seconds: float, most: int) -> int | None:
    """The fewest threads with which a job ends in that time; None where `most` are too few."""
    if within_seconds <= FILE_SECONDS:
        return None
    threads = bisect.bisect_left(_SPEEDS, cpu_seconds / (within_seconds - FILE_SECONDS)) + 1
    return threads if threads <= min(most, MAX_THREADS) else None


def finish_seconds(core_seconds: float, longest: Iterable[float], cores: int, base: int) -> float:
    """The least time in which everything can end on `cores`, each job with the fewest threads for it.

    `core_seconds` is what all work takes with `base` threads a job, running work included. `longest` has the
    CPU-seconds of at least those jobs that would take longer than their fair share, `core_seconds / cores`.
    """
    low = core_seconds / cores
    most = min(cores, MAX_THREADS)
    late = [(cpu, base * wall) for cpu in longest if (wall := wall_seconds(cpu, base)) > low]
    if not late:
        return low
    high = max(area for _, area in late) / base
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if core_seconds + _extra(late, middle, most) <= cores * middle:
            high = middle
        else:
            low = middle
    return high


def _extra(late: Sequence[tuple[float, float]], seconds: float, most: int) -> float:
    """Core-seconds that widening takes more, because two threads do not do twice the work."""
    extra = 0.0
    for cpu, area in late:
        threads = fewest_threads(cpu, seconds, most)
        if threads is None:
            return math.inf
        extra += max(0.0, threads * wall_seconds(cpu, threads) - area)
    return extra


def scheduled(
    works: Sequence[Work],
    idle_after: Sequence[float],
    finish: float,
    base: int,
    *,
    stretch: bool = True,
    most: int = MAX_THREADS,
) -> Widening:
    """Of several schedules, the one that ends first; with `stretch` a job may take over idle cores.

    `works` are all that is left to start, in their order. `idle_after` says for each core in how many seconds it is
    idle, 0 for now. `finish` is the least time in which all can end (`finish_seconds`). No job has more than `most`
    threads.
    """
    free = sorted(idle_after)
    most = min(len(free), most)
    drawn = [_schedule(works, free, finish * target, base, stretch, most) for target in _TARGETS]
    return min(drawn, key=lambda schedule: schedule[0])[1]


def _schedule(
    works: Sequence[Work], free: Sequence[float], target: float, base: int, stretch: bool, most: int
) -> tuple[float, Widening]:
    """When all ends with each job where it ends first, with no more cores than it needs to end within `target`."""
    idle = list(free)
    cores: dict[str, int] = {}
    ends: dict[str, float] = {}
    later: list[str] = []
    for cpu, job_id, _ in works:
        wanted = max(base, fewest_threads(cpu, target, most) or most)
        chosen, end = min(base, most), math.inf
        for count in range(min(base, most), min(wanted, most) + 1):
            then = idle[count - 1] + wall_seconds(cpu, count)
            # What starts at once starts, unless waiting gains something worth the while.
            gain = 1.0 if idle[count - 1] <= idle[chosen - 1] else _WORTH_WAITING
            if then < end * gain:
                chosen, end = count, then
        if idle[chosen - 1] > 0:
            later.append(job_id)
        cores[job_id], ends[job_id] = chosen, end
        del idle[:chosen]
        place = bisect.bisect(idle, end)
        idle[place:place] = [end] * chosen
    in_order = sorted(ends.values())
    last = 0.0
    stretched: dict[str, int] = {}
    for cpu, job_id, spread in works:
        taken, end = cores[job_id], ends[job_id]
        limit = min(most, _MOST_STRETCH * taken) if stretch else taken
        last = max(last, _stretched(end, taken, idle, in_order, limit)[0])
        # Threads that turn out to be too many cost little, too few cost much: halfway to the longest it may take.
        late = end + wall_seconds(cpu, taken) * (math.sqrt(spread) - 1)
        _, threads = _stretched(late, taken, idle, in_order, limit)
        if threads > taken and job_id not in later:
            stretched[job_id] = threads
    return last, Widening(base, most, math.inf, cores, frozenset(later), stretched)


def _stretched(end: float, cores: int, idle: Sequence[float], ends: Sequence[float], limit: int) -> tuple[float, int]:
    """When a job ends that takes over cores as they fall idle for good, and with how many threads.

    `end` is when it would end on its own `cores`, `idle` when each core is idle, in order, and `ends` when each job
    ends, in order: those that run on share what falls idle. It has `limit` threads at most.
    """
    if end <= idle[0] or limit <= cores:
        return end, cores
    free = [moment for moment in idle if moment < end]
    left = (end - free[0]) * _SPEEDS[cores - 1]
    threads = cores
    for number, moment in enumerate(free, 1):
        sharing = max(1, len(ends) - bisect.bisect_right(ends, moment))
        threads = min(limit, cores + number // sharing)
        until = free[number] if number < len(free) else math.inf
        rate = _SPEEDS[threads - 1]
        if left <= rate * (until - moment):
            return moment + left / rate, threads
        left -= rate * (until - moment)
    raise AssertionError("the last core is idle for ever")
