"""Whether a job that was sent to no process yet may start now, by what the running ones really take.

Batches are packed by predictions. This looks again at the moment of each start: at what is resident, at files that
outgrew their prediction, and at classes of which nothing was ever measured, which start slowly. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyprocessor.costs import CostClass, CostModel, thread_growth
from pyprocessor.models.wording import memory_size
from pyprocessor.plan.ready import Entry

UNMEASURED_FACTOR = 4
"""How much more than predicted a job of a class never measured is reckoned to take at worst."""
RAMP_SECONDS = 1.0
"""How long an encode takes to show its size: x264 medium at 1080p reaches 86 % of its peak in its first second."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs, or was sent to its process and is about to. `cost_class` as in its entry (at one thread);
    `threads` are those it has."""

    cost_class: CostClass
    threads: int
    predicted_bytes: int
    """At its threads, with margin: `memory_need(entry, threads)`."""
    memory_bytes: int
    """Resident now; 0 where nothing was read yet."""
    age_seconds: float
    """Since it started; 0 where it did not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the job may start; `reason` is the end of a sentence "It waits because ..." where it may not."""

    start: bool
    reason: str = ""


START = Verdict(True)


def memory_need(entry: Entry, threads: int) -> int:
    """Predicted peak bytes, with margin, of a job that runs with `threads`."""
    if threads == 1 or entry.narrow:
        return entry.memory_bytes
    return math.ceil(entry.memory_bytes * thread_growth(entry.cost_class, threads))


def may_start(
    entry: Entry,
    threads: int,
    running: Sequence[RunningJob],
    budget_bytes: int,
    model: CostModel,
    *,
    concurrency: int,
    admitted_this_reading: int,
) -> Verdict:
    """Whether one more job may start beside `running`.

    `budget_bytes` is for all jobs together and `concurrency` how many may run at once (both of the shape);
    `admitted_this_reading` counts the jobs that were started since the last reading.

    A job counts with what it takes or is predicted to take, whichever is more; and where one outgrew its prediction,
    all of its class are reckoned to. With nothing running the answer is always yes, so that a run goes on.
    """
    if not running:
        return START
    outgrown: dict[CostClass, float] = {}
    for job in running:
        if job.memory_bytes > job.predicted_bytes > 0:
            factor = job.memory_bytes / job.predicted_bytes
            outgrown[job.cost_class] = max(outgrown.get(job.cost_class, 1.0), factor)
    taken = sum(max(job.memory_bytes, job.predicted_bytes * outgrown.get(job.cost_class, 1.0)) for job in running)
    wanted = memory_need(entry, threads) * outgrown.get(entry.cost_class, 1.0)
    if taken + wanted > budget_bytes:
        return Verdict(
            False,
            f"it is reckoned to take {memory_size(wanted)}, and of {memory_size(budget_bytes)} the files "
            f"that run take {memory_size(taken)}",
        )
    if model.measured_count(replace(entry.cost_class, threads=threads)) > 0:
        return START
    if UNMEASURED_FACTOR * memory_need(entry, threads) * concurrency <= budget_bytes:
        return START
    if admitted_this_reading > 0:
        return Verdict(False, "files of its kind were never measured, and are started one after each reading")
    alike = [job.age_seconds for job in running if job.cost_class == entry.cost_class]
    shown = sum(age >= RAMP_SECONDS for age in alike)
    if len(alike) - shown >= max(1, shown):
        return Verdict(False, "files of its kind were never measured, and those that run have yet to show their size")
    return START
