"""Batches of items with threads, failures and hangs: nothing is lost, nothing deadlocks."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyprocessor.microbatch import BatchPriority, BatchProcessor, BatchProcessorConfig
from tests.integration.batched_items import POISON, Doubling, array
from tests.waiting import DEADLINE_SECONDS, until

QUICK = {"max_retries": 1, "retry_delay": 0.0}


@pytest.fixture
def held() -> Iterator[Doubling]:
    """A function that is held up until its gate is opened."""
    function = Doubling(is_open=False)
    yield function
    function.gate.set()


def number_of(future: Future[Any]) -> int:
    """The result of an array or number, which is twice the item."""
    return int(np.ravel(future.result(DEADLINE_SECONDS))[0])


def test_what_comes_while_a_call_is_under_way_is_the_next_batch(held: Doubling) -> None:
    """The first item leaves at once; no batch waits for more."""
    with BatchProcessor(BatchProcessorConfig(batch_timeout=10_000.0)) as processor:
        processor.start(held)
        futures = [processor.enqueue_predict(array(0))]
        until(lambda: held.calls)
        futures += [processor.enqueue_predict(array(number)) for number in range(1, 6)]
        held.gate.set()
        assert [number_of(future) for future in futures] == [0, 2, 4, 6, 8, 10]
        assert held.sizes == [1, 5]
        until(lambda: processor.stats.batch_counts == 2)
        assert processor.get_stats()["released"] == {"idle": 2}


def test_each_shape_and_what_is_no_array_goes_its_own_way() -> None:
    """All of them have their results."""
    shapes = []
    items: list[Any] = [array(1), array(2, 4), 3, array(4), "a", np.float64(5), np.array(6), array(7).astype("f4")]
    with BatchProcessor() as processor:
        futures = [processor.enqueue_predict(item) for item in items]
        processor.start(lambda batch: shapes.append(getattr(batch, "shape", None)) or batch * 2)
        found = [future.result(DEADLINE_SECONDS) for future in futures]
    assert [np.shape(result) for result in found] == [(3,), (4,), (), (3,), (), (), (), (3,)]
    assert found[2:6] == [6, pytest.approx([8, 8, 8]), "aa", 10.0]
    assert sorted(shapes, key=str) == sorted([(2, 3), (1, 4), None, None, (), (1,), (1, 3)], key=str)


def test_a_full_batch_does_not_wait_for_one_of_another_shape() -> None:
    """Which came first, and waits for more."""
    config = BatchProcessorConfig(initial_batch_size=4, processing_strategy="fixed", batch_timeout=10_000.0)
    with BatchProcessor(config) as processor:
        processor.start(Doubling())
        early = processor.enqueue_predict(array(1, 5))
        assert [number_of(one) for one in [processor.enqueue_predict(array(n)) for n in range(4)]] == [0, 2, 4, 6]
        assert not early.done()
    assert number_of(early) == 2


def test_a_poison_item_fails_alone() -> None:
    """The batch is tried again, then halved until it stands alone; all others succeed."""
    function = Doubling()
    numbers = [1, 2, 3, 4, 5, POISON, 7, 8]
    with BatchProcessor(BatchProcessorConfig(**QUICK)) as processor:
        futures = [processor.enqueue_predict(array(number)) for number in numbers]
        processor.start(function)
        for number, future in zip(numbers, futures, strict=True):
            if number == POISON:
                assert "poison" in str(future.exception(DEADLINE_SECONDS))
            else:
                assert number_of(future) == 2 * number
    assert function.sizes == [8, 8, 4, 4, 2, 2, 1, 1, 1]
    assert processor.get_stats()["error_count"] == 6


@pytest.mark.parametrize("answer", [None, 3, [1], "no", iter([1, 2])])
def test_an_answer_of_the_wrong_kind_fails_the_items(answer: Any) -> None:
    """And the processor goes on."""
    right = threading.Event()
    with BatchProcessor(BatchProcessorConfig(**QUICK)) as processor:
        futures = [processor.enqueue_predict(array(number)) for number in range(2)]
        processor.start(lambda batch: batch * 2 if right.is_set() else answer if len(batch) > 1 else None)
        for future in futures:
            assert isinstance(future.exception(DEADLINE_SECONDS), TypeError)
        right.set()
        assert number_of(processor.enqueue_predict(array(4))) == 8


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("item", [array(1), 1])
def test_whatever_is_raised_fails_the_item_alone(error: BaseException, item: Any) -> None:
    """No thread ends of it."""

    def fails(batch: Any) -> Any:
        raise error

    with BatchProcessor(BatchProcessorConfig(**QUICK)) as processor:
        processor.start(fails)
        for _ in range(3):
            assert processor.enqueue_predict(item).exception(DEADLINE_SECONDS) is error


def test_cancelled_items_never_reach_the_function(held: Doubling) -> None:
    """Of arrays and of what goes alone."""
    with BatchProcessor(BatchProcessorConfig(max_workers=1)) as processor:
        processor.start(held)
        processor.enqueue(array(0))
        processor.enqueue(0)
        until(lambda: held.at_once == 2)
        cancelled = [processor.enqueue_predict(item) for item in (array(1), 2)]
        kept = [processor.enqueue_predict(item) for item in (array(3), 4)]
        assert all(future.cancel() for future in cancelled)
        held.gate.set()
        assert [number_of(future) for future in kept] == [6, 8]
    assert sorted(number for call in held.calls for number in call) == [0, 0, 3, 4]


def test_a_callback_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by `concurrent.futures`."""

    def raises(future: Future[Any]) -> None:
        raise ValueError("of a callback")

    with BatchProcessor() as processor:
        future = processor.enqueue_predict(array(1))
        future.add_done_callback(raises)
        processor.start(Doubling())
        assert number_of(future) == 2
        assert number_of(processor.enqueue_predict(array(2))) == 4
    assert "of a callback" in caplog.text


