"""What is a batch on its way: its items, its tries, its call?"""

from __future__ import annotations

import heapq
import logging
import math
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import InvalidStateError
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pyprocessor.microbatch.items import PrioritizedItem
from pyprocessor.microbatch.release import Reason

LOGGER = logging.getLogger("pyprocessor.microbatch")


@dataclass(slots=True)
class Batch:
    """Items that are given to `process_func` together."""

    items: list[PrioritizedItem]
    kind: Hashable
    """Shape and dtype; None where it is one item that goes alone."""
    released: Reason
    """Why it left the queue."""
    retries_left: int
    is_tried: bool = False
    """Whether it, or what it is a half of, was given to `process_func`: then none of its items can be cancelled."""

    @property
    def is_alone(self) -> bool:
        """Whether it is one item that is no array."""
        return self.kind is None

    @property
    def rows(self) -> int:
        """How many items it counts as."""
        return sum(item.rows for item in self.items)

    @property
    def oldest(self) -> float:
        """When the item came that has waited longest."""
        return min(item.enqueued_at for item in self.items)

    def begin(self) -> None:
        """Let go of items that were cancelled, and mark the others as running."""
        if not self.is_tried:
            self.items = [
                item for item in self.items if item.future is None or item.future.set_running_or_notify_cancel()
            ]
            self.is_tried = True

    def after_failure(self, max_retries: int, retry_delay: float) -> Iterator[tuple[float, Batch]]:
        """Yield what is tried instead, and after how many seconds; nothing where its one item has failed for good.

        It is tried again as a whole, then in halves, once each; an item that then stands alone has all tries again.
        """
        if self.retries_left:
            self.retries_left -= 1
            yield retry_delay, self
        elif len(self.items) > 1:
            middle = len(self.items) // 2
            for items in (self.items[:middle], self.items[middle:]):
                yield 0.0, Batch(items, self.kind, self.released, max_retries if len(items) == 1 else 0, is_tried=True)


class Retries:
    """Batches that are tried again, by when. Not thread-safe."""

    def __init__(self) -> None:
        self._heaps: dict[bool, list[tuple[float, int, Batch]]] = {True: [], False: []}
        """Those of items that go alone, and the others."""
        self._order = count()

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def add(self, at: float, batch: Batch) -> None:
        """Add one that is due at a time of the monotonic clock."""
        heapq.heappush(self._heaps[batch.is_alone], (at, next(self._order), batch))

    def next_at(self, *, alone: bool) -> float:
        """When the next one is due; infinity if there is none."""
        heap = self._heaps[alone]
        return heap[0][0] if heap else math.inf

    def take(self, *, alone: bool) -> Batch:
        """Take out the next one."""
        return heapq.heappop(self._heaps[alone])[2]

    def take_all(self) -> Iterator[PrioritizedItem]:
        """Take out all items."""
        for heap in self._heaps.values():
            for _, _, batch in heap:
                yield from batch.items
            heap.clear()


@dataclass(slots=True, eq=False)
class Call:
    """A call of `process_func` that is under way."""

    batch: Batch
    function: Callable[[Any], Any]
    is_first: bool
    """Whether none of the items was given to `process_func` before."""
    started: float
    """On the monotonic clock."""
    is_abandoned: bool = False
    """It took too long, or the processor was stopped: its items have failed, and what it returns is of no use."""
    thread: threading.Thread = field(default_factory=threading.current_thread)


def finish(item: PrioritizedItem, result: Any = None, error: BaseException | None = None) -> bool:
    """Give an item's future its result or error; return False where it has one, or was cancelled."""
    if item.future is None:
        return True
    try:
        if error is None:
            item.future.set_result(result)
        else:
            item.future.set_exception(error)
    except InvalidStateError:
        return False
    except BaseException:  # `concurrent.futures` logs no more than Exception, and the thread has to go on
        LOGGER.exception("A callback of a future raised what is no Exception")
    return True
