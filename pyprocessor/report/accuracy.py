"""How near predictions came to what files took, over the succeeded files of one run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pyprocessor.journal.rows import AttemptRow, JobRow
from pyprocessor.models import OutcomeKind, display
from pyprocessor.report import wording


class Tried(Protocol):
    """What is asked of a journal here."""

    def attempts(self, job_id: str | None = None, run_id: int | None = None) -> Iterator[AttemptRow]: ...
    def job(self, job_id: str) -> JobRow | None: ...


@dataclass(frozen=True, slots=True)
class Worst:
    """The file whose prediction was off by the largest factor, with both numbers (bytes or seconds)."""

    name: bytes
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """|predicted - measured| / measured."""
        return abs(self.predicted - self.measured) / self.measured


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One quantity, predicted against measured, over `files`.

    `ratio` is the median of measured / predicted (1 is perfect), `error` the median of |predicted - measured| /
    measured. `predicted` and `measured` are sums.
    """

    files: int
    predicted: float
    measured: float
    ratio: float
    error: float
    worst: Worst


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was predicted of memory (bytes) and CPU time (seconds); None where nothing was measured."""

    attempts: int
    memory: Accuracy | None
    cpu: Accuracy | None


def prediction(journal: Tried, run_id: int) -> Prediction | None:
    """Compare what the run's successful attempts took with what they were expected to; None where there are none."""
    memory: dict[str, tuple[float, float]] = {}
    cpu: dict[str, tuple[float, float]] = {}
    attempts = 0
    for attempt in journal.attempts(run_id=run_id):
        if attempt.outcome is not OutcomeKind.SUCCEEDED or attempt.usage is None:
            continue
        foretold = attempt.predicted
        if foretold is None:
            continue
        attempts += 1
        # A 0 is "not measured": the file was done before anybody could look.
        if foretold.memory_bytes > 0 and attempt.usage.peak_memory_bytes > 0:
            memory[attempt.job_id] = (foretold.memory_bytes, attempt.usage.peak_memory_bytes)
        if foretold.cpu_seconds > 0 and attempt.usage.cpu_seconds > 0:
            cpu[attempt.job_id] = (foretold.cpu_seconds, attempt.usage.cpu_seconds)
    return Prediction(attempts, _accuracy(journal, memory), _accuracy(journal, cpu)) if attempts else None


def _accuracy(journal: Tried, pairs: Mapping[str, tuple[float, float]]) -> Accuracy | None:
    if not pairs:
        return None
    worst_id = max(pairs, key=lambda job_id: abs(math.log(pairs[job_id][1] / pairs[job_id][0])))
    row = journal.job(worst_id)
    assert row is not None
    return Accuracy(
        files=len(pairs),
        predicted=sum(foretold for foretold, _ in pairs.values()),
        measured=sum(took for _, took in pairs.values()),
        ratio=statistics.median(took / foretold for foretold, took in pairs.values()),
        error=statistics.median(abs(foretold - took) / took for foretold, took in pairs.values()),
        worst=Worst(row.source.relative, *pairs[worst_id]),
    )


def rows(told: Prediction) -> list[tuple[str, str]]:
    """Label and value of each quantity, for the closing table."""
    made = []
    if told.memory is not None:
        made.append(("Peak memory", _told(told.memory, lambda number: wording.size(round(number)))))
    if told.cpu is not None:
        total = ""
        if told.cpu.files > 1:
            total = f"{wording.duration(told.cpu.measured)} ({wording.duration(told.cpu.predicted)} predicted); "
        made.append(("CPU time", total + _told(told.cpu, wording.duration)))
    return made


def _told(accuracy: Accuracy, shown: Callable[[float], str]) -> str:
    worst = accuracy.worst
    name = wording.shortened(display(worst.name), wording.NAME_COLUMNS)
    if accuracy.files == 1:
        return f"predicted {shown(worst.predicted)}, took {shown(worst.measured)}"
    return (
        f"predictions off by {100 * accuracy.error:.1f}% (median), by {100 * worst.error:.1f}% at worst "
        f"({name}: {shown(worst.measured)} instead of {shown(worst.predicted)})"
    )


def entry(told: Prediction) -> dict[str, Any]:
    """The comparison for a JSON document."""
    return {
        "attempts": told.attempts,
        "memory_ratio_median": None if told.memory is None else round(told.memory.ratio, 4),
        "cpu_ratio_median": None if told.cpu is None else round(told.cpu.ratio, 4),
        "memory_bytes": _entry(told.memory),
        "cpu_seconds": _entry(told.cpu),
    }


def _entry(accuracy: Accuracy | None) -> dict[str, Any] | None:
    if accuracy is None:
        return None
    worst = accuracy.worst
    return {
        "files": accuracy.files,
        "predicted_sum": round(accuracy.predicted, 3),
        "measured_sum": round(accuracy.measured, 3),
        "ratio_median": round(accuracy.ratio, 4),
        "error_median": round(accuracy.error, 4),
        "worst": {
            **wording.path_entry("name", worst.name),
            "predicted": round(worst.predicted, 3),
            "measured": round(worst.measured, 3),
        },
    }
