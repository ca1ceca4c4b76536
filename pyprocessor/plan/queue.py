"""Which waiting job is next?

Lower priority first (`jobs.priorities`), then what was not tried yet, then the tenant that was given least by its
weight (`plan/tenants`), then as the run's mode ranks it, then the longest job, then its id. What is learned while jobs
wait multiplies all predictions of a class alike and so keeps the order within the class: new factors are noted once a
class, and a job takes them on when it comes to the top.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, replace
from typing import NamedTuple

from pyprocessor.costs.model import FILE_SECONDS, CostClass, CostModel, wall_seconds
from pyprocessor.jobs.priorities import HIGH, IDLE, RISE_SECONDS, UNRANKED, Band, Rank, standing
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import WHOLE, Backend, BatchSettings, Cost, EstimationSettings
from pyprocessor.plan.class_sums import ClassSums
from pyprocessor.plan.tenants import TenantOrder, Tenants

_NOTICEABLE = 1.01
"""Factors that all moved by less than this factor stay as they are."""
_Bucket = tuple[CostClass, int, int, tuple[tuple[str, int], ...], tuple[Backend, ...], bool]
"""Jobs of one class whose memory differs by less than a quarter, in prior and floor, and so with any factors, that hold
the same resources, have the same back ends, and all fetch inputs or none: if the first does not fit, no other does."""


class _Item(NamedTuple):
    """A job's place in a heap: by rank, the longest first, then by its id; no two have the same `serial`."""

    rank: Rank
    minus_cpu_seconds: float
    job_id: str
    serial: int
    job: QueuedJob


