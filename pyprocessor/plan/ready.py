"""The order of work, written once: what is to be started next.

Dependencies met, then priority (higher first), then the tenant that was given least so far, then the longest job, then
its id. Where the first job does not fit the memory that is free, the first that does fit is taken; the planner keeps
room for the one that was passed (see `planner.next_batch`).

Held in memory for every job that waits, so entries are light: 100,000 of them take some 40 MB.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pyprocessor.costs import CostClass
from pyprocessor.models import Cost


@dataclass(frozen=True, slots=True)
class Entry:
    """What the order of work needs to know of a job; predictions are for one thread.

    `memory_bytes` contains the margin of safety that planning is to reckon with.
    """

    job_id: str
    cpu_seconds: float
    memory_bytes: int
    cost_class: CostClass
    disk_bytes: int = 0
    priority: int = 0
    tenant: str = ""


_Bucket = tuple[CostClass, int]
"""Jobs of one class whose memory differs by less than a quarter: if the first does not fit, neither do the others."""
_Item = tuple[float, str, int, Entry]


class Ready:
    """Jobs that wait to be started. `len` counts those that could start now, not those that wait for others."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._heaps: dict[int, dict[str, dict[_Bucket, list[_Item]]]] = {}
        self._given: dict[str, float] = {}
        self._waiting: dict[str, tuple[Entry, set[str]]] = {}
        self._dependents: dict[str, list[str]] = {}
        self._serial = 0
        # In whole microseconds: a sum of floats would depend on the order in which jobs were found.
        self._cpu_microseconds = 0
        self._memory_bytes = 0
        self._disk_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._entries or job_id in self._waiting

    @property
    def waiting(self) -> int:
        """How many jobs wait for others to be done first."""
        return len(self._waiting)

    @property
    def cpu_seconds(self) -> float:
        """Predicted work of all jobs that could start now."""
        return self._cpu_microseconds / 1e6

    def typical(self) -> Cost:
        """The mean of the jobs that could start now; zeros when there is none."""
        count = max(1, len(self._entries))
        return Cost(self.cpu_seconds / count, self._memory_bytes // count, self._disk_bytes // count)

    def add(self, entry: Entry, waits_for: Iterable[str] = ()) -> None:
        """Take a job in; `waits_for` are ids of jobs that must be `satisfied` before."""
        awaited = set(waits_for)
        if awaited:
            self._waiting[entry.job_id] = (entry, awaited)
            for job_id in awaited:
                self._dependents.setdefault(job_id, []).append(entry.job_id)
        else:
            self._push(entry)

    def put_back(self, entry: Entry) -> None:
        """Take in again what `take` gave but nobody ran: its tenant gets back what it was charged."""
        self._given[entry.tenant] = self._given.get(entry.tenant, 0.0) - entry.cpu_seconds
        self._push(entry)

    def satisfied(self, job_id: str) -> None:
        """That job is done: the jobs that waited for it alone can start."""
        for dependent in self._dependents.pop(job_id, ()):
            if dependent in self._waiting:
                entry, awaited = self._waiting[dependent]
                awaited.discard(job_id)
                if not awaited:
                    del self._waiting[dependent]
                    self._push(entry)

    def discard(self, job_id: str) -> Entry | None:
        """Drop a job; returns it, or None when it is not here."""
        waiting = self._waiting.pop(job_id, None)
        if waiting is not None:
            return waiting[0]
        return self._remove(job_id)

    def first(self, fits: Callable[[Entry], bool] | None = None) -> Entry | None:
        """The job that is next among those that fit; it stays."""
        for priority in sorted(self._heaps, reverse=True):
            tenants = self._heaps[priority]
            for tenant in sorted(tenants, key=lambda t: (self._given.get(t, 0.0), t)):
                best: _Item | None = None
                for item in self._heads(tenants[tenant]):
                    if (best is None or item[:2] < best[:2]) and (fits is None or fits(item[3])):
                        best = item
                if best is not None:
                    return best[3]
        return None

    def take(self, fits: Callable[[Entry], bool] | None = None) -> Entry | None:
        """Remove and return the job that is next among those that fit; its tenant is charged its CPU-seconds."""
        entry = self.first(fits)
        if entry is not None:
            self._remove(entry.job_id)
            self._given[entry.tenant] = self._given.get(entry.tenant, 0.0) + entry.cpu_seconds
        return entry

    def _push(self, entry: Entry) -> None:
        if entry.job_id in self._entries:
            self._remove(entry.job_id)
        tenants = self._heaps.setdefault(entry.priority, {})
        if entry.tenant not in tenants:
            self._join(entry.tenant)
        bucket = (entry.cost_class, _memory_step(entry.memory_bytes))
        self._serial += 1
        item = (-entry.cpu_seconds, entry.job_id, self._serial, entry)
        heapq.heappush(tenants.setdefault(entry.tenant, {}).setdefault(bucket, []), item)
        self._entries[entry.job_id] = entry
        self._cpu_microseconds += round(entry.cpu_seconds * 1e6)
        self._memory_bytes += entry.memory_bytes
        self._disk_bytes += entry.disk_bytes

    def _join(self, tenant: str) -> None:
        """A tenant that was idle starts level with the one served least, and is not owed the time it was away."""
        served = [self._given.get(other, 0.0) for tenants in self._heaps.values() for other in tenants]
        self._given[tenant] = max(self._given.get(tenant, 0.0), min(served, default=0.0))

    def _remove(self, job_id: str) -> Entry | None:
        """Forget a job. Its place in the heap is cleared when it comes to the top."""
        entry = self._entries.pop(job_id, None)
        if entry is not None:
            self._cpu_microseconds -= round(entry.cpu_seconds * 1e6)
            self._memory_bytes -= entry.memory_bytes
            self._disk_bytes -= entry.disk_bytes
            self._clear(entry)
        return entry

    def _clear(self, entry: Entry) -> None:
        tenants = self._heaps[entry.priority]
        buckets = tenants[entry.tenant]
        bucket = (entry.cost_class, _memory_step(entry.memory_bytes))
        heap = buckets[bucket]
        while heap and self._entries.get(heap[0][1]) is not heap[0][3]:
            heapq.heappop(heap)
        if not heap:
            del buckets[bucket]
            if not buckets:
                del tenants[entry.tenant]
                if not tenants:
                    del self._heaps[entry.priority]

    def _heads(self, buckets: dict[_Bucket, list[_Item]]) -> Iterator[_Item]:
        return (heap[0] for heap in buckets.values())


def _memory_step(memory_bytes: int) -> int:
    """Steps of a quarter of an octave at most: the bit length and the two bits below the highest."""
    length = max(memory_bytes, 4).bit_length()
    return length * 4 + ((max(memory_bytes, 4) >> (length - 3)) & 3)
