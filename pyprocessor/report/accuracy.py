"""How near did predictions come to what files took, over the succeeded files of one run?"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.models import Cost, OutcomeKind, Usage
from pyprocessor.models.wording import display, duration, memory_size
from pyprocessor.report.wording import NAME_COLUMNS, path_entry, rounded, shortened

_LEAST_CPU_SECONDS = 0.01
"""The kernel counts CPU time in ticks of this length."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One quantity (bytes or seconds), predicted against measured, over `files`.

    `predicted` and `measured` are sums, `ratio` is the median of measured / predicted, `error` that of
    |predicted - measured| / measured. `worst` is the file that was off by the largest factor, with both numbers.
    """

    files: int
    predicted: float
    measured: float
    ratio: float
    error: float
    worst: tuple[bytes, float, float]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was predicted of memory (bytes) and CPU time (seconds); None where nothing was measured."""

    attempts: int
    memory: Accuracy | None
    cpu: Accuracy | None


def by_file(journal: JournalReader, attempts: Iterable[AttemptRow]) -> dict[str, AttemptRow]:
    """The last of these attempts at each job that no other made, those at the jobs that it was made of included.

    These count for it with all their CPU time, the most memory, and the time from the first begin to the last end.
    """
    last, parents = {attempt.job_id: attempt for attempt in attempts}, journal.parents()
    groups: defaultdict[str, list[AttemptRow]] = defaultdict(list)
    for job_id, attempt in last.items():
        root = job_id
        while root in parents:
            root = parents[root]
        groups[root].insert(0 if root == job_id else len(groups[root]), attempt)
    return {root: group[0] if len(group) == 1 else _together(group) for root, group in groups.items()}


def _together(attempts: Sequence[AttemptRow]) -> AttemptRow:
    usages = [attempt.usage for attempt in attempts if attempt.usage is not None]
    costs = [attempt.predicted for attempt in attempts if attempt.predicted is not None]
    begin, end = min(a.started_at for a in attempts), max(a.ended_at or a.started_at for a in attempts)
    most = max((usage.peak_memory_bytes for usage in usages), default=0)
    usage = Usage(end - begin, sum(usage.cpu_seconds for usage in usages), most)
    expected = max((cost.memory_bytes for cost in costs), default=0)
    return replace(attempts[0], usage=usage, predicted=Cost(sum(cost.cpu_seconds for cost in costs), expected, 0))


def prediction(journal: JournalReader, run_id: int) -> Prediction | None:
    """Compare what the run's successful attempts took with what was predicted; None where there are none."""
    memory: dict[str, tuple[float, float]] = {}
    cpu: dict[str, tuple[float, float]] = {}
    succeeded = [attempt for attempt in journal.attempts(run_id=run_id) if attempt.outcome is OutcomeKind.SUCCEEDED]
    measured_ones = [attempt for attempt in succeeded if attempt.usage is not None and attempt.predicted is not None]
    for job_id, attempt in by_file(journal, measured_ones).items():
        cost, usage = attempt.predicted, attempt.usage
        assert cost is not None
        assert usage is not None
        for found, predicted, measured, least in (
            (memory, cost.memory_bytes, usage.peak_memory_bytes, 1),
            (cpu, cost.cpu_seconds, usage.cpu_seconds, _LEAST_CPU_SECONDS),
        ):
            # Less is "not measured": the file was done before anybody could look, or shared its process.
            if predicted > 0 and measured >= least:
                found[job_id] = (predicted, measured)
    count = len(measured_ones)
    return Prediction(count, _accuracy(journal, memory), _accuracy(journal, cpu)) if count else None


def _error(predicted: float, measured: float) -> float:
    return abs(predicted - measured) / measured


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
        error=statistics.median(_error(*pair) for pair in pairs.values()),
        worst=(row.source.relative, *pairs[worst_id]),
    )


def rows(found: Prediction) -> list[tuple[str, str]]:
    """Label and value of each quantity, for the closing table."""
    made = []
    if found.memory is not None:
        made.append(("Peak memory", _text(found.memory, memory_size)))
    if found.cpu is not None:
        total = f"{duration(found.cpu.measured)} ({duration(found.cpu.predicted)} predicted); "
        made.append(("CPU time", (total if found.cpu.files > 1 else "") + _text(found.cpu, duration)))
    return made


def _text(accuracy: Accuracy, shown: Callable[[float], str]) -> str:
    name, predicted, measured = accuracy.worst
    if accuracy.files == 1:
        return f"predicted {shown(predicted)}, took {shown(measured)}"
    median, worst = 100 * accuracy.error, 100 * _error(predicted, measured)
    return (
        f"predictions off by {median:.1f}% (median), by {worst:.1f}% at worst "
        f"({shortened(display(name), NAME_COLUMNS)}: {shown(measured)} instead of {shown(predicted)})"
    )


def entry(found: Prediction) -> dict[str, Any]:
    """The comparison for a JSON document."""
    return {
        "attempts": found.attempts,
        "memory_ratio_median": None if found.memory is None else round(found.memory.ratio, 4),
        "cpu_ratio_median": None if found.cpu is None else round(found.cpu.ratio, 4),
        "memory_bytes": None if found.memory is None else _entry(found.memory),
        "cpu_seconds": None if found.cpu is None else _entry(found.cpu),
    }


def _entry(accuracy: Accuracy) -> dict[str, Any]:
    name, predicted, measured = accuracy.worst
    return {
        "files": accuracy.files,
        "predicted_sum": rounded(accuracy.predicted),
        "measured_sum": rounded(accuracy.measured),
        "ratio_median": round(accuracy.ratio, 4),
        "error_median": round(accuracy.error, 4),
        "worst": {**path_entry("name", name), "predicted": rounded(predicted), "measured": rounded(measured)},
    }
