"""What came of a task of a queue, and whether all of them would be done in time?"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pyprocessor.engine.dry_run import Outlook, outlook, still_to_do
from pyprocessor.errors import NoJournal, UsageError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import Submission
from pyprocessor.models.plain_values import shown, time_of
from pyprocessor.models.run import RunRequest
from pyprocessor.state.state_folder import state_folder
from pyprocessor.taskqueue.adding import data_of
from pyprocessor.taskqueue.records import SUCCEEDED, BatchTask, TaskOutcome


def outcome_of(row: JobRow, journal: JournalReader, output: bytes, max_retries: int) -> TaskOutcome:
    """What came of a task that has ended; `max_retries` is that of tasks that have none of their own."""
    retries = row.max_retries if row.max_retries is not None else max_retries
    task = BatchTask(row.id, row.task, data_of(row, journal), row.priority, retries, row.retries_charged)
    made = row.products if row.state in SUCCEEDED else ()
    return TaskOutcome(
        task=task,
        state=row.state,
        result=json.loads(row.result) if row.result is not None and row.state in SUCCEEDED else None,
        products={one.role: Path(os.fsdecode(os.path.join(output, one.name))) for one in made},
        reason=row.reason,
        failure=row.failure,
        tenant=row.tenant,
        metadata=dict(row.metadata),
    )


def deadline_of(given: object) -> float:
    """A time that a program names, in seconds since 1970. Raises UsageError for what is none."""
    try:
        return time_of(given)
    except ValueError:
        what = "give a time such as 2026-01-31T22:00:00Z, or seconds since 1970"
        raise UsageError(f"deadline is {shown(given)}; {what}.") from None


def outlook_of(request: RunRequest, due: float) -> Outlook:
    """Predict whether all that waits in a queue is done by a time, or each task by its own deadline."""
    jobs: list[Submission] = []
    with suppress(NoJournal), JournalReader.read_only(state_folder(request.output).path) as journal:
        jobs = [
            replace(given, job=replace(given.job, deadline=given.job.deadline or due)) for given in still_to_do(journal)
        ]
    found = outlook(jobs, request)
    return replace(found, deadlines=found.deadlines or (due,))
