"""What did a run come to, by its journal: as numbers, as the closing text, and as one JSON document?

The JSON document is written file by file, so that only what each attempt took is kept in memory.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from pyprocessor.errors import ExitCode
from pyprocessor.journal.quality import Quality, told, warnings_of
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow, Counts, JobRow, RunRow
from pyprocessor.models import FINAL_STATES, FOLDER_TASK, JobState, Origin, Recommendation
from pyprocessor.models.wording import clock, count, display, duration, one_line, size, utc
from pyprocessor.report import accuracy, analyses, events, figures
from pyprocessor.report.accuracy import Prediction
from pyprocessor.report.analyses import ANALYZE, Analysed, Analyses
from pyprocessor.report.events import Governing
from pyprocessor.report.wording import about, aligned, path_entry, rounded, wrapped

DOCUMENT_VERSION = 1
MOST_FAILURES = MOST_NAMES = 20
MOST_REASONS = MOST_KINDS = 10
"""In the closing text; the JSON document has all."""

_CUT_OFF = {ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HUNG_UP, ExitCode.OUTPUT_UNWRITABLE, ExitCode.TRY_AGAIN}
"""Runs that ended so may not know what there is to do."""
_TRANSCRIBE, _ENHANCE = "transcribe", "enhance"
"""Tasks whose results have a row of their own in the closing text."""
_SETTLED = ("succeeded", "kept_source", "skipped", "failed", "quarantined", "cancelled")

LogOf = Callable[[str], bytes | None]
"""Gives the path of a job's log, or None where it has none."""


@dataclass(slots=True)
class Summary:
    """One run in numbers. `counts` are of the jobs that this run last changed; `left` of them are still to be done.

    `waiting` counts all jobs of the journal that wait for others.

    Earlier runs settled `done_before` and `failed_before`, of a run that has not ended all that the journal holds.
    Bytes and media seconds are of transcoded files, `seconds` is wall time. `failures` has the first failed jobs and
    the paths of their logs, `warnings` the first of those whose results have any (`warned` counts them); `losses` how
    many files have each kind, `names_by_loss` the first of them. `pieces` has how many pieces of texts were to be
    improved, and how many of these were `kept` as they were. `near_duplicates` are of all videos that were analysed for
    this output so far; they are looked for after a run that analysed some, or did nothing.
    """

    run: RunRow
    seconds: float
    counts: Counts
    done_before: int
    failed_before: int
    prediction: Prediction | None
    governing: Governing
    troubles: tuple[str, ...]
    not_taken: tuple[str, ...]
    waiting: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    media_seconds: float = 0.0
    failures: list[tuple[JobRow, bytes | None]] = field(default_factory=list)
    warnings: list[tuple[JobRow, list[str]]] = field(default_factory=list)
    warned: int = 0
    skip_reasons: Counter[str] = field(default_factory=Counter)
    quality: Quality = field(default_factory=Quality)
    pieces: Counter[str] = field(default_factory=Counter)
    analyses: Analyses = field(default_factory=Analyses)
    near_duplicates: list[tuple[Analysed, ...]] = field(default_factory=list)
    losses: Counter[str] = field(default_factory=Counter)
    names_by_loss: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    @property
    def left(self) -> int:
        return self.counts.total - self.counts.final

    @property
    def speed(self) -> float | None:
        """Seconds of video done per second of the run."""
        return self.media_seconds / self.seconds if self.seconds > 0 and self.media_seconds > 0 else None


