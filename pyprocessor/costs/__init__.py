"""What will a job take? Measured priors, corrected by what jobs took; the only cost model."""

from pyprocessor.costs.model import (
    FILE_SECONDS,
    CostClass,
    CostModel,
    Price,
    class_of,
    speed,
    thread_growth,
    wall_seconds,
)

__all__ = [
    "FILE_SECONDS",
    "CostClass",
    "CostModel",
    "Price",
    "class_of",
    "speed",
    "thread_growth",
    "wall_seconds",
]
