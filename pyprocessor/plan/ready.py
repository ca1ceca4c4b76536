"""The order of work, written once: what is to be started next.

Dependencies met, then priority (higher first), then what was not tried yet before what was, then the tenant that was
given least so far, then the longest job, then its id. Where the first job does not fit the memory that is free, the
first that does fit is taken; the planner keeps room for the one that was passed (see `planner.next_batch`).

Held in memory for every job that waits, so entries are light: 100,000 of them take some 40 MB. What is learned while
they wait multiplies all predictions of a class alike, so it changes no order within the class: a new price is noted
once a class, and an entry takes it on when it comes to the top.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from pyprocessor.costs import CostClass, CostModel, Price
from pyprocessor.models import Cost, EstimationSettings

PRIORS = Price()
"""The price of an entry whose class nothing was learned of, without a margin."""
_NOTICEABLE = 1.01
"""A price that moved by less than this factor stays as it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the order of work needs to know of a job: its priors at one thread and the price they are multiplied by."""

    job_id: str
    prior_cpu_seconds: float
    prior_memory_bytes: float
    cost_class: CostClass
    disk_bytes: int = 0
    priority: int = 0
    tenant: str = ""
    price: Price = PRIORS
    memory_floor_bytes: int = 0
    """What an attempt is known to have taken, whatever is predicted."""
    tries: int = 0
    """How often it failed in a way that may pass: each time it stands further behind."""
    narrow: bool = False
    """Memory ran out under it: it gets one thread, however many others get."""

    @property
    def band(self) -> Band:
        """What stands in a higher band comes first, whatever it costs."""
        return self.priority, -self.tries

    @property
    def cpu_seconds(self) -> float:
        """Predicted CPU-seconds at one thread."""
        return self.prior_cpu_seconds * self.price.cpu

    @property
    def memory_bytes(self) -> int:
        """Predicted peak at one thread, with the margin of safety that planning is to reckon with."""
        return max(math.ceil(self.prior_memory_bytes * self.price.memory), self.memory_floor_bytes)

    def raised(self, memory_bytes: int) -> Entry:
        """The entry of a job that was seen to take this much."""
        return replace(self, memory_floor_bytes=max(memory_bytes, self.memory_floor_bytes))


Band = tuple[int, int]
_Bucket = tuple[CostClass, int, int]
"""Jobs of one class whose memory differs by less than a quarter, in prior and floor, and so at any price: if the first
does not fit, neither do the others."""
_Item = tuple[float, str, int, Entry]


@dataclass(slots=True)
class _Class:
    """All entries of one class that could start now. CPU is in whole microseconds and memory in whole bytes, both
    before the price: a sum of floats would depend on the order in which jobs were found."""

    price: Price
    cpu_microseconds: int = 0
    memory_bytes: int = 0

    def add(self, entry: Entry, sign: int) -> None:
        self.cpu_microseconds += sign * round(entry.prior_cpu_seconds * 1e6)
        self.memory_bytes += sign * round(entry.prior_memory_bytes)


class Ready:
    """Jobs that wait to be started. `len` counts those that could start now, not those that wait for others."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._heaps: dict[Band, dict[str, dict[_Bucket, list[_Item]]]] = {}
        self._given: dict[str, float] = {}
        self._waiting: dict[str, tuple[Entry, set[str]]] = {}
        self._dependents: dict[str, list[str]] = {}
        self._classes: dict[CostClass, _Class] = {}
        self._serial = 0
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
        # fsum rounds once, so the order of the classes does not matter.
        return math.fsum(known.cpu_microseconds * known.price.cpu for known in self._classes.values()) / 1e6

    def work(self) -> list[tuple[CostClass, float]]:
        """Predicted CPU-seconds of all jobs that could start now, by class."""
        return [(name, known.cpu_microseconds * known.price.cpu / 1e6) for name, known in self._classes.items()]

    def typical(self) -> Cost:
        """The mean of the jobs that could start now; zeros when there is none."""
        count = max(1, len(self._entries))
        memory = math.fsum(known.memory_bytes * known.price.memory for known in self._classes.values())
        return Cost(self.cpu_seconds / count, int(memory / count), self._disk_bytes // count)

    def reprice(self, model: CostModel, estimation: EstimationSettings) -> bool:
        """Predict all that waits anew with what `model` knows; says whether any prediction moved noticeably.

        Takes some microseconds for every class of jobs, however many jobs wait.
        """
        moved = False
        for cost_class, known in self._classes.items():
            price = model.price(cost_class, estimation.memory_safety_factor)
            if _differ(price, known.price):
                known.price = price
                moved = True
        return moved

    @property
    def several_tenants(self) -> bool:
        """Whether tenants share what could start now."""
        return len({tenant for tenants in self._heaps.values() for tenant in tenants}) > 1

    def longer_than(self, cpu_seconds: float) -> list[Entry]:
        """All jobs that could start now and are predicted to take more CPU-seconds, in no order."""
        longer: list[Entry] = []
        for tenants in self._heaps.values():
            for buckets in tenants.values():
                for (cost_class, *_), heap in buckets.items():
                    price = self._classes[cost_class].price.cpu
                    places = [0]
                    while places:
                        place = places.pop()
                        # Nothing below a place in a heap is longer than what stands there.
                        if place < len(heap) and -heap[place][0] * price > cpu_seconds:
                            entry = heap[place][3]
                            if self._entries.get(entry.job_id) is entry:
                                longer.append(self._priced(entry))
                            places += (2 * place + 1, 2 * place + 2)
        return longer

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
        entry = self._entries.get(job_id)
        if entry is None:
            return None
        priced = self._priced(entry)
        self._remove(job_id)
        return priced

    def first(self, fits: Callable[[Entry], bool] | None = None) -> Entry | None:
        """The job that is next among those that fit; it stays.

        Whether jobs of a class fit must depend on their memory, or leave out the shorter of them: a bucket whose first
        job does not fit is passed as a whole.
        """
        for band in sorted(self._heaps, reverse=True):
            tenants = self._heaps[band]
            for tenant in sorted(tenants, key=lambda t: (self._given.get(t, 0.0), t)):
                best: tuple[float, str, Entry] | None = None
                for entry in self._heads(tenants[tenant]):
                    place = (-entry.cpu_seconds, entry.job_id, entry)
                    if (best is None or place[:2] < best[:2]) and (fits is None or fits(entry)):
                        best = place
                if best is not None:
                    return best[2]
        return None

    def take(self, fits: Callable[[Entry], bool] | None = None) -> Entry | None:
        """Remove and return the job that is next among those that fit; its tenant is charged its CPU-seconds."""
        entry = self.first(fits)
        return None if entry is None else self._charged(entry)

    def take_among(self, job_ids: Iterable[str], fits: Callable[[Entry], bool]) -> Entry | None:
        """Like `take`, but the first of these jobs that could start now and fits."""
        for job_id in job_ids:
            waiting = self._entries.get(job_id)
            if waiting is not None and fits(entry := self._priced(waiting)):
                return self._charged(entry)
        return None

    def _charged(self, entry: Entry) -> Entry:
        self._remove(entry.job_id)
        self._given[entry.tenant] = self._given.get(entry.tenant, 0.0) + entry.cpu_seconds
        return entry

    def _push(self, entry: Entry) -> None:
        if entry.job_id in self._entries:
            self._remove(entry.job_id)
        tenants = self._heaps.setdefault(entry.band, {})
        if entry.tenant not in tenants:
            self._join(entry.tenant)
        known = self._classes.setdefault(entry.cost_class, _Class(entry.price))
        # All entries of a class share one price, the newest known here.
        entry = self._priced(entry)
        self._serial += 1
        item = (-entry.prior_cpu_seconds, entry.job_id, self._serial, entry)
        heapq.heappush(tenants.setdefault(entry.tenant, {}).setdefault(_bucket(entry), []), item)
        self._entries[entry.job_id] = entry
        known.add(entry, 1)
        self._disk_bytes += entry.disk_bytes

    def _join(self, tenant: str) -> None:
        """A tenant that was idle starts level with the one served least, and is not owed the time it was away."""
        served = [self._given.get(other, 0.0) for tenants in self._heaps.values() for other in tenants]
        self._given[tenant] = max(self._given.get(tenant, 0.0), min(served, default=0.0))

    def _remove(self, job_id: str) -> Entry | None:
        """Forget a job. Its place in the heap is cleared when it comes to the top."""
        entry = self._entries.pop(job_id, None)
        if entry is not None:
            self._classes[entry.cost_class].add(entry, -1)
            self._disk_bytes -= entry.disk_bytes
            self._clear(entry)
        return entry

    def _clear(self, entry: Entry) -> None:
        tenants = self._heaps[entry.band]
        buckets = tenants[entry.tenant]
        bucket = _bucket(entry)
        heap = buckets[bucket]
        while heap and self._entries.get(heap[0][1]) is not heap[0][3]:
            heapq.heappop(heap)
        if not heap:
            del buckets[bucket]
            if not buckets:
                del tenants[entry.tenant]
                if not tenants:
                    del self._heaps[entry.band]

    def _heads(self, buckets: dict[_Bucket, list[_Item]]) -> Iterator[Entry]:
        """The first of each bucket, at today's price."""
        for heap in buckets.values():
            prior, job_id, serial, entry = heap[0]
            priced = self._priced(entry)
            if priced is not entry:
                self._entries[job_id] = priced
                heap[0] = (prior, job_id, serial, priced)
            yield priced

    def _priced(self, entry: Entry) -> Entry:
        price = self._classes[entry.cost_class].price
        return entry if entry.price is price else replace(entry, price=price)


def _differ(one: Price, other: Price) -> bool:
    pairs = ((one.cpu, other.cpu), (one.memory, other.memory), (one.spread, other.spread))
    return any(not a / _NOTICEABLE < b < a * _NOTICEABLE for a, b in pairs)


def _bucket(entry: Entry) -> _Bucket:
    return entry.cost_class, _memory_step(math.ceil(entry.prior_memory_bytes)), _memory_step(entry.memory_floor_bytes)


def _memory_step(memory_bytes: int) -> int:
    """Steps of a quarter of an octave at most: the bit length and the two bits below the highest."""
    length = max(memory_bytes, 4).bit_length()
    return length * 4 + ((max(memory_bytes, 4) >> (length - 3)) & 3)