@pytest.mark.parametrize("item", [array(1), 1])
def test_a_call_that_hangs_is_given_up_on(held: Doubling, item: Any) -> None:
    """Others go on; what it returns in the end goes nowhere."""
    with BatchProcessor(BatchProcessorConfig(item_timeout=0.5, max_workers=2)) as processor:
        processor.start(held)
        stuck = processor.enqueue_predict(item)
        error = stuck.exception(DEADLINE_SECONDS)
        assert isinstance(error, TimeoutError)
        assert "process_func did not return within 0.5 s" in str(error)
        assert processor.get_stats()["hung_calls"] == 1
        held.gate.set()
        until(lambda: processor.get_stats()["hung_calls"] == 0)
        assert number_of(processor.enqueue_predict(item)) == 2
        assert stuck.exception() is error


@pytest.mark.parametrize("item", [array(1), 1])
def test_where_all_calls_hang_no_items_are_taken_until_one_comes_back(held: Doubling, item: Any) -> None:
    """Those that wait fail; those that wait for room, too."""
    with BatchProcessor(BatchProcessorConfig(item_timeout=0.5, max_workers=2, max_retries=0)) as processor:
        processor.start(held)
        futures: list[Future[Any]] = []
        with pytest.raises(RuntimeError, match="2 calls of process_func hang"):
            futures.extend(processor.enqueue_predict(item) for _ in range(1_000_000))
        assert all(isinstance(future.exception(DEADLINE_SECONDS), TimeoutError) for future in futures)
        held.gate.set()
        until(lambda: processor.get_stats()["hung_calls"] == 0)
        assert number_of(processor.enqueue_predict(item)) == 2


