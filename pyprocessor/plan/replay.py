"""With which setting would a run have ended sooner? Replays it through the planner with one setting changed. Pure.

The replay is a preview of the run's own jobs at what they were measured to take. Its makespan under the run's own
settings, over the time in which the run worked, is what the makespan under other settings is scaled by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pyprocessor.costs.model import CostClass, CostModel
from pyprocessor.models import (
    WHOLE,
    BatchSettings,
    Chunking,
    Division,
    Job,
    Mode,
    PlanReport,
    Profile,
    Reading,
)
from pyprocessor.models import Recommendation as Advice
from pyprocessor.models.wording import count, display, duration
from pyprocessor.plan.admission import memory_budget
from pyprocessor.plan.preview import preview

LEAST_SHARE, LEAST_SECONDS = 0.05, 10.0
"""Of the run's time, and in all: what a setting has to save to be worth a recommendation."""
AS_GOOD = 1.05
"""The smallest change of one kind of setting is recommended that ends within this factor of the best one."""
MEMORY_PERCENTS = (60.0, 70.0, 80.0, 90.0)
MEMORY_FACTORS = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""By which an absolute limit is raised."""
LEAST_WORKED = 0.5
"""A run in which no file was worked on for more of its time waited for something that no planner knows of."""
MOST_REPLAYED = 5_000
"""Files of a run that is replayed: planning so many a dozen times takes some 6 s."""
_LEAST_HELD = 0.01


@dataclass(frozen=True, slots=True)
class Ran:
    """A job of a run. The job's cost is what it was measured to take, at one thread."""

    job: Job
    cost_class: CostClass
    division: Division
    """Whether it may be done in parts, whatever the run's settings were."""
    seconds: float
    """How long it was worked on."""


@dataclass(frozen=True, slots=True)
class RunToReplay:
    """A run that is over. `model` has learned from its jobs, and so knows what a next run will assume of memory."""

    jobs: Sequence[Ran]
    reading: Reading
    """With what other programs took of memory and CPU while the run was on."""
    profile: Profile
    model: CostModel
    seconds: float
    """How long it took in all."""
    worked_seconds: float
    """How long at least one file was worked on."""
    closed_seconds: float = 0.0
    """How long it waited at first for its window of the day."""


@dataclass(frozen=True, slots=True)
class _Replayed:
    seconds: float
    idle_seconds: float
    """In which at least one core had nothing to do and a file waited."""
    in_parts: bool


def recommendations(run: RunToReplay) -> tuple[Advice, ...]:
    """The settings that would have saved at least 5 % of the run and 10 s, each by itself, what saves most first."""
    found = [advice for advice in (_hours(run), *_by_replay(run)) if advice is not None]
    return tuple(sorted(found, key=lambda advice: (-advice.saved_seconds, advice.option)))


def not_replayed(run: RunToReplay) -> str:
    """Return a sentence that says why a run is not replayed; empty where it is."""
    seconds = run.seconds - run.closed_seconds
    if run.seconds <= 0:
        return "The clock was set back while the run was on."
    if len(run.jobs) > MOST_REPLAYED:
        return f"The run had {count(len(run.jobs), 'job')}, and {MOST_REPLAYED:,} are replayed at most."
    if run.worked_seconds < LEAST_SECONDS:
        return f"Work was on for less than {duration(LEAST_SECONDS)}, so that little can be saved."
    if run.worked_seconds < LEAST_WORKED * seconds:
        worked = f"{duration(run.worked_seconds)} of {duration(seconds)}"
        return f"Work was on for {worked} only: the run waited for what no setting changes."
    return ""


def _worth(run: RunToReplay, saved_seconds: float) -> bool:
    return saved_seconds >= max(LEAST_SECONDS, LEAST_SHARE * run.seconds)


def _hours(run: RunToReplay) -> Advice | None:
    window, waited = run.profile.schedule.window, run.closed_seconds
    if window is None or not _worth(run, waited):
        return None
    named = f"{window[0]:%H:%M}-{window[1]:%H:%M}"
    text = (
        f"The run waited {duration(waited)} for its window {named} to open; without --window it would have saved that."
    )
    return Advice("no --window", text, waited, run.seconds - waited, 0.0)


def _by_replay(run: RunToReplay) -> Iterator[Advice]:
    if not run.jobs or not_replayed(run):
        return
    worked = run.worked_seconds
    was = _replayed(run, run.profile)
    if was.seconds <= 0:
        return
    scale = worked / was.seconds
    # Cores that other programs used are not there for files, however many may run.
    others = min(0.99, max(0.0, run.reading.cpu_percent - run.reading.our_cpu_percent) / 100)
    least = math.fsum(ran.job.cost.cpu_seconds for ran in run.jobs) / (run.reading.cores * (1 - others))
    for changes in _changes(run):
        replays: list[tuple[_Change, _Replayed, float]] = []
        for change in reversed(changes):  # the one that saves most first
            then = _replayed(run, change.profile)
            saved = worked - max(scale * then.seconds, least)
            if not _worth(run, saved) or (replays and then.seconds > AS_GOOD * replays[0][1].seconds):
                break
            replays.append((change, then, saved))
        if replays:
            change, then, saved = replays[-1]
            idle = scale * max(0.0, was.idle_seconds - then.idle_seconds) / run.seconds
            text = f"{_why(run, change, idle, then)} would have saved {duration(saved)}."
            yield Advice(change.option, text, saved, run.seconds - saved, 100 * idle)


