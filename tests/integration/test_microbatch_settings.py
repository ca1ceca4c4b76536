"""Each documented setting of a batch processor changes what it does."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import fields
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from pyprocessor.microbatch import (
    BatchPriority,
    BatchProcessingStrategy,
    BatchProcessor,
    BatchProcessorConfig,
    lanes,
    recording,
)
from tests.integration.batched_items import POISON, Doubling, array
from tests.waiting import DEADLINE_SECONDS, until

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "microbatch.md"
FOR_EVER = 10_000.0
STILL = {"enable_adaptive_batching": False, "max_batch_size": 64, "initial_batch_size": 8}
"""The size stays."""


def done(*futures: Any) -> list[Any]:
    """Their results."""
    assert not wait(futures, DEADLINE_SECONDS).not_done
    return [future.result() for future in futures]


def sizes_of(items: list[Any], **settings: Any) -> list[int]:
    """Sizes of the batches that items go in which are all there before the first one leaves."""
    function = Doubling()
    with BatchProcessor(BatchProcessorConfig(**settings)) as processor:
        futures = [processor.enqueue_predict(item) for item in items]
        processor.start(function)
        done(*futures)
    return function.sizes


def released(items: int, **settings: Any) -> dict[str, int]:
    """Why batches left."""
    with BatchProcessor(BatchProcessorConfig(**settings)) as processor:
        processor.start(Doubling())
        done(*(processor.enqueue_predict(array(number)) for number in range(items)))
        until(lambda: processor.stats.total_processed == items)
        return processor.get_stats()["released"]


def initial_batch_size() -> None:
    for size in (4, 8):
        assert sizes_of([array(1)] * 16, **STILL | {"initial_batch_size": size}) == [size] * (16 // size)


def min_batch_size() -> None:
    for least in (1, 3):
        assert BatchProcessor(BatchProcessorConfig(min_batch_size=least)).update_batch_size(0) == least


def max_batch_size() -> None:
    for most in (8, 16):
        assert max(sizes_of([array(1)] * 64, max_batch_size=most, processing_strategy="greedy")) == most


def max_queue_size() -> None:
    for most in (2, 3):
        processor = BatchProcessor(BatchProcessorConfig(max_queue_size=most))
        for number in range(most):
            processor.enqueue(array(number), timeout=0)
        with pytest.raises(RuntimeError, match=f"The queue is full: {most} items wait"):
            processor.enqueue(array(9), timeout=0)


def batch_timeout() -> None:
    assert released(1, processing_strategy="fixed", batch_timeout=0.0) == {"timeout": 1}
    assert released(8, processing_strategy="fixed", batch_timeout=FOR_EVER) == {"full": 1}


def item_timeout() -> None:
    for allowed in (0.02, None):
        function = Doubling(is_open=False)
        with BatchProcessor(BatchProcessorConfig(item_timeout=allowed)) as processor:
            processor.start(function)
            future = processor.enqueue_predict(array(1))
            if allowed is not None:
                assert isinstance(future.exception(DEADLINE_SECONDS), TimeoutError)
            function.gate.set()
            if allowed is None:
                assert future.result(DEADLINE_SECONDS).tolist() == [2, 2, 2]


def enable_priority_queue() -> None:
    for enabled, order in ((True, [[3], [1], [0]]), (False, [[0], [1], [3]])):
        function = Doubling()
        settings = {"max_batch_size": 1, "initial_batch_size": 1, "enable_priority_queue": enabled}
        with BatchProcessor(BatchProcessorConfig(**settings)) as processor:
            futures = [processor.enqueue_predict(array(level), priority=BatchPriority(level)) for level in (0, 1, 3)]
            processor.start(function)
            done(*futures)
        assert function.calls == order


def max_workers() -> None:
    for most in (1, 3):
        function = Doubling(is_open=False)
        with BatchProcessor(BatchProcessorConfig(max_workers=most)) as processor:
            processor.start(function)
            futures = [processor.enqueue_predict(number) for number in range(6)]
            until(lambda function=function, most=most: function.at_once == most)
            function.gate.set()
            assert done(*futures) == [0, 2, 4, 6, 8, 10]
        assert function.most_at_once == most


def enable_monitoring() -> None:
    for enabled in (True, False):
        with BatchProcessor(BatchProcessorConfig(enable_monitoring=enabled)) as processor:
            processor.start(Doubling())
            done(processor.enqueue_predict(array(1)))
        assert bool(processor.get_stats()) is bool(processor.stats.batch_counts) is enabled


def monitoring_window() -> None:
    for window in (2, 3):
        with BatchProcessor(BatchProcessorConfig(monitoring_window=window)) as processor:
            processor.start(Doubling())
            for number in range(5):
                done(processor.enqueue_predict(array(number)))
        assert len(processor.stats.batch_sizes) == window


def max_retries() -> None:
    for most in (0, 3):
        function = Doubling()
        with BatchProcessor(BatchProcessorConfig(max_retries=most, retry_delay=0)) as processor:
            processor.start(function)
            future = processor.enqueue_predict(array(POISON))
            assert "poison" in str(future.exception(DEADLINE_SECONDS))
        assert len(function.calls) == 1 + most


def retry_delay() -> None:
    for item in (array(1), 1):
        function = Doubling()
        function.failures = 1
        with BatchProcessor(BatchProcessorConfig(retry_delay=FOR_EVER)) as processor:
            processor.start(function)
            late = processor.enqueue_predict(item)
            until(lambda function=function: function.failures == 0)
            done(processor.enqueue_predict(array(2)))
            assert not late.done()
            assert processor.stop(DEADLINE_SECONDS)  # which waits for no delay
            assert late.done()
        function.failures = 1
        with BatchProcessor(BatchProcessorConfig(retry_delay=0.0)) as processor:
            processor.start(function)
            done(processor.enqueue_predict(item))


def enable_adaptive_batching() -> None:
    """Other sizes are tried, or not."""
    assert len(set(sizes_of([array(1)] * 640, **STILL | {"enable_adaptive_batching": True}))) > 1
    assert set(sizes_of([array(1)] * 640, **STILL)) == {8}


def processing_strategy() -> None:
    assert sizes_of([array(1)] * 16, processing_strategy=BatchProcessingStrategy.GREEDY) == [16]
    assert sizes_of([array(1)] * 16, processing_strategy=BatchProcessingStrategy.FIXED) == [8, 8]
    assert sizes_of([array(1)] * 16, processing_strategy="adaptive") == [8, 8]
    deadline = {"processing_strategy": "deadline", "batch_timeout": FOR_EVER}
    assert released(8, **deadline) == {"full": 1}
    assert released(1, item_timeout=0.4, **deadline) == {"deadline": 1}
    assert released(1, processing_strategy="adaptive", batch_timeout=FOR_EVER) == {"idle": 1}


def min_batch_interval() -> None:
    with BatchProcessor(BatchProcessorConfig(min_batch_interval=FOR_EVER)) as processor:
        function = Doubling()
        processor.start(function)
        done(processor.enqueue_predict(array(1)))
        second = processor.enqueue_predict(array(2))
        done(processor.enqueue_predict(3))  # alone: no batch
        assert not second.done()
        assert processor.stop(DEADLINE_SECONDS)
        assert second.done()
    assert released(1, min_batch_interval=0.0) == {"idle": 1}


def max_batch_memory_mb() -> None:
    mebibytes = [np.zeros(1 << 20, np.uint8)] * 8
    assert sizes_of(mebibytes, max_batch_memory_mb=2.5, **STILL) == [2, 2, 2, 2]
    assert sizes_of(mebibytes, max_batch_memory_mb=0.5, **STILL) == [1] * 8
    assert sizes_of(mebibytes, **STILL) == [8]


def enable_memory_optimization() -> None:
    for enabled in (True, False):
        buffers: list[Any] = []
        with BatchProcessor(BatchProcessorConfig(enable_memory_optimization=enabled)) as processor:
            processor.start(lambda batch, buffers=buffers: buffers.append(ref(batch.base)) or [0] * len(batch))
            for number in (1, 2):
                done(processor.enqueue_predict(array(number)))
            assert (buffers[0]() is buffers[1]() is not None) is enabled


def gc_batch_threshold() -> None:
    collections: list[int] = []
    for threshold, times in ((2, 2), (0, 0)):
        collections.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recording.gc, "collect", lambda: collections.append(1))
            with BatchProcessor(BatchProcessorConfig(gc_batch_threshold=threshold)) as processor:
                processor.start(Doubling())
                for number in range(5):
                    done(processor.enqueue_predict(array(number)))
        assert len(collections) == times
    assert gc.isenabled()


def debug_mode() -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = seen.append  # type: ignore[method-assign]
    logger = logging.getLogger("pyprocessor.microbatch")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        for enabled in (True, False):
            seen.clear()
            with BatchProcessor(BatchProcessorConfig(debug_mode=enabled, max_retries=0)) as processor:
                processor.start(Doubling())
                done(processor.enqueue_predict(array(1)))
                processor.enqueue_predict(array(POISON)).exception(DEADLINE_SECONDS)
            assert ["poison" in str(record.exc_info) for record in seen] == ([False, True] if enabled else [])
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


class Told:
    """A collector of metrics."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def record_metric(self, name: str, value: float) -> None:
        assert value >= 0
        self.names.append(name)