def test_stop_does_what_waits_and_then_takes_no_more(held: Doubling) -> None:
    """A pause ends, too; it may be started again."""
    processor = BatchProcessor()
    processor.pause()
    held.gate.set()
    processor.start(held)
    futures = [processor.enqueue_predict(item) for item in (array(1), 2)]
    assert not held.calls
    assert processor.stop(DEADLINE_SECONDS)
    assert [number_of(future) for future in futures] == [2, 4]
    with pytest.raises(RuntimeError, match="is stopped and takes no more items"):
        processor.enqueue(array(1))
    assert processor.stop()
    processor.start(held)
    assert number_of(processor.enqueue_predict(array(3))) == 6
    with pytest.raises(RuntimeError, match="started already"):
        processor.start(held)
    assert processor.stop(DEADLINE_SECONDS)


def test_stop_fails_what_is_not_done_in_time(held: Doubling) -> None:
    """What is under way, what waits, and whoever waits for room."""
    processor = BatchProcessor(BatchProcessorConfig(max_queue_size=1))
    processor.start(held)
    futures = [processor.enqueue_predict(array(0))]
    until(lambda: held.calls)
    futures.append(processor.enqueue_predict(array(1)))
    errors: list[BaseException] = []

    def waits_for_room() -> None:
        with pytest.raises(RuntimeError) as caught:
            processor.enqueue(array(2))
        errors.append(caught.value)

    waiting = threading.Thread(target=waits_for_room)
    waiting.start()
    assert not processor.stop(0.05)
    waiting.join(DEADLINE_SECONDS)
    assert "is stopped" in str(errors)
    for future in futures:
        with pytest.raises(RuntimeError, match="stopped before this item was done"):
            future.result(DEADLINE_SECONDS)
    assert processor.shutdown_event.is_set()


def test_nothing_deadlocks_that_is_done_from_within() -> None:
    """Adding to a full queue in the function, stopping in a callback."""
    full: list[BaseException] = []
    processor = BatchProcessor(BatchProcessorConfig(max_queue_size=1, **QUICK))

    def adds(batch: Any) -> Any:
        try:
            for _ in range(2):
                processor.enqueue(array(1))
        except RuntimeError as error:
            full.append(error)
        return batch

    future = processor.enqueue_predict(array(0))
    stopped: list[bool] = []
    future.add_done_callback(lambda _: stopped.append(processor.stop(DEADLINE_SECONDS)))
    processor.start(adds)
    until(lambda: stopped)
    assert stopped == [False]  # what was added within can only be done once the callback is over
    assert "The queue is full" in str(full[0])


def test_no_thread_is_left(held: Doubling) -> None:
    """After it was stopped."""
    before = set(threading.enumerate())
    held.gate.set()
    with BatchProcessor() as processor:
        processor.start(held)
        number_of(processor.enqueue_predict(array(1)))
        number_of(processor.enqueue_predict(1))
    until(lambda: set(threading.enumerate()) <= before)
    assert processor.worker_thread is None


def test_a_coroutine_waits_for_a_result(held: Doubling) -> None:
    """And its cancellation is one of the item."""

    async def waits(processor: BatchProcessor) -> None:
        assert (await asyncio.wrap_future(processor.enqueue_predict(array(1)))).tolist() == [2, 2, 2]
        held.gate.clear()
        processor.enqueue(array(2))
        until(lambda: held.at_once == 1)
        waited = asyncio.wrap_future(processor.enqueue_predict(array(3)))
        waited.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waited
        await asyncio.sleep(0)  # for the loop to pass it on
        held.gate.set()

    held.gate.set()
    with BatchProcessor() as processor:
        processor.start(held)
        asyncio.run(waits(processor))
    assert held.calls == [[1], [2]]


