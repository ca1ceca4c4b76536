"""How does a batch processor do: times, sizes, latencies, errors, why batches left?"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from pyprocessor.models.percentiles import percentile


class BatchStats:
    """Figures over the last batches. Thread-safe; times are in seconds. Counts are of all time."""

    def __init__(self, window_size: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self.window_size = window_size
        self.processing_times: deque[float] = deque(maxlen=window_size)
        self.batch_sizes: deque[int] = deque(maxlen=window_size)
        self.queue_times: deque[float] = deque(maxlen=window_size)
        self.latencies: deque[float] = deque(maxlen=window_size)
        self.queue_lengths: deque[int] = deque(maxlen=window_size)
        self.error_counts = 0
        """Calls of `process_func` that failed, those that were repeated included."""
        self.batch_counts = 0
        self.total_processed = 0
        """Items that have a result."""
        self.released: Counter[str] = Counter()
        """Batches by why they left the queue."""
        self.lock = threading.Lock()
        self._clock = clock
        self._ended: deque[float] = deque(maxlen=window_size)
        self._cached: dict[str, Any] | None = None

    def update(
        self,
        processing_time: float,
        batch_size: int,
        queue_time: float,
        latency: float = 0.0,
        queue_length: int = 0,
        released: str | None = None,
    ) -> None:
        """Add a batch that succeeded: how long it took, how many items it had, how long the oldest of them waited.

        `latency` is the time from when that item came until it had its result; `queue_length` how many wait now.
        """
        with self.lock:
            self.processing_times.append(processing_time)
            self.batch_sizes.append(batch_size)
            self.queue_times.append(queue_time)
            self.latencies.append(latency)
            self.queue_lengths.append(queue_length)
            self.batch_counts += 1
            self.total_processed += batch_size
            self._ended.append(self._clock())
            if released is not None:
                self.released[released] += 1
            self._cached = None

    def record_error(self, count: int = 1) -> None:
        """Add calls that failed."""
        with self.lock:
            self.error_counts += count
            self._cached = None

    def get_stats(self) -> dict[str, Any]:
        """Return the figures; the same dictionary until something is added."""
        with self.lock:
            if self._cached is None:
                self._cached = self._figures()
            return self._cached

    def _figures(self) -> dict[str, Any]:
        calls = self.batch_counts + self.error_counts
        return {
            "total_processed": self.total_processed,
            "batch_count": self.batch_counts,
            "error_count": self.error_counts,
            "error_rate": self.error_counts / calls if calls else 0.0,
            "throughput": self._throughput(),
            "released": dict(self.released),
            "avg_batch_size": _mean(self.batch_sizes),
            "max_batch_size": max(self.batch_sizes, default=0),
            "avg_processing_time": _mean(self.processing_times),
            "avg_queue_time": _mean(self.queue_times),
            "avg_queue_length": _mean(self.queue_lengths),
            "avg_latency": _mean(self.latencies),
            **_percentiles("latency", self.latencies),
            **_percentiles("processing_time", self.processing_times),
        }

    def _throughput(self) -> float:
        """Items a second, from the start of the first batch of the window to the end of the last."""
        if not self._ended:
            return 0.0
        seconds = self._ended[-1] - self._ended[0] + self.processing_times[0]
        return sum(self.batch_sizes) / seconds if seconds > 0 else 0.0


def _mean(values: deque[float] | deque[int]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _percentiles(name: str, values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{percent}_{name}": percentile(ordered, percent) for percent in (50, 95, 99)}
