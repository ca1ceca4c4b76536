"""How many jobs does one batch take, what do its slots do, and how much memory does it need at once? Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import Batch, EstimationSettings
from pyprocessor.models.wording import memory_size
from pyprocessor.plan.queue import ReadyQueue

MIN_BATCH_SECONDS = 1.0
"""A shorter batch costs more to start than it gains by ending evenly (a process starts in some 50 ms)."""
SHARED_BATCH_SECONDS = 5.0
"""Of work for each slot where several tenants take turns: what one is given ahead, another waits for."""
_LONG_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A job that is predicted to need more memory than all jobs together may take."""

    job_id: str
    need_bytes: int
    budget_bytes: int
    """What jobs may take now, beside other programs."""
    limit_bytes: int
    """What jobs could take if no other program used memory."""

    @property
    def hopeless(self) -> bool:
        """Whether it would not fit even if no other program used memory: what `--strict-memory` refuses."""
        return self.need_bytes > self.limit_bytes

    def note(self, name: str) -> str:
        """The sentence for the user when it runs all the same."""
        return f"{name} is {self._predicted()}; it runs with nothing beside."

    def refusal(self) -> str:
        """The sentence for the user when it is refused."""
        return (
            f"It is {self._predicted()}, and --strict-memory is on; raise --max-memory or --memory-limit, choose a "
            "faster preset, or do without --strict-memory to run it alone."
        )

    def _predicted(self) -> str:
        need, limit = memory_size(self.need_bytes), memory_size(self.limit_bytes)
        return f"predicted to take {need} of memory, more than the {limit} that the limit leaves for files"


Span = tuple[int, float, float]
"""The slot (from 0) on which a job is predicted to run, its start and its end in seconds from its batch's start."""


@dataclass(frozen=True, slots=True)
class FormedBatch:
    """A batch with the jobs it took, and when each is predicted to run."""

    batch: Batch
    jobs: tuple[QueuedJob, ...]
    slot_seconds: tuple[float, ...]
    """How long each slot is predicted to be busy, shortest first."""
    spans: tuple[Span, ...]
    over_budget: OverBudget | None = None
    """Set where its only job needs more memory than is allowed."""
    why: str = ""
    """Why it has so many jobs, as the end of a sentence "... because ..."."""


@dataclass(slots=True)
class Packing:
    """A batch while it is put together out of the jobs that are `suitable`.

    `cap` bounds the memory of what runs at once, and may be raised up to `room`.
    """

    ready: ReadyQueue
    suitable: Callable[[QueuedJob], bool]
    slots: int
    threads: int
    cores: int
    cap: float
    room: float
    taken: list[QueuedJob] = field(default_factory=list)
    largest_first: list[int] = field(default_factory=list)
    loads: list[tuple[float, int]] = field(init=False)
    """When each slot is idle, and its number; a heap."""
    spans: list[Span] = field(init=False)

    def __post_init__(self) -> None:
        self._reduce_slots(self.slots)

    def take_scheduled(self, now: Sequence[str], behind: Sequence[str], most: int) -> None:
        """Take a job of `now` for every slot, then of `behind` for slots with little to do; 1 to `most` jobs."""
        while len(self.taken) < min(self.slots, max(1, most)):
            if not self._take(now):
                self._reduce_slots(max(1, len(self.taken)))
                break
        while self.loads[0][0] < MIN_BATCH_SECONDS and len(self.taken) < most and self._take(behind):
            pass

    def take_worth(self, estimation: EstimationSettings, share: float, free_slots: int, all_slots: int) -> float:
        """Take jobs until every slot has its share of work, in seconds; `free_slots` counts this batch's, too.

        Returns that share.
        """
        left = self.ready.wall_seconds(self.cores)
        target = max(MIN_BATCH_SECONDS, min(estimation.target_batch_seconds, left / (2 * all_slots)) * share)
        most = max(1, int(estimation.max_batch_size * share))
        shared = self.ready.order.shared
        if shared:
            target = min(target, SHARED_BATCH_SECONDS)
        while len(self.taken) < most:
            if len(self.taken) >= estimation.min_batch_size and self._has_enough(target, free_slots):
                break
            if shared and self.taken and self.loads[0][0] >= MIN_BATCH_SECONDS and self._anothers_turn():
                break
            if self._take():
                continue
            if len(self.taken) >= self.slots or self.slots == 1:
                break
            self._reduce_slots(max(1, len(self.taken)))
        return target

    def _anothers_turn(self) -> bool:
        """Whether the next job is another tenant's, who waits for a batch of another kind."""
        head = self.ready.first()
        return head is not None and head.tenant != self.taken[-1].tenant and not self.suitable(head)

    def take_exactly(self, count: int, *, may_exceed: bool) -> bool:
        """Take `count` jobs, or all suitable, with as many slots as fit; False where they must wait for memory."""
        count = min(count, len(self.taken) + len(self.ready))
        while len(self.taken) < count:
            if self._take():
                continue
            if self.ready.first(self.suitable) is None:
                return True
            if self.slots > 1:
                self._reduce_slots(self.slots - 1)
            elif self.cap < self.room:
                self.cap = self.room
            elif may_exceed:
                self.cap = self.room = math.inf
            else:
                return False
        return True

    def formed(self, batch_id: int, budget_bytes: int, limit_bytes: int, why: str) -> FormedBatch:
        """The batch, of a size with that reason."""
        slots = min(self.slots, len(self.taken))
        memory = sum(self.largest_first[:slots])
        over = None
        if memory > budget_bytes:
            largest = max(self.taken, key=lambda e: (e.memory_with(self.threads), e.job_id))
            over = OverBudget(largest.job_id, largest.memory_with(self.threads), budget_bytes, limit_bytes)
        batch = Batch(batch_id, tuple(e.job_id for e in self.taken), slots, self.threads, memory, self.cores)
        slot_seconds = tuple(sorted(end for end, _ in self.loads if end > 0))
        return FormedBatch(batch, tuple(self.taken), slot_seconds, tuple(self.spans), over, why)

    def _take(self, among: Sequence[str] | None = None) -> bool:
        """Take the next job, suitable or of these, that fits beside the largest ones that could run with it."""
        allowed = self.cap - sum(self.largest_first[: self.slots - 1])
        job = self.ready.take(
            lambda e: e.memory_with(self.threads) <= allowed and (among is not None or self.suitable(e)), among
        )
        if job is None:
            return False
        self.taken.append(job)
        self.largest_first.append(job.memory_with(self.threads))
        self.largest_first.sort(reverse=True)
        self._load(job)
        return True

    def _load(self, job: QueuedJob) -> None:
        start, slot = self.loads[0]
        end = start + job.wall_seconds(self.cores)
        self.spans.append((slot, start, end))
        heapq.heapreplace(self.loads, (end, slot))

    def _reduce_slots(self, slots: int) -> None:
        self.slots, self.spans = slots, []
        self.loads = [(0.0, slot) for slot in range(slots)]
        for job in self.taken:
            self._load(job)

    def _has_enough(self, target: float, free_slots: int) -> bool:
        """Whether every slot has its target; beside a long job the other slots get more, within their share."""
        if not self.taken:
            return False
        longest, _ = max(self.loads)
        if longest > target:
            left = self.ready.wall_seconds(self.cores)
            target = max(target, min(_LONG_SHARE * longest, left / free_slots))
        return self.loads[0][0] >= target