def test_what_nobody_waits_for_is_logged_when_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Once it has failed for good."""
    with BatchProcessor(BatchProcessorConfig(**QUICK)) as processor:
        processor.start(Doubling())
        processor.enqueue(array(POISON))
    assert [record.getMessage() for record in caplog.records] == ["An item failed: ValueError('poison')"]


def test_a_collector_that_raises_is_told_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    """And stops nothing."""

    class Raises:
        called = 0

        def record_metric(self, name: str, value: float) -> None:
            self.called += 1
            raise OSError("no server")

    collector = Raises()
    with BatchProcessor(metrics_collector=collector) as processor:
        processor.start(Doubling())
        assert [number_of(processor.enqueue_predict(array(number))) for number in range(3)] == [0, 2, 4]
    assert collector.called == 1
    assert "The metrics collector failed" in caplog.text


def test_a_collector_is_told_of_batches_and_errors() -> None:
    """By the documented names."""
    told: dict[str, list[float]] = {}

    class Collects:
        def record_metric(self, name: str, value: float) -> None:
            told.setdefault(name, []).append(value)

    function = Doubling()
    function.failures = 1
    with BatchProcessor(BatchProcessorConfig(**QUICK), Collects()) as processor:
        futures = [processor.enqueue_predict(array(number)) for number in range(4)]
        processor.start(function)
        for future in futures:
            number_of(future)
    assert told["batch_size"] == [4]
    assert told["errors"] == [1]
    assert {"batch_seconds", "queue_seconds", "latency_seconds", "queue_length"} < set(told)


def test_a_priority_that_is_none_is_refused() -> None:
    """With a sentence."""
    with pytest.raises(ValueError, match="`priority` is 7, but has to be a BatchPriority"):
        BatchProcessor().enqueue(array(1), priority=7)  # type: ignore[arg-type]


def test_an_array_of_more_rows_than_a_batch_may_have_is_refused() -> None:
    """With both numbers; one of none, too."""
    processor = BatchProcessor(BatchProcessorConfig(max_batch_size=8, items_are_rows=True))
    for rows in (9, 0):
        with pytest.raises(ValueError, match=f"has {rows} rows, but a batch has 1 to 8"):
            processor.enqueue(np.zeros((rows, 2)))


def test_results_of_one_batch_are_not_those_of_the_next() -> None:
    """Though the function returns what it got, and the buffer is used again."""
    with BatchProcessor() as processor:
        processor.start(lambda batch: batch)
        found = [processor.enqueue_predict(array(number)).result(DEADLINE_SECONDS) for number in range(20)]
    assert [int(result[0]) for result in found] == list(range(20))


def test_many_threads_have_all_their_results() -> None:
    """Of three shapes, some urgent, with a full queue."""
    with BatchProcessor(BatchProcessorConfig(max_queue_size=16)) as processor:
        processor.start(lambda batch: batch * 2)
        wrong: list[object] = []

        def adds(first: int) -> None:
            futures = {}
            for number in range(first, first + 300):
                item = number if number % 7 == 0 else array(number, 1 + number % 2)
                futures[number] = processor.enqueue_predict(item, priority=BatchPriority(number % 4))
            wrong.extend(number for number, future in futures.items() if number_of(future) != 2 * number)

        threads = [threading.Thread(target=adds, args=(1000 * index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        until(lambda: processor.stats.total_processed == 1200)


def test_a_callback_that_exits_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The other items of its batch have their results, and later ones, too."""

    def exits(future: Future[Any]) -> None:
        raise SystemExit(3)

    with BatchProcessor() as processor:
        futures = [processor.enqueue_predict(array(number)) for number in range(3)]
        futures[0].add_done_callback(exits)
        processor.start(Doubling())
        assert [number_of(future) for future in (*futures, processor.enqueue_predict(array(3)))] == [0, 2, 4, 6]
    assert "A callback of a future raised what is no Exception" in caplog.text


def test_stop_leaves_no_time_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it comes: no thread dies of an item that was given up before its call began."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        processor = BatchProcessor(BatchProcessorConfig(max_workers=1000))
        for _ in range(200):
            futures = [processor.enqueue_predict(array(number)) for number in range(8)]
            processor.start(Doubling())
            processor.stop(0)
            assert all(future.done() for future in futures)
            processor = BatchProcessor(BatchProcessorConfig(max_workers=1000))
    finally:
        sys.setswitchinterval(interval)
    assert not died


