"""The pure parts of micro-batches: order and room of the queue, when a batch leaves, figures, arrays."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pyprocessor.microbatch import (
    BatchPriority,
    BatchProcessingStrategy,
    BatchProcessorConfig,
    BatchStats,
    PrioritizedItem,
)
from pyprocessor.microbatch.arrays import Stacker, kind_of, results_of, row_kind_of
from pyprocessor.microbatch.items import HEAD_START, ItemQueue
from pyprocessor.microbatch.release import Reason, release


def item(name: str, at: float, priority: BatchPriority = BatchPriority.NORMAL, rows: int = 1) -> PrioritizedItem:
    return PrioritizedItem(at - HEAD_START[priority], name, priority, None, at, rows)


def names(queue: ItemQueue, kind: str, rows: int = 100) -> list[str]:
    return [found.item for found in queue.take(kind, rows)]


def test_urgent_items_go_first_and_others_in_the_order_in_which_they_came() -> None:
    """Within one kind."""
    queue = ItemQueue(100)
    for number, priority in enumerate((0, 1, 3, 1, 2)):
        queue.put("a", item(f"{number}", number / 100, BatchPriority(priority)))
    assert names(queue, "a") == ["2", "4", "1", "3", "0"]


def test_what_has_waited_long_goes_before_what_is_urgent() -> None:
    """So nothing waits for ever."""
    queue = ItemQueue(100)
    queue.put("a", item("low", 0.0, BatchPriority.LOW))
    queue.put("a", item("critical, soon", 14.9, BatchPriority.CRITICAL))
    queue.put("a", item("critical, later", 15.1, BatchPriority.CRITICAL))
    assert names(queue, "a") == ["critical, soon", "low", "critical, later"]


def test_the_next_kind_is_that_of_the_next_item() -> None:
    """Not that of which most wait; what goes alone is not looked at."""
    queue = ItemQueue(100)
    queue.put(None, item("alone", 0.0))
    for number in range(5):
        queue.put("a", item(f"a{number}", 1.0 + number))
    queue.put("b", item("b", 0.5))
    assert [(kind, first.item) for kind, _, first in queue.arrays()] == [("b", "b"), ("a", "a0")]
    assert names(queue, "b") == ["b"]
    assert queue.has_alone()
    assert [kind for kind, _, _ in queue.arrays()] == ["a"]


def test_rows_count_and_a_large_item_goes_alone() -> None:
    """In the queue, and in what is taken out."""
    queue = ItemQueue(10)
    assert queue.has_room(30)
    queue.put("a", item("large", 0.0, rows=30))
    assert not queue.has_room(1)
    assert names(queue, "a", 8) == ["large"]
    for number in range(4):
        queue.put("a", item(f"{number}", 1.0, rows=3))
    assert len(queue) == queue.qsize() == 12
    assert names(queue, "a", 8) == ["0", "1"]
    assert len(queue) == 6


def test_what_was_cancelled_makes_room() -> None:
    """Before anybody waits for it."""
    from concurrent.futures import Future

    queue = ItemQueue(2)
    futures = [Future(), Future()]
    for number, future in enumerate(futures):
        queue.put("a", PrioritizedItem(number, number, BatchPriority.NORMAL, future, number))
    assert not queue.has_room(1)
    futures[0].cancel()
    assert queue.has_room(1)
    assert names(queue, "a") == [1]


def test_the_order_is_that_of_sorting() -> None:
    """For any items, taken out in pieces."""
    vary = random.Random(1)
    items = [item(f"{number}", vary.uniform(0, 30), BatchPriority(vary.randrange(4))) for number in range(300)]
    queue = ItemQueue(1000)
    for one in sorted(items, key=lambda one: one.enqueued_at):
        queue.put("a", one)
    taken = []
    while len(queue):
        taken += names(queue, "a", vary.randrange(1, 9))
    assert taken == [one.item for one in sorted(items)]


def test_the_oldest_item_is_not_the_next_one() -> None:
    """How long a batch waits counts from when it came, however urgent the others are."""
    queue = ItemQueue(100)
    for at, priority in ((1.0, BatchPriority.LOW), (2.0, BatchPriority.CRITICAL), (3.0, BatchPriority.LOW)):
        queue.put("a", item(f"{at}", at, priority))
    ((_, bucket, first),) = queue.arrays()
    assert (first.item, bucket.oldest()) == ("2.0", 1.0)


@pytest.mark.parametrize(
    ("strategy", "rows", "now", "hurry", "expected"),
    [
        ("adaptive", 1, 0.0, False, Reason.IDLE),
        ("greedy", 1, 0.0, False, Reason.IDLE),
        ("adaptive", 8, 0.0, False, Reason.FULL),
        ("fixed", 8, 0.0, False, Reason.FULL),
        ("fixed", 7, 0.0, False, 2.0),
        ("fixed", 7, 2.0, False, Reason.TIMEOUT),
        ("fixed", 7, 0.0, True, Reason.IDLE),
        ("deadline", 7, 0.0, False, 2.0),
        ("deadline", 7, 2.0, False, Reason.TIMEOUT),
    ],
)
def test_when_a_batch_leaves(strategy: str, rows: int, now: float, hurry: bool, expected: object) -> None:
    """And why, or until when it waits."""
    config = BatchProcessorConfig(processing_strategy=strategy, batch_timeout=2.0)
    assert release(rows, 8, 0.0, 0.1, now, config, hurry=hurry) == expected


def test_a_batch_leaves_early_enough_for_its_oldest_item() -> None:
    """By what such a batch is expected to take, with as much to spare."""
    config = BatchProcessorConfig(
        processing_strategy=BatchProcessingStrategy.DEADLINE, batch_timeout=2.0, item_timeout=1.0
    )
    assert release(1, 8, 5.0, 0.1, 5.0, config, hurry=False) == pytest.approx(5.8)
    assert release(1, 8, 5.0, 0.1, 5.9, config, hurry=False) is Reason.DEADLINE


def test_figures_are_those_of_the_window() -> None:
    """Counts are of all time; the dictionary is made anew only after something was added."""
    times = iter(range(1, 100))
    stats = BatchStats(3, clock=lambda: float(next(times)))
    assert stats.get_stats()["throughput"] == 0
    assert stats.get_stats()["error_rate"] == 0
    for size in (100, 2, 4, 6):
        stats.update(0.5, size, 0.1, latency=size / 10, queue_length=size, released="full")
    stats.record_error(4)
    found = stats.get_stats()
    assert found is stats.get_stats()
    assert (found["total_processed"], found["batch_count"], found["error_count"]) == (112, 4, 4)
    assert found["error_rate"] == 0.5
    assert found["avg_batch_size"] == found["avg_queue_length"] == 4
    assert found["throughput"] == pytest.approx(12 / 2.5)
    assert (found["p50_latency"], found["p99_latency"]) == (0.4, 0.6)
    assert found["released"] == {"full": 4}
    assert len(stats.latencies) == len(stats.queue_times) == stats.window_size == 3
    stats.update(0.5, 1, 0.1)
    assert stats.get_stats() is not found


def test_only_plain_arrays_are_stacked() -> None:
    """Of a masked array the mask would be lost."""
    assert kind_of(np.zeros((2, 3), np.uint8)) == kind_of(np.ones((2, 3), np.uint8))
    assert kind_of(np.zeros(3, np.uint8)) != kind_of(np.zeros(3, np.int16))
    assert kind_of(np.ma.masked_array([1], [True])) is kind_of([1]) is kind_of(np.float64(1)) is None
    assert row_kind_of(np.zeros((2, 3))) == row_kind_of(np.zeros((5, 3)))
    assert row_kind_of(np.float64(1)) is row_kind_of(np.array(1.0)) is None


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("dtype", ["f4", "i8", "O", "U5"])
def test_arrays_are_stacked_as_numpy_does(shape: tuple[int, ...], dtype: str) -> None:
    """Of all shapes and dtypes; the buffer is used again."""
    arrays = [np.full(shape, number).astype(dtype) for number in range(5)]
    stacker = Stacker(reuse=True, rows=False)
    whole = stacker.stack(arrays, "kind", 5)
    assert np.array_equal(whole, np.stack(arrays))
    assert whole.dtype == np.dtype(dtype)
    again = stacker.stack(arrays[:2], "kind", 2)
    assert again.base is whole.base
    assert np.array_equal(again, np.stack(arrays[:2]))


def test_buffers_are_bounded() -> None:
    """For however many shapes come by."""
    stacker = Stacker(reuse=True, rows=False)
    first = stacker.stack([np.zeros(1)], 1, 1)
    for size in range(2, 30):
        stacker.stack([np.zeros(size)], size, 1)
    assert stacker.stack([np.zeros(1)], 1, 1).base is not first.base


def test_results_do_not_share_memory_with_the_batch() -> None:
    """Wherever they are in what the function returns; what it made itself is not copied."""
    batch = np.arange(6.0).reshape(3, 2)
    own = np.ones((3, 2))
    for returned in (batch, list(batch), tuple(batch), [{"a": [row]} for row in batch], [(row, 1) for row in batch]):
        found = results_of(returned, batch, None)
        batch[:] = np.arange(6.0).reshape(3, 2)
        expected = repr(found)
        batch[:] = -1
        assert repr(found) == expected
    assert results_of(own, batch, None)[0].base is own


@pytest.mark.parametrize("returned", [None, 3, "abc", {1: 2, 2: 3, 3: 4}, iter([1, 2, 3]), np.float64(1), np.array(1)])
def test_an_answer_of_the_wrong_type_is_an_error(returned: object) -> None:
    """With a sentence."""
    with pytest.raises(TypeError, match="process_func has to return a list, a tuple or an array; it returned"):
        results_of(returned, np.zeros(3), None)


def test_an_answer_of_the_wrong_length_is_an_error() -> None:
    """With both numbers."""
    with pytest.raises(ValueError, match="returned 2 results for 3 items"):
        results_of([1, 2], np.zeros(3), None)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"max_batch_size": 4, "initial_batch_size": 8},
            r"`initial_batch_size` is 8, but has to be from .* to .* \(4\)",
        ),
        ({"min_batch_size": 0}, "`min_batch_size` is 0, but has to be 1 or more"),
        ({"min_batch_size": 65}, "`max_batch_size` is 64"),
        ({"retry_delay": -1}, "`retry_delay` is -1"),
        ({"item_timeout": 0}, "`item_timeout` is 0, but has to be above 0, or None"),
        ({"memory_critical_threshold": 0.5}, r"from `memory_warning_threshold` \(0.85\) to 1"),
        ({"queue_warning_threshold": 80}, "`queue_warning_threshold` is 80, but has to be a share"),
        ({"processing_strategy": "quick"}, "quick"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], match: str) -> None:
    """With a sentence that names them."""
    with pytest.raises(ValueError, match=match):
        BatchProcessorConfig(**settings)
