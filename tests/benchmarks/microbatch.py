"""What do micro-batches bring and cost: a model, latency, an idle processor, load, memory, the size that is found?"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from batched.batch_processor import BatchProcessor as Batched

from pyprocessor.microbatch import BatchProcessor, BatchProcessorConfig

ENQUEUES = int(os.environ.get("MICROBATCH_ENQUEUES", "10000000"))
ROUNDS = 5
IN_FLIGHT = 512
WIDTH = 1024
MOST = 64

_RANDOM = np.random.default_rng(1)
WEIGHTS = _RANDOM.random((WIDTH, WIDTH), np.float32)
Array = np.ndarray[Any, Any]


def model(batch: Array) -> Array:
    """A layer of a network: a matrix product over the batch."""
    return np.maximum(batch @ WEIGHTS, 0)


def trivial(batch: Array) -> Array:
    """The least that a function can do: it adds one."""
    return batch + 1


def measure(folder: Path) -> Iterator[str]:
    """One line for every figure; ratios are of interleaved rounds of one run."""
    yield from against_others()
    yield from latencies()
    yield from idle()
    yield from load()
    yield from size_found()
    yield from memory()


def keep_in_flight(items: list[Any], add: Callable[[Any], Future[Any]]) -> float:
    """Seconds that all items take while `IN_FLIGHT` of them are under way; results are taken in order."""
    began, flying = time.perf_counter(), deque[Future[Any]]()
    for item in items:
        if len(flying) >= IN_FLIGHT:
            flying.popleft().result()
        flying.append(add(item))
    for future in flying:
        future.result()
    return time.perf_counter() - began


def against_others() -> Iterator[str]:
    """Throughput of the model by one-by-one calls in threads, by `batched`, and by ours."""
    for name, function, items in (
        (f"matrix product of {WIDTH} x {WIDTH}", model, list(_RANDOM.random((10_000, WIDTH), np.float32))),
        ("adding one to 8 numbers", trivial, list(_RANDOM.random((50_000, 8), np.float32))),
    ):
        rounds = [rates(function, items) for _ in range(ROUNDS)]
        threads, batched, ours = (statistics.median(found) for found in zip(*rounds, strict=True))
        yield (
            f"{name}: {ours:,.0f} items/s, {threads:,.0f} one by one in threads, {batched:,.0f} by batched: "
            f"{ours / threads:.1f} x threads (at least 3 for the product), {ours / batched:.2f} x batched (at least 1)"
        )


def rates(function: Callable[[Array], Array], items: list[Array]) -> tuple[float, float, float]:
    """Items a second: one by one in a pool of threads, by `batched`, by ours."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        threads = keep_in_flight(items, lambda item: pool.submit(function, item[None]))
    other: Any = Batched(lambda batch: list(function(np.stack(batch))), batch_size=MOST)
    other.start()
    began = time.perf_counter()
    other(items)
    batched = time.perf_counter() - began
    other.shutdown()
    with BatchProcessor(BatchProcessorConfig(max_batch_size=MOST)) as processor:
        processor.start(function)
        ours = keep_in_flight(items, processor.enqueue_predict)
    return len(items) / threads, len(items) / batched, len(items) / ours


def latencies() -> Iterator[str]:
    """Items that come at random times, at a third of what one-by-one calls would bear, and at all of it.

    By then the adaptive size has been found, and a fixed one is the largest.
    """
    items = list(_RANDOM.random((4000, WIDTH), np.float32))
    began = time.perf_counter()
    for item in items:
        model(item[None])
    alone = (time.perf_counter() - began) / len(items)
    for strategy in ("adaptive", "fixed"):
        for share in (0.33, 1.0):
            config = BatchProcessorConfig(
                initial_batch_size=MOST if strategy == "fixed" else 8,
                max_batch_size=MOST,
                processing_strategy=strategy,
                batch_timeout=0.01,
            )
            vary, waits, batches = random.Random(1), [], []

            def timed(batch: Array, batches: list[float] = batches) -> Array:
                start = time.perf_counter()
                found = model(batch)
                batches.append(time.perf_counter() - start)
                return found

            with BatchProcessor(config) as processor:
                processor.start(timed)
                keep_in_flight(2 * items, processor.enqueue_predict)
                batches.clear()
                due = time.perf_counter()
                for item in items:
                    due += vary.expovariate(share / alone)
                    while (now := time.perf_counter()) < due:
                        time.sleep(max(0.0, due - now - 0.0001))
                    processor.enqueue_predict(item).add_done_callback(
                        lambda _, came=now, waits=waits: waits.append(time.perf_counter() - came)
                    )
            p99, longest = np.percentile(waits, 99), max(batches)
            yield (
                f"{strategy}, items at {share:g} of the rate of one-by-one calls: p99 latency {1000 * p99:.2f} ms, "
                f"longest batch {1000 * longest:.2f} ms (at most batch_timeout, 10 ms, and one batch)"
            )


