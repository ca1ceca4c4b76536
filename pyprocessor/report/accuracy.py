"""How near did predictions come to what files took, over the succeeded files of one run?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import OutcomeKind
from pyprocessor.models.wording import display, duration, memory_size
from pyprocessor.report.table import NAME_COLUMNS, shortened
from pyprocessor.report.wording import path_entry, rounded


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


def prediction(journal: JournalReader, run_id: int) -> Prediction | None:
    """Compare what the run's successful attempts took with what was predicted; None where there are none."""
    memory_pairs: dict[str, tuple[float, float]] = {}
    cpu_pairs: dict[str, tuple[float, float]] = {}
    attempts = 0
    for attempt in journal.attempts(run_id=run_id):
        predicted, usage = attempt.predicted, attempt.usage
        if attempt.outcome is not OutcomeKind.SUCCEEDED or usage is None or predicted is None:
            continue
        attempts += 1
        # A 0 is "not measured": the file was done before anybody could look.
        if predicted.memory_bytes > 0 and usage.peak_memory_bytes > 0:
            memory_pairs[attempt.job_id] = (predicted.memory_bytes, usage.peak_memory_bytes)
        if predicted.cpu_seconds > 0 and usage.cpu_seconds > 0:
            cpu_pairs[attempt.job_id] = (predicted.cpu_seconds, usage.cpu_seconds)
    return Prediction(attempts, _accuracy(journal, memory_pairs), _accuracy(journal, cpu_pairs)) if attempts else None


def _accuracy(journal: JournalReader, pairs: Mapping[str, tuple[float, float]]) -> Accuracy | None:
    if not pairs:
        return None
    worst_id = max(pairs, key=lambda job_id: abs(math.log(pairs[job_id][1] / pairs[job_id][0])))
    row = journal.job(worst_id)
    assert row is not None
    return Accuracy(
        files=len(pairs),
        predicted=sum(predicted for predicted, _ in pairs.values()),
        measured=sum(measured for _, measured in pairs.values()),
        ratio=statistics.median(measured / predicted for predicted, measured in pairs.values()),
        error=statistics.median(abs(predicted - measured) / measured for predicted, measured in pairs.values()),
        worst=Worst(row.source.relative, *pairs[worst_id]),
    )


def rows(found: Prediction) -> list[tuple[str, str]]:
    """Label and value of each quantity, for the closing table."""
    made = []
    if found.memory is not None:
        made.append(("Peak memory", _text(found.memory, memory_size)))
    if found.cpu is not None:
        total = ""
        if found.cpu.files > 1:
            total = f"{duration(found.cpu.measured)} ({duration(found.cpu.predicted)} predicted); "
        made.append(("CPU time", total + _text(found.cpu, duration)))
    return made


def _text(accuracy: Accuracy, shown: Callable[[float], str]) -> str:
    worst = accuracy.worst
    if accuracy.files == 1:
        return f"predicted {shown(worst.predicted)}, took {shown(worst.measured)}"
    name = shortened(display(worst.name), NAME_COLUMNS)
    return (
        f"predictions off by {100 * accuracy.error:.1f}% (median), by {100 * worst.error:.1f}% at worst "
        f"({name}: {shown(worst.measured)} instead of {shown(worst.predicted)})"
    )


def entry(found: Prediction) -> dict[str, Any]:
    """The comparison for a JSON document."""
    return {
        "attempts": found.attempts,
        "memory_ratio_median": None if found.memory is None else round(found.memory.ratio, 4),
        "cpu_ratio_median": None if found.cpu is None else round(found.cpu.ratio, 4),
        "memory_bytes": _entry(found.memory),
        "cpu_seconds": _entry(found.cpu),
    }


def _entry(accuracy: Accuracy | None) -> dict[str, Any] | None:
    if accuracy is None:
        return None
    worst = accuracy.worst
    return {
        "files": accuracy.files,
        "predicted_sum": rounded(accuracy.predicted),
        "measured_sum": rounded(accuracy.measured),
        "ratio_median": round(accuracy.ratio, 4),
        "error_median": round(accuracy.error, 4),
        "worst": {
            **path_entry("name", worst.name),
            "predicted": rounded(worst.predicted),
            "measured": rounded(worst.measured),
        },
    }
