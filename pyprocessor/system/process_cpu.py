"""How much CPU our processes took between two readings, where processes come and go. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """CPU seconds of one process, and of those children of its that have ended and were waited for.

    `started` tells apart two processes that were given the same pid one after the other; its unit does not matter.
    """

    parent: int
    started: float
    own_seconds: float
    reaped_seconds: float

    @property
    def total_seconds(self) -> float:
        return self.own_seconds + self.reaped_seconds


class ProcessCpu:
    """Adds up what a changing set of processes takes.

    A process that has ended is found again in the time of the parent that waited for it, with all that it took; what of
    that was seen before is taken off. So one that lived and ended between two readings counts too. The last moments of
    one whose parent is not among ours (batch processes are children of the forkserver) are lost.
    """

    def __init__(self) -> None:
        self._last: Mapping[int, ProcessTimes] = {}
        self._counted: dict[int, float] = {}

    def since_last(self, current: Mapping[int, ProcessTimes]) -> float:
        """CPU seconds since the previous call; of a process that is new, all it ever took.

        A parent must have been read before its children: what it has waited for is then never counted as running too.
        """
        counted: dict[int, float] = {}
        for pid, last in self._last.items():
            if not _is_same(last, current.get(pid)):
                heir = self._heir(last.parent, current)
                if heir is not None:
                    counted[heir] = counted.get(heir, 0.0) + last.total_seconds
        spent = 0.0
        left: dict[int, float] = {}
        for pid, now in current.items():
            before = self._last.get(pid)
            if before is None or not _is_same(before, now):
                spent += now.total_seconds
                continue
            reaped = max(0.0, now.reaped_seconds - before.reaped_seconds)
            # What was counted while the child ran may show in the parent only at the next reading, but not later.
            earlier = self._counted.get(pid, 0.0)
            repeated = min(reaped, earlier + counted.get(pid, 0.0))
            left[pid] = counted.get(pid, 0.0) - max(0.0, repeated - earlier)
            spent += max(0.0, now.own_seconds - before.own_seconds) + reaped - repeated
        self._last, self._counted = dict(current), left
        return spent

    def _heir(self, pid: int, current: Mapping[int, ProcessTimes]) -> int | None:
        """The nearest ancestor that still runs, which now has waited for what ended below it."""
        for _ in range(len(self._last)):
            last = self._last.get(pid)
            if last is None:
                return None
            if _is_same(last, current.get(pid)):
                return pid
            pid = last.parent
        return None


def _is_same(last: ProcessTimes, now: ProcessTimes | None) -> bool:
    return now is not None and now.started == last.started