class ReadyQueue:
    """Jobs that could start now, in their order."""

    def __init__(self, tenants: Tenants | None = None) -> None:
        self._tenants = Tenants(BatchSettings()) if tenants is None else tenants
        self.order = TenantOrder(self._tenants)
        self._jobs: dict[str, QueuedJob] = {}
        self._heaps: dict[tuple[Band, str], dict[_Bucket, list[_Item]]] = {}
        """By band and tenant."""
        self._classes: dict[CostClass, ClassSums] = {}
        self._serial = 0
        self._disk_bytes = 0
        self.divisible = 0
        """How many of them may be done in parts, or are expected to be."""

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def cpu_seconds(self) -> float:
        """Predicted work of all jobs that could start now."""
        # Rounded once, so that the order of the classes does not matter.
        return math.fsum(known.cpu_seconds for known in self._classes.values())

    def wall_seconds(self, cores: int) -> float:
        """Predicted wall time of all of them on one slot, one after another."""
        if not self._jobs:
            return 0.0
        each = wall_seconds(self.cpu_seconds / len(self._jobs), cores)
        waits = sum(known.wait_microseconds for known in self._classes.values()) / 1e6
        given = sum(known.count for cost_class, known in self._classes.items() if cost_class.given)
        return max(0.0, len(self._jobs) * each + waits - FILE_SECONDS * given)

    def work(self) -> list[tuple[float, float]]:
        """For each class, the predicted CPU-seconds of its jobs and the factor that these may be off by."""
        return [(known.cpu_seconds, known.factors.spread) for known in self._classes.values()]

    def count_of(self, cost_class: CostClass | None) -> int:
        """How many jobs of a class could start now."""
        return self._classes[cost_class].count if cost_class in self._classes else 0

    def main_class(self) -> CostClass | None:
        """The class that most of the work is of."""
        return max(self._classes, key=lambda cost_class: self._classes[cost_class].cpu_seconds, default=None)

    def typical(self) -> Cost:
        """The mean of the jobs that could start now; zeros when there is none."""
        count = max(1, len(self._jobs))
        memory = math.fsum(known.memory_bytes * known.factors.memory for known in self._classes.values())
        return Cost(self.cpu_seconds / count, int(memory / count), self._disk_bytes // count)

    def reprice(self, model: CostModel, estimation: EstimationSettings) -> bool:
        """Predict all that waits anew, in microseconds a class; returns whether a prediction moved noticeably."""
        moved = False
        for cost_class, known in self._classes.items():
            factors = model.factors(cost_class, estimation.memory_safety_factor)
            if factors is not known.looked_at:
                known.looked_at = factors
                pairs = zip(astuple(factors), astuple(known.factors), strict=True)
                if any(not a / _NOTICEABLE < b < a * _NOTICEABLE for a, b in pairs):
                    known.factors = factors
                    moved = True
        return moved

    @property
    def by_cost_alone(self) -> bool:
        """Whether only costs decide the order: all is of one priority, and of one tenant, which has no limits."""
        kinds = {(band[0], tenant) for band, tenant in self._heaps}
        return len(kinds) <= 1 and not any(self._tenants.limited(tenant) for _, tenant in kinds)

    def longer_than(self, cpu_seconds: float) -> list[QueuedJob]:
        """All jobs that could start now and are predicted to take more CPU-seconds, in no order."""
        longer: list[QueuedJob] = []
        for buckets in self._heaps.values():
            for (cost_class, *_), heap in buckets.items():
                factor = self._classes[cost_class].factors.cpu
                places = [0]
                while places:
                    place = places.pop()
                    if place >= len(heap):
                        continue
                    job, is_longer = heap[place].job, -heap[place].minus_cpu_seconds * factor > cpu_seconds
                    if is_longer and self._jobs.get(job.job_id) is job:
                        longer.append(self._priced(job))
                    # Of those without ranks nothing below a place in a heap is longer than what stands there.
                    if is_longer or job.rank != UNRANKED:
                        places += (2 * place + 1, 2 * place + 2)
        return longer

    def add(self, job: QueuedJob) -> None:
        """Take a job in, instead of the one of the same id where there is one."""
        if job.job_id in self._jobs:
            self._remove(job.job_id)
        if (job.band, job.tenant) not in self._heaps:
            self._heaps[job.band, job.tenant] = {}
            self.order.begin(job.band, job.tenant)
        known = self._classes.setdefault(job.cost_class, ClassSums(job.factors))
        # All jobs of a class share the newest factors known here.
        job = self._priced(job)
        self._serial += 1
        item = _Item(job.rank, -job.prior_cpu_seconds, job.job_id, self._serial, job)
        buckets = self._heaps[job.band, job.tenant]
        heapq.heappush(buckets.setdefault(_bucket(job), []), item)
        self._jobs[job.job_id] = job
        known.add(job, 1)
        self._disk_bytes += job.disk_bytes
        self.divisible += job.division != WHOLE

    def put_back(self, job: QueuedJob) -> None:
        """Put back a job that was taken, and refund its tenant unless an attempt was settled."""
        self.order.settle(job.job_id, 0.0)
        self.add(job)

    def first(self, fits: Callable[[QueuedJob], bool] | None = None) -> QueuedJob | None:
        """The job that is next among those that fit and whose tenants may have more; it stays.

        Whether jobs of a class fit must depend on what its buckets have in common, or leave out the shorter of them: a
        bucket whose first job does not fit is passed as a whole.
        """
        for place in self.order:
            fitting = (job for job in self._heads(self._heaps[place]) if fits is None or fits(job))
            if (job := min(fitting, key=_order, default=None)) is not None:
                return job
        return None

    def take(
        self, fits: Callable[[QueuedJob], bool] | None = None, among: Iterable[str] | None = None
    ) -> QueuedJob | None:
        """Remove and return the next job that fits, or the first of those ids; its tenant is charged for it."""
        if among is None:
            job = self.first(fits)
        else:
            here = (self._priced(self._jobs[job_id]) for job_id in among if job_id in self._jobs)
            job = next((job for job in here if fits is None or fits(job)), None)
        if job is not None:
            self._remove(job.job_id)
            self.order.take(job)
        return job

    def drop(self, job_id: str) -> QueuedJob | None:
        """Remove and return a job that will not be run from here; None where it is not here."""
        job = self._jobs.get(job_id)
        if job is not None:
            self._remove(job_id)
        return job and self._priced(job)

    def __iter__(self) -> Iterator[QueuedJob]:
        return iter(self._jobs.values())

    def is_idle(self, job: QueuedJob) -> bool:
        """Whether it is to start only while nothing of another band waits."""
        return job.priority >= HIGH and standing(job.band, self.order.period)[0] >= IDLE

    def _remove(self, job_id: str) -> None:
        """Drop a job. Its place in the heap is cleared when it comes to the top."""
        job = self._jobs.pop(job_id)
        self._classes[job.cost_class].add(job, -1)
        self._disk_bytes -= job.disk_bytes
        self.divisible -= job.division != WHOLE
        buckets = self._heaps[job.band, job.tenant]
        bucket = _bucket(job)
        heap = buckets[bucket]
        while heap and self._jobs.get(heap[0].job_id) is not heap[0].job:
            heapq.heappop(heap)
        if not heap:
            del buckets[bucket]
            if not buckets:
                del self._heaps[job.band, job.tenant]
                self.order.end(job.band, job.tenant)

    def _heads(self, buckets: dict[_Bucket, list[_Item]]) -> Iterator[QueuedJob]:
        """The first of each bucket, with today's factors."""
        for heap in buckets.values():
            job = heap[0].job
            if job.factors is not self._classes[job.cost_class].factors:
                job = self._priced(job)
                self._jobs[job.job_id] = job
                heap[0] = heap[0]._replace(job=job)
            yield job

    def _priced(self, job: QueuedJob) -> QueuedJob:
        factors = self._classes[job.cost_class].factors
        return job if job.factors is factors else replace(job, factors=factors)


class JobQueue:
    """All waiting jobs of a run: ready ones, those to run alone, retries, those left for another run.

    Ready jobs that will take a core stand in `ready`, those that will mostly wait in `waiting`.
    """

    def __init__(self, settings: BatchSettings | None = None) -> None:
        self._tenants = Tenants(settings or BatchSettings())
        self.ready, self.waiting = ReadyQueue(self._tenants), ReadyQueue(self._tenants)
        self._priced_by: CostModel | None = None
        self._alone: deque[QueuedJob] = deque()
        self._retries: list[tuple[float, str, QueuedJob]] = []
        """A heap by the monotonic time at which each is due."""
        self._late: list[QueuedJob] = []
        self._period = 0

    def __len__(self) -> int:
        return len(self.ready) + len(self.waiting) + len(self._alone) + len(self._retries) + len(self._late)

    @property
    def late(self) -> int:
        """How many of them would not be done in time, and are left for another run."""
        return len(self._late)

    @property
    def untimely(self) -> int:
        """How many of these are left because of their time."""
        return sum(not self._tenants.spent(job.tenant) for job in self._late)

    @property
    def next_due(self) -> float:
        """Monotonic time at which the next retry is due; infinity without one."""
        return self._retries[0][0] if self._retries else math.inf

    def head(self) -> tuple[QueuedJob, float] | None:
        """The job that starts next as far as is known now, and when it may at the earliest (monotonic)."""
        for queue in (self.ready, self.waiting):
            if (ready := queue.first()) is not None:
                return ready, -math.inf
        if self._alone:
            return self._alone[0], -math.inf
        if self._retries:
            due, _, job = self._retries[0]
            return job, due
        held = next(itertools.chain(self.ready, self.waiting, self._late), None)
        return (held, -math.inf) if held is not None else None

    def shortage(self, job: QueuedJob) -> str:
        """Why the limits of its tenant keep a job from starting, as the end of a sentence; empty where they do not."""
        return self._tenants.shortage(job.tenant)

    def limited(self, tenant: str) -> bool:
        """Whether a tenant has limits that may keep its jobs from starting in this run."""
        return self._tenants.limited(tenant)

    def add(self, job: QueuedJob) -> None:
        """Take in a job that was found, and begins to wait now."""
        if job.priority >= HIGH:
            job = replace(job, queued_in=self._period)
        self._place(job)

    def _place(self, job: QueuedJob) -> None:
        if self._tenants.spent(job.tenant):
            self._late.append(job)
        elif job.alone:
            self._alone.append(job)
        else:
            self._of(job).add(job)

    def put_back(self, job: QueuedJob, *, due: float = -math.inf) -> None:
        """Take a job in again that was taken before, to be started when `due` (monotonic) at the earliest."""
        self.settle(job.job_id, 0.0)
        if due > -math.inf:
            heapq.heappush(self._retries, (due, job.job_id, job))
        else:
            self._place(job)

    def settle(self, job_id: str, cpu_seconds: float) -> str | None:
        """Charge a job's tenant with what an attempt took, once; returns a sentence where the rest is left for another
        run, since that is too much."""
        for queue in (self.ready, self.waiting):
            tenant = queue.order.settle(job_id, cpu_seconds)
            if tenant is not None and self._tenants.spent(tenant):
                others = (*self._alone, *(job for _, _, job in self._retries))
                left = [job.job_id for job in (*self.ready, *self.waiting, *others) if job.tenant == tenant]
                self._late += filter(None, map(self.drop, left))
                return self._tenants.note(tenant, len(left)) if left else None
        return None

    def charge(self, job_id: str, cpu_seconds: float) -> None:
        """Charge the tenant of a job in hand with what that is expected to take by now."""
        for queue in (self.ready, self.waiting):
            queue.order.charge(job_id, cpu_seconds)

    def _of(self, job: QueuedJob) -> ReadyQueue:
        return self.waiting if job.waits else self.ready

    def reprice(self, model: CostModel, estimation: EstimationSettings) -> bool:
        """Predict all that is ready anew; returns whether a prediction moved noticeably."""
        if model is self._priced_by:
            return False
        self._priced_by = model
        moved = [queue.reprice(model, estimation) for queue in (self.ready, self.waiting)]
        return any(moved)

    def go_on(self, now: float) -> None:
        """Queue the retries that are due by now, and have what waits long rise."""
        self._period = int(now // RISE_SECONDS)
        for queue in (self.ready, self.waiting):
            queue.order.go_on(self._period)
        while self.next_due <= now:
            _, _, job = heapq.heappop(self._retries)
            self.put_back(job if job.priority < HIGH else replace(job, queued_in=self._period))

    def take_alone(self) -> QueuedJob | None:
        """Remove and return the next job that is to run alone."""
        job = self._alone.popleft() if self._alone else None
        if job is not None:
            self._of(job).order.take(job)
        return job

    def take_lost(self, lost: Callable[[QueuedJob], bool]) -> QueuedJob | None:
        """Remove and return a job of which this is true, as it depends on back ends alone."""
        for queue in (self.ready, self.waiting):
            if (job := queue.take(lost)) is not None:
                return job
        found = next((job for job in self._alone if lost(job)), None)
        return found and self.drop(found.job_id)

    def drop(self, job_id: str) -> QueuedJob | None:
        """Remove and return a job, wherever it waits; None where it does not."""
        for queue in (self.ready, self.waiting):
            if (job := queue.drop(job_id)) is not None:
                return job
        for waiting in (self._alone, self._late):
            if (job := next((job for job in waiting if job.job_id == job_id), None)) is not None:
                waiting.remove(job)
                return job
        retry = next((entry for entry in self._retries if entry[1] == job_id), None)
        if retry is None:
            return None
        self._retries.remove(retry)
        heapq.heapify(self._retries)
        return retry[2]

    def leave(self, job: QueuedJob) -> None:
        """Leave a job for another run: it would not be done in time."""
        self.settle(job.job_id, 0.0)
        self._late.append(job)

    def reconsider(self) -> None:
        """Queue again what was left for another run: predictions or times have changed."""
        late, self._late = self._late, []
        for job in late:
            self.put_back(job)


def _order(job: QueuedJob) -> tuple[Rank, float, str]:
    return job.rank, -job.cpu_seconds, job.job_id


def _bucket(job: QueuedJob) -> _Bucket:
    memory, floor = _memory_step(math.ceil(job.prior_memory_bytes)), _memory_step(job.memory_floor_bytes)
    backends = job.asking.backends if job.asking is not None else ()
    return job.cost_class, memory, floor, job.resources, backends, job.is_fetch


def _memory_step(memory_bytes: int) -> int:
    """Steps of a quarter of an octave at most: the bit length and the two bits below the highest."""
    length = max(memory_bytes, 4).bit_length()
    return length * 4 + ((max(memory_bytes, 4) >> (length - 3)) & 3)
