"""What does the order of work need to know of a job that waits? Small: 100,000 of them take about 50 MB."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from pyprocessor.costs.model import FILE_SECONDS, CostClass, CostFactors, CostModel, speed, thread_growth
from pyprocessor.jobs.priorities import UNRANKED, Band, Rank, band_of
from pyprocessor.models import WHOLE, Backend, Division, EstimationSettings, Job, display

OUT_OF_MEMORY_GROWTH = 1.5
"""How much more memory a job is assumed to take each time it was ended for want of memory."""
WAITING_RATIO = 10.0
"""A job that waits so many times longer than it computes takes no core: that would be idle nine tenths of the time."""


Kind = tuple[CostClass | None, tuple[tuple[str, int], ...], bool]


@dataclass(frozen=True, slots=True)
class Asking:
    """The back ends that can do a job, as `Plan` names them, and what became of them so far."""

    backends: tuple[Backend, ...]
    requests: int = 1
    chosen: str = ""
    """The one that its attempt is to use; empty while it waits."""
    since: float = 0.0
    """When that was chosen, in seconds since the epoch."""
    tried: frozenset[str] = frozenset()
    """Those that did not answer its attempts in this run."""

    def __post_init__(self) -> None:
        if not all(isinstance(backend, Backend) and backend.name for backend in self.backends):
            raise TypeError("back ends that are no `Backend` with a name")
        if len({backend.name for backend in self.backends}) < len(self.backends):
            raise ValueError("two back ends of one name")
        rates = (backend.per_minute for backend in self.backends if backend.per_minute is not None)
        if any(backend.burst < 1 for backend in self.backends) or not all(rate > 0 for rate in rates):
            raise ValueError("a back end that takes no requests")


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that waits: predicted cost at one thread (priors times the factors of its class), and order."""

    job_id: str
    prior_cpu_seconds: float
    prior_memory_bytes: float
    cost_class: CostClass
    disk_bytes: int = 0
    priority: int = 0
    tenant: str = ""
    name: str = ""
    """Relative path of its source, printable."""
    factors: CostFactors = field(default_factory=CostFactors)
    memory_floor_bytes: int = 0
    """Memory that an earlier attempt took, whatever is predicted."""
    tries: int = 0
    """Failed attempts that may be tried again; each puts the job further behind."""
    queued_in: int = 0
    """The period in which it began to wait, see `jobs.priorities`."""
    rank: Rank = UNRANKED
    """As the run's mode has it; what is done in the order of costs has none."""
    narrow: bool = False
    """One thread only, since memory ran out under it."""
    alone: bool = False
    """To run with nothing beside it: it may have killed its process or the run, or memory was short repeatedly."""
    wait_seconds: float = 0.0
    resources: tuple[tuple[str, int], ...] = ()
    division: Division = WHOLE
    asking: Asking | None = None
    """Of a job that is done by a back end."""
    is_fetch: bool = False
    """Whether it fetches an input, which takes room on the disk until it is read."""

    @classmethod
    def of(
        cls,
        job: Job,
        cost_class: CostClass,
        model: CostModel,
        estimation: EstimationSettings,
        division: Division = WHOLE,
        asking: Asking | None = None,
        rank: Rank = UNRANKED,
    ) -> QueuedJob:
        """The queued job for `job`, whose cost, as `cost_class`, is what `model` predicts at one thread."""
        factors = model.factors(cost_class, estimation.memory_safety_factor)
        margin = model.memory_margin(cost_class, estimation.memory_safety_factor)
        return cls(
            job_id=job.id,
            prior_cpu_seconds=job.cost.cpu_seconds / factors.cpu,
            prior_memory_bytes=job.cost.memory_bytes * margin / factors.memory,
            cost_class=cost_class,
            disk_bytes=job.cost.disk_bytes,
            priority=job.priority,
            tenant=job.tenant,
            name=display(job.source.relative),
            factors=factors,
            wait_seconds=job.cost.wait_seconds,
            resources=job.cost.resources,
            division=division,
            asking=asking,
            rank=rank,
            is_fetch=job.is_fetch and bool(job.output),
        )

    @property
    def waits(self) -> bool:
        """Whether it mostly waits, by the word of its task: what is learned meanwhile does not change its queue."""
        return self.wait_seconds > 0 and self.wait_seconds >= WAITING_RATIO * self.prior_cpu_seconds

    @property
    def kind(self) -> Kind:
        """What the jobs of one batch have in common: one process does the calls of one kind."""
        return self.affinity, self.resources, self.asking is not None

    @property
    def backend(self) -> str:
        """The name of the back end that its attempt uses; empty where it needs none, or has none yet."""
        return self.asking.chosen if self.asking is not None else ""

    @property
    def affinity(self) -> CostClass | None:
        """What it has in common with the jobs that one process may go on taking; None for files for ffmpeg."""
        return self.cost_class if self.cost_class.given else None

    @property
    def band(self) -> Band:
        """What its place in the order depends on, before what it costs."""
        return band_of(self.priority, self.tries, self.queued_in)

    @property
    def cpu_seconds(self) -> float:
        """Predicted CPU-seconds at one thread."""
        return self.prior_cpu_seconds * self.factors.cpu

    @property
    def doubtful_cpu_seconds(self) -> float:
        """What it may take: half way to what its class takes at most. Work spread for nothing costs little, a late end
        much."""
        return self.cpu_seconds * math.sqrt(self.factors.spread)

    @property
    def memory_bytes(self) -> int:
        """Predicted peak at one thread, with its safety margin."""
        return max(math.ceil(self.prior_memory_bytes * self.factors.memory), self.memory_floor_bytes)

    def wall_seconds(self, cores: int, cpu_seconds: float | None = None) -> float:
        """Predicted wall time where it has `cores` to itself, perhaps by a better guess of its CPU-seconds."""
        start = 0.0 if self.cost_class.given else FILE_SECONDS
        seconds = self.cpu_seconds if cpu_seconds is None else cpu_seconds
        return start + self.wait_seconds + seconds / speed(max(1, cores))

    def memory_with(self, threads: int) -> int:
        """Predicted peak with so many threads, with its safety margin."""
        if threads == 1 or self.narrow:
            return self.memory_bytes
        return math.ceil(self.memory_bytes * thread_growth(self.cost_class, threads))

    def priced(self, model: CostModel, memory_safety_factor: float) -> QueuedJob:
        """The same job at what `model` predicts for its class now."""
        return replace(self, factors=model.factors(self.cost_class, memory_safety_factor))

    def after_memory_ran_out(self, peak_bytes: int = 0) -> QueuedJob:
        """The same job with one thread and more memory, at least the peak that was measured."""
        floor = max(math.ceil(self.memory_bytes * OUT_OF_MEMORY_GROWTH), peak_bytes, self.memory_floor_bytes)
        return replace(self, memory_floor_bytes=floor, narrow=True)
