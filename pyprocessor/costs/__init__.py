"""What a job will take: measured priors, corrected by what jobs took. The only cost model there is."""

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
