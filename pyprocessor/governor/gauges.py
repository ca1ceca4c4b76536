"""Memory in use against what is allowed: the machine's as a whole, and ours where a limit is set for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyprocessor.governor.growth_rate import RunningFile
from pyprocessor.models import BatchSettings, Reading, ThrottlingSettings
from pyprocessor.models.wording import memory_size

LIMIT_WALL = 1.1
"""Of `memory_limit_bytes`, which is a wish and not the end of memory: files are ended only beyond this."""
SLACK = 0.01
"""Of the budget: slower growth than this within the reaction time is none."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One amount of memory in use and the marks it is held against, all in bytes.

    `others` is what is in use by others than us, `others_ahead` what that is going to grow by within the reaction time,
    `overhead` what our own processes take besides the files, `leaving` what files take that were told to end.
    """

    used: int
    budget: int
    wall: int
    hold: int
    release: int
    others: int
    others_ahead: int
    overhead: int
    leaving: int
    is_limit: bool

    @property
    def near(self) -> bool:
        return self.used >= self.hold

    @property
    def over(self) -> bool:
        return self.used > self.budget

    @property
    def slack(self) -> int:
        return int(self.budget * SLACK)

    @property
    def target(self) -> int:
        """What growth is to end below when files are suspended: the budget, or what is in use where that is more."""
        return max(self.budget, self.used + self.slack)

    def projected(self, ahead: int) -> int:
        """What will be in use within the reaction time where files grow by `ahead`."""
        return self.used + ahead + self.others_ahead

    def to_wall(self, ahead: int) -> bool:
        """Whether it is about to hit the wall."""
        return self.projected(ahead) > self.wall

    def rising(self, ahead: int) -> bool:
        """Whether it rises while it is over."""
        return self.over and self.projected(ahead) > self.target

    def hits_wall(self, ahead: int, freed: int) -> bool:
        """Whether it is over and beyond the wall within the reaction time, though `freed` is given back."""
        return self.over and self.projected(ahead) - self.leaving - freed > self.wall

    def exceeded_by(self, file: RunningFile) -> bool:
        """Whether this file was known to need more than there is, whatever others do."""
        return file.memory_bytes <= file.predicted_bytes and self.overhead + file.predicted_bytes > self.budget

    def __str__(self) -> str:
        whose = "pyprocessor's memory is" if self.is_limit else "memory in use is"
        return f"{whose} {memory_size(self.used)} of the {memory_size(self.budget)} allowed"


def gauges(
    reading: Reading,
    files: Sequence[RunningFile],
    others_rate: float,
    leaving: int,
    batch: BatchSettings,
    throttling: ThrottlingSettings,
) -> tuple[Gauge, ...]:
    """The gauges that hold: the machine's, where its total is known, and ours, where there is a limit."""
    hold, release = throttling.hold_percent / 100, throttling.release_percent / 100
    used = reading.used_memory_bytes
    # Pages that processes share count once in the whole and once for each of them in ours.
    ours = min(used, reading.our_memory_bytes) if reading.total_memory_bytes > 0 else reading.our_memory_bytes
    overhead = max(0, ours - sum(file.memory_bytes for file in files))
    found = []
    if reading.total_memory_bytes > 0:
        total = reading.total_memory_bytes
        budget = int(total * batch.max_memory_percent / 100)
        found.append(
            Gauge(
                used=used,
                budget=budget,
                wall=max(budget, int(total * throttling.wall_percent / 100)),
                hold=int(budget * hold),
                release=int(budget * release),
                others=used - ours,
                others_ahead=int(others_rate * throttling.reaction_seconds),
                overhead=overhead,
                leaving=leaving,
                is_limit=False,
            )
        )
    if batch.memory_limit_bytes is not None:
        budget = batch.memory_limit_bytes
        found.append(
            Gauge(
                used=ours,
                budget=budget,
                wall=int(budget * LIMIT_WALL),
                hold=int(budget * hold),
                release=int(budget * release),
                others=0,
                others_ahead=0,
                overhead=overhead,
                leaving=leaving,
                is_limit=True,
            )
        )
    return tuple(found)
