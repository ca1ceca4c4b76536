"""What does a mode mean for the planner: which settings, and which order? Pure; decided here alone.

    mode         order                          batches
    auto         the longest first              of predicted work, or of `batch_size`
    sequential   of the listing, or submitted   one, of one slot: one job after another
    parallel     the longest first              a job each
    chunked      the longest first              of `batch_size`, or `CHUNK` jobs
    adaptive     the longest first              as one of the three above, by `adapted`
    priority     by a rule                      as auto, but small, so that the order is that of the starts
    streaming    first in, first out            the same, and nothing waits for the listing

Before the order come priorities and tenants, as always.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pyprocessor.costs.model import wall_seconds
from pyprocessor.jobs.priorities import UNRANKED, Rank
from pyprocessor.models import BatchSettings, Cost, Job, Mode, Origin, PriorityRule
from pyprocessor.models.wording import count, duration
from pyprocessor.plan.naming import order_key
from pyprocessor.plan.widening import MAX_THREADS

CHUNK = 32
"""Jobs of a batch in the mode `chunked`, where nobody says how many."""
FEW, MANY = 10, 100
"""Jobs below which `adaptive` does them one after another, or each by itself."""
PROCESS_SECONDS = 0.05
"""What starting a batch process takes."""
CHUNK_PROCESSES = 2
"""The fewest processes that share the slots of batches of a fixed size; see `planner.shape`."""
_SOONER, _SOONER_SECONDS = 0.9, 1.0
"""Another way is taken where it is predicted to end within this share of the time, and so many seconds earlier."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The planner's settings for a mode; `way` is the mode in force, and `note` a sentence where that was decided."""

    settings: BatchSettings
    way: Mode
    note: str = ""

    @property
    def text(self) -> str:
        """The mode for people: `chunked, 32 a batch`."""
        asked = self.settings.mode
        by = f" by {self.settings.priority_by}" if asked is Mode.PRIORITY else ""
        chunk = self.settings.batch_size if self.way is Mode.CHUNKED else None
        size = f", {chunk} a batch" if chunk is not None else ""
        return f"{asked}{by}" + (f": {self.way}" if asked is not self.way else "") + size


def chosen(settings: BatchSettings, known: int, typical: Cost, cores: int) -> Chosen:
    """The settings for the mode, where so many jobs are known and their mean is `typical`, at one thread."""
    way, note = settings.mode, ""
    if way is Mode.ADAPTIVE:
        way, note = adapted(max(1, known), typical, cores, settings.batch_size or CHUNK)
    match way:
        case Mode.SEQUENTIAL:
            settings = replace(settings, enabled=False, batch_size=None, jobs=None)
        case Mode.PARALLEL:
            settings = replace(settings, batch_size=1, jobs=settings.jobs or cores)
        case Mode.CHUNKED:
            settings = replace(settings, batch_size=settings.batch_size or CHUNK)
    return Chosen(settings, way, note)


def adapted(known: int, typical: Cost, cores: int, size: int) -> tuple[Mode, str]:
    """The way for so many jobs by their number or, where another is predicted to end sooner, that; and why."""
    usual = Mode.SEQUENTIAL if known < FEW else Mode.PARALLEL if known < MANY else Mode.CHUNKED
    seconds = {
        way: _seconds(way, known, typical.cpu_seconds, cores, size)
        for way in (usual, Mode.SEQUENTIAL, Mode.PARALLEL, Mode.CHUNKED)
    }
    best = min(seconds, key=lambda way: seconds[way])
    jobs = count(known, "job")
    if seconds[best] > min(_SOONER * seconds[usual], seconds[usual] - _SOONER_SECONDS):
        return usual, f"Mode adaptive: {usual}, by the number of jobs ({known})."
    return best, (
        f"Mode adaptive: {best}, although {jobs} would be done {usual} by their number: that is predicted to take "
        f"{duration(seconds[usual])}, and {best} {duration(seconds[best])}."
    )


def _seconds(way: Mode, known: int, cpu_seconds: float, cores: int, size: int) -> float:
    """How long so many equal jobs take, by and large: what each way costs in processes, and leaves idle at its end."""
    one = wall_seconds(cpu_seconds, 1)
    if way is Mode.SEQUENTIAL:
        return PROCESS_SECONDS + known * wall_seconds(cpu_seconds, min(cores, MAX_THREADS))
    if way is Mode.PARALLEL:
        return math.ceil(known / cores) * (PROCESS_SECONDS + one)
    processes = min(math.ceil(known / size), cores, max(CHUNK_PROCESSES, cores // 4))
    slots = cores / processes
    full, rest = divmod(known, size)
    rounds = math.ceil(full / processes)
    # Where all processes end their full batches together, the last and smaller one follows.
    jobs = rounds * math.ceil(size / slots) + (math.ceil(rest / slots) if full % processes == 0 else 0)
    return (rounds + 1) * PROCESS_SECONDS + jobs * one


def in_order(settings: BatchSettings) -> bool:
    """Whether jobs have an order of their own, and not that of their costs."""
    return settings.mode in (Mode.SEQUENTIAL, Mode.PRIORITY, Mode.STREAMING)


def rank(settings: BatchSettings, job: Job, place: int) -> Rank:
    """Where a job stands among those of its priority; it was the `place`th to be found."""
    if job.is_fetch:
        return float(place), ()  # nobody knows yet which of their readers is the longest
    if not in_order(settings):
        return UNRANKED
    if job.origin is Origin.CHILD:
        return -math.inf, ()  # of a job that has begun
    if settings.mode is Mode.STREAMING:
        return float(place), ()
    if settings.mode is Mode.SEQUENTIAL:
        return (0.0, order_key(job.source.relative)) if job.origin is Origin.FOLDER else (float(place), ())
    rule, key = settings.priority_rule
    match rule:
        case PriorityRule.LARGEST:
            first = -float(job.source.size_bytes)
        case PriorityRule.SMALLEST:
            first = float(job.source.size_bytes)
        case PriorityRule.NEWEST:
            first = -float(job.source.mtime_ns)
        case PriorityRule.OLDEST:
            first = float(job.source.mtime_ns)
        case PriorityRule.METADATA:
            first = -_number(dict(job.metadata).get(key, ""))
        case _:
            first = 0.0  # it is in the job's priority
    return first, ()


def _number(text: str) -> float:
    """The number that a text is; less than all others where it is none."""
    try:
        value = float(text)
    except ValueError:
        return -math.inf
    return -math.inf if math.isnan(value) else value
