"""How many requests a second does a service answer, and is it as fast as a bare ThreadPoolExecutor where handlers wait?

The pool is what one would write by hand: no process, no journal, no limits. Both are measured in turn, in one run.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyprocessor.services import BatchProcessor, BatchRequest, BatchResult, OptimizedBatchProcessor
from tests.process import answering

MANY, SHORT = 10_000, "0.001"
WAITING, LONG = 400, "0.05"
WORKERS = 4
ROUNDS = 3


def measure(folder: Path) -> Iterator[str]:
    """Requests a second of handlers that wait or compute for 1 ms; ratios to the pool for 50 ms; an answer kept."""
    for kind, handler in (("waits", answering.nap), ("computes", answering.work)):
        seconds = _seconds(BatchProcessor(WORKERS, handler=handler), _requests(MANY, SHORT))
        with ThreadPoolExecutor(WORKERS) as pool:
            began = time.perf_counter()
            list(pool.map(handler, _requests(MANY, SHORT)))
            bare = time.perf_counter() - began
        yield f"{MANY:,} requests, 1 ms that {kind}: {MANY / seconds:,.0f}/s, a bare pool {MANY / bare:,.0f}/s"
    for kind, handler, by_pool in (
        ("function", answering.nap, answering.nap),
        ("coroutine", answering.nap_later, lambda request: asyncio.run(answering.nap_later(request))),
    ):
        ours, bare_pool = [], []
        for _ in range(ROUNDS):
            ours.append(_seconds(BatchProcessor(WORKERS, handler=handler), _requests(WAITING, LONG)))
            bare_pool.append(_pool_seconds(by_pool))
        mine, pools = statistics.median(ours), statistics.median(bare_pool)
        ratio = f"{mine:.2f} s, a bare pool {pools:.2f} s, ratio {mine / pools:.2f}"
        yield f"{WAITING} requests, a {kind} that waits 50 ms: {ratio}"
    yield _kept()


def _requests(count: int, prompt: str) -> list[BatchRequest]:
    return [BatchRequest(str(number), prompt) for number in range(count)]


def _seconds(processor: BatchProcessor, requests: list[BatchRequest]) -> float:
    """From the call to all results; the engine's start is in it."""
    began = time.perf_counter()
    results = processor.process_batch_adaptive(requests)
    seconds = time.perf_counter() - began
    assert [result.content for result in results] == [request.id for request in requests]
    return seconds


def _pool_seconds(handler: Callable[[BatchRequest], str]) -> float:
    with ThreadPoolExecutor(WORKERS) as pool:
        began = time.perf_counter()
        list(pool.map(handler, _requests(WAITING, LONG)))
        return time.perf_counter() - began


def _kept() -> str:
    processor = OptimizedBatchProcessor(handler=answering.nap)
    request = BatchRequest("1", SHORT)
    processor.process_batch_optimized([request])
    took: list[float] = []
    for _ in range(100):
        began = time.perf_counter()
        found: list[BatchResult] = processor.process_batch_optimized([request])
        took.append(time.perf_counter() - began)
        assert found[0].success
    return f"an answer from the cache: {1000 * statistics.median(took):.3f} ms, {1000 * max(took):.3f} at most of 100"
