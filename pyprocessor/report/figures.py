"""What is shown of a run's analysis, of recommendations, and of several runs side by side: text and JSON?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import RunRow
from pyprocessor.models import JobState, Origin, Recommendation
from pyprocessor.models.wording import count, duration, memory_size, size, utc
from pyprocessor.report import accuracy
from pyprocessor.report.analysis import Analysis, Used, analyse
from pyprocessor.report.wording import aligned, grid, local_time, rounded, wrapped

COMPARED_VERSION = 1
BUSY_PERCENT = 25.0
"""Of the CPU: what other programs took is shown where it is more."""
FEW = 3
"""Of so many files each is in view anyway: percentiles are left out."""


def analysis_of(
    journal: JournalReader, run: RunRow, seconds: float, memory_allowed_bytes: int | None = None
) -> Analysis:
    """The figures of one run, which took so many seconds, by its journal."""
    attempts = [attempt for attempt in journal.attempts(run_id=run.id) if attempt.outcome is not None]
    not_begun = [
        row.failure
        for state in (JobState.FAILED, JobState.QUARANTINED)
        for row in journal.jobs(state, run_id=run.id)
        if row.attempts == 0 and row.origin is not Origin.CHILD
    ]
    by_file = accuracy.by_file(journal, attempts)
    found = analyse(attempts, by_file, not_begun, list(journal.readings(run.id)), seconds, memory_allowed_bytes)
    return replace(found, cache=run.cache)


def text(found: Analysis, recommended: Sequence[Recommendation] = (), *, width: int = 80) -> str:
    """The sections below the closing table; empty where the run did nothing."""
    rows = list(_rows(found))
    lines = ["", "Analysis:", *("  " + line for line in aligned(rows, width - 2))] if rows else []
    if recommended:
        lines += ["", "Recommendations:"]
    for one in recommended:
        lines += wrapped(one.text, width, margin="  ", indent="  ")
    return "\n".join(lines) + "\n" if lines else ""


def _rows(found: Analysis) -> Iterable[tuple[str, str]]:
    if found.success_percent is not None:
        yield "Success", f"{found.success_percent:.1f}% of {count(found.files, 'file')}"
    if (took := found.durations) is not None and took.files > 1:
        spread = f"{duration(took.mean)} a file on average, {duration(took.minimum)} to {duration(took.maximum)}"
        if took.files > FEW:
            spread += f", median {duration(took.median)}; 90% within {duration(took.p90)}, "
            spread += f"95% {duration(took.p95)}, 99% {duration(took.p99)}"
        yield "Durations", spread
    if (flow := found.throughput) is not None and found.durations is not None:
        rate = f"{flow.files_per_minute:.1f} files a minute"
        if flow.trend is not None:
            rate += f", {flow.trend.value} ({flow.first_half:.1f} CPU-seconds a second, then {flow.second_half:.1f})"
        yield "Throughput", rate
    if found.errors:
        yield "Errors", ", ".join(f"{number:,} x {kind.replace('_', ' ')}" for kind, number in found.errors)
    if (again := found.retries).tried_again:
        yield "Retries", f"{count(again.tried_again, 'file')} tried again, {again.recovered:,} of them done then"
    if (cache := found.cache).hits:
        hits = f"{cache.hits:,} of {count(cache.lookups, 'lookup')} hit ({cache.hit_percent:.1f}%)"
        saved = cache.saved_cpu_seconds
        yield "Cache", hits + (f", {duration(saved)} of CPU time saved" if saved > 0 else "")
    if found.durations is not None and (used := list(_used(found.used))):
        yield "Used", "; ".join(used)


def _used(used: Used) -> Iterable[str]:
    if used.cpu_percent is not None and used.cores is not None:
        cores = f"{used.cores:g} {'core' if used.cores == 1 else 'cores'}"
        others = used.others_cpu_percent or 0.0
        beside = f" (other programs: {others:.0f}%)" if others >= BUSY_PERCENT else ""
        yield f"{used.cpu_percent:.0f}% of the time of {cores}{beside}"
    if used.memory_peak_bytes is not None:
        allowed = f" of {memory_size(used.memory_allowed_bytes)}" if used.memory_allowed_bytes else ""
        yield f"at most {memory_size(used.memory_peak_bytes)}{allowed} of memory"
    if used.disk_mean_bytes_per_second is not None:
        bound = ", which held the run back" if used.disk_bound else ""
        yield f"{size(round(used.disk_mean_bytes_per_second))} a second of disk{bound}"


def entry(found: Analysis) -> dict[str, Any]:
    """The analysis for a JSON document."""
    took, flow, again = found.durations, found.throughput, found.retries
    return {
        "files": found.files,
        "success_percent": rounded(found.success_percent),
        "durations_seconds": None if took is None else _numbers(asdict(took)),
        "throughput": None if flow is None else _numbers(asdict(flow)),
        "errors": dict(found.errors),
        "retries": {**asdict(again), "recovery_percent": rounded(again.recovery_percent)},
        "used": _numbers(asdict(found.used)),
        "cache": _numbers({**asdict(found.cache), "hit_percent": found.cache.hit_percent}),
    }


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: rounded(value) if isinstance(value, float) else value for name, value in values.items()}


def recommendation_entry(one: Recommendation) -> dict[str, Any]:
    """A recommendation for a JSON document."""
    return _numbers(asdict(one))


# ---------------------------------------------------------------- several runs


@dataclass(frozen=True, slots=True)
class Compared:
    """One run of several."""

    run: RunRow
    seconds: float
    analysis: Analysis


def compared(journal: JournalReader, runs: Iterable[RunRow], until: Callable[[RunRow], float]) -> list[Compared]:
    """The figures of several runs; `until` says when each ended, or up to when it goes on, in seconds since the epoch.

    A file that failed without an attempt belongs to the run that last changed it, and is missing from earlier ones.
    """
    made = []
    for run in runs:
        seconds = max(0.0, until(run) - run.started_at)
        made.append(Compared(run, seconds, analysis_of(journal, run, seconds)))
    return made


def compared_text(runs: Sequence[Compared]) -> str:
    """A table of runs, a line each."""
    head = ("Run", "Began", "Time", "Files", "Success", "Files a minute", "CPU used")
    rows = []
    for each in runs:
        found = each.analysis
        rows.append(
            (
                str(each.run.id),
                local_time(each.run.started_at),
                duration(each.seconds),
                f"{found.files:,}",
                "-" if found.success_percent is None else f"{found.success_percent:.1f}%",
                "-" if found.throughput is None else f"{found.throughput.files_per_minute:.1f}",
                "-" if found.used.cpu_percent is None else f"{found.used.cpu_percent:.0f}%",
            )
        )
    return "\n".join(grid(head, rows, right=(0, 2, 3, 4, 5, 6))) + "\n"


def compared_json(runs: Sequence[Compared]) -> str:
    """The runs as one JSON document."""
    entries = [
        {
            "id": each.run.id,
            "arguments": each.run.arguments,
            "started_at": utc(each.run.started_at),
            "seconds": rounded(each.seconds),
            "exit_code": each.run.exit_code,
            "analysis": entry(each.analysis),
        }
        for each in runs
    ]
    return json.dumps({"version": COMPARED_VERSION, "runs": entries}, indent=2) + "\n"
