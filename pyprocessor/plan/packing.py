"""Putting one batch together: how many jobs it takes, what its slots do, and what it needs at once. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyprocessor.costs import wall_seconds
from pyprocessor.models import Batch, Cost, EstimationSettings
from pyprocessor.models.wording import memory_size
from pyprocessor.plan.admission import memory_need
from pyprocessor.plan.ready import Entry, Ready

MIN_BATCH_SECONDS = 1.0
"""A shorter batch costs more to start than it gains by ending evenly (a process starts in some 50 ms)."""
_LONG_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A job that is predicted to need more memory than all jobs together may take."""

    job_id: str
    need_bytes: int
    budget_bytes: int
    """What jobs may take now, beside what others use."""
    limit_bytes: int
    """What jobs could take if nobody else used memory."""

    @property
    def hopeless(self) -> bool:
        """Whether it would not fit either if nobody else used memory: what `--strict-memory` refuses."""
        return self.need_bytes > self.limit_bytes

    def note(self, name: str) -> str:
        """The sentence for the user when it runs all the same."""
        return (
            f"{name} is predicted to take {memory_size(self.need_bytes)} of memory, more than the "
            f"{memory_size(self.limit_bytes)} that the limit leaves for files; it runs with nothing beside."
        )

    def refusal(self, name: str) -> str:
        """The sentence for the user when it is refused."""
        return (
            f"{name} is predicted to take {memory_size(self.need_bytes)} of memory, more than the "
            f"{memory_size(self.limit_bytes)} that the limit leaves for files, and --strict-memory is on; raise "
            "--max-memory or --memory-limit, choose a faster preset, or do without --strict-memory to run it alone."
        )


@dataclass(frozen=True, slots=True)
class Span:
    """When a job of a batch is predicted to run, in seconds from the batch's start, and on which slot (from 0)."""

    slot: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class FormedBatch:
    """A batch with the entries it took, and when each is predicted to run. `slot_seconds` is how long each slot is
    predicted to be busy, shortest first; `over_budget` is set where its only job needs more memory than is allowed."""

    batch: Batch
    entries: tuple[Entry, ...]
    slot_seconds: tuple[float, ...]
    spans: tuple[Span, ...]
    over_budget: OverBudget | None = None

    @property
    def seconds(self) -> float:
        """Predicted wall time from start to end."""
        return self.slot_seconds[-1]


def wall(cpu_seconds: float, files: int, threads: int) -> float:
    """Wall time of that many files on one slot, one after another."""
    return files * wall_seconds(Cost(cpu_seconds / files, 0, 0), threads) if files else 0.0