def test_arrays_go_on_when_what_goes_alone_comes_back(held: Doubling) -> None:
    """Though the call with arrays still hangs."""
    alone = Doubling(is_open=False)
    with BatchProcessor(BatchProcessorConfig(item_timeout=0.5, max_workers=2)) as processor:
        processor.start(lambda batch: (held if isinstance(batch, np.ndarray) and batch[0, 0] == 1 else alone)(batch))
        for item in (1, array(1)):
            assert isinstance(processor.enqueue_predict(item).exception(DEADLINE_SECONDS), TimeoutError)
        alone.gate.set()
        until(lambda: processor.get_stats()["hung_calls"] == 1)
        assert number_of(processor.enqueue_predict(array(2))) == 4
        assert held.at_once == 1


def test_what_waits_to_be_tried_again_fails_too_when_all_calls_hang(held: Doubling) -> None:
    """No future is left that is never done."""
    config = BatchProcessorConfig(item_timeout=0.05, max_workers=1, retry_delay=10_000.0)
    with BatchProcessor(config) as processor:
        held.failures = 1
        held.gate.set()
        processor.start(held)
        again = processor.enqueue_predict(array(1))
        until(lambda: processor.get_stats()["error_count"] == 1)
        held.gate.clear()
        processor.enqueue(array(2, 4))
        assert isinstance(again.exception(DEADLINE_SECONDS), TimeoutError)
        held.gate.set()


@pytest.mark.parametrize("most", [1, 4])
def test_what_goes_alone_is_tried_again_while_a_batch_takes_long(held: Doubling, most: int) -> None:
    """And others go on until it is due."""
    alone = Doubling()
    alone.failures = 1
    with BatchProcessor(BatchProcessorConfig(max_workers=most, retry_delay=0.5)) as processor:
        processor.start(lambda batch: (held if isinstance(batch, np.ndarray) else alone)(batch))
        processor.enqueue(array(1))
        until(lambda: held.calls)
        again = processor.enqueue_predict(1)
        until(lambda: alone.calls)
        assert number_of(processor.enqueue_predict(2)) == 4
        assert number_of(again) == 2
        assert held.at_once == 1
        held.gate.set()


def test_a_batch_is_full_though_others_have_left_meanwhile(held: Doubling) -> None:
    """What goes alone counts in the queue, but not for a batch."""
    config = BatchProcessorConfig(
        initial_batch_size=3, processing_strategy="fixed", batch_timeout=10_000.0, max_workers=1
    )
    with BatchProcessor(config) as processor:
        processor.start(lambda batch: batch * 2 if isinstance(batch, np.ndarray) else held(batch))
        alone = [processor.enqueue_predict(number) for number in range(5)]
        futures = [processor.enqueue_predict(array(1))]
        until(lambda: processor.batch_ready_event.is_set() is False)
        held.gate.set()
        assert [number_of(future) for future in alone] == [0, 2, 4, 6, 8]
        futures += [processor.enqueue_predict(array(number)) for number in (2, 3)]
        assert [number_of(future) for future in futures] == [2, 4, 6]


def test_a_pause_does_not_hold_up_stop(held: Doubling) -> None:
    """Which has begun before it."""
    processor = BatchProcessor()
    processor.start(held)
    futures = [processor.enqueue_predict(array(1))]
    until(lambda: held.calls)
    futures.append(processor.enqueue_predict(array(2)))
    stopping = threading.Thread(target=processor.stop, args=(DEADLINE_SECONDS,))
    stopping.start()
    until(processor.stop_event.is_set)
    processor.pause()
    held.gate.set()
    assert [number_of(future) for future in futures] == [2, 4]
    stopping.join()


