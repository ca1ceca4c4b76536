"""Does a batch leave now, and why? (pure)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.microbatch.settings import BatchProcessingStrategy, BatchProcessorConfig

WAITS = (BatchProcessingStrategy.FIXED, BatchProcessingStrategy.DEADLINE)
"""Strategies by which a batch that is not full waits for more items."""


class Reason(StrEnum):
    """Why a batch left."""

    FULL = "full"
    TIMEOUT = "timeout"
    """It has waited for `batch_timeout`."""
    IDLE = "idle"
    """There was nothing else to do."""
    DEADLINE = "deadline"
    """Its oldest item would not have been done in time."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Items of one kind that wait, on the monotonic clock."""

    rows: int
    size: int
    """How many rows a batch has now."""
    since: float
    """When the oldest came."""
    expected_seconds: float
    """That the batch is expected to take."""


def release(waiting: Waiting, now: float, config: BatchProcessorConfig, *, hurry: bool) -> Reason | float:
    """Return why a batch leaves now, or until when it waits for more items; in a hurry none waits."""
    if waiting.rows >= waiting.size:
        return Reason.FULL
    if hurry or config.processing_strategy not in WAITS:
        return Reason.IDLE
    until, reason = waiting.since + config.batch_timeout, Reason.TIMEOUT
    if config.processing_strategy is BatchProcessingStrategy.DEADLINE and config.item_timeout is not None:
        latest = waiting.since + config.item_timeout - 2 * waiting.expected_seconds
        if latest < until:
            until, reason = latest, Reason.DEADLINE
    return reason if now >= until else until
