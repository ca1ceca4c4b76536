"""How much memory is in use against what is allowed, and which files are suspended or ended for it? Pure.

The youngest are stopped first, since they have the least to lose; when to do so is decided in `governor/governor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyprocessor.governor.step_process import StepProcess
from pyprocessor.models import BatchSettings, Reading, ThrottlingSettings
from pyprocessor.models.wording import memory_size

LIMIT_WALL = 1.1
"""Times `memory_limit_bytes`, which is a wish and not the end of memory: files are ended only beyond this."""
SLACK = 0.01
"""Of the budget: slower growth than this within the reaction time counts as none."""
WORTH_SHEDDING_BYTES = 16 << 20
GROWING_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Gauge:
    """One amount of memory in use, and the marks it is compared with, in bytes."""

    used: int
    budget: int
    wall: int
    hold: int
    release: int
    others: int
    """In use by other programs."""
    others_ahead: int
    """Growth of other programs within the reaction time."""
    is_limit: bool
    """Whether it is our own memory, against a limit that the user set."""

    @property
    def near(self) -> bool:
        return self.used >= self.hold

    @property
    def over(self) -> bool:
        return self.used > self.budget

    @property
    def target(self) -> int:
        """What suspending files is to keep memory below: the budget, or what is in use if that is more."""
        return max(self.budget, self.used + int(self.budget * SLACK))

    def projected(self, ahead: int) -> int:
        """Memory in use after the reaction time, where files grow by `ahead`."""
        return self.used + ahead + self.others_ahead

    def __str__(self) -> str:
        whose = "pyprocessor's memory is" if self.is_limit else "memory in use is"
        return f"{whose} {memory_size(self.used)} of the {memory_size(self.budget)} allowed"


def gauges(
    reading: Reading, ours: int, others_rate: float, batch: BatchSettings, throttling: ThrottlingSettings
) -> tuple[Gauge, ...]:
    """The machine's gauge, where its total is known, and that of our memory, where a limit is set."""

    def gauge(used: int, budget: int, wall: int, others: int, others_ahead: int, *, is_limit: bool) -> Gauge:
        hold, release = int(budget * throttling.hold_percent / 100), int(budget * throttling.release_percent / 100)
        return Gauge(used, budget, wall, hold, release, others, others_ahead, is_limit)

    found, total = [], reading.total_memory_bytes
    if total > 0:
        budget = int(total * batch.max_memory_percent / 100)
        wall = max(budget, int(total * throttling.wall_percent / 100))
        ahead, used = int(others_rate * throttling.reaction_seconds), reading.used_memory_bytes
        found.append(gauge(used, budget, wall, used - ours, ahead, is_limit=False))
    if (limit := batch.memory_limit_bytes) is not None:
        found.append(gauge(ours, limit, int(limit * LIMIT_WALL), 0, 0, is_limit=True))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class MemoryState:
    """Memory and files, for one decision. Files are oldest first, without those that are being ended."""

    gauges: tuple[Gauge, ...]
    going: tuple[StepProcess, ...]
    paused: tuple[StepProcess, ...]
    """Suspended for memory."""
    throttled: tuple[StepProcess, ...]
    """Suspended for the CPU limit."""
    ahead: Mapping[str, int]
    """By process: bytes that it grows by within the reaction time, while it goes on."""
    overhead: int
    """Bytes that our processes take besides ffmpegs."""
    leaving: int
    """Memory of files that are being ended."""
    pressure: float
    """PSI `full` as a part of its threshold, 0 where the kernel has none."""
    shrunk: bool
    """Whether fewer files have been started for long enough that memory which still rises needs more than that."""

    @property
    def files(self) -> tuple[StepProcess, ...]:
        return (*self.going, *self.paused, *self.throttled)

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and nothing will once the CPU limit allows it."""
        return not self.going and not self.throttled

    @property
    def ahead_bytes(self) -> int:
        return sum(self.ahead[job.key] for job in self.going)

    @property
    def committed_bytes(self) -> int:
        """How much all files are predicted to grow yet."""
        return sum(job.remaining_bytes for job in self.files)

    @property
    def planned_alone(self) -> bool:
        """Whether one file runs that was predicted to need more than the budget, and keeps to its prediction."""
        if len(self.files) != 1 or not self.near:
            return False
        (job,) = self.files
        alone = all(self.overhead + job.predicted_bytes > gauge.budget for gauge in self.gauges if gauge.near)
        return alone and job.memory_bytes <= job.predicted_bytes

    @property
    def near(self) -> bool:
        return any(gauge.near for gauge in self.gauges)

    @property
    def over(self) -> bool:
        return any(gauge.over for gauge in self.gauges) and not self.planned_alone

    @property
    def overcommitted(self) -> bool:
        """Whether memory in use, and what files will take yet, exceed the budget."""
        return any(gauge.used + self.committed_bytes > gauge.budget for gauge in self.gauges)

    @property
    def below_release(self) -> bool:
        return all(gauge.used < gauge.release for gauge in self.gauges)

    @property
    def others_over(self) -> bool:
        """Whether other programs alone fill the budget."""
        return any(gauge.others + gauge.others_ahead > gauge.budget for gauge in self.gauges)

    @property
    def others_calm(self) -> bool:
        """Whether other programs leave room for a file, and are not about to take it."""
        return all(gauge.others + gauge.others_ahead < gauge.release for gauge in self.gauges)

    @property
    def alarming(self) -> bool:
        """Whether memory is about to reach the wall, or is over and still rises."""
        ahead = self.ahead_bytes
        return any(
            gauge.projected(ahead) > (min(gauge.target, gauge.wall) if self.shrunk and gauge.over else gauge.wall)
            for gauge in self.gauges
        )

    def __str__(self) -> str:
        """The fullest gauge, in words."""
        if not self.gauges:
            return "memory is not limited"
        return str(max(self.gauges, key=lambda gauge: gauge.used / max(1, gauge.budget)))


def growing_to_suspend(memory: MemoryState) -> tuple[StepProcess, ...]:
    """The youngest files that grow, as many as it takes for memory to end up on target."""
    ahead = memory.ahead_bytes
    chosen = []
    for job in reversed(suspendable(memory)):
        if all(gauge.projected(ahead) <= gauge.target for gauge in memory.gauges):
            break
        if memory.ahead[job.key] >= GROWING_BYTES:
            chosen.append(job)
            ahead -= memory.ahead[job.key]
    return tuple(chosen)


def suspendable(memory: MemoryState) -> tuple[StepProcess, ...]:
    """All files that run but the oldest; that one as well where other programs alone fill the budget."""
    return memory.going if memory.others_over else memory.going[1:]


def to_shed(memory: MemoryState, suspended: tuple[StepProcess, ...], max_sheds: int) -> tuple[StepProcess, ...]:
    """The files to end so that memory stays below the wall, `suspended` being stopped already.

    Stopped ones go first, the youngest first; one that was ended `max_sheds` times goes last. The oldest that runs
    stays, unless other programs alone fill the budget, and so does a file that has little to give back. A call that is
    left alone is ended all the same, since nothing bounds what it takes.
    """
    stopped = {job.key for job in (*suspended, *memory.paused, *memory.throttled)}
    going = [job for job in memory.going if job.key not in stopped]
    ahead = sum(memory.ahead[job.key] for job in going)
    kept = min(going or memory.files, key=age_order, default=None)
    if (memory.others_over and not going) or (kept is not None and kept.is_call and len(memory.files) == 1):
        kept = None
    candidates = [job for job in memory.files if job is not kept and job.memory_bytes >= WORTH_SHEDDING_BYTES]
    candidates.sort(key=age_order, reverse=True)
    candidates.sort(key=lambda job: (job.sheds >= max_sheds, job.key not in stopped))
    chosen: list[StepProcess] = []
    freed = 0
    for job in candidates:
        if not any(g.over and g.projected(ahead) - memory.leaving - freed > g.wall for g in memory.gauges):
            break
        chosen.append(job)
        freed += job.memory_bytes
        if job.key not in stopped:
            ahead -= memory.ahead[job.key]
    return tuple(chosen)


def age_order(job: StepProcess) -> tuple[float, str]:
    """Sorts the oldest first; files that started together by their ids."""
    return job.started_seconds, job.key