def summarise(journal: JournalReader, run: RunRow, *, now: float, log_of: LogOf) -> Summary:
    """Sum up one run, up to `now` (seconds since the epoch) where it has not ended."""
    everything, counts = journal.counts(), journal.counts(run_id=run.id)
    failed_elsewhere = everything.bad - counts.bad
    done_elsewhere = everything.final - counts.final - failed_elsewhere
    ended_at = run.ended_at if run.ended_at is not None else now
    made = Summary(
        run=run,
        seconds=max(0.0, ended_at - run.started_at),
        counts=counts,
        done_before=run.done_before if run.done_before is not None else done_elsewhere,
        failed_before=run.failed_before if run.failed_before is not None else failed_elsewhere,
        prediction=accuracy.prediction(journal, run.id),
        governing=events.governing(journal, run.id, ended_at),
        troubles=events.sentences(events.troubles(journal, run.id), "error")[: events.MOST_TROUBLES],
        not_taken=events.sentences(journal.events(run_id=run.id), "not_taken"),
        waiting=everything.waiting,
    )
    for row in journal.jobs(run_id=run.id) if counts.total else ():
        if row.origin is Origin.CHILD:
            continue  # counts for the job that is made of it
        result = told(row.result) if row.state is JobState.SUCCEEDED else {}
        made.quality.add(row.task, result)
        if row.task == _ENHANCE:
            made.pieces.update({name: result[name] for name in ("pieces", "kept") if name in result})
        if row.task == ANALYZE and result:
            made.analyses.add(result)
        if warnings := warnings_of(result):
            made.warned += 1
            made.warnings += [(row, warnings)] if made.warned <= MOST_NAMES else []
        if row.state is JobState.SUCCEEDED and row.produced is not None:
            if row.task == FOLDER_TASK:  # of others a size says nothing about what it was before
                made.bytes_before += row.source.size_bytes
                made.bytes_after += row.produced.size_bytes
            made.media_seconds += row.media_seconds or 0.0
            made.losses.update(row.produced.losses)
            for kind in row.produced.losses:
                if made.losses[kind] <= MOST_NAMES:
                    made.names_by_loss[kind].append(row.source.relative)
        elif row.state.is_failure and len(made.failures) < MOST_FAILURES:
            made.failures.append((row, log_of(row.id)))
        elif row.state in (JobState.SKIPPED, JobState.KEPT_SOURCE):
            # Without the file's own name, so that equal reasons are counted together.
            reason = row.reason.removeprefix(display(row.source.relative)).lstrip(" :")
            made.skip_reasons[reason or "no reason given"] += 1
    if made.analyses.videos or (not counts.succeeded and journal.has_submitted()):
        made.near_duplicates = analyses.near_duplicates(journal)
    return made


# ---------------------------------------------------------------- text


def text(
    summary: Summary, *, width: int = 80, looked_in: str | None = None, goes_on: bool = False, verbose: bool = False
) -> str:
    """The closing text: a table of at most `width` columns, but for paths, which stay whole; then each failure.

    `looked_in` is the input, `goes_on` whether the run is still at work, `verbose` names the files that lost something.
    """
    if summary.counts.total == 0:
        if goes_on:
            return "The run is at work and has found nothing to do so far.\n"
        if summary.run.exit_code not in _CUT_OFF:
            more = [line for trouble in (*summary.troubles, *summary.not_taken) for line in wrapped(trouble, width)]
            more += analyses.lines(summary.near_duplicates, width)
            return _nothing_done(summary, looked_in) + "".join(line + "\n" for line in more)
    lines = aligned(_rows(summary, goes_on=goes_on), width)
    if verbose and summary.losses:
        lines += ["", "Losses:"]
    for kind, files in _most(summary.losses) if verbose else ():
        lines += wrapped(one_line(kind), width, margin="  ", indent="  ")
        lines += ["    " + display(name) for name in summary.names_by_loss[kind]]
        if files > MOST_NAMES:
            lines.append(f"    ... and {count(files - MOST_NAMES, 'more file')}")
    lines += analyses.lines(summary.near_duplicates, width)
    if summary.warnings:
        lines += ["", "Warnings:"]
    for row, warnings in summary.warnings:
        others = f" (and {len(warnings) - 1} more: `pyprocessor jobs show`)" if len(warnings) > 1 else ""
        said = about(display(row.source.relative), one_line(warnings[0]) + others)
        lines += wrapped(said, width, margin="  ", indent="  ")
    if summary.warned > MOST_NAMES:
        lines.append(f"  ... and {count(summary.warned - MOST_NAMES, 'more file')}")
    if summary.failures:
        lines += ["", "Failed:"]
    for row, log in summary.failures:
        lines += wrapped(_failure(row), width, margin="  ", indent="  ")
        if log is not None:
            # Never cut or wrapped: it is there to be copied.
            lines.append("    log: " + display(log))
    further = summary.counts.bad - len(summary.failures)
    if further > 0:
        hint = f"... and {count(further, 'more failed file')}; `pyprocessor report` with --format json lists all."
        lines += wrapped(hint, width, margin="  ", indent="  ")
    return "\n".join(lines) + "\n"


