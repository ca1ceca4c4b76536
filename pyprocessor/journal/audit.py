"""Who had what done, when, with which settings, and what came of it? Records of the journal, in the order of time.

Events are append-only; what pruning takes away becomes an event before.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from typing import Any

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow, JobRow, RunRow
from pyprocessor.models import JobState, OutcomeKind, display
from pyprocessor.models.wording import utc

VERSION = 1
BEGUN_BY = "begun_by"
"""The kind of the event that names the user of a run."""
CHANGED = "changed"
"""The kind of the events that name who changed the journal while no run was on, and by which command."""
PRUNED = "pruned"
"""The kind of the events that keep the records of jobs that were deleted."""
NO_RUN = "between runs"


def trail(journal: JournalReader, since: float = 0.0) -> Iterator[dict[str, Any]]:
    """Yield all records from a time on (seconds since the epoch), each a mapping of plain values.

    `record` is run, attempt, job (one that ended without an attempt) or event. Each has `at`, `user` and `program`.
    """
    users = {event.run_id: event.text for event in journal.events() if event.kind == BEGUN_BY}
    runs = {run.id: run for run in journal.runs()}
    who = {
        run: {"run": run, "user": users.get(run, ""), "program": runs[run].arguments if run in runs else NO_RUN}
        for run in {0, *runs}
    }

    def attempts() -> Iterator[tuple[float, int, dict[str, Any]]]:
        for attempt in journal.attempts():
            row = journal.job(attempt.job_id)
            if row is not None:
                yield attempt.started_at, 1, attempt_record(row, attempt, journal)

    def events() -> Iterator[tuple[float, int, dict[str, Any]]]:
        for event in journal.events():
            if event.kind == PRUNED:
                yield event.at, 2, {**json.loads(event.text), "pruned_at": utc(event.at), "run": event.run_id}
            elif event.kind != BEGUN_BY:
                told = {"record": "event", "kind": event.kind, "text": event.text, "job": event.job_id}
                yield event.at, 3, {**told, "run": event.run_id}

    begun = ((run.started_at, 0, _run(run)) for run in runs.values() if run.id)
    # Those that are settled without an attempt are few.
    settled = sorted(
        ((row.updated_at, row.id, job_record(row)) for row in journal.jobs() if row.final and not row.attempts),
        key=lambda found: found[:2],
    )
    others = ((at, 4, record) for at, _, record in settled)
    for at, _, record in heapq.merge(begun, attempts(), events(), others, key=lambda found: found[:2]):
        if at >= since:
            run = record.get("made_in", record["run"])
            yield {"version": VERSION, "at": utc(at, "milliseconds"), **who.get(run, {}), **record}


def records_of(row: JobRow, journal: JournalReader) -> list[dict[str, Any]]:
    """The records of one job, to be kept when it is deleted."""
    found = [attempt_record(row, attempt, journal) for attempt in journal.attempts_of(row.id)]
    return [{**record, "made_in": record["run"]} for record in found or [job_record(row)]]


def attempt_record(row: JobRow, attempt: AttemptRow, journal: JournalReader) -> dict[str, Any]:
    """One try of a job."""
    usage, succeeded = attempt.usage, attempt.outcome is OutcomeKind.SUCCEEDED
    return {
        "record": "attempt",
        "run": attempt.run_id,
        **_job(row),
        "attempt": attempt.number,
        "started_at": utc(attempt.started_at, "milliseconds"),
        "ended_at": None if attempt.ended_at is None else utc(attempt.ended_at, "milliseconds"),
        "outcome": attempt.outcome,
        "kind": attempt.failure,
        "text": attempt.reason,
        "cpu_seconds": None if usage is None else round(usage.cpu_seconds, 3),
        "products": _products(row, journal) if succeeded and row.state is JobState.SUCCEEDED else [],
    }


def job_record(row: JobRow) -> dict[str, Any]:
    """A job that ended without an attempt."""
    ended = {"outcome": row.state, "kind": row.failure, "text": row.reason, "ended_at": utc(row.updated_at)}
    return {"record": "job", "run": row.run_id, **_job(row), **ended}


def _job(row: JobRow) -> dict[str, Any]:
    return {
        "job": row.id,
        "name": row.name,
        "task": row.task,
        "tenant": row.tenant,
        "profile": row.profile_name,
        "settings": row.params_fingerprint,
        "source": display(row.source.path),
        "source_bytes": row.source.size_bytes,
    }


def _products(row: JobRow, journal: JournalReader) -> list[dict[str, Any]]:
    found = []
    for product in row.products:
        made = row.produced if product.name == row.output else None
        known = journal.made(product.name) if made is None else None
        facts = known.facts if known is not None else made
        found.append(
            {
                "name": display(product.name),
                "role": product.role,
                "bytes": None if facts is None else facts.size_bytes,
                "mtime_ns" if not product.folder else "digest": None if facts is None else facts.mtime_ns,
            }
        )
    return found


def _run(run: RunRow) -> dict[str, Any]:
    ended = None if run.ended_at is None else utc(run.ended_at, "milliseconds")
    return {"record": "run", "run": run.id, "ended_at": ended, "exit_code": run.exit_code}
