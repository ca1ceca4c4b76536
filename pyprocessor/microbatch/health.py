"""How full are memory and queue?"""

from __future__ import annotations

import time
from enum import IntEnum

from pyprocessor.system.sampler import Sampler


class Level(IntEnum):
    """How much of something is used."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


def level(share: float, warning: float, critical: float) -> Level:
    """Return which of two thresholds a share has reached."""
    return Level((share >= warning) + (share >= critical))


class MemoryShare:
    """Reads how much of the machine's memory, or of the control group with the least room, is used."""

    def __init__(self) -> None:
        self._sampler = Sampler(b"/")

    def __call__(self) -> float:
        reading = self._sampler.read((), time.monotonic())
        return reading.used_memory_bytes / max(1, reading.total_memory_bytes)