def idle() -> Iterator[str]:
    """One item after the other, each when the one before is done: from adding it to its result."""
    item = np.zeros(8, np.float32)
    with BatchProcessor() as processor:
        processor.start(trivial)
        took = []
        for _ in range(5000):
            began = time.perf_counter()
            processor.enqueue_predict(item).result()
            took.append(time.perf_counter() - began)
    mean, median = 1000 * statistics.mean(took), 1000 * statistics.median(took)
    yield f"an idle processor: {mean:.3f} ms an item on average, {median:.3f} in the middle (under 0.5)"


def load() -> Iterator[str]:
    """CPU time and time of an item of the function that adds one, while many are under way."""
    items = [np.zeros(8, np.float32)] * 200_000
    for name in ("enqueue", "enqueue_predict"):
        walls, cpus = [], []
        for _ in range(ROUNDS):
            with BatchProcessor(BatchProcessorConfig(initial_batch_size=MOST, max_batch_size=MOST)) as processor:
                processor.start(trivial)
                cpu, wall = time.process_time(), time.perf_counter()
                if name == "enqueue":
                    for item in items:
                        processor.enqueue(item)
                    processor.stop(60)
                else:
                    keep_in_flight(items, processor.enqueue_predict)
                walls.append(1e6 * (time.perf_counter() - wall) / len(items))
                cpus.append(1e6 * (time.process_time() - cpu) / len(items))
        wall, cpu = statistics.median(walls), statistics.median(cpus)
        yield f"under load, {name}, adding one to 8 numbers: {wall:.1f} us an item, {cpu:.1f} us CPU (under 10)"


def size_found() -> Iterator[str]:
    """A function whose items take least at 8 a batch, of 64 possible: after how many batches is that the size?"""
    found = []
    for start in (1, 16, 64):
        sizes: list[int] = []

        def busy(batch: Array, sizes: list[int] = sizes) -> Array:
            sizes.append(len(batch))
            ends = time.perf_counter() + 0.002 + 0.002 / 64 * len(batch) ** 2
            while time.perf_counter() < ends:
                pass
            return batch

        config = BatchProcessorConfig(initial_batch_size=start, max_batch_size=MOST, max_queue_size=MOST * 2)
        with BatchProcessor(config) as processor:
            processor.start(busy)
            item = np.zeros(8)
            while len(sizes) < 400:
                processor.enqueue(item)
        settled = Counter(sizes[200:400]).most_common(1)[0][0]
        first = next((n for n in range(len(sizes) - 50) if Counter(sizes[n : n + 50])[8] > 35), None)
        found.append(f"from {start}: {settled} after 200, mostly 8 from batch {first} on")
    yield f"best size 8 of 64: {'; '.join(found)} (within 200)"


def memory() -> Iterator[str]:
    """Resident memory while many small items go through."""
    own, item, seen = psutil.Process(), np.zeros(8, np.float32), []
    with BatchProcessor(BatchProcessorConfig(max_batch_size=MOST)) as processor:
        processor.start(trivial)
        for number in range(ENQUEUES):
            processor.enqueue(item)
            if number % (ENQUEUES // 10) == ENQUEUES // 20:
                seen.append(own.memory_info().rss / 2**20)
    told = ", ".join(f"{megabytes:.1f}" for megabytes in seen)
    yield f"{ENQUEUES:,} items: {told} MiB (flat)"