class Packing:
    """A batch while it is put together out of the jobs that are `suitable`.

    `cap` bounds the memory of what runs at once, and may be raised up to `room`.
    """

    def __init__(
        self,
        ready: Ready,
        suitable: Callable[[Entry], bool],
        slots: int,
        threads: int,
        cores: int,
        *,
        cap: float,
        room: float,
    ) -> None:
        self._ready = ready
        self._suitable = suitable
        self._slots = slots
        self._threads = threads
        self._cores = cores
        self._cap = cap
        self._room = room
        self._taken: list[Entry] = []
        self._largest_first: list[int] = []
        self._loads = [0.0] * slots

    def take_scheduled(self, now: Sequence[str], behind: Sequence[str], most: int) -> None:
        """Take one of the jobs that are to start `now` for every slot, and then of those to go `behind` them, until no
        slot has next to nothing to do. Not more than `most` jobs, but one at least.
        """
        while len(self._taken) < min(self._slots, max(1, most)):
            if not self._take(now):
                self._reduce_slots(max(1, len(self._taken)))
                break
        while self._loads[0] < MIN_BATCH_SECONDS and len(self._taken) < most and self._take(behind):
            pass

    def take_worth(self, estimation: EstimationSettings, share: float, free_slots: int, all_slots: int) -> None:
        """Take jobs until every slot has its share of work: `free_slots` of `all_slots` are free, this batch's too."""
        left = wall(self._ready.cpu_seconds, len(self._ready), self._cores)
        target = max(MIN_BATCH_SECONDS, min(estimation.target_batch_seconds, left / (2 * all_slots)) * share)
        most = max(1, int(estimation.max_batch_size * share))
        while len(self._taken) < most:
            if len(self._taken) >= estimation.min_batch_size and self._has_enough(target, free_slots):
                return
            if self._take():
                continue
            if len(self._taken) >= self._slots or self._slots == 1:
                return
            self._reduce_slots(max(1, len(self._taken)))

    def take_exactly(self, count: int, *, may_exceed: bool) -> bool:
        """Take `count` jobs, or all there are, with as many slots as fit; False where memory must be waited for."""
        count = min(count, len(self._taken) + len(self._ready))
        while len(self._taken) < count:
            if self._take():
                continue
            if self._slots > 1:
                self._reduce_slots(self._slots - 1)
            elif self._cap < self._room:
                self._cap = self._room
            elif may_exceed:
                self._cap = self._room = math.inf
            else:
                return False
        return True

    def undo(self) -> None:
        """Give everything back."""
        for taken in self._taken:
            self._ready.put_back(taken)

    def formed(self, batch_id: int, budget_bytes: int, limit_bytes: int) -> FormedBatch:
        """The batch."""
        slots = min(self._slots, len(self._taken))
        memory = sum(self._largest_first[:slots])
        over = None
        if memory > budget_bytes:
            largest = max(self._taken, key=lambda e: (self._need(e), e.job_id))
            over = OverBudget(largest.job_id, self._need(largest), budget_bytes, limit_bytes)
        batch = Batch(batch_id, tuple(e.job_id for e in self._taken), slots, self._threads, memory, self._cores)
        spans = self._spans(slots)
        loads = sorted(max(span.end_seconds for span in spans if span.slot == slot) for slot in range(slots))
        return FormedBatch(batch, tuple(self._taken), tuple(loads), spans, over)

    def _spans(self, slots: int) -> tuple[Span, ...]:
        """Each job in turn on the slot that is idle first."""
        idle = [(0.0, slot) for slot in range(slots)]
        spans = []
        for entry in self._taken:
            start, slot = idle[0]
            end = start + wall(entry.cpu_seconds, 1, self._cores)
            heapq.heapreplace(idle, (end, slot))
            spans.append(Span(slot, start, end))
        return tuple(spans)

    def _need(self, entry: Entry) -> int:
        return memory_need(entry, self._threads)

    def _take(self, among: Sequence[str] | None = None) -> bool:
        """Take the next job, suitable or of these, that fits beside the largest ones that could run with it."""
        allowed = self._cap - sum(self._largest_first[: self._slots - 1])
        if among is None:
            entry = self._ready.take(lambda e: self._need(e) <= allowed and self._suitable(e))
        else:
            entry = self._ready.take_among(among, lambda e: self._need(e) <= allowed)
        if entry is None:
            return False
        self._taken.append(entry)
        self._largest_first.append(self._need(entry))
        self._largest_first.sort(reverse=True)
        self._load(entry)
        return True

    def _load(self, entry: Entry) -> None:
        heapq.heapreplace(self._loads, self._loads[0] + wall(entry.cpu_seconds, 1, self._cores))

    def _reduce_slots(self, slots: int) -> None:
        self._slots = slots
        self._loads = [0.0] * slots
        for entry in self._taken:
            self._load(entry)

    def _has_enough(self, target: float, free_slots: int) -> bool:
        """Every slot has its target; beside a long job the others fill up too, as long as others get their share."""
        if not self._taken:
            return False
        longest = max(self._loads)
        if longest > target:
            left = wall(self._ready.cpu_seconds, len(self._ready), self._cores)
            target = max(target, min(_LONG_SHARE * longest, left / free_slots))
        return self._loads[0] >= target
