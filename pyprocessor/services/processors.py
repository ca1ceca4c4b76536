"""How does a program have requests answered in batches? Each class has what the one before it has, and more."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyprocessor.intake.paths import AnyPath
from pyprocessor.services import analysis
from pyprocessor.services.cache import DEFAULT_EXPIRY_SECONDS, DEFAULT_SIZE, AnswerCache, Key, as_cached, key_of
from pyprocessor.services.chunking import Learned, Place, Placed, by_cost, grouped, in_order
from pyprocessor.services.given import folder_of, listed, refused, settings_of
from pyprocessor.services.handlers import HandlerGiven, handler_of
from pyprocessor.services.kept_answers import AnswerStore
from pyprocessor.services.running import Chunk, Runner
from pyprocessor.taskqueue.creating import DEFAULT_MEMORY_LIMIT_MB, check_seconds, check_whole
from pyprocessor.workers.requests import BatchRequest, BatchResult

SEQUENTIAL_BELOW = 10
PARALLEL_BELOW = 100
"""Requests of a batch, from which on `process_batch_adaptive` does it in parallel, and in chunks."""
DEFAULT_TIMEOUT_SECONDS = 300.0
MOST_REMEMBERED = 10_000
"""Results that reports are made of, without their contents."""
MOST_IN_MEMORY = 1000
"""Requests that are given to the engine at once, where memory is to be kept."""
OPTIMIZATION = {
    "enable_caching": True,
    "enable_profile_grouping": True,
    "enable_memory_optimization": True,
    "shared_cache": False,
    "cache_size": DEFAULT_SIZE,
    "cache_expiry_seconds": DEFAULT_EXPIRY_SECONDS,
}
Chunked = Iterable[tuple[list[Place], Chunk]]


class BatchProcessor:
    """Has requests answered by a handler, on the engine. Its methods may be called from any thread, and take turns.

    `handler`: see `services/handlers`. `max_workers` is how many chunks are in work at once, of a handler that computes
    as far as there are cores, and how many calls of a function each process makes at once, in threads; coroutines of a
    chunk all go at once.
    `timeout` in seconds holds for each request. `output` is the folder that keeps the journal, and by which a call
    that was killed goes on; without it that is temporary.
    """

    def __init__(
        self,
        max_workers: int = 4,
        batch_size: int = 32,
        *,
        handler: HandlerGiven = None,
        output: AnyPath | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        memory_limit_mb: int = DEFAULT_MEMORY_LIMIT_MB,
    ) -> None:
        """Raises UsageError or OutputUnwritable."""
        check_whole("max_workers", max_workers, 1)
        check_whole("batch_size", batch_size, 1)
        check_seconds("timeout", timeout)
        self.max_workers = max_workers
        self.batch_size = batch_size
        self.performance_metrics: dict[str, Any] = dict(analysis.NO_METRICS)
        self._runner = Runner(handler_of(handler), max_workers, float(timeout), memory_limit_mb, folder_of(output))
        self._lock = threading.RLock()
        self._learned = Learned()
        self._remembered: deque[BatchResult] = deque(maxlen=MOST_REMEMBERED)

    # ------------------------------------------------------------ the modes

    def process_single_request(self, request: BatchRequest) -> BatchResult:
        """Return what becomes of one request."""
        return self.process_batch_sequential([request])[0]

    def process_batch_sequential(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """One after the other, in their order."""
        return self._process(requests, lambda placed: _ranked(self._as_they_come(placed)), one_by_one=True)

    def process_batch_parallel(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """All at once, spread evenly over the workers."""
        return self._process(requests, self._spread)

    def process_batch_chunked(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """In chunks of `batch_size` requests as they come."""
        return self._process(requests, self._as_they_come)

    def process_batch_adaptive(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """Fewer than 10 one after the other, fewer than 100 in parallel, more in chunks."""
        requests = listed(requests)
        if len(requests) < SEQUENTIAL_BELOW:
            return self.process_batch_sequential(requests)
        if len(requests) < PARALLEL_BELOW:
            return self.process_batch_parallel(requests)
        return self.process_batch_chunked(requests)

    # ------------------------------------------------------------ what was done

    def generate_performance_report(self) -> dict[str, Any]:
        """A report of the last 10,000 results, see `analysis.generate_performance_report`."""
        with self._lock:
            return analysis.generate_performance_report(list(self._remembered), self.performance_metrics)

    def analyze_batch_performance(self, results: Sequence[BatchResult]) -> dict[str, Any]:
        """See `analysis.analyze_batch_performance`."""
        return analysis.analyze_batch_performance(results)

    # ------------------------------------------------------------ how it is done

    def _process(
        self,
        requests: Iterable[BatchRequest],
        chunks: Callable[[Sequence[Placed]], Chunked],
        *,
        one_by_one: bool = False,
    ) -> list[BatchResult]:
        """Have requests done in the chunks that a function makes of them; the results are in their order."""
        with self._lock:
            began = time.monotonic()
            requests = listed(requests)
            found = [refused(request) for request in requests]
            placed = [(place, request) for place, request in enumerate(requests) if found[place] is None]
            made = list(chunks(placed))
            if made:
                runner = replace(self._runner, at_once=1) if one_by_one else self._runner
                ran = runner.run([chunk for _, chunk in made], 1 if one_by_one else self.max_workers)
                if ran.cpu_share is not None:
                    self._runner = replace(self._runner, cpu_share=ran.cpu_share)
                for (places, _), results in zip(made, ran.results, strict=True):
                    for place, result in zip(places, results, strict=True):
                        found[place] = result
            results = [result for result in found if result is not None]
            assert len(results) == len(requests)
            for request, result in zip(requests, results, strict=True):
                self._learned.add(request, result)
            self.performance_metrics["chunks"] += len(made)
            self._note(results, time.monotonic() - began)
            return results

    def _note(self, results: Sequence[BatchResult], seconds: float) -> None:
        self._remembered.extend(replace(result, content=None) for result in results)
        analysis.add_to_metrics(self.performance_metrics, results, seconds)

    @property
    def _most(self) -> int:
        """Requests of a chunk."""
        return min(self.batch_size, self._runner.handler.most_requests or self.batch_size)

    def _as_they_come(self, placed: Sequence[Placed]) -> Chunked:
        return in_order(placed, self._most, self._learned.seconds)

    def _spread(self, placed: Sequence[Placed]) -> Chunked:
        size = min(self._most, max(1, -(-len(placed) // self.max_workers)))
        return in_order(placed, size, self._learned.seconds)


class AdvancedBatchProcessor(BatchProcessor):
    """With chunks of equal predicted cost, and with priorities."""

    def __init__(
        self, max_workers: int = 8, batch_size: int = 64, enable_load_balancing: bool = True, **settings: Any
    ) -> None:
        """`settings` are the keywords of BatchProcessor. Raises UsageError."""
        super().__init__(max_workers, batch_size, **settings)
        self.enable_load_balancing = enable_load_balancing

    def process_batch_with_load_balancing(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """In chunks of near equal predicted cost; where load balancing is off, as they come."""
        if not self.enable_load_balancing:
            return self.process_batch_chunked(requests)
        return self._process(requests, self._balanced)

    def process_batch_with_priority(
        self, requests: Iterable[BatchRequest], priority_key: str | None = None
    ) -> list[BatchResult]:
        """Those with the highest number in their metadata first, by default under `priority`; results in that order.

        Those without a number come last, equal ones as they were given.
        """
        key = "priority" if priority_key is None else priority_key
        ordered = sorted(listed(requests), key=lambda request: _rank(request, key))
        return self._process(ordered, lambda placed: _ranked(self._spread(placed)))

    def process_batch_adaptive(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """As BatchProcessor does it, but from 100 requests on in chunks of equal predicted cost."""
        requests = listed(requests)
        if len(requests) >= PARALLEL_BELOW:
            return self.process_batch_with_load_balancing(requests)
        return super().process_batch_adaptive(requests)

    def _balanced(self, placed: Sequence[Placed]) -> Chunked:
        return by_cost(placed, self._most, self.max_workers, self._learned.seconds)


class OptimizedBatchProcessor(AdvancedBatchProcessor):
    """With a cache of answers, chunks of one profile, and a bounded part of a batch in work at once.

    `optimization_config` has the switches, which may be changed at any time, and the bounds of the cache.
    """

    def __init__(self, **settings: Any) -> None:
        """`settings` are keywords of AdvancedBatchProcessor and of `optimization_config`. Raises UsageError."""
        self.optimization_config = settings_of(settings, OPTIMIZATION)
        super().__init__(**settings)
        size, expiry = (self.optimization_config[name] for name in ("cache_size", "cache_expiry_seconds"))
        self._cache = AnswerCache(size, expiry)
        handler, output = self._runner.handler, self._runner.output
        self._kept: AnswerStore | None = None
        if output is not None and size > 0 and not handler.task:
            self._kept = AnswerStore(os.fsencode(output), handler, size, expiry)

    def process_batch_optimized(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """In their order; what was answered before comes from the cache, and equal requests are asked once."""
        requests = listed(requests)
        with self._lock:
            if not self.optimization_config["enable_caching"]:
                return self._ask(requests)
            keys = [self._key(request) or place for place, request in enumerate(requests)]
            answers = self._known(dict.fromkeys(keys))
            first: dict[Key | int, int] = {}
            for place, key in enumerate(keys):
                if key not in answers:
                    first.setdefault(key, place)
            asked = dict(zip(first, self._ask([requests[place] for place in first.values()]), strict=True))
            self._remember({key: answer for key, answer in asked.items() if isinstance(key, tuple)})
            answers |= asked
            again = {
                place: as_cached(answers[key], requests[place])
                for place, key in enumerate(keys)
                if first.get(key) != place
            }
            self._note(list(again.values()), 0.0)
            metrics = self.performance_metrics
            metrics["cache_hits"] += len(again)
            metrics["cache_misses"] += len(asked)
            metrics["cache_hit_rate"] = analysis.share(metrics["cache_hits"], metrics["cache_misses"])
            return [again.get(place) or answers[key] for place, key in enumerate(keys)]

    def _known(self, keys: Iterable[Key | int]) -> dict[Key | int, BatchResult]:
        """What was answered before, in memory or in the journal, from where it comes into memory."""
        asked = [key for key in keys if isinstance(key, tuple)]
        found: dict[Key | int, BatchResult] = {key: kept for key in asked if (kept := self._cache.get(key)) is not None}
        left = [key for key in asked if key not in found]
        if self._kept is not None and left:
            for key, (age_seconds, answer) in self._kept.get(left).items():
                self._cache.add(key, answer, age_seconds)
                found[key] = answer
        return found

    def _remember(self, answers: Mapping[Key, BatchResult]) -> None:
        for key, answer in answers.items():
            self._cache.add(key, answer)
        if self._kept is not None:
            self._kept.keep(answers)

    def _ask(self, requests: Sequence[BatchRequest]) -> list[BatchResult]:
        """Have a handler answer, a bounded number at once where memory is to be kept."""
        bounded = self.optimization_config["enable_memory_optimization"]
        size = MOST_IN_MEMORY if bounded else max(1, len(requests))
        parts = (requests[start : start + size] for start in range(0, len(requests), size))
        return [result for part in parts for result in self._process(part, self._grouped)]

    def _grouped(self, placed: Sequence[Placed]) -> Chunked:
        for group in grouped(placed, self._group):
            if self.enable_load_balancing:
                chunks = -(-self.max_workers * len(group) // len(placed))
                yield from by_cost(group, self._most, chunks, self._learned.seconds)
            else:
                yield from self._as_they_come(group)

    def _group(self, request: BatchRequest) -> Hashable:
        """What requests of one chunk have in common."""
        return request.profile_name if self.optimization_config["enable_profile_grouping"] else ""

    def _key(self, request: BatchRequest) -> Key | None:
        """What the cache knows a request by; None for one that is not sent."""
        if refused(request) is not None:
            return None
        return key_of(request, self._runner.handler.name, shared=self.optimization_config["shared_cache"])


def _ranked(chunks: Chunked) -> Chunked:
    """Chunks that the engine begins in this order, each before all that come later."""
    whole = list(chunks)
    for number, (places, chunk) in enumerate(whole):
        yield places, replace(chunk, priority=number - len(whole))


def _rank(request: BatchRequest, key: str) -> float:
    value = request.metadata.get(key) if isinstance(request.metadata, Mapping) else None
    return -value if isinstance(value, int | float) and value == value else float("inf")
