"""What a run came to, read from the journal: as numbers, as the closing text, and as one JSON document.

One pass each over the run's jobs, its attempts and its events. The JSON document is written file by file, so it costs
no memory by the number of files, except for what each attempt took.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from pyprocessor.errors import ExitCode
from pyprocessor.journal.rows import AttemptRow, Counts, EventRow, JobRow, RunRow
from pyprocessor.models import FINAL_STATES, JobState, display
from pyprocessor.report import accuracy, losses, troubles, wording
from pyprocessor.report.accuracy import Prediction
from pyprocessor.report.governing import Governing, event_entry, event_lines, governing, governor_events, sentence
from pyprocessor.report.losses import Loss, LossTally
from pyprocessor.report.table import aligned, wrapped
from pyprocessor.report.wording import path_entry

DOCUMENT_VERSION = 1
MOST_FAILURES_TOLD = 20
MOST_REASONS_TOLD = 10

_CUT_SHORT = (
    *(ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HUNG_UP),
    *(ExitCode.OUTPUT_UNWRITABLE, ExitCode.TRY_AGAIN),
)
"""Runs that ended so may not know what there is to do."""

LogOf = Callable[[str], bytes | None]
"""Gives the path of a job's log, or None where it has none."""


class Remembered(Protocol):
    """What is asked of a journal; the writing one and the reading one both have it."""

    def job(self, job_id: str) -> JobRow | None: ...
    def jobs(self, *, run_id: int | None = None) -> Iterator[JobRow]: ...
    def attempts(self, job_id: str | None = None, run_id: int | None = None) -> Iterator[AttemptRow]: ...
    def events(self, run_id: int | None = None) -> Iterator[EventRow]: ...
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
    governing: Governing
    troubles: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    not_taken: tuple[str, ...] = ()

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
    and `failed_before` are the run's own counts, which the journal has once it ended; before that, everything the
    journal holds from other runs is counted.
    """
    all_counts, counts = journal.counts(), journal.counts(run_id=run.id)
    tally = _Tally(log_of)
    if counts.total:
        for row in journal.jobs(run_id=run.id):
            tally.take(row)
    ended_at = run.ended_at if run.ended_at is not None else now
    failed_elsewhere = _bad(all_counts) - _bad(counts)
    done_elsewhere = all_counts.final - counts.final - failed_elsewhere
    return Summary(
        run=run,
        exit_code=run.exit_code if run.exit_code is not None else exit_code,
        seconds=max(0.0, ended_at - run.started_at),
        succeeded=counts.succeeded,
        kept_source=counts.kept_source,
        skipped=counts.skipped,
        failed=counts.failed,
        quarantined=counts.quarantined,
        cancelled=counts.cancelled,
        left=counts.total - counts.final,
        done_before=_first(done_before, run.done_before, done_elsewhere),
        failed_before=_first(failed_before, run.failed_before, failed_elsewhere),
        bytes_before=tally.bytes_before,
        bytes_after=tally.bytes_after,
        media_seconds=tally.media_seconds,
        failures=tuple(tally.failures),
        skip_reasons=tuple(tally.skip_reasons.most_common(MOST_REASONS_TOLD)),
        prediction=accuracy.prediction(journal, run.id),
        governing=governing(journal, run.id, ended_at),
        troubles=troubles.rows(journal, run.id),
        losses=tally.losses.losses(),
        not_taken=troubles.not_taken(journal, run.id),
    )


def _first(*numbers: int | None) -> int:
    """The first that is known, else 0."""
    return next((number for number in numbers if number is not None), 0)


def _bad(counts: Counts) -> int:
    return counts.failed + counts.quarantined


class _Tally:
    def __init__(self, log_of: LogOf) -> None:
        self._log_of = log_of
        self.bytes_before = 0
        self.bytes_after = 0
        self.media_seconds = 0.0
        self.losses = LossTally()
        self.failures: list[Failure] = []
        self.skip_reasons: Counter[str] = Counter()

    def take(self, row: JobRow) -> None:
        match row.state:
            case JobState.SUCCEEDED:
                self.bytes_before += row.source.size_bytes
                self.bytes_after += row.produced.size_bytes if row.produced is not None else 0
                self.media_seconds += row.media_seconds or 0.0
                self.losses.take(row)
            case JobState.FAILED | JobState.QUARANTINED if len(self.failures) < MOST_FAILURES_TOLD:
                kind = row.failure.value if row.failure is not None else ""
                log = self._log_of(row.id)
                self.failures.append(Failure(row.source.relative, row.state, kind, row.reason, log))
            case JobState.SKIPPED | JobState.KEPT_SOURCE:
                self.skip_reasons[row.reason or "no reason given"] += 1
            case _:
                pass


# ---------------------------------------------------------------- text


def text(
    summary: Summary,
    *,
    width: int = 80,
    looked_in: str | None = None,
    goes_on: bool = False,
    verbose: bool = False,
) -> str:
    """The closing text: a table that fits `width` columns, but for paths, which stay whole; then each failure.

    `looked_in` is the input, to be named where nothing was found in it. `goes_on` says that the run is at work still.
    `verbose` names the files that lost something.
    """
    if goes_on and summary.settled == 0 and summary.left == 0:
        return "The run is at work and has found nothing to do so far.\n"
    if summary.settled == 0 and summary.left == 0 and summary.exit_code not in _CUT_SHORT:
        more = [line for told in (*summary.troubles, *summary.not_taken) for line in wrapped(told, width)]
        return _nothing_done(summary, looked_in) + "".join(line + "\n" for line in more)
    lines = aligned(_rows(summary, goes_on=goes_on), width)
    if verbose:
        lines += losses.named(summary.losses, width)
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


def governor_text(summary: Summary, journal: Remembered, *, width: int = 80) -> str:
    """A section that tells each thing the governor did, when and why; empty where it did nothing."""
    if not summary.governing:
        return ""
    return "\n".join(["", "Governor:", *event_lines(journal, summary.run.id, width)]) + "\n"


def _failure_line(failure: Failure) -> str:
    told = wording.about(display(failure.name), wording.one_line(failure.reason))
    labels = [failure.kind.replace("_", " ")] if failure.kind else []
    if failure.state is JobState.QUARANTINED:
        labels.append("quarantined")
    return f"{told} ({', '.join(labels)})" if labels else told


def _nothing_done(summary: Summary, looked_in: str | None) -> str:
    done, failed = summary.done_before, summary.failed_before
    if not done and not failed:
        where = "" if looked_in is None else f" in {looked_in}"
        return f"Nothing to do: no video files were found{where}.\n"
    if not failed:
        finished = "the only file is" if done == 1 else f"all {wording.count(done, 'file')} are"
        return f"Nothing to do: {finished} already done.\n"
    done_part = f"{wording.count(done, 'file')} {'is' if done == 1 else 'are'} already done and " if done else ""
    return (
        f"Nothing to do: {done_part}{wording.count(failed, 'file')} failed in an earlier run; "
        "--retry-failed tries again.\n"
    )


def _rows(summary: Summary, *, goes_on: bool) -> list[tuple[str, str]]:
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
        how = "the run is at work on them" if goes_on else "the same command continues"
        rows.append(("Left to do", f"{wording.count(summary.left, 'file')}; {how}"))
    rows += [("", f"{number:,} x {wording.one_line(reason)}") for reason, number in summary.skip_reasons]
    rows.append(("Time", wording.clock(summary.seconds)))
    if summary.succeeded:
        share = wording.percent(summary.bytes_after, summary.bytes_before)
        rows.append(("Size", f"{wording.size(summary.bytes_before)} -> {wording.size(summary.bytes_after)} ({share})"))
    rows += losses.rows(summary.losses)
    if summary.speed is not None:
        rows.append(("Video", f"{wording.duration(summary.media_seconds)} at {summary.speed:.1f}x real time"))
    if summary.prediction is not None:
        rows += accuracy.rows(summary.prediction)
    if summary.governing:
        rows.append(("Governor", sentence(summary.governing)))
    rows += [("Not taken", told) for told in summary.not_taken]
    rows += [("Trouble", trouble) for trouble in summary.troubles]
    return rows


# ---------------------------------------------------------------- JSON


def write_json(stream: TextIO, summary: Summary, journal: Remembered, *, output_root: bytes, log_of: LogOf) -> None:
    """Write the summary, the governor's events, what went wrong with the run as a whole, and every job the journal
    holds, as one JSON document.

    All of it is ASCII. A path that is not UTF-8 has its odd bytes escaped and comes a second time, exact, as
    `<key>_bytes_base64`.
    What a file took (`seconds`, `cpu_seconds`, `peak_memory_bytes`) is of this run's last attempt, else null; what was
    predicted of it is as of when that attempt began, else as of when it was planned.
    """
    head, governed = _head(summary, output_root), summary.governing
    governor = {"held_seconds": round(governed.held_seconds, 3), "counts": dict(governed.counts)}
    stream.write(json.dumps(head).removesuffix("}") + ', "governor": ' + json.dumps(governor).removesuffix("}"))
    stream.write(', "events": [')
    _write_items(stream, map(event_entry, governor_events(journal, summary.run.id)))
    stream.write(']}, "troubles": [')
    _write_items(stream, troubles.entries(journal, summary.run.id))
    stream.write('], "files": [')
    # A run that settled nothing has nothing to add to what earlier runs took.
    took = _took(journal, summary.run.id) if summary.settled or summary.left else {}
    run_id = summary.run.id
    _write_items(stream, (_file_entry(row, took.get(row.id), run_id, output_root, log_of) for row in journal.jobs()))
    stream.write("\n]}\n")


def _write_items(stream: TextIO, items: Iterator[dict[str, Any]]) -> None:
    """The items of a list, one a line, each written as it comes."""
    separator = "\n"
    for item in items:
        stream.write(separator + json.dumps(item))
        separator = ",\n"


def _took(journal: Remembered, run_id: int) -> dict[str, AttemptRow]:
    return {a.job_id: a for a in journal.attempts(run_id=run_id) if a.usage is not None}


def _head(summary: Summary, output_root: bytes) -> dict[str, Any]:
    run, prediction = summary.run, summary.prediction
    return {
        "version": DOCUMENT_VERSION,
        "run": {
            "id": run.id,
            "arguments": run.arguments,
            "started_at": wording.utc(run.started_at),
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
        "prediction": None if prediction is None else accuracy.entry(prediction),
    }


def _file_entry(
    row: JobRow, attempt: AttemptRow | None, run_id: int, output_root: bytes, log_of: LogOf
) -> dict[str, Any]:
    usage = attempt.usage if attempt is not None else None
    predicted = attempt.predicted if attempt is not None and attempt.predicted is not None else row.cost
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
        "losses": list(made.losses) if made is not None else [],
        "predicted_cpu_seconds": round(predicted.cpu_seconds, 3),
        "predicted_memory_bytes": predicted.memory_bytes,
        "seconds": round(usage.wall_seconds, 3) if usage is not None else None,
        "cpu_seconds": round(usage.cpu_seconds, 3) if usage is not None else None,
        "peak_memory_bytes": usage.peak_memory_bytes if usage is not None else None,
        **path_entry("log", log_of(row.id) if failed else None),
    }
