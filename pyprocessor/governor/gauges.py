"""How much memory is in use, against what is allowed: of the machine, and of ours where a limit is set? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import BatchSettings, Reading, ThrottlingSettings
from pyprocessor.models.wording import memory_size

LIMIT_WALL = 1.1
"""Times `memory_limit_bytes`, which is a wish and not the end of memory: files are ended only beyond this."""
SLACK = 0.01
"""Of the budget: slower growth than this within the reaction time counts as none."""


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
    """How much other programs grow within the reaction time."""
    overhead: int
    """What our own processes take besides the files' ffmpegs."""
    leaving: int
    """Memory of files that are being ended."""
    is_limit: bool

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

    def to_wall(self, ahead: int) -> bool:
        """Whether it is about to reach the wall."""
        return self.projected(ahead) > self.wall

    def rising(self, ahead: int) -> bool:
        """Whether it is over and still rises."""
        return self.over and self.projected(ahead) > self.target

    def hits_wall(self, ahead: int, freed: int) -> bool:
        """Whether it is over and will reach the wall even though `freed` is given back."""
        return self.over and self.projected(ahead) - self.leaving - freed > self.wall

    def exceeded_by(self, job: RunningJob) -> bool:
        """Whether this file was predicted to need more than the budget, whatever others do."""
        return job.memory_bytes <= job.predicted_bytes and self.overhead + job.predicted_bytes > self.budget

    def __str__(self) -> str:
        whose = "pyprocessor's memory is" if self.is_limit else "memory in use is"
        return f"{whose} {memory_size(self.used)} of the {memory_size(self.budget)} allowed"


def gauges(
    reading: Reading,
    jobs: Sequence[RunningJob],
    others_rate: float,
    leaving: int,
    batch: BatchSettings,
    throttling: ThrottlingSettings,
) -> tuple[Gauge, ...]:
    """The machine's gauge, where its total is known, and ours, where a limit is set."""
    total, used = reading.total_memory_bytes, reading.used_memory_bytes
    # Pages that processes share count once in the whole and once for each of them in ours.
    ours = min(used, reading.our_memory_bytes) if total > 0 else reading.our_memory_bytes
    overhead = max(0, ours - sum(job.memory_bytes for job in jobs))

    def gauge(used: int, budget: int, wall: int, others: int, others_ahead: int, *, is_limit: bool) -> Gauge:
        hold, release = int(budget * throttling.hold_percent / 100), int(budget * throttling.release_percent / 100)
        return Gauge(used, budget, wall, hold, release, others, others_ahead, overhead, leaving, is_limit)

    found = []
    if total > 0:
        budget = int(total * batch.max_memory_percent / 100)
        wall = max(budget, int(total * throttling.wall_percent / 100))
        ahead = int(others_rate * throttling.reaction_seconds)
        found.append(gauge(used, budget, wall, used - ours, ahead, is_limit=False))
    if batch.memory_limit_bytes is not None:
        limit = batch.memory_limit_bytes
        found.append(gauge(ours, limit, int(limit * LIMIT_WALL), 0, 0, is_limit=True))
    return tuple(found)
