"""Are the resources that a job needs by name free? Pure.

A job that needs more than there are has all of them to itself, since it would wait for ever otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings


def held(jobs: Iterable[QueuedJob]) -> dict[str, int]:
    """How many of each resource these jobs hold together."""
    counts: dict[str, int] = {}
    for job in jobs:
        add(counts, job)
    return counts


def add(counts: dict[str, int], job: QueuedJob, times: int = 1) -> None:
    """Add to `counts` what a job holds, so many times."""
    for name, needed in job.resources:
        counts[name] = counts.get(name, 0) + needed * times


def how_many_fit(job: QueuedJob, in_use: Mapping[str, int], settings: BatchSettings) -> float:
    """How many such jobs may start beside what is in use; infinite for one that needs none."""
    most = math.inf
    for name, needed in job.resources:
        there, used = settings.how_many(name), in_use.get(name, 0)
        if needed > 0:
            most = min(most, max(there - used, 0) // needed if used else max(1, there // needed))
    return most


def shortage(job: QueuedJob, in_use: Mapping[str, int], settings: BatchSettings) -> str:
    """Which resource the job waits for, as the end of a sentence; empty where none."""
    for name, needed in job.resources:
        there, used = settings.how_many(name), in_use.get(name, 0)
        if used >= there > 0 and needed > 0:
            return f"every {name} ({there}) is in use"
        if used and used + needed > there:
            return f"it needs {needed} of {there} {name}, and {used} of them are in use"
    return ""
