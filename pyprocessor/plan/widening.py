"""How many threads a job gets, where one is not enough.

With many jobs left each gets the threads of the shape, nearly always one: encodes side by side use cores best. A job
that would then still run when all else is long done gets as many as it needs to end with the rest. When not many more
jobs are left than there are cores, where each runs decides when all are done, so several schedules are drawn up and
the one that ends first is begun. Pure.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyprocessor.costs import FILE_SECONDS, speed
from pyprocessor.plan.ready import Entry

MAX_THREADS = 16
"""Encoders gain nothing from more; x264 loses quality."""
_SPEEDS = tuple(speed(threads) for threads in range(1, MAX_THREADS + 1))
_BISECTIONS = 30
_TARGETS = (1.0, 1.05, 1.1, 1.2, 0.95, 0.9, 0.85, 0.76, 0.66, 0.57, 0.5, 0.43, 0.33, 0.25, 0.17)
"""Of the least possible time: in what time a single job is to be done, in the schedules that are compared."""
_LATE_WEIGHT = 0.1
"""How much it counts, in choosing a schedule, when it would end if any one job took twice its time."""
_WORTH_WAITING = 0.95
"""A job waits for more cores when it then ends within this share of the time."""

Work = tuple[float, str]
"""CPU-seconds and id of a job."""


@dataclass(frozen=True, slots=True)
class Widening:
    """Threads for the jobs that are to start now: `base` at least, `most` at most.

    A job that may take longer than `finish_seconds` is widened. Where there is a schedule, `scheduled` has the threads
    of all jobs in it, and `later` are those for which it is better to wait for more cores.
    """

    base: int
    most: int
    finish_seconds: float = math.inf
    scheduled: Mapping[str, int] = field(default_factory=dict)
    later: frozenset[str] = frozenset()

    def threads(self, entry: Entry) -> int:
        """What this job gets."""
        wanted = self.scheduled.get(entry.job_id)
        if wanted is None:
            # What widening costs is little, what a late end costs is much: halfway to the longest it may take.
            doubtful = entry.cpu_seconds * math.sqrt(entry.price.spread)
            wanted = fewest_threads(doubtful, self.finish_seconds, self.most) or self.most
        return min(max(self.base, wanted), max(self.base, self.most))


def fewest_threads(cpu_seconds: float, within_seconds: float, most: int) -> int | None:
    """The fewest threads with which a job ends in that time; None where `most` are too few."""
    if within_seconds <= FILE_SECONDS:
        return None
    threads = bisect.bisect_left(_SPEEDS, cpu_seconds / (within_seconds - FILE_SECONDS)) + 1
    return threads if threads <= min(most, MAX_THREADS) else None


def finish_seconds(core_seconds: float, longest: Iterable[float], cores: int, base: int) -> float:
    """The least time in which everything can end: each job with the fewest threads for it, all of them on `cores`.

    `core_seconds` is what all work takes with `base` threads a job, running work included. `longest` has the
    CPU-seconds of at least those jobs that would take longer than their fair share, `core_seconds / cores`. It is the
    usual bound of scheduling jobs that can be widened, found by bisection.
    """
    low = core_seconds / cores
    most = min(cores, MAX_THREADS)
    late = [(cpu, base * wall) for cpu in longest if (wall := _wall(cpu, base)) > low]
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
        extra += max(0.0, threads * _wall(cpu, threads) - area)
    return extra


def scheduled(works: Sequence[Work], idle_after: Sequence[float], finish: float, base: int) -> Widening:
    """The schedule of these jobs that ends first among several.

    `works` are all that is left to start, in their order. `idle_after` says for each core in how many seconds it is
    idle, 0 for now. `finish` is the least time in which all can end (`finish_seconds`).
    """
    free = sorted(idle_after)
    most = min(len(free), MAX_THREADS)
    best: tuple[float, dict[str, int], frozenset[str]] | None = None
    for target in _TARGETS:
        drawn = _schedule(works, free, finish * target, base, most)
        if best is None or drawn[0] < best[0]:
            best = drawn
    assert best is not None
    return Widening(base, most, math.inf, best[1], best[2])


def _schedule(
    works: Sequence[Work], free: Sequence[float], target: float, base: int, most: int
) -> tuple[float, dict[str, int], frozenset[str]]:
    """Each job in turn where it ends first, with no more threads than it needs to end within `target`.

    Returns how late all ends, predictions failing reckoned in, the threads of every job, and which do not start now.
    """
    idle = list(free)
    last = latest = 0.0
    threads: dict[str, int] = {}
    later: list[str] = []
    for cpu, job_id in works:
        wanted = max(base, fewest_threads(cpu, target, most) or most)
        chosen, ends = min(base, most), math.inf
        for count in range(min(base, most), min(wanted, most) + 1):
            end = idle[count - 1] + _wall(cpu, count)
            # What starts at once starts, unless waiting gains something worth the while.
            gain = 1.0 if idle[count - 1] <= idle[chosen - 1] else _WORTH_WAITING
            if end < ends * gain:
                chosen, ends = count, end
        if idle[chosen - 1] > 0:
            later.append(job_id)
        threads[job_id] = chosen
        last, latest = max(last, ends), max(latest, ends + _wall(cpu, chosen))
        del idle[:chosen]
        place = bisect.bisect(idle, ends)
        idle[place:place] = [ends] * chosen
    return (1 - _LATE_WEIGHT) * last + _LATE_WEIGHT * latest, threads, frozenset(later)


def _wall(cpu_seconds: float, threads: int) -> float:
    return FILE_SECONDS + cpu_seconds / _SPEEDS[threads - 1]
