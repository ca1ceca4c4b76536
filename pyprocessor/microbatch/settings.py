"""What can be set of a batch processor, and what does each setting do?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

LATENCY_SHARE = 0.5
"""Of `item_timeout`: no size is used whose batches take longer."""


class BatchPriority(IntEnum):
    """Which items go first; one that is so many levels lower goes before those that come as many times 5 s later."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


class BatchProcessingStrategy(StrEnum):
    """How many items a batch has, and whether one that is not full waits for more while nothing else is to be done."""

    FIXED = "fixed"
    """`initial_batch_size`; waits up to `batch_timeout`, counted from when its oldest item came."""
    ADAPTIVE = "adaptive"
    """The size of best throughput, which is looked for all the time; never waits."""
    GREEDY = "greedy"
    """All that is there, up to `max_batch_size`; never waits."""
    DEADLINE = "deadline"
    """The size of best throughput; waits up to `batch_timeout`, as long as its oldest item is done `item_timeout` after
    it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProcessorConfig:
    """The settings of a `BatchProcessor`. Times are in seconds. Raises ValueError for what contradicts itself."""

    initial_batch_size: int = 8
    min_batch_size: int = 1
    """The adaptive size stays between these; a batch may have fewer items where no more are there."""
    max_batch_size: int = 64
    max_queue_size: int = 1024
    """Items that wait at most; whoever adds one more waits for room."""
    batch_timeout: float = 0.05
    """How long a batch waits for more items, by strategies that wait."""
    item_timeout: float | None = 30.0
    """How long `process_func` may take: then the items of the batch fail with TimeoutError and others go on."""
    enable_priority_queue: bool = True
    """False: items are done in the order in which they came."""
    max_workers: int = 4
    """Threads for items that are no arrays, which are done one by one. Where as many calls hang, no more items are
    taken."""
    enable_monitoring: bool = True
    """False: nothing is recorded and `get_stats()` is empty."""
    monitoring_window: int = 100
    """How many batches the figures of `get_stats()` are taken over."""
    max_retries: int = 2
    """How often a failed batch is tried again before it is halved, and an item that then stands alone."""
    retry_delay: float = 0.05
    """How long after a failure; other batches go on meanwhile."""
    enable_adaptive_batching: bool = True
    """False: the size stays at `initial_batch_size`, or what `update_batch_size` says."""
    processing_strategy: BatchProcessingStrategy = BatchProcessingStrategy.ADAPTIVE
    min_batch_interval: float = 0.0
    """From the start of one batch to that of the next, at least."""
    max_batch_memory_mb: float | None = None
    """MiB of the array that a batch is stacked into; an item that is larger goes alone."""
    enable_memory_optimization: bool = True
    """Arrays are stacked into one buffer that is used again. False: each batch is a new array, which `process_func` may
    keep."""
    gc_batch_threshold: int = 0
    """After so many batches garbage is collected, with `enable_memory_optimization`; 0 leaves that to Python."""
    debug_mode: bool = False
    """Each batch is logged at DEBUG, and failures with their tracebacks."""
    enable_health_monitoring: bool = True
    """Memory and queue are looked at, and the levels below acted on."""
    health_check_interval: float = 5.0
    memory_warning_threshold: float = 0.85
    """Of the memory of the machine, or of the control group with the least room: the size does not grow any more."""
    memory_critical_threshold: float = 0.95
    """The size is halved at each look, and kept buffers are let go."""
    queue_warning_threshold: float = 0.8
    """Of `max_queue_size`: is logged."""
    queue_critical_threshold: float = 0.95
    """Is logged; no batch waits for more items."""
    reduce_batch_on_failure: bool = True
    """The size is halved when a batch fails, and comes back while batches succeed."""
    items_are_rows: bool = False
    """Each array is several rows: arrays are joined along their first axis, and each counts as that many items."""

    def __post_init__(self) -> None:
        for name in ("min_batch_size", "max_queue_size", "max_workers", "monitoring_window"):
            self._check(getattr(self, name) >= 1, name, "1 or more")
        for name in ("batch_timeout", "max_retries", "retry_delay", "min_batch_interval", "gc_batch_threshold"):
            self._check(getattr(self, name) >= 0, name, "0 or more")
        self._check(self.health_check_interval > 0, "health_check_interval", "above 0")
        for name in ("item_timeout", "max_batch_memory_mb"):
            self._check(getattr(self, name) is None or getattr(self, name) > 0, name, "above 0, or None")
        sizes = f"from `min_batch_size` ({self.min_batch_size}) to `max_batch_size` ({self.max_batch_size})"
        self._check(self.min_batch_size <= self.max_batch_size, "max_batch_size", "`min_batch_size` or more")
        self._check(self.min_batch_size <= self.initial_batch_size <= self.max_batch_size, "initial_batch_size", sizes)
        for kind in ("memory", "queue"):
            warning, critical = f"{kind}_warning_threshold", f"{kind}_critical_threshold"
            self._check(0 < getattr(self, warning) <= 1, warning, "a share: above 0, at most 1")
            bounds = f"from `{warning}` ({getattr(self, warning)}) to 1"
            self._check(getattr(self, warning) <= getattr(self, critical) <= 1, critical, bounds)
        object.__setattr__(self, "processing_strategy", BatchProcessingStrategy(self.processing_strategy))

    def _check(self, is_right: bool, name: str, wanted: str) -> None:
        if not is_right:
            raise ValueError(f"`{name}` is {getattr(self, name)}, but has to be {wanted}.")

    @property
    def adapts(self) -> bool:
        """Whether the size is looked for."""
        looks_for = (BatchProcessingStrategy.ADAPTIVE, BatchProcessingStrategy.DEADLINE)
        return self.enable_adaptive_batching and self.processing_strategy in looks_for
