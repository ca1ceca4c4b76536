"""How do items come in, and how is their processing begun, paused and ended?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from pyprocessor.microbatch.batches import finish
from pyprocessor.microbatch.items import HEAD_START, PrioritizedItem
from pyprocessor.microbatch.lanes import NEVER, Lanes
from pyprocessor.microbatch.settings import BatchPriority


class BatchProcessor(Lanes):
    """Gathers items from any threads, and gives each of them a future for its result.

    `with BatchProcessor(config) as processor: processor.start(function)` stops it at the end. It may be started again.
    """

    # What users call

    def start(self, process_func: Callable[[Any], Any]) -> None:
        """Begin to give items to a function; those that wait already go first.

        It gets an array whose first axis counts the items, all of one shape and dtype, and returns as many results: a
        list, a tuple or an array. An item that is no array it gets alone, and returns its result. The array is valid
        until it returns. Raises RuntimeError where the processor has been started.
        """
        with self.worker_lock:
            if self._function is not None:
                raise RuntimeError("The batch processor has been started already.")
            self._function = process_func
            self.stop_event.clear()
            if self.shutdown_event.is_set():  # threads and calls of before, which may not have ended, keep theirs
                self.shutdown_event, self.batch_ready_event = threading.Event(), threading.Event()
                self._stacker = self._new_stacker()
            self.executor = self._new_executor()
            self._start_worker()
            self._watcher = threading.Thread(
                target=self._watch, args=(self.shutdown_event,), name="pyprocessor-microbatch-watch", daemon=True
            )
            self._watcher.start()
            self._start_drainer()

    def stop(self, timeout: float = 5.0) -> bool:
        """Take no more items, do those that wait, and end; a pause ends, too.

        What is not done within `timeout` seconds fails with RuntimeError; at once where the function or a callback
        calls this. Returns whether all was done.
        """
        own = threading.current_thread()
        with self.worker_lock:
            self.stop_event.set()
            self.paused_event.clear()
            self._start_drainer()
            self._changed.notify_all()
            self.batch_ready_event.set()
            if self._function is not None and not self._is_within_call():
                self._changed.wait_for(self._is_done, timeout)
            late = [call for call in self._calls if call.thread is not own]
            rest = [*self._take_all(), *(item for call in late for item in call.batch.items)]
            threads = [self.worker_thread, self._watcher]
            executor, self.executor = self.executor, None
            self._function = self.worker_thread = self._watcher = None
            for call in late:
                self._give_up(call)
            self.shutdown_event.set()
            self.batch_ready_event.set()
            self._changed.notify_all()
        error = RuntimeError("The batch processor was stopped before this item was done.")
        undone = sum(finish(item, error=error) for item in rest)
        if undone:
            self.logger.warning("%d items were not done when the batch processor was stopped", undone)
        if executor is not None:
            executor.shutdown(wait=False)
        for thread in threads:
            if thread is not None and thread not in (own, *(call.thread for call in late)):
                thread.join(timeout)
        return not undone

    def pause(self) -> None:
        """Give no more items to the function until `resume`; what it has goes on."""
        self.paused_event.set()

    def resume(self) -> None:
        """Go on."""
        with self.worker_lock:
            self.paused_event.clear()
            self._start_drainer()
        self.batch_ready_event.set()

    def enqueue(self, item: Any, timeout: float | None = None, priority: BatchPriority = BatchPriority.NORMAL) -> None:
        """Add an item whose result nobody wants; failures are logged. Else as `enqueue_predict`."""
        self._put(item, timeout, priority, None)

    def enqueue_predict(
        self, item: Any, timeout: float | None = None, priority: BatchPriority = BatchPriority.NORMAL
    ) -> Future[Any]:
        """Add an item, which is not to be changed until it is done, and return the future of its result.

        Waits for room `timeout` seconds, None for as long as it takes. Raises RuntimeError where none came or the
        processor is stopped, ValueError for an array of more rows than a batch may have.
        """
        future: Future[Any] = Future()
        self._put(item, timeout, priority, future)
        return future

    def update_batch_size(self, new_size: int) -> int:
        """Use another size, and return it: it is kept between the least and the most of the configuration."""
        with self.worker_lock:
            return self._sizes.set(new_size)

    def get_stats(self) -> dict[str, Any]:
        """Return the figures of `BatchStats`, and what is so now; nothing without monitoring."""
        if not self.config.enable_monitoring:
            return {}
        return {
            **self.stats.get_stats(),
            "queue_length": len(self.queue),
            "batch_size": self._sizes.size,
            "hung_calls": self._hung,
            "health": {what: found.name.lower() for what, found in self._health.items()},
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # Items come in

    def _put(self, item: Any, timeout: float | None, priority: BatchPriority, future: Future[Any] | None) -> None:
        kind, rows, now = self._kind_of(item), 1, time.monotonic()
        if self.config.items_are_rows and kind is not None:
            rows = len(item)
            if not 0 < rows <= self.config.max_batch_size:
                raise ValueError(f"The array has {rows} rows, but a batch has 1 to {self.config.max_batch_size}.")
        if priority not in HEAD_START:
            raise ValueError(f"`priority` is {priority!r}, but has to be a BatchPriority.")
        if not self.config.enable_priority_queue:
            priority = BatchPriority.NORMAL
        entry = PrioritizedItem(now - HEAD_START[priority], item, priority, future, now, rows)
        with self.worker_lock:
            if self.stop_event.is_set() or self._is_stalled or not self.queue.has_room(rows):
                self._await_room(rows, timeout)
            self.queue.put(kind, entry)
            if kind is None:
                self._start_drainer()
                if len(self._retries):
                    self._changed.notify_all()  # all threads of the pool may wait until a retry is due
                return
            self._wake_after -= rows
            if self._wake_after <= 0:
                self._wake_after = NEVER
                self.batch_ready_event.set()

    def _await_room(self, rows: int, timeout: float | None) -> None:
        def is_over() -> bool:
            return self.stop_event.is_set() or self._is_stalled or self.queue.has_room(rows)

        if self._is_within_call():
            timeout = 0.0  # room may only come once this very call is over
        if not self._changed.wait_for(is_over, timeout):
            raise RuntimeError(f"The queue is full: {len(self.queue)} items wait, and {timeout:g} s brought no room.")
        if self.stop_event.is_set():
            raise RuntimeError("The batch processor is stopped and takes no more items.")
        if self._is_stalled:
            raise RuntimeError(f"No items are taken while {self._hung} calls of process_func hang.")