def healthy(share: float, queued: int = 0, **settings: Any) -> tuple[BatchProcessor, Told]:
    """A processor with so much memory used and so many of 10 places in the queue, once it was looked at."""
    told = Told()
    settings = {"health_check_interval": 0.005, "item_timeout": None, "max_queue_size": 10, **settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "MemoryShare", lambda: lambda: share)
        with BatchProcessor(BatchProcessorConfig(**settings), told) as processor:
            processor.pause()
            processor.start(Doubling())
            for number in range(queued):
                processor.enqueue(array(number))
            if processor.config.enable_health_monitoring and processor.config.health_check_interval < 1:
                seen = len(told.names)
                until(lambda: len(told.names) >= seen + 8)
            processor.figures = processor.get_stats()  # type: ignore[attr-defined]
    return processor, told


def health(*given: Any, **settings: Any) -> tuple[str, str, int]:
    figures = healthy(*given, **settings)[0].figures  # type: ignore[attr-defined]
    return figures["health"]["memory"], figures["health"]["queue"], figures["batch_size"]


def enable_health_monitoring() -> None:
    assert health(0.99)[0] == "critical"
    assert health(0.99, enable_health_monitoring=False)[0] == "ok"


def health_check_interval() -> None:
    assert healthy(0.1)[1].names.count("memory_share") >= 2
    assert healthy(0.1, health_check_interval=FOR_EVER)[1].names.count("memory_share") == 0


