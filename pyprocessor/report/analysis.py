"""How did a run go: successes, durations, throughput, errors, retries, and what was used of what there was? Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pyprocessor.errors import FailureKind
from pyprocessor.journal.rows import AttemptRow, Cache
from pyprocessor.models import OutcomeKind, Reading

ERROR_NAMES = {
    FailureKind.STALL: "timeout",
    FailureKind.RESOURCE: "memory",
    FailureKind.UNAVAILABLE: "connection",
    FailureKind.BAD_INPUT: "validation",
    FailureKind.UNSUPPORTED: "profile",
}
"""What kinds of failure are called here. The others keep their names; a failure without a kind is `unknown`."""
UNKNOWN = "unknown"
STEADY = 0.1
"""By which share the work done a second may differ between both halves of a run that counts as steady."""
LEAST_FOR_TREND = 4
"""Files; of fewer a trend would only say which was the longest."""
DISK_BUSY_SHARE = 0.7
"""Of the highest rate of the disks that was seen: a mean above it means that they were busy nearly all of the time."""
DISK_LEAST_BYTES_PER_SECOND = 20e6
"""What any disk does: a lower rate bounds no run."""
CPU_IDLE_PERCENT = 60.0
"""Below it the cores were waiting for something."""


class Trend(StrEnum):
    """How the work done a second changed over a run."""

    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class Durations:
    """Wall seconds of the files that succeeded; percentiles are interpolated."""

    files: int
    mean: float
    minimum: float
    median: float
    maximum: float
    p90: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Durations | None:
        """The figures of these lengths of time; None where there are none."""
        if not seconds:
            return None
        cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 99
        shape = (min(seconds), statistics.median(seconds), max(seconds), cuts[89], cuts[94], cuts[98])
        return cls(len(seconds), statistics.fmean(seconds), *shape)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Files that were done a minute, and CPU-seconds of work a second in both halves of the time in which work was on.

    What an attempt took counts evenly from its begin to its end.
    """

    files_per_minute: float
    first_half: float
    second_half: float
    trend: Trend | None
    """None for a few files."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Files that were tried again after an attempt, and those of them that succeeded then."""

    tried_again: int
    recovered: int

    @property
    def recovery_percent(self) -> float | None:
        return 100 * self.recovered / self.tried_again if self.tried_again else None


