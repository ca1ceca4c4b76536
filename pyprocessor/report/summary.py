"""What a run came to, read from the journal: as numbers, as the closing text, and as one JSON document.

One pass over the run's jobs and one over its attempts. The JSON document is written file by file, so it costs no memory
by the number of files, except for what each attempt took.
"""

from __future__ import annotations

import json
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from pyprocessor.errors import ExitCode
from pyprocessor.journal.rows import AttemptRow, Counts, JobRow, RunRow
from pyprocessor.models import FINAL_STATES, JobState, OutcomeKind, Usage, display
from pyprocessor.report import wording
from pyprocessor.report.table import aligned, wrapped
from pyprocessor.report.wording import path_entry

DOCUMENT_VERSION = 1
MOST_FAILURES_TOLD = 20
MOST_REASONS_TOLD = 10

LogOf = Callable[[str], bytes | None]
"""Gives the path of a job's log, or None where it has none."""


class Remembered(Protocol):
    """What is asked of a journal; the writing one and the reading one both have it."""

    def jobs(self, *, run_id: int | None = None) -> Iterator[JobRow]: ...
    def attempts(self) -> Iterator[AttemptRow]: ...
    def counts(self, *, run_id: int | None = None) -> Counts: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that failed; `reason` is a sentence, `log` the path of what ffmpeg said, where it ran."""

    name: bytes
    state: JobState
    kind: str
    reason: str
    log: bytes | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """Medians of measured over predicted (1 is a perfect prediction) over `attempts` successful attempts."""

    attempts: int
    memory_ratio: float
    cpu_ratio: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in numbers. Counts named by a state are of jobs that this run brought there.

    `done_before` and `failed_before` were settled by earlier runs and left alone; `left` still waits to be done.
    Bytes and media seconds are of the succeeded files. `seconds` is the run's wall time. `failures` holds the first
    ones only; `failed + quarantined` says how many there are.
    """

    run: RunRow
    exit_code: int | None
    seconds: float
    succeeded: int
    kept_source: int
    skipped: int
    failed: int
    quarantined: int
    cancelled: int
    left: int
    done_before: int
    failed_before: int
    bytes_before: int
    bytes_after: int
    media_seconds: float
    failures: tuple[Failure, ...]
    skip_reasons: tuple[tuple[str, int], ...]
    prediction: Prediction | None

    @property
    def settled(self) -> int:
        """Files that this run brought to an end, whichever."""
        return self.succeeded + self.kept_source + self.skipped + self.failed + self.quarantined + self.cancelled

    @property
    def speed(self) -> float | None:
        """Seconds of video done per second of the run."""
        return self.media_seconds / self.seconds if self.seconds > 0 and self.media_seconds > 0 else None


def summarise(
    journal: Remembered,
    run: RunRow,
    *,
    now: float,
    log_of: LogOf,
    exit_code: int | None = None,
    done_before: int | None = None,
    failed_before: int | None = None,
) -> Summary:
    """Sum up one run.

    `now` (seconds since the epoch) stands in for the end of a run that has none; `exit_code` likewise. `done_before`
    and `failed_before` are the run's own counts; without them, everything the journal holds from other runs is counted.
    """
    all_counts, counts = journal.counts(), journal.counts(run_id=run.id)
    tally = _Tally(log_of)
    if counts.total:
        for row in journal.jobs(run_id=run.id):
            tally.take(row)
    failed_elsewhere = _bad(all_counts) - _bad(counts)
    done_elsewhere = all_counts.final - counts.final - failed_elsewhere
    return Summary(
        run=run,
        exit_code=run.exit_code if run.exit_code is not None else exit_code,
        seconds=max(0.0, (run.ended_at if run.ended_at is not None else now) - run.started_at),
        succeeded=counts.succeeded,
        kept_source=counts.kept_source,
        skipped=counts.skipped,
        failed=counts.failed,
        quarantined=counts.quarantined,
        cancelled=counts.cancelled,
        left=counts.total - counts.final,
        done_before=done_elsewhere if done_before is None else done_before,
        failed_before=failed_elsewhere if failed_before is None else failed_before,
        bytes_before=tally.bytes_before,
        bytes_after=tally.bytes_after,
        media_seconds=tally.media_seconds,
        failures=tuple(tally.failures),
        skip_reasons=tuple(tally.skip_reasons.most_common(MOST_REASONS_TOLD)),
        prediction=_prediction(journal, run.id, tally.predicted) if tally.predicted else None,
    )


def _bad(counts: Counts) -> int:
    return counts.failed + counts.quarantined


