"""Which items wait, in which order are they done, and which go into one batch?"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from pyprocessor.microbatch.settings import BatchPriority

HEAD_START = {priority: 5.0 * priority for priority in BatchPriority}
"""Seconds by which items of a priority go before those that came earlier; so what has waited long goes at last."""


@dataclass(order=True, slots=True)
class PrioritizedItem:
    """An item that waits; the lowest rank is the next one."""

    rank: float
    item: Any = field(compare=False)
    priority: BatchPriority = field(compare=False)
    future: Future[Any] | None = field(compare=False)
    """None where nobody asked for the result."""
    enqueued_at: float = field(compare=False)
    """On the monotonic clock."""
    rows: int = field(default=1, compare=False)
    """As how many items it counts."""

    @property
    def is_cancelled(self) -> bool:
        return self.future is not None and self.future.cancelled()


class Bucket:
    """Items that may be in one batch."""

    __slots__ = ("levels", "rows")

    def __init__(self) -> None:
        self.levels: tuple[deque[PrioritizedItem], ...] = tuple(deque() for _ in BatchPriority)
        self.rows = 0

    def first(self) -> PrioritizedItem:
        """The item that is next, which stays; a bucket in the queue is never empty."""
        return min(level[0] for level in self.levels if level)

    def oldest(self) -> float:
        """When the item came that has waited longest."""
        return min(level[0].enqueued_at for level in self.levels if level)

    def take(self, most_rows: int) -> list[PrioritizedItem]:
        """Take those out that are next: as many as have `most_rows` together, and the first one in any case."""
        taken: list[PrioritizedItem] = []
        rows = 0
        used = [level for level in self.levels if level]
        while used:
            level = min(used, key=itemgetter(0)) if len(used) > 1 else used[0]
            rows += level[0].rows
            if rows > most_rows and taken:
                rows -= level[0].rows
                break
            taken.append(level.popleft())
            if not level:
                used.remove(level)
            if rows >= most_rows:
                break
        self.rows -= rows
        return taken

    def without_cancelled(self) -> None:
        """Let go of those that were cancelled."""
        self.levels = tuple(deque(item for item in level if not item.is_cancelled) for level in self.levels)
        self.rows = sum(item.rows for level in self.levels for item in level)


class ItemQueue:
    """All items that wait, in buckets by kind. Not thread-safe: whoever uses it holds the processor's lock."""

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        self._buckets: dict[Hashable, Bucket] = {}
        self.rows = 0

    def __len__(self) -> int:
        return self.rows

    def qsize(self) -> int:
        """How many wait, each counted as its rows."""
        return self.rows

    def has_room(self, rows: int) -> bool:
        """Whether so many more may wait; an item that has more rows than the queue may when it is empty."""
        if self.rows + rows > self._most_rows and self.rows:
            self._drop_cancelled()
        return self.rows + rows <= self._most_rows or not self.rows

    def put(self, kind: Hashable, item: PrioritizedItem) -> None:
        """Add an item of a kind: what items of one batch have in common, None of what goes alone."""
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket()
        bucket.levels[item.priority].append(item)
        bucket.rows += item.rows
        self.rows += item.rows

    def arrays(self) -> list[tuple[Hashable, Bucket, PrioritizedItem]]:
        """Return kind, bucket and next item of what does not go alone, the next first."""
        found = [(kind, bucket, bucket.first()) for kind, bucket in self._buckets.items() if kind is not None]
        return sorted(found, key=itemgetter(2)) if len(found) > 1 else found

    def has_alone(self) -> bool:
        """Whether any wait that go alone."""
        return None in self._buckets

    def take(self, kind: Hashable, most_rows: int) -> list[PrioritizedItem]:
        """Take out the next ones of a kind, `most_rows` at most but at least one; none where none wait."""
        bucket = self._buckets.get(kind)
        if bucket is None:
            return []
        taken = bucket.take(most_rows)
        self.rows -= sum(item.rows for item in taken)
        if not bucket.rows:
            del self._buckets[kind]
        return taken

    def take_all(self) -> Iterator[PrioritizedItem]:
        """Take out all, in no order."""
        for bucket in self._buckets.values():
            for level in bucket.levels:
                yield from level
        self._buckets.clear()
        self.rows = 0

    def _drop_cancelled(self) -> None:
        for kind, bucket in list(self._buckets.items()):
            bucket.without_cancelled()
            if not bucket.rows:
                del self._buckets[kind]
        self.rows = sum(bucket.rows for bucket in self._buckets.values())