@dataclass(frozen=True, slots=True)
class Used:
    """What a run used of what there was; None where nothing was measured. Disk rates are of all programs together."""

    cores: float | None = None
    cpu_percent: float | None = None
    """CPU-seconds of all attempts, of those that all cores had."""
    others_cpu_percent: float | None = None
    """What other programs took of all cores, on average."""
    memory_peak_bytes: int | None = None
    memory_mean_bytes: float | None = None
    memory_allowed_bytes: int | None = None
    memory_percent: float | None = None
    """The peak, of what was allowed."""
    disk_mean_bytes_per_second: float | None = None
    disk_peak_bytes_per_second: float | None = None
    disk_bound: bool | None = None
    """The disks were busy nearly all of the time, while cores waited."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """One run in figures. `success_percent` is of the files that were done or failed in it, None where none was."""

    files: int
    success_percent: float | None
    durations: Durations | None
    throughput: Throughput | None
    errors: tuple[tuple[str, int], ...]
    """How many attempts, and files that were not begun, failed of each kind; the most frequent first."""
    retries: Retries
    used: Used
    cache: Cache = field(default_factory=Cache)


def analyse(
    attempts: Sequence[AttemptRow],
    by_file: Mapping[str, AttemptRow],
    not_begun: Sequence[FailureKind | None],
    readings: Sequence[Reading],
    seconds: float,
    memory_allowed_bytes: int | None,
) -> Analysis:
    """Work out the figures of one run of `seconds` wall time.

    `attempts` are all of the run, `by_file` the last one of each file, with what its parts took; `not_begun` has the
    kinds of failure of files that failed without an attempt.
    """
    outcomes = Counter(attempt.outcome for attempt in by_file.values())
    done = sum(outcomes[kind] for kind in _DONE)
    ended = done + sum(outcomes[kind] for kind in _FAILED) + len(not_begun)
    walls = [
        attempt.usage.wall_seconds
        for attempt in by_file.values()
        if attempt.outcome is OutcomeKind.SUCCEEDED and attempt.usage is not None
    ]
    return Analysis(
        files=ended,
        success_percent=100 * done / ended if ended else None,
        durations=Durations.of(walls),
        throughput=_throughput(attempts, done, seconds),
        errors=_errors([*(a.failure for a in attempts if a.outcome in _FAILED), *not_begun]),
        retries=_retries(attempts),
        used=_used(attempts, readings, seconds, memory_allowed_bytes),
    )


_DONE = (OutcomeKind.SUCCEEDED, OutcomeKind.KEPT_SOURCE)
_FAILED = (OutcomeKind.FAILED, OutcomeKind.QUARANTINED)


def error_name(kind: FailureKind | None) -> str:
    """What a kind of failure is called in the analysis."""
    return UNKNOWN if kind is None else ERROR_NAMES.get(kind, kind.value)


def _errors(kinds: Iterable[FailureKind | None]) -> tuple[tuple[str, int], ...]:
    counted = Counter(map(error_name, kinds))
    return tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _retries(attempts: Iterable[AttemptRow]) -> Retries:
    outcomes: dict[str, list[OutcomeKind | None]] = {}
    for attempt in attempts:
        outcomes.setdefault(attempt.job_id, []).append(attempt.outcome)
    again = [each for each in outcomes.values() if len(each) > 1]
    return Retries(len(again), sum(each[-1] is OutcomeKind.SUCCEEDED for each in again))


def _throughput(attempts: Sequence[AttemptRow], done: int, seconds: float) -> Throughput | None:
    spans = [
        (attempt.started_at, attempt.ended_at, attempt.usage.cpu_seconds)
        for attempt in attempts
        if attempt.ended_at is not None and attempt.usage is not None and attempt.ended_at > attempt.started_at
    ]
    if not spans or seconds <= 0:
        return None
    begin, end = min(start for start, *_ in spans), max(until for _, until, _ in spans)
    middle = (begin + end) / 2
    first = sum(cpu * max(0.0, min(until, middle) - start) / (until - start) for start, until, cpu in spans)
    half = (end - begin) / 2
    rates = first / half, (sum(cpu for *_, cpu in spans) - first) / half
    trend = None
    if len(spans) >= LEAST_FOR_TREND:
        rising, falling = (rates[b] > rates[a] * (1 + STEADY) for a, b in ((0, 1), (1, 0)))
        trend = Trend.RISING if rising else Trend.FALLING if falling else Trend.STEADY
    return Throughput(60 * done / seconds, *rates, trend)


def _used(
    attempts: Iterable[AttemptRow], readings: Sequence[Reading], seconds: float, allowed_bytes: int | None
) -> Used:
    if not readings or seconds <= 0:
        return Used()
    cores = readings[0].cores
    cpu_percent = 100 * sum(a.usage.cpu_seconds for a in attempts if a.usage is not None) / (cores * seconds)
    memory = [reading.our_memory_bytes for reading in readings]
    disk = [reading.disk_bytes_per_second for reading in readings]
    mean, peak = statistics.fmean(disk), max(disk)
    busy = statistics.fmean(reading.cpu_percent for reading in readings)
    return Used(
        cores=cores,
        cpu_percent=cpu_percent,
        others_cpu_percent=statistics.fmean(max(0.0, r.cpu_percent - r.our_cpu_percent) for r in readings),
        memory_peak_bytes=max(memory),
        memory_mean_bytes=statistics.fmean(memory),
        memory_allowed_bytes=allowed_bytes,
        memory_percent=100 * max(memory) / allowed_bytes if allowed_bytes else None,
        disk_mean_bytes_per_second=mean,
        disk_peak_bytes_per_second=peak,
        disk_bound=mean >= max(DISK_BUSY_SHARE * peak, DISK_LEAST_BYTES_PER_SECOND) and busy < CPU_IDLE_PERCENT,
    )
