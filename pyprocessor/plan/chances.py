"""How likely is it that all is done by its time? A plan is run many times, with other errors of its predictions. Pure.

The logarithm of measured / predicted time of a job is taken to be normal, the standard deviation being that of its
`spread` (`costs.model.CostFactors`). Part of it all jobs of a class have in common: all of it where none was ever
measured, and less the more were, as 2 / (n + 2) of the variance after n attempts; two being what the model's own spread
is held back by.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from pyprocessor.costs.model import CostClass

MOST_RUNS, FEWEST_RUNS = 500, 100
_STEPS = 100_000
"""Jobs of all runs together: some tenths of a second."""
_HELD_BACK = 2.0
_SEED = 20260101
LOW, HIGH = 0.1, 0.9
"""The quantiles that bound a forecast: four of five runs end between them."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One job of a plan; times are seconds from its start."""

    job_id: str
    cost_class: CostClass
    start_seconds: float
    seconds: float
    """Predicted, with the threads that it is to have."""
    spread: float
    """The factor that these may be off by."""
    measured: int
    """Attempts of its class that the cost model has seen."""
    cores: int = 1
    """What it counts as; 0 where it mostly waits."""
    needs: tuple[str, ...] = ()
    """Jobs of the plan that have to end before it begins."""

    @property
    def seconds_low(self) -> float:
        return self.seconds / self.spread

    @property
    def seconds_high(self) -> float:
        return self.seconds * self.spread


@dataclass(frozen=True, slots=True)
class Forecast:
    """The chance, 0 to 1, that every job is done by its time, and when all are done in each run, sorted."""

    chance: float
    ends: tuple[float, ...] = (0.0,)

    def seconds_in(self, share: float) -> float:
        """In how many seconds all is done in this share of the runs."""
        return self.ends[int(share * (len(self.ends) - 1))]

    @property
    def seconds(self) -> float:
        return self.seconds_in(0.5)

    @property
    def seconds_low(self) -> float:
        return self.seconds_in(LOW)

    @property
    def seconds_high(self) -> float:
        return self.seconds_in(HIGH)


def forecast(plan: Sequence[PlannedRun], due_seconds: dict[str, float], seed: int = _SEED) -> Forecast:
    """Run a plan many times; the same plan and seed give the same forecast.

    `due_seconds` is when jobs have to be done, by id. Each run begins the jobs in their planned order, on the core
    that is free first.
    """
    if not plan:
        return Forecast(1.0)
    order = sorted(plan, key=lambda run: (run.start_seconds, run.job_id))
    cores = _most_cores(order)
    rng = random.Random(seed)  # noqa: S311 - no secret
    ends: list[float] = []
    in_time = 0
    for _ in range(max(FEWEST_RUNS, min(MOST_RUNS, _STEPS // len(order)))):
        done = _run(order, cores, rng)
        ends.append(max(done.values()))
        in_time += all(done.get(job_id, 0.0) <= due for job_id, due in due_seconds.items())
    return Forecast(in_time / len(ends), tuple(sorted(ends)))


def _run(order: Sequence[PlannedRun], cores: int, rng: random.Random) -> dict[str, float]:
    """When each job ends in one run."""
    common: dict[CostClass, float] = {}
    free = [0.0] * cores
    done: dict[str, float] = {}
    for job in order:
        if job.cost_class not in common:
            common[job.cost_class] = rng.gauss(0.0, 1.0)
        deviation = math.log(max(1.0, job.spread))
        shared = _HELD_BACK / (_HELD_BACK + job.measured)
        error = math.sqrt(shared) * common[job.cost_class] + math.sqrt(1 - shared) * rng.gauss(0.0, 1.0)
        begin = max((done[needed] for needed in job.needs if needed in done), default=0.0)
        taken = [heapq.heappop(free) for _ in range(min(job.cores, cores))]
        end = max([begin, *taken]) + job.seconds * math.exp(deviation * error)
        for _ in taken:
            heapq.heappush(free, end)
        done[job.job_id] = end
    return done


def _most_cores(order: Sequence[PlannedRun]) -> int:
    """How many cores the plan has in use at once, at most."""
    changes = [(run.start_seconds, run.cores) for run in order]
    changes += [(run.start_seconds + run.seconds - 1e-9, -run.cores) for run in order]
    used = most = 0
    for _, change in sorted(changes):
        used += change
        most = max(most, used)
    return max(1, most)