@dataclass(frozen=True, slots=True)
class _Change:
    option: str
    profile: Profile
    held: str
    """What held the run back, as the begin of a sentence; empty where it is about the longest file."""


def _changes(run: RunToReplay) -> Iterator[list[_Change]]:
    """The settings that may save time, each kind in a list from the smallest change to the largest."""
    profile, batch, reading = run.profile, run.profile.batch, run.reading
    cores = max(1, int(reading.cores + 0.5))

    def batched(option: str, held: str, **settings: object) -> _Change:
        changed: BatchSettings = replace(batch, **settings)  # type: ignore[arg-type]
        return _Change(option, replace(profile, batch=changed), held)

    yield [
        batched(f"--max-memory {percent:.0f}", "Memory", max_memory_percent=percent)
        for percent in MEMORY_PERCENTS
        if percent > batch.max_memory_percent
    ]
    if batch.memory_limit_bytes is not None:
        enough = memory_budget(reading, replace(batch, memory_limit_bytes=None))
        raised = [math.ceil(batch.memory_limit_bytes * factor / (1 << 20)) for factor in MEMORY_FACTORS]
        yield [
            batched(f"--memory-limit {mebibytes}M", "Memory", memory_limit_bytes=mebibytes << 20)
            for mebibytes in raised
            if mebibytes << 20 <= enough
        ]
    if batch.mode not in (Mode.AUTO, Mode.PRIORITY, Mode.STREAMING):  # whose order was asked for
        held = "One file at a time" if batch.mode is Mode.SEQUENTIAL else f"--mode {batch.mode}"
        yield [batched("--mode auto", held, mode=Mode.AUTO, enabled=True)]
    if batch.enabled and batch.jobs is not None and batch.jobs < cores:
        yield [
            batched(f"--jobs {jobs}", f"--jobs {batch.jobs}", jobs=jobs)
            for jobs in sorted({min(cores, batch.jobs << power) for power in range(1, cores.bit_length() + 1)})
        ]
    if batch.mode in (Mode.AUTO, Mode.PRIORITY) and batch.batch_size is not None:
        yield [batched("--batch-size auto", f"--batch-size {batch.batch_size}", batch_size=None)]
    if (limit := profile.throttling.cpu_limit_percent) is not None:
        unlimited = replace(profile.throttling, cpu_limit_percent=None)
        yield [_Change("no --cpu-limit", replace(profile, throttling=unlimited), f"--cpu-limit {limit:g}")]
    if profile.chunking is not Chunking.AUTO:
        yield [_Change("--chunking auto", replace(profile, chunking=Chunking.AUTO), "")]


def _why(run: RunToReplay, change: _Change, idle: float, then: _Replayed) -> str:
    """What held the run back, for which share of its time, and the setting that ends that."""
    setting = change.option.replace("no --", "leaving out --")
    if not change.held and then.in_parts:
        longest = max(run.jobs, key=lambda ran: ran.seconds)
        share = min(1.0, longest.seconds / run.seconds)
        return f"{display(longest.job.source.relative)} alone took {share:.0%} of the time; in parts ({setting}) it"
    if change.held and idle >= _LEAST_HELD:
        return f"{change.held} held the run back for {idle:.0%} of the time; {setting}"
    return setting[:1].upper() + setting[1:]


def _replayed(run: RunToReplay, profile: Profile) -> _Replayed:
    whole = profile.chunking is Chunking.OFF
    jobs = [(ran.job, ran.cost_class, WHOLE if whole else ran.division) for ran in run.jobs]
    plan = preview(jobs, run.reading, profile, run.model)
    files = [file for batch in plan.batches for file in batch.files]
    # More files at once than there are cores, as `--jobs` may ask for, do no more work a second.
    ends = max(file.end_seconds for file in files) if files else 0.0
    ends = max(ends, math.fsum(file.cost.cpu_seconds for file in files) / run.reading.cores)
    parts = len(files) > len(jobs)
    return _Replayed(ends, idle_seconds(plan, run.reading.cores), parts)


def idle_seconds(plan: PlanReport, cores: float) -> float:
    """How long fewer threads run than there are cores while a file has yet to start."""
    changes: list[tuple[float, int]] = []
    last_start = 0.0
    for batch in plan.batches:
        for file in batch.files:
            changes += [(file.start_seconds, batch.threads), (file.end_seconds, -batch.threads)]
            last_start = max(last_start, file.start_seconds)
    idle, busy, since = 0.0, 0, 0.0
    for at, threads in sorted(changes):
        until = min(at, last_start)
        if busy < cores:
            idle += max(0.0, until - since)
        since, busy = max(since, until), busy + threads
    return idle