def _most(losses: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent kinds, with how many files have them."""
    return sorted(losses.items(), key=lambda item: (-item[1], item[0]))[:MOST_KINDS]


def governor_text(summary: Summary, journal: JournalReader, *, width: int = 80) -> str:
    """A section with each event of the governor, when and why; empty where there was none."""
    if not summary.governing.counts:
        return ""
    return "\n".join(["", "Governor:", *events.event_lines(journal, summary.run.id, width)]) + "\n"


def _failure(row: JobRow) -> str:
    labels = [row.failure.value.replace("_", " ")] if row.failure is not None else []
    if row.state is JobState.QUARANTINED:
        labels.append("quarantined")
    reason = about(display(row.source.relative), one_line(row.reason))
    return f"{reason} ({', '.join(labels)})" if labels else reason


def _nothing_done(summary: Summary, looked_in: str | None) -> str:
    done, failed = summary.done_before, summary.failed_before
    if not done and not failed:
        if looked_in == "":  # it was no folder
            return "Nothing to do.\n"
        where = "" if looked_in is None else f" in {looked_in}"
        return f"Nothing to do: no video files were found{where}.\n"
    if not failed:
        finished = "the only file is" if done == 1 else f"all {count(done, 'file')} are"
        return f"Nothing to do: {finished} already done.\n"
    done_part = f"{count(done, 'file')} {'is' if done == 1 else 'are'} already done and " if done else ""
    return f"Nothing to do: {done_part}{count(failed, 'file')} failed in an earlier run; --retry-failed tries again.\n"


def _rows(summary: Summary, *, goes_on: bool) -> list[tuple[str, str]]:
    rows = [("Done", count(summary.counts.succeeded, "file"))]
    if summary.run.cache.hits:
        rows.append(("Copied", f"{count(summary.run.cache.hits, 'file')} of these, from results of the same content"))
    numbers = {state: summary.counts.of(JobState(state)) for state in _SETTLED if state != "succeeded"}
    numbers |= {"done_before": summary.done_before, "failed_before": summary.failed_before}
    for name, number in numbers.items():
        if number:
            label = "Source kept" if name == "kept_source" else name.replace("_", " ").capitalize()
            rows.append((label, count(number, "file")))
    if summary.left:
        how = "the run is at work on them" if goes_on else "the same command continues"
        rows.append(("Left to do", f"{count(summary.left, 'file')}; {how}"))
    if summary.waiting:
        rows.append(("Waiting", f"{count(summary.waiting, 'job')}, for others that are not done"))
    rows += [
        ("", f"{number:,} x {one_line(reason)}") for reason, number in summary.skip_reasons.most_common(MOST_REASONS)
    ]
    rows.append(("Time", clock(summary.seconds)))
    if summary.bytes_before:
        share = 100 * summary.bytes_after / summary.bytes_before
        rows.append(("Size", f"{size(summary.bytes_before)} -> {size(summary.bytes_after)} ({share:.1f}%)"))
    lost = [f"{count(files, 'file')}: {one_line(kind)}" for kind, files in _most(summary.losses)]
    if len(summary.losses) > MOST_KINDS:
        lost.append(f"... and {count(len(summary.losses) - MOST_KINDS, 'more kind')}")
    rows += [("Losses" if number == 0 else "", line) for number, line in enumerate(lost)]
    if summary.speed is not None:
        rows.append(("Video", f"{duration(summary.media_seconds)} at {summary.speed:.1f}x real time"))
    rows += _speech(summary)
    rows += summary.analyses.rows()
    if summary.prediction is not None:
        rows += accuracy.rows(summary.prediction)
    if summary.governing.counts:
        rows.append(("Governor", events.sentence(summary.governing)))
    rows += [("Not taken", files) for files in summary.not_taken]
    rows += [("Trouble", trouble) for trouble in summary.troubles]
    return rows


def _speech(summary: Summary) -> Iterator[tuple[str, str]]:
    """Yield how well recordings were transcribed, and how much of transcripts was improved."""
    recordings, factor = summary.quality.mean(_TRANSCRIBE, "real_time_factor")
    if recordings:
        compared, right = summary.quality.mean(_TRANSCRIBE, "accuracy")
        how_well = f"{right:.1f}% of the words right ({compared:,} with a reference), " if compared else ""
        yield "Transcribed", f"{count(recordings, 'recording')}: {how_well}{factor:.2g} of real time"
    transcripts, changed = summary.quality.mean(_ENHANCE, "improvement")
    if transcripts:
        left = f"{summary.pieces['kept']:,} of {count(summary.pieces['pieces'], 'piece')} left as they were"
        yield "Improved", f"{count(transcripts, 'transcript')}: {changed:.1f}% of the words changed, {left}"


# ---------------------------------------------------------------- JSON


def write_json(
    stream: TextIO,
    summary: Summary,
    journal: JournalReader,
    *,
    output_root: bytes,
    log_of: LogOf,
    memory_allowed_bytes: int | None = None,
    advice: Sequence[Recommendation] | None = None,
    not_replayed: str = "",
) -> None:
    """Write the summary, the governor's events, troubles and every job of the journal, as one JSON document in ASCII.

    Its schema is docs/report.schema.json. `advice` are the recommendations; `not_replayed` says why the run was not
    replayed.

    What a file took (`seconds`, `cpu_seconds`, `peak_memory_bytes`) is of this run's last attempt, else null. What was
    predicted of it is as of when that attempt began, else as of when it was planned.
    """
    run_id, governed = summary.run.id, summary.governing
    governor = {"held_seconds": rounded(governed.held_seconds), "counts": dict(governed.counts)}
    whole = _head(summary, output_root)
    whole["analysis"] = figures.entry(figures.analysis_of(journal, summary.run, summary.seconds, memory_allowed_bytes))
    whole["recommendations"] = None if advice is None else [figures.recommendation_entry(one) for one in advice]
    whole["not_replayed"] = not_replayed or None
    head = json.dumps(whole).removesuffix("}")
    stream.write(head + ', "governor": ' + json.dumps(governor).removesuffix("}") + ', "events": [')
    _write_items(stream, map(events.event_entry, events.governor_events(journal, run_id)))
    stream.write(']}, "troubles": [')
    entries = ({"at": utc(each.at), "level": each.kind, "text": each.text} for each in events.troubles(journal, run_id))
    _write_items(stream, entries)
    stream.write('], "files": [')
    # A run that changed nothing has nothing to add to what earlier runs took.
    attempts = journal.attempts(run_id=run_id) if summary.counts.total else ()
    took = accuracy.by_file(journal, (attempt for attempt in attempts if attempt.usage is not None))
    rows = (row for row in journal.jobs() if row.origin is not Origin.CHILD)
    _write_items(stream, (_file_entry(row, took.get(row.id), run_id, output_root, log_of) for row in rows))
    stream.write("\n]}\n")


def _write_items(stream: TextIO, items: Iterator[dict[str, Any]]) -> None:
    """The items of a list, one a line, each written as it comes."""
    separator = "\n"
    for item in items:
        stream.write(separator + json.dumps(item))
        separator = ",\n"


def _head(summary: Summary, output_root: bytes) -> dict[str, Any]:
    run, prediction = summary.run, summary.prediction
    timing = {"id": run.id, "arguments": run.arguments, "started_at": utc(run.started_at)}
    counts = {state: summary.counts.of(JobState(state)) for state in _SETTLED}
    counts |= {"left": summary.left, "waiting": summary.waiting}
    return {
        "version": DOCUMENT_VERSION,
        "run": timing | {"seconds": rounded(summary.seconds), "exit_code": run.exit_code},
        **path_entry("output_folder", output_root),
        "counts": counts | {"done_before": summary.done_before, "failed_before": summary.failed_before},
        "bytes_before": summary.bytes_before,
        "bytes_after": summary.bytes_after,
        "media_seconds": rounded(summary.media_seconds),
        "speed": rounded(summary.speed),
        "prediction": None if prediction is None else accuracy.entry(prediction),
        "analyses": asdict(summary.analyses),
        "near_duplicates": analyses.entries(summary.near_duplicates),
    }


def _file_entry(
    row: JobRow, attempt: AttemptRow | None, run_id: int, output_root: bytes, log_of: LogOf
) -> dict[str, Any]:
    usage = attempt.usage if attempt is not None else None
    predicted = attempt.predicted if attempt is not None and attempt.predicted is not None else row.cost
    made = row.produced if row.state is JobState.SUCCEEDED else None
    failed = row.state.is_failure
    return {
        "id": row.id,
        **path_entry("name", row.source.relative),
        **path_entry("input", row.source.path or None),
        **path_entry("output", os.path.join(output_root, row.output) if made is not None else None),
        "state": row.state,
        "settled_by_this_run": row.run_id == run_id and row.state in FINAL_STATES,
        "reason": row.reason,
        "kind": row.failure,
        "profile": row.profile_name,
        "attempts": row.attempts,
        "input_bytes": row.source.size_bytes,
        "output_bytes": made.size_bytes if made is not None else None,
        "media_seconds": row.media_seconds,
        "output_media_seconds": made.duration_seconds if made is not None else None,
        "notes": made.notes if made is not None else [],
        "losses": made.losses if made is not None else [],
        "predicted_cpu_seconds": rounded(predicted.cpu_seconds),
        "predicted_memory_bytes": predicted.memory_bytes,
        "seconds": rounded(usage.wall_seconds) if usage is not None else None,
        "cpu_seconds": rounded(usage.cpu_seconds) if usage is not None else None,
        "peak_memory_bytes": usage.peak_memory_bytes if usage is not None else None,
        **path_entry("log", log_of(row.id) if failed else None),
    }
