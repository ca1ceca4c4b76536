"""What is known of single jobs: as lines for people, and as JSON for programs and for what is exported?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TextIO

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow, JobRow
from pyprocessor.models import JobInput, JobState, Source, display
from pyprocessor.models.wording import duration, memory_size, one_line, size, utc
from pyprocessor.report.wording import about, aligned, local_time, path_entry, rounded

DOCUMENT_VERSION = 1
SHOWN_OF_AN_ID = 12
"""Characters, in lists; a beginning that no other job has names a job as well as all of it."""
MOST_OTHERS = 1000
"""Of the jobs that wait for one, so many are named."""
_LONGEST_STATE = max(map(len, JobState))


def line(row: JobRow) -> str:
    """One job on a line: the beginning of its id, state, task, name, and the reason where there is one."""
    named = about(row.name, one_line(row.reason))
    return f"{row.id[:SHOWN_OF_AN_ID]}  {row.state:<{_LONGEST_STATE}}  {one_line(row.task):<12}  {named}"


@dataclass(frozen=True, slots=True)
class JobDetails:
    """All that the journal knows of one job: `needs` are the jobs it waits for, `dependents` those that wait for it."""

    row: JobRow
    params: str | None
    needs: tuple[JobRow, ...]
    dependents: tuple[JobRow, ...]
    attempts: tuple[AttemptRow, ...]

    @classmethod
    def of(cls, journal: JournalReader, row: JobRow) -> JobDetails:
        found = (journal.job(needed) for needed in journal.needs(row.id))
        return cls(
            row,
            journal.params(row.params_fingerprint),
            tuple(needed for needed in found if needed is not None),
            journal.dependents(row.id, MOST_OTHERS),
            journal.attempts_of(row.id),
        )


# ---------------------------------------------------------------- text


def text(details: JobDetails, *, width: int) -> str:
    """The text of one job: a table of at most `width` columns, but for ids, and for words that are longer."""
    row = details.row
    rows = [("Job", row.id), ("Name", row.name), ("Task", one_line(row.task)), ("State", _state(row))]
    if row.reason:
        rows.append(("Reason", one_line(row.reason)))
    rows += [("" if number else "Input", _input(one)) for number, one in enumerate(row.job.all_inputs)]
    for number, product in enumerate(row.products):
        rows.append(("" if number else "Product", f"{display(product.name)} ({one_line(product.role)})"))
    for label, when in (("Not before", row.not_before), ("Deadline", row.deadline)):
        if when is not None:
            rows.append((label, local_time(when)))
    rows += [("" if number else "Labels", one_line(": ".join(pair))) for number, pair in enumerate(row.metadata)]
    for label, others in (("Waits for", details.needs), ("Needed by", details.dependents)):
        rows += [("" if number else label, line(other)) for number, other in enumerate(others)]
    rows += [("" if number else "Attempts", _attempt(one)) for number, one in enumerate(details.attempts)]
    if details.params is not None:
        rows.append(("Params", one_line(details.params)))
    if row.result is not None and row.result != "null":
        rows.append(("Result", one_line(row.result)))
    return "\n".join(aligned(rows, width)) + "\n"


def _state(row: JobRow) -> str:
    kind = f", {row.failure.replace('_', ' ')}" if row.failure is not None else ""
    return f"{row.state.replace('_', ' ')}{kind}, since {local_time(row.updated_at)}"


def _input(given: JobInput) -> str:
    if isinstance(given, Source):
        return f"{display(given.path)} ({size(given.size_bytes)})"
    return f"{one_line(given.role)} of job {one_line(given.job_id[:SHOWN_OF_AN_ID])}"


def _attempt(attempt: AttemptRow) -> str:
    parts = [f"{attempt.number}: {attempt.outcome or 'under way'}, since {local_time(attempt.started_at)}"]
    if (usage := attempt.usage) is not None:
        parts.append(
            f"took {duration(usage.wall_seconds)}, {duration(usage.cpu_seconds)} of CPU time and "
            f"{memory_size(usage.peak_memory_bytes)}"
        )
    return about("; ".join(parts), one_line(attempt.reason))


# ---------------------------------------------------------------- JSON


def entry(row: JobRow) -> dict[str, Any]:
    """One job for a JSON document."""
    made, predicted = row.produced, row.cost
    return {
        "version": DOCUMENT_VERSION,
        "id": row.id,
        **path_entry("name", row.source.relative),
        "task": row.task,
        "origin": row.origin,
        "parent": row.parent or None,
        "state": row.state,
        "updated_at": utc(row.updated_at),
        "reason": row.reason,
        "kind": row.failure,
        "cancelled_for": row.cancelled_for or None,
        **path_entry("input", row.source.path or None),
        "input_bytes": row.source.size_bytes,
        "input_mtime_ns": row.source.mtime_ns,
        "other_inputs": [_input_entry(given) for given in row.inputs],
        "products": [
            {**path_entry("name", product.name), "role": product.role, "folder": product.folder}
            for product in row.products
        ],
        "output_bytes": made.size_bytes if made is not None else None,
        "output_mtime_ns": made.mtime_ns if made is not None else None,
        "notes": made.notes if made is not None else [],
        "losses": made.losses if made is not None else [],
        "params_fingerprint": row.params_fingerprint,
        "profile": row.profile_name,
        "priority": row.priority,
        "tenant": row.tenant,
        "metadata": dict(row.metadata),
        "max_retries": row.max_retries,
        "timeout_seconds": row.timeout_seconds,
        "not_before": None if row.not_before is None else utc(row.not_before),
        "deadline": None if row.deadline is None else utc(row.deadline),
        "media_seconds": row.media_seconds,
        "predicted_cpu_seconds": rounded(predicted.cpu_seconds),
        "predicted_memory_bytes": predicted.memory_bytes,
        "attempts": row.attempts,
        "crashes": row.crashes,
        "sheds": row.sheds,
        "retries_charged": row.retries_charged,
        "failed_runs": row.failed_runs,
        "killed_runs": row.killed_runs,
        "result": None if row.result is None else json.loads(row.result),
    }


def document(details: JobDetails) -> dict[str, Any]:
    """One job, with its params, the jobs around it and its attempts, as a JSON document."""
    return {
        **entry(details.row),
        "params": None if details.params is None else json.loads(details.params),
        "waits_for": [_other(row) for row in details.needs],
        "needed_by": [_other(row) for row in details.dependents],
        "tries": [attempt_entry(attempt) for attempt in details.attempts],
    }


def write_export(stream: TextIO, rows: Iterable[JobRow], journal: JournalReader) -> None:
    """Write jobs with their attempts, one JSON object a line; params stand once, before the first job that has them."""
    known: set[str] = set()
    for row in rows:
        fingerprint = row.params_fingerprint
        params = None if fingerprint in known else journal.params(fingerprint)
        known.add(fingerprint)
        if params is not None:
            head = {"version": DOCUMENT_VERSION, "record": "params", "fingerprint": fingerprint}
            stream.write(json.dumps({**head, "params": json.loads(params)}) + "\n")
        tries = [attempt_entry(attempt) for attempt in journal.attempts_of(row.id)]
        exported = {**entry(row), "record": "job", "needs": journal.needs(row.id), "tries": tries}
        stream.write(json.dumps(exported) + "\n")


def attempt_entry(attempt: AttemptRow) -> dict[str, Any]:
    """One attempt for a JSON document."""
    usage = attempt.usage
    return {
        "number": attempt.number,
        "run": attempt.run_id,
        "started_at": utc(attempt.started_at),
        "ended_at": None if attempt.ended_at is None else utc(attempt.ended_at),
        "outcome": attempt.outcome,
        "kind": attempt.failure,
        "reason": attempt.reason,
        "charged": attempt.charged,
        "threads": attempt.threads,
        "seconds": None if usage is None else rounded(usage.wall_seconds),
        "cpu_seconds": None if usage is None else rounded(usage.cpu_seconds),
        "peak_memory_bytes": None if usage is None else usage.peak_memory_bytes,
    }


def _other(row: JobRow) -> dict[str, Any]:
    return {"id": row.id, **path_entry("name", row.source.relative), "state": row.state}


def _input_entry(given: JobInput) -> dict[str, Any]:
    if isinstance(given, Source):
        return {**path_entry("path", given.path), "bytes": given.size_bytes, "mtime_ns": given.mtime_ns}
    return {"job": given.job_id, "role": given.role}