def test_who_adds_an_item_again_that_took_too_long_does_not_wait_for_room(held: Doubling) -> None:
    """In a callback: it is called by the thread that looks for calls that take too long."""
    config = BatchProcessorConfig(item_timeout=0.05, max_workers=3, max_queue_size=1)
    with BatchProcessor(config) as processor:
        processor.start(held)
        full: list[BaseException] = []

        def adds(future: Future[Any]) -> None:
            try:
                for _ in range(3):
                    processor.enqueue(array(1))
            except RuntimeError as error:
                full.append(error)

        processor.enqueue_predict(array(0)).add_done_callback(adds)
        until(lambda: full)
        assert "The queue is full" in str(full)
        held.gate.set()


def test_a_call_that_hangs_keeps_its_array_when_all_is_started_again(held: Doubling) -> None:
    """It may still write into it."""
    seen: list[Any] = []
    processor = BatchProcessor()
    processor.start(lambda batch: seen.append(batch) or held(batch))
    processor.enqueue(array(1))
    until(lambda: held.calls)
    assert not processor.stop(0)
    with processor:
        processor.start(lambda batch: seen.append(batch) or batch * 2)
        assert number_of(processor.enqueue_predict(array(2))) == 4
        assert not np.shares_memory(*seen)
        held.gate.set()


def test_it_may_be_started_again_before_stop_has_returned(held: Doubling) -> None:
    """Threads of before end all the same."""
    entered, gate = threading.Event(), threading.Event()

    class Collects:
        def record_metric(self, name: str, value: float) -> None:
            if name == "memory_share" and not entered.is_set():
                entered.set()
                assert gate.wait(DEADLINE_SECONDS)

    processor = BatchProcessor(BatchProcessorConfig(health_check_interval=0.01), Collects())
    processor.start(held)
    assert entered.wait(DEADLINE_SECONDS)
    stopping = threading.Thread(target=processor.stop, args=(DEADLINE_SECONDS,))
    stopping.start()
    until(processor.shutdown_event.is_set)
    held.gate.set()
    with processor:
        processor.start(held)
        gate.set()
        stopping.join(DEADLINE_SECONDS / 4)
        assert not stopping.is_alive()
        assert number_of(processor.enqueue_predict(array(1))) == 2


class Named(NamedTuple):
    row: Any


@dataclass
class Recorded:
    row: Any


def in_objects(row: Any) -> Any:
    found = np.empty(1, object)
    found[0] = row
    return found


def row_of(found: Any) -> Any:
    return found() if callable(found) else found[0] if isinstance(found, np.ndarray) else found.row


@pytest.mark.parametrize(
    "hold", [Named, Recorded, in_objects, lambda row: lambda: row], ids=["named", "record", "objects", "closure"]
)
def test_results_may_hold_rows_of_the_batch_in_any_way(hold: Callable[[Any], Any]) -> None:
    """The buffer is not used again as long as they do."""
    with BatchProcessor() as processor:
        processor.start(lambda batch: [hold(row) for row in batch])
        found = [processor.enqueue_predict(array(number)).result(DEADLINE_SECONDS) for number in range(5)]
    assert [int(row_of(one)[0]) for one in found] == list(range(5))


class Alone:
    """An item that is no array."""


@pytest.mark.parametrize("alone", [False, True])
def test_items_that_failed_are_freed_at_once(alone: bool) -> None:
    """They may be large, and garbage is collected by the number of objects."""

    def fails(batch: Any) -> Any:
        raise ValueError("as it does")

    gc.disable()
    try:
        with BatchProcessor(BatchProcessorConfig(max_retries=0)) as processor:
            processor.start(fails)
            item = Alone() if alone else array(POISON)
            freed = ref(item)
            future = processor.enqueue_predict(item)
            del item
            assert future.exception(DEADLINE_SECONDS) is not None
            del future
            until(lambda: freed() is None)
    finally:
        gc.enable()


