"""Which figures and log lines do batches leave?"""

from __future__ import annotations

import gc
import logging
import time
from typing import Protocol

from pyprocessor.microbatch.batches import LOGGER, Batch
from pyprocessor.microbatch.health import Level
from pyprocessor.microbatch.settings import BatchProcessorConfig
from pyprocessor.microbatch.stats import BatchStats

_LEVEL_WORDS = {Level.OK: "fine again", Level.WARNING: "high", Level.CRITICAL: "critical"}
_LOG_LEVELS = {Level.OK: logging.INFO, Level.WARNING: logging.WARNING, Level.CRITICAL: logging.ERROR}


class MetricsCollector(Protocol):
    """Takes the figures of batches, memory and queue, for a program of yours."""

    def record_metric(self, name: str, value: float) -> None:
        """Take a number, from any thread; what this raises is logged once and stops nothing."""


class Recorder:
    """Keeps statistics, and tells log and collector."""

    def __init__(self, config: BatchProcessorConfig, stats: BatchStats, metrics: MetricsCollector | None) -> None:
        self._config = config
        self._stats = stats
        self._metrics = metrics
        self._batches = 0

    def succeeded(self, batch: Batch, started: float, seconds: float, queue_length: int) -> None:
        """Record a batch whose items have their results; times are monotonic."""
        waited, latency, rows = started - batch.oldest, time.monotonic() - batch.oldest, batch.rows
        if self._config.enable_monitoring:
            self._stats.update(seconds, rows, waited, latency, queue_length, batch.released)
        if self._metrics is not None:
            self._tell(batch_size=rows, batch_seconds=seconds, queue_seconds=waited, latency_seconds=latency)
            self._tell(queue_length=queue_length)
        if self._config.debug_mode:
            LOGGER.debug("%d items (%s) in %.6f s; the first waited %.6f s", rows, batch.released, seconds, waited)
        self._batches += 1
        threshold = self._config.gc_batch_threshold if self._config.enable_memory_optimization else 0
        if threshold and self._batches % threshold == 0:
            gc.collect()

    def failed(self, batch: Batch, error: BaseException, *, for_good: bool) -> None:
        """Record a call that failed; `for_good` where no other is made for its items."""
        if self._config.enable_monitoring:
            self._stats.record_error()
        self._tell(errors=1)
        if self._config.debug_mode:
            LOGGER.debug("A batch of %d items failed", len(batch.items), exc_info=error)
        unwanted = sum(item.future is None for item in batch.items)
        if for_good and unwanted:
            LOGGER.warning("%s failed: %r", "An item" if unwanted == 1 else f"{unwanted} items", error)

    def health(self, what: str, share: float, found: Level, before: Level) -> None:
        """Record a look at memory or queue; changes are logged."""
        self._tell(**{f"{what}_share": share})
        if found is not before:
            # A full queue is how whoever adds items is made to wait, and no fault.
            urgency = _LOG_LEVELS[found] if what == "memory" else logging.INFO
            LOGGER.log(urgency, "The %s is %s: %.0f %% used", what, _LEVEL_WORDS[found], 100 * share)

    def _tell(self, **numbers: float) -> None:
        if self._metrics is None:
            return
        try:
            for name, value in numbers.items():
                self._metrics.record_metric(name, value)
        except Exception:  # noqa: BLE001 - it is the user's
            LOGGER.exception("The metrics collector failed and is not called again")
            self._metrics = None