class _Tally:
    def __init__(self, log_of: LogOf) -> None:
        self._log_of = log_of
        self.bytes_before = 0
        self.bytes_after = 0
        self.media_seconds = 0.0
        self.failures: list[Failure] = []
        self.skip_reasons: Counter[str] = Counter()
        self.predicted: dict[str, tuple[int, float]] = {}

    def take(self, row: JobRow) -> None:
        match row.state:
            case JobState.SUCCEEDED:
                self.bytes_before += row.source.size_bytes
                self.bytes_after += row.produced.size_bytes if row.produced is not None else 0
                self.media_seconds += row.media_seconds or 0.0
                if row.cost.memory_bytes > 0 and row.cost.cpu_seconds > 0:
                    self.predicted[row.id] = (row.cost.memory_bytes, row.cost.cpu_seconds)
            case JobState.FAILED | JobState.QUARANTINED if len(self.failures) < MOST_FAILURES_TOLD:
                kind = row.failure.value if row.failure is not None else ""
                log = self._log_of(row.id)
                self.failures.append(Failure(row.source.relative, row.state, kind, row.reason, log))
            case JobState.SKIPPED | JobState.KEPT_SOURCE:
                self.skip_reasons[_without_name(row)] += 1
            case _:
                pass


def _without_name(row: JobRow) -> str:
    """The reason less the file's own name, so that equal reasons are counted together."""
    return row.reason.removeprefix(display(row.source.relative)).lstrip(" :") or "no reason given"


def _prediction(journal: Remembered, run_id: int, predicted: dict[str, tuple[int, float]]) -> Prediction | None:
    memory: list[float] = []
    cpu: list[float] = []
    for attempt in journal.attempts():
        if attempt.run_id != run_id or attempt.outcome is not OutcomeKind.SUCCEEDED or attempt.usage is None:
            continue
        foretold = predicted.get(attempt.job_id)
        if foretold is not None:
            memory.append(attempt.usage.peak_memory_bytes / foretold[0])
            cpu.append(attempt.usage.cpu_seconds / foretold[1])
    return Prediction(len(memory), statistics.median(memory), statistics.median(cpu)) if memory else None


# ---------------------------------------------------------------- text


def text(summary: Summary, *, width: int = 80, looked_in: bytes | None = None) -> str:
    """The closing text: a table that fits `width` columns, but for paths, which stay whole; then each failure.

    `looked_in` is the input, to be named where nothing was found in it.
    """
    stopped = summary.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.OUTPUT_UNWRITABLE)
    if summary.settled == 0 and summary.left == 0 and not stopped:
        return _nothing_done(summary, looked_in)
    lines = aligned(_rows(summary), width)
    if summary.failures:
        lines += ["", "Failed:"]
    for failure in summary.failures:
        lines += ["  " + line for line in wrapped(_failure_line(failure), width - 2, indent="  ")]
        if failure.log is not None:
            # Never cut or wrapped: it is there to be copied.
            lines.append("    log: " + display(failure.log))
    untold = summary.failed + summary.quarantined - len(summary.failures)
    if untold > 0:
        told = (
            f"... and {wording.count(untold, 'more failed file')}; `pyprocessor report` with --format json lists all."
        )
        lines += ["  " + line for line in wrapped(told, width - 2, indent="  ")]
    return "\n".join(lines) + "\n"


def _failure_line(failure: Failure) -> str:
    told = wording.about(display(failure.name), wording.one_line(failure.reason))
    labels = [failure.kind.replace("_", " ")] if failure.kind else []
    if failure.state is JobState.QUARANTINED:
        labels.append("quarantined")
    return f"{told} ({', '.join(labels)})" if labels else told


def _nothing_done(summary: Summary, looked_in: bytes | None) -> str:
    done, failed = summary.done_before, summary.failed_before
    if not done and not failed:
        where = "" if looked_in is None else f" in {display(looked_in)}"
        return f"Nothing to do: no video files were found{where}.\n"
    if not failed:
        finished = "the only file is" if done == 1 else f"all {wording.count(done, 'file')} are"
        return f"Nothing to do: {finished} already done.\n"
    done_part = f"{wording.count(done, 'file')} {'is' if done == 1 else 'are'} already done and " if done else ""
    return (
        f"Nothing to do: {done_part}{wording.count(failed, 'file')} failed in an earlier run; "
        "--retry-failed tries again.\n"
    )