def memory_warning_threshold() -> None:
    assert health(0.9)[0] == "warning"
    assert health(0.9, memory_warning_threshold=0.92)[0] == "ok"


def memory_critical_threshold() -> None:
    assert health(0.9, memory_critical_threshold=0.88) == ("critical", "ok", 1)
    assert health(0.9) == ("warning", "ok", 8)


def queue_warning_threshold() -> None:
    assert health(0.1, 7)[1] == "ok"
    assert health(0.1, 7, queue_warning_threshold=0.7)[1] == "warning"


def queue_critical_threshold() -> None:
    """No batch waits for more items then."""
    assert health(0.1, 9)[1] == "warning"
    assert health(0.1, 9, queue_critical_threshold=0.9)[1] == "critical"
    settings = {"max_queue_size": 10, "queue_critical_threshold": 0.8, "health_check_interval": 0.005}
    settings |= {"initial_batch_size": 10, "processing_strategy": "fixed", "batch_timeout": FOR_EVER}
    assert released(8, **settings) == {"idle": 1}


def reduce_batch_on_failure() -> None:
    for enabled in (True, False):
        function = Doubling()
        function.failures = 1
        with BatchProcessor(BatchProcessorConfig(reduce_batch_on_failure=enabled, retry_delay=0)) as processor:
            futures = [processor.enqueue_predict(array(number)) for number in range(8)]
            processor.start(function)
            done(*futures)
        assert processor.get_stats()["batch_size"] == (4 if enabled else 8)


def items_are_rows() -> None:
    for enabled in (True, False):
        shapes: list[tuple[int, ...]] = []
        with BatchProcessor(BatchProcessorConfig(items_are_rows=enabled)) as processor:
            futures = [processor.enqueue_predict(np.full((rows, 2), rows)) for rows in (3, 2)]
            processor.start(lambda batch, shapes=shapes: shapes.append(batch.shape) or batch * 2)
            found = done(*futures)
        assert [one.tolist() for one in found] == [[[6, 6]] * 3, [[4, 4]] * 2]
        assert shapes == ([(5, 2)] if enabled else [(1, 3, 2), (1, 2, 2)])


CHECKS: dict[str, Callable[[], None]] = {
    check.__name__: check
    for check in (
        *(initial_batch_size, min_batch_size, max_batch_size, max_queue_size, batch_timeout, item_timeout),
        *(enable_priority_queue, max_workers, enable_monitoring, monitoring_window, max_retries, retry_delay),
        *(enable_adaptive_batching, processing_strategy, min_batch_interval, max_batch_memory_mb),
        *(enable_memory_optimization, gc_batch_threshold, debug_mode, enable_health_monitoring),
        *(health_check_interval, memory_warning_threshold, memory_critical_threshold, queue_warning_threshold),
        *(queue_critical_threshold, reduce_batch_on_failure, items_are_rows),
    )
}


def documented() -> set[str]:
    """The settings of the table in the documentation."""
    table = DOCUMENTATION.read_text(encoding="utf-8").partition("## Settings")[2].partition("## ")[0]
    return {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}


def test_every_setting_is_documented_and_checked() -> None:
    """No setting is without an effect."""
    assert documented() == {field.name for field in fields(BatchProcessorConfig)} == set(CHECKS)
    BatchProcessorConfig()  # each has a default


@pytest.mark.parametrize("setting", CHECKS)
def test_the_setting_changes_what_is_done(setting: str) -> None:
    """With one value and with another."""
    CHECKS[setting]()