def test_one_failure_halves_the_size_once() -> None:
    """However often its batch is tried again and halved."""
    with BatchProcessor() as processor:
        futures = [processor.enqueue_predict(array(number)) for number in (POISON, *range(7))]
        processor.start(Doubling())
        assert isinstance(futures[0].exception(DEADLINE_SECONDS), ValueError)
        assert processor.get_stats()["batch_size"] == 4


class AnyOrder(RuleBasedStateMachine):
    """Starts, stops, pauses, items and cancellations in any order; each item ends as it has to."""

    def __init__(self) -> None:
        super().__init__()
        self.function = Doubling()
        self.items: dict[int, Future[Any]] = {}
        self.poison: set[int] = set()
        self.cancelled: set[int] = set()
        self.given: set[int] = set()
        self.is_running = False
        self.has_stopped = False

    @initialize(most=st.integers(1, 8), strategy=st.sampled_from(["adaptive", "greedy", "fixed", "deadline"]))
    def begin(self, most: int, strategy: str) -> None:
        self.processor = BatchProcessor(
            BatchProcessorConfig(
                max_batch_size=most,
                initial_batch_size=most,
                max_queue_size=50,
                max_workers=2,
                max_retries=1,
                retry_delay=0.0,
                batch_timeout=0.001,
                processing_strategy=strategy,  # type: ignore[arg-type]
                enable_health_monitoring=False,
            )
        )

    def process(self, batch: Any) -> Any:
        numbers = {int(row[0]) for row in batch} if isinstance(batch, np.ndarray) else {batch}
        self.given |= numbers
        if numbers & self.poison:
            raise ValueError("poison")
        return batch * 2

    @rule()
    @precondition(lambda self: not self.is_running)
    def start(self) -> None:
        self.processor.start(self.process)
        self.is_running, self.has_stopped = True, False

    @rule()
    def stop(self) -> None:
        was_empty = not self.is_running and all(future.done() for future in self.items.values())
        assert self.processor.stop(DEADLINE_SECONDS) is (self.is_running or was_empty)
        assert all(future.done() for future in self.items.values())
        self.check()
        self.is_running, self.has_stopped = False, True

    @rule()
    def pause(self) -> None:
        self.processor.pause()

    @rule()
    def resume(self) -> None:
        self.processor.resume()

    @rule(kind=st.integers(0, 2), poison=st.booleans(), priority=st.sampled_from(BatchPriority))
    def add(self, kind: int, poison: bool, priority: BatchPriority) -> None:
        number = len(self.items) + 1
        item = number if kind == 0 else array(number, kind)
        if poison:
            self.poison.add(number)
        try:
            self.items[number] = self.processor.enqueue_predict(item, timeout=0.0, priority=priority)
        except RuntimeError:
            assert self.has_stopped or len(self.processor.queue) == 50
            self.poison.discard(number)

    @rule(which=st.integers(0, 100))
    @precondition(lambda self: self.items)
    def cancel(self, which: int) -> None:
        number = list(self.items)[which % len(self.items)]
        if self.items[number].cancel():
            self.cancelled.add(number)

    @invariant()
    def check(self) -> None:
        assert not self.cancelled & self.given
        for number, future in self.items.items():
            if not future.done():
                continue
            try:
                assert int(np.ravel(future.result())[0]) == 2 * number
                assert number not in self.poison
            except ValueError:
                assert number in self.poison
            except CancelledError:
                assert number in self.cancelled
            except RuntimeError:
                assert number not in self.given  # it was stopped before it was started

    def teardown(self) -> None:
        if hasattr(self, "processor"):
            if not self.is_running:
                self.processor.start(self.process)
            assert self.processor.stop(DEADLINE_SECONDS)
            self.check()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis_settings(max_examples=40, stateful_step_count=40, deadline=None)
