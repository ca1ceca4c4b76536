"""How are items that wait given to the function, in threads that it may block?

One thread, `worker_thread`, makes calls with batches of arrays, one after the other. Items that are no arrays go alone,
in the threads of `executor`. A third thread watches for calls that take too long, and over memory and queue. What they
share is changed under `worker_lock`, which is not held while code of the user runs.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyprocessor.microbatch import arrays
from pyprocessor.microbatch.batches import LOGGER, Batch, Call, Retries, finish
from pyprocessor.microbatch.health import Level, MemoryShare, level
from pyprocessor.microbatch.items import ItemQueue, PrioritizedItem
from pyprocessor.microbatch.recording import MetricsCollector, Recorder
from pyprocessor.microbatch.release import Reason, release
from pyprocessor.microbatch.settings import BatchProcessorConfig
from pyprocessor.microbatch.sizing import controller
from pyprocessor.microbatch.stats import BatchStats

NEVER = math.inf
_SHORTEST_TICK_SECONDS = 0.005


class Lanes:
    """The state of a batch processor and its threads."""

    def __init__(
        self, config: BatchProcessorConfig | None = None, metrics_collector: MetricsCollector | None = None
    ) -> None:
        self.config = config or BatchProcessorConfig()
        self.metrics = metrics_collector
        self.stats = BatchStats(self.config.monitoring_window)
        self.logger = LOGGER
        self.queue = ItemQueue(self.config.max_queue_size)
        self.stop_event = threading.Event()
        """Set: no more items are taken."""
        self.paused_event = threading.Event()
        """Set: items wait."""
        self.shutdown_event = threading.Event()
        """Set: all has ended."""
        self.batch_ready_event = threading.Event()
        """Set: `worker_thread` has to look what is to be done."""
        self.worker_thread: threading.Thread | None = None
        self.worker_lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self._changed = threading.Condition(self.worker_lock)
        """There is room in the queue, or a call has ended."""
        self._recorder = Recorder(self.config, self.stats, metrics_collector)
        self._sizes = controller(self.config)
        self._kind_of = arrays.row_kind_of if self.config.items_are_rows else arrays.kind_of
        self._stacker = self._new_stacker()
        self._function: Callable[[Any], Any] | None = None
        """None: it is not started."""
        self._watcher: threading.Thread | None = None
        self._calls: set[Call] = set()
        self._hung = 0
        """Calls that were given up on and have not come back."""
        self._retries = Retries()
        self._drainers = 0
        """Threads of the pool that take items which go alone."""
        self._wake_after = NEVER
        """How many more rows of arrays have to come for `worker_thread` to be woken."""
        self._next_start = 0.0
        self._health = {"memory": Level.OK, "queue": Level.OK}

    # Batches of arrays

    def _start_worker(self) -> None:
        self.worker_thread = threading.Thread(target=self._work, name="pyprocessor-microbatch", daemon=True)
        self.worker_thread.start()

    def _work(self) -> None:
        """Give batch after batch to the function: the worker thread."""
        while True:
            with self.worker_lock:
                if self.worker_thread is not threading.current_thread():
                    return
                ready = self.batch_ready_event
                found = self._next_call(time.monotonic())
                if not isinstance(found, Call):
                    ready.clear()
            if isinstance(found, Call):
                self._make(found)
            else:
                ready.wait(None if found == NEVER else max(0.0, found - time.monotonic()))

    def _next_call(self, now: float) -> Call | float:
        """Return the next call with arrays, or until when to wait unless something happens."""
        self._wake_after = NEVER
        if self._is_paused:
            return NEVER
        if now < self._next_start and not self.stop_event.is_set():
            return self._next_start
        retry_at = self._retry_at(alone=False)
        if retry_at <= now:
            return self._begin(self._retries.take(alone=False), now)
        found = self._next_batch(now)
        return self._begin(found, now) if isinstance(found, Batch) else min(found, retry_at)

    def _next_batch(self, now: float) -> Batch | float:
        """Return the next batch out of the queue, or until when to wait for more items."""
        until, missing = NEVER, NEVER
        hurry = self.stop_event.is_set() or self._health["queue"] is Level.CRITICAL
        for kind, bucket, item in self.queue.arrays():
            size = self._fitting(item)
            expected_seconds = self._sizes.expected_seconds(size)
            found = release(bucket.rows, size, bucket.oldest(), expected_seconds, now, self.config, hurry=hurry)
            if isinstance(found, Reason):
                return Batch(self.queue.take(kind, size), kind, found, self.config.max_retries)
            until, missing = min(until, found), min(missing, size - bucket.rows)
        self._wake_after = 1 if missing == NEVER else missing
        return until

    def _fitting(self, item: PrioritizedItem) -> int:
        """How many items like this one may be in a batch."""
        size = self._sizes.size
        if self.config.max_batch_memory_mb is None:
            return size
        row_bytes = arrays.row_bytes(item.item, rows=self.config.items_are_rows)
        return max(1, min(size, int(self.config.max_batch_memory_mb * 2**20) // row_bytes))

    # Items that go alone

    def _start_drainer(self) -> None:
        """Let one more thread of the pool take items, if there are any that go alone."""
        waits = self.queue.has_alone() or self._retry_at(alone=True) < NEVER
        if waits and self.executor is not None and self._drainers < self.config.max_workers:
            self._drainers += 1
            self.executor.submit(self._drain)

    def _drain(self) -> None:
        """Give one item after the other to the function, until none is left: in a thread of the pool."""
        while True:
            with self.worker_lock:
                call = self._next_call_alone()
                if call is None:
                    self._drainers -= 1
                    return
                self._start_drainer()
            self._make(call)
            if call.is_abandoned:
                return  # it was counted out, and another one may have taken its place

    def _next_call_alone(self) -> Call | None:
        """Return the next call with what goes alone, None if there is none; waits until the next retry is due."""
        while not self._is_paused:
            now, retry_at = time.monotonic(), self._retry_at(alone=True)
            if retry_at <= now:
                return self._begin(self._retries.take(alone=True), now)
            items = self.queue.take(None, 1)
            if items:
                return self._begin(Batch(items, None, Reason.IDLE, self.config.max_retries), now)
            if retry_at == NEVER:
                break
            self._changed.wait(retry_at - now)
        return None

    # Calls

    def _begin(self, batch: Batch, now: float) -> Call:
        assert self._function is not None
        call = Call(batch, self._function, not batch.is_tried, now)
        batch.begin()  # under the lock: nobody else may give its items up meanwhile
        self._calls.add(call)
        if not batch.is_alone:
            self._next_start = now + self.config.min_batch_interval
        self._changed.notify_all()
        return call

    def _make(self, call: Call) -> None:
        """Call the function with a batch; give out what it returns, or see what becomes of its items."""
        batch = call.batch
        error: BaseException | None = None
        again: list[tuple[float, Batch]] = []
        seconds = 0.0
        if batch.items and not call.is_abandoned:
            call.started = time.monotonic()
            items, rows = [item.item for item in batch.items], [item.rows for item in batch.items]
            results, error = self._outcome(call.function, batch.kind, items, rows)
            seconds = time.monotonic() - call.started
            if not call.is_abandoned:
                if error is None:
                    for item, result in zip(batch.items, results, strict=True):
                        finish(item, result)
                    self._recorder.succeeded(batch, call.started, seconds, len(self.queue))
                else:
                    again = list(batch.after_failure(self.config.max_retries, self.config.retry_delay))
                    self._recorder.failed(batch, error, for_good=not again)
                    if not again:
                        finish(batch.items[0], error=error)
        with self.worker_lock:
            if call.is_abandoned:
                self._come_back()
            else:
                self._calls.discard(call)
                self._learn(call, seconds, error)
                for delay, next_batch in again:
                    self._retries.add(time.monotonic() + delay, next_batch)
                    self.batch_ready_event.set()
            self._changed.notify_all()
        del call, batch, error  # the traceback refers to this frame: a cycle that only `gc` would end

    def _outcome(
        self, function: Callable[[Any], Any], kind: Hashable, items: Sequence[Any], rows: Sequence[int]
    ) -> tuple[Sequence[Any], BaseException | None]:
        """Return the results, or what was raised; gets no futures, as the traceback keeps what it gets."""
        stacker = self._stacker
        try:
            if kind is None:
                return [function(items[0])], None
            whole = stacker.stack(items, kind, sum(rows))
            results = arrays.results_of(function(whole), whole, rows if self.config.items_are_rows else None)
        except BaseException as error:  # noqa: BLE001 - also SystemExit, as the thread is ours
            return [], error
        del whole
        stacker.let_go(kind)
        return results, None

    def _learn(self, call: Call, seconds: float, error: BaseException | None) -> None:
        batch = call.batch
        if error is None:
            if batch.items and not batch.is_alone:
                is_full = call.is_first and batch.released is Reason.FULL
                self._sizes.succeeded(batch.rows, seconds, is_full=is_full)
        elif self.config.reduce_batch_on_failure and call.is_first and len(batch.items) > 1:
            self._sizes.failed()

    @property
    def _is_paused(self) -> bool:
        return self.paused_event.is_set() and not self.stop_event.is_set()

    def _retry_at(self, *, alone: bool) -> float:
        """When the next batch is tried again: at once while the processor is stopping."""
        at = self._retries.next_at(alone=alone)
        return 0.0 if at < NEVER and self.stop_event.is_set() else at

    def _is_done(self) -> bool:
        return not (self._calls or self.queue.rows or len(self._retries))

    def _is_within_call(self) -> bool:
        """Whether the function, or a callback of a future, is who asks."""
        own = threading.current_thread()
        return own is self._watcher or any(call.thread is own for call in self._calls)

    def _take_all(self) -> list[PrioritizedItem]:
        """Take out all items that wait, also to be tried again."""
        return [*self.queue.take_all(), *self._retries.take_all()]

    # Watching

    @property
    def _is_stalled(self) -> bool:
        return self._hung >= self.config.max_workers

    def _give_up(self, call: Call) -> None:
        """Take a call's place in its thread away from it, as it takes too long."""
        call.is_abandoned = True
        self._calls.discard(call)
        self._hung += 1
        if call.batch.is_alone:
            self._drainers -= 1
        if self._function is None:
            return
        if self._is_stalled:
            self.worker_thread = None if not call.batch.is_alone else self.worker_thread
        elif call.batch.is_alone:
            assert self.executor is not None
            self.executor.shutdown(wait=False)
            self.executor = self._new_executor()
            self._start_drainer()
        else:
            self._stacker = self._new_stacker()  # the call still has the buffer
            self._start_worker()
        self._changed.notify_all()

    def _come_back(self) -> None:
        """Go on where so many calls hung that there was no thread for it."""
        self._hung -= 1
        if self._function is not None and self.worker_thread is None and not self._is_stalled:
            self._start_worker()
        self._start_drainer()

    def _watch(self, ended: threading.Event) -> None:
        """Look every now and then, until all has ended: a thread."""
        config, memory = self.config, MemoryShare() if self.config.enable_health_monitoring else None
        tick = config.health_check_interval
        if config.item_timeout is not None:
            tick = min(tick, max(_SHORTEST_TICK_SECONDS, config.item_timeout / 4))
        next_health = 0.0
        while not ended.wait(tick):
            now = time.monotonic()
            if config.item_timeout is not None:
                self._give_up_overdue(now - config.item_timeout, config.item_timeout)
            if memory is not None and now >= next_health:
                next_health = now + config.health_check_interval
                self._look(memory())

    def _give_up_overdue(self, started_before: float, allowed: float) -> None:
        with self.worker_lock:
            late = [call for call in self._calls if call.started < started_before]
            for call in late:
                self._give_up(call)
            rest = self._take_all() if late and self._is_stalled else []
        for call in late:
            error = TimeoutError(f"process_func did not return within {allowed:g} s.")
            self._recorder.failed(call.batch, error, for_good=True)
            for item in call.batch.items:
                finish(item, error=error)
        for item in rest:
            finish(
                item, error=TimeoutError(f"All {self.config.max_workers} calls of process_func that may hang do so.")
            )

    def _look(self, memory_share: float) -> None:
        """Act on how full memory and queue are."""
        config, before = self.config, self._health
        shares = {"memory": memory_share, "queue": len(self.queue) / config.max_queue_size}
        self._health = {
            "memory": level(memory_share, config.memory_warning_threshold, config.memory_critical_threshold),
            "queue": level(shares["queue"], config.queue_warning_threshold, config.queue_critical_threshold),
        }
        for what, found in self._health.items():
            self._recorder.health(what, shares[what], found, before[what])
        with self.worker_lock:
            self._sizes.limit_growth(may_grow=self._health["memory"] is Level.OK)
            if self._health["memory"] is Level.CRITICAL:
                self._sizes.failed()
                self._stacker = self._new_stacker()  # the buffers are freed once they are not in use
        if self._health["queue"] is Level.CRITICAL:
            self.batch_ready_event.set()

    def _new_stacker(self) -> arrays.Stacker:
        return arrays.Stacker(reuse=self.config.enable_memory_optimization, rows=self.config.items_are_rows)

    def _new_executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.config.max_workers, thread_name_prefix="pyprocessor-microbatch")
