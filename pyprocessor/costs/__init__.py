"""What a job will take: measured priors, corrected by what jobs took. The only cost model there is."""

from pyprocessor.costs.model import CostClass, CostModel, class_of, thread_growth, wall_seconds

__all__ = ["CostClass", "CostModel", "class_of", "thread_growth", "wall_seconds"]
