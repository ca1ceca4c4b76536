"""How much work of one class of jobs waits?"""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.costs.model import CostFactors
from pyprocessor.jobs.queued_job import QueuedJob


@dataclass(slots=True)
class ClassSums:
    """The sums of one class, before the factors; in integers, since sums of floats depend on order."""

    factors: CostFactors
    looked_at: CostFactors | None = None
    """Those of the model that it was last repriced with."""
    count: int = 0
    cpu_microseconds: int = 0
    wait_microseconds: int = 0
    memory_bytes: int = 0

    @property
    def cpu_seconds(self) -> float:
        """Predicted work."""
        return self.cpu_microseconds * self.factors.cpu / 1e6

    def add(self, job: QueuedJob, sign: int) -> None:
        """Add a job, or with a sign of -1 take it out."""
        self.count += sign
        self.wait_microseconds += sign * round(job.wait_seconds * 1e6)
        self.cpu_microseconds += sign * round(job.prior_cpu_seconds * 1e6)
        self.memory_bytes += sign * round(job.prior_memory_bytes)
