"""How much CPU time did our processes take between two readings, where processes come and go? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """CPU seconds of one process, and of its children that have ended; `started` (any unit) tells reused pids apart."""

    parent: int
    started: float
    own_seconds: float
    reaped_seconds: float

    @property
    def total_seconds(self) -> float:
        return self.own_seconds + self.reaped_seconds


class ProcessCpu:
    """Adds up what a changing set of processes takes.

    The kernel adds all that an ended process took to its parent's time; what was seen of it before is subtracted, so
    that one that lived between two readings counts, too.
    """

    def __init__(self) -> None:
        self._last: Mapping[int, ProcessTimes] = {}
        self._counted: dict[int, float] = {}

    def since_last(self, current: Mapping[int, ProcessTimes]) -> float:
        """Return CPU seconds since the previous call, of a new process all it took; parents must be read first."""
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
            # A child's time may show in the parent only at the next reading, but not later.
            earlier = self._counted.get(pid, 0.0)
            repeated = min(reaped, earlier + counted.get(pid, 0.0))
            left[pid] = counted.get(pid, 0.0) - max(0.0, repeated - earlier)
            spent += max(0.0, now.own_seconds - before.own_seconds) + reaped - repeated
        self._last, self._counted = dict(current), left
        return spent

    def _heir(self, pid: int, current: Mapping[int, ProcessTimes]) -> int | None:
        """Return the nearest ancestor that still runs: the time of what ended below it is now in its own."""
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