def _rows(summary: Summary) -> list[tuple[str, str]]:
    rows = [("Done", wording.count(summary.succeeded, "file"))]
    for label, number in (
        ("Source kept", summary.kept_source),
        ("Skipped", summary.skipped),
        ("Failed", summary.failed),
        ("Quarantined", summary.quarantined),
        ("Cancelled", summary.cancelled),
        ("Done before", summary.done_before),
        ("Failed before", summary.failed_before),
    ):
        if number:
            rows.append((label, wording.count(number, "file")))
    if summary.left:
        rows.append(("Left to do", f"{wording.count(summary.left, 'file')}; the same command continues"))
    rows += [("", f"{number:,} x {wording.one_line(reason)}") for reason, number in summary.skip_reasons]
    rows.append(("Time", wording.clock(summary.seconds)))
    if summary.succeeded:
        share = wording.percent(summary.bytes_after, summary.bytes_before)
        rows.append(("Size", f"{wording.size(summary.bytes_before)} -> {wording.size(summary.bytes_after)} ({share})"))
    if summary.speed is not None:
        rows.append(("Video", f"{wording.duration(summary.media_seconds)} at {summary.speed:.1f}x real time"))
    if summary.prediction is not None:
        told = summary.prediction
        ratios = f"{told.memory_ratio:.2f}x the memory, {told.cpu_ratio:.2f}x the CPU time (medians)"
        rows.append(("Against plan", ratios))
    return rows


# ---------------------------------------------------------------- JSON


def write_json(stream: TextIO, summary: Summary, journal: Remembered, *, output_root: bytes, log_of: LogOf) -> None:
    """Write the summary and every job the journal holds as one JSON document.

    All of it is ASCII. A path that is not UTF-8 has its odd bytes escaped and comes a second time, exact, as
    `<key>_bytes_base64`.
    What a file took (`seconds`, `cpu_seconds`, `peak_memory_bytes`) is of this run's last attempt, else null.
    """
    head = json.dumps(_head(summary, output_root))
    stream.write(head.removesuffix("}") + ', "files": [')
    # A run that settled nothing has nothing to add to what earlier runs took.
    took = _took(journal, summary.run.id) if summary.settled or summary.left else {}
    separator = "\n"
    for row in journal.jobs():
        entry = _file_entry(row, took.get(row.id), summary.run.id, output_root, log_of)
        stream.write(separator + json.dumps(entry))
        separator = ",\n"
    stream.write("\n]}\n")


def _took(journal: Remembered, run_id: int) -> dict[str, Usage]:
    return {a.job_id: a.usage for a in journal.attempts() if a.run_id == run_id and a.usage is not None}


def _head(summary: Summary, output_root: bytes) -> dict[str, Any]:
    run, prediction = summary.run, summary.prediction
    return {
        "version": DOCUMENT_VERSION,
        "run": {
            "id": run.id,
            "arguments": run.arguments,
            "started_at": _iso(run.started_at),
            "seconds": round(summary.seconds, 3),
            "exit_code": summary.exit_code,
        },
        **path_entry("output_folder", output_root),
        "counts": {
            "succeeded": summary.succeeded,
            "kept_source": summary.kept_source,
            "skipped": summary.skipped,
            "failed": summary.failed,
            "quarantined": summary.quarantined,
            "cancelled": summary.cancelled,
            "left": summary.left,
            "done_before": summary.done_before,
            "failed_before": summary.failed_before,
        },
        "bytes_before": summary.bytes_before,
        "bytes_after": summary.bytes_after,
        "media_seconds": round(summary.media_seconds, 3),
        "speed": round(summary.speed, 3) if summary.speed is not None else None,
        "prediction": None
        if prediction is None
        else {
            "attempts": prediction.attempts,
            "memory_ratio_median": round(prediction.memory_ratio, 4),
            "cpu_ratio_median": round(prediction.cpu_ratio, 4),
        },
    }


def _file_entry(row: JobRow, usage: Usage | None, run_id: int, output_root: bytes, log_of: LogOf) -> dict[str, Any]:
    made = row.produced if row.state is JobState.SUCCEEDED else None
    failed = row.state in (JobState.FAILED, JobState.QUARANTINED)
    return {
        "id": row.id,
        **path_entry("name", row.source.relative),
        **path_entry("input", row.source.path),
        **path_entry("output", os.path.join(output_root, row.output) if made is not None else None),
        "state": row.state.value,
        "settled_by_this_run": row.run_id == run_id and row.state in FINAL_STATES,
        "reason": row.reason,
        "kind": row.failure.value if row.failure is not None else None,
        "profile": row.profile_name,
        "attempts": row.attempts,
        "input_bytes": row.source.size_bytes,
        "output_bytes": made.size_bytes if made is not None else None,
        "media_seconds": row.media_seconds,
        "output_media_seconds": made.duration_seconds if made is not None else None,
        "notes": list(made.notes) if made is not None else [],
        "seconds": round(usage.wall_seconds, 3) if usage is not None else None,
        "cpu_seconds": round(usage.cpu_seconds, 3) if usage is not None else None,
        "peak_memory_bytes": usage.peak_memory_bytes if usage is not None else None,
        **path_entry("log", log_of(row.id) if failed else None),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
