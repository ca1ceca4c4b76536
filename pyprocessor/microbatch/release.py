"""Does a batch leave now, and why? (pure)"""

from __future__ import annotations

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


def release(
    rows: int,
    size: int,
    since: float,
    expected_seconds: float,
    now: float,
    config: BatchProcessorConfig,
    *,
    hurry: bool,
) -> Reason | float:
    """Return why a batch leaves now, or until when it waits for more items; in a hurry none waits.

    Of `size` rows `rows` are there, the oldest `since` a time, and the batch is expected to take so many seconds.
    """
    if rows >= size:
        return Reason.FULL
    if hurry or config.processing_strategy not in WAITS:
        return Reason.IDLE
    until, reason = since + config.batch_timeout, Reason.TIMEOUT
    if config.processing_strategy is BatchProcessingStrategy.DEADLINE and config.item_timeout is not None:
        latest = since + config.item_timeout - 2 * expected_seconds
        if latest < until:
            until, reason = latest, Reason.DEADLINE
    return reason if now >= until else until
