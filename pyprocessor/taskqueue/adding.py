"""Which job does a task become: its inputs and params, what it waits for, and what its products are called?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyprocessor.errors import UsageError
from pyprocessor.intake.remote_inputs import asked_for
from pyprocessor.intake.submission import one_submission
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import JobInput, JobState, ProductOf
from pyprocessor.models.products import MAIN
from pyprocessor.tasks.registry import task

FILE, FILES = "file_path", "file_paths"
Known = Callable[[str], JobRow | None]
"""What the journal has of an id."""


def names_files(data: Mapping[str, Any]) -> bool:
    """Whether files are to be looked at, whose file system may not answer."""
    return FILE in data or FILES in data


def submission_of(
    task_type: str, data: Mapping[str, Any], queue: str, after: tuple[str, ...], **others: object
) -> tuple[Submission, ...]:
    """The job of a task, behind those that fetch its inputs; `others` are further fields of a job.

    Raises UsageError, a line for each that is wrong.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"`data` must be a mapping, not {type(data).__name__}.")
    params = {name: value for name, value in data.items() if name not in (FILE, FILES)}
    kind = str(task_type)
    document = {"task": kind, "params": params, "inputs": _inputs(kind, data, after), "after": after, **others}
    try:
        return one_submission(document, queue=queue)
    except UsageError as error:
        text = str(error).replace("`inputs`", f"`{FILE}`").replace('{"job": KEY}', '{"task": ID}')
        raise UsageError(text) from None


def _inputs(task_type: str, data: Mapping[str, Any], after: tuple[str, ...]) -> list[object]:
    if FILE in data and FILES in data:
        raise UsageError(f"`{FILES}` stands beside `{FILE}`; give one of them.")
    if not names_files(data):
        # A task that says that it needs an input reads what those before it made.
        reads = after and getattr(task(task_type), "inputs", (0, None))[0]
        return [{"job": needed} for needed in after] if reads else []
    given = [data[FILE]] if FILE in data else data[FILES]
    if not isinstance(given, list | tuple):
        raise UsageError(f"`{FILES}` must be a list, not {type(given).__name__}.")
    return [
        {"job" if name == "task" else name: value for name, value in one.items()} if isinstance(one, Mapping) else one
        for one in given
    ]


class Names:
    """Names of tasks, each once for a type of task and a tenant: products are called by them."""

    def __init__(self, taken: Iterable[tuple[bytes, str, str]]) -> None:
        # As hashes, since there may be many: two that happen to be equal give a longer name.
        self._taken = {hash(one) for one in taken}

    def named(self, given: Submission, known: Known, fetched: Sequence[Submission] = ()) -> Submission:
        """Return the job with the name of its first file, or of the task whose product it reads, or with its key.

        The file may be one that is `fetched`; its extension is left out.
        """
        job = given.job
        file = next((one.job.source.relative for one in fetched[:1] if job.inputs[0] == ProductOf(one.job.id)), b"")
        name = os.path.splitext(os.path.basename(job.source.path or file))[0]
        if not name:
            maker = next((one.job_id for one in job.inputs if isinstance(one, ProductOf)), None)
            made_by = known(maker) if maker is not None else None
            if made_by is None:
                return given
            name = made_by.source.relative
        if hash((name, job.task, job.tenant)) in self._taken:
            before = known(job.id)
            name = before.source.relative if before is not None else name + b"-" + job.id[:8].encode("ascii")
        self._taken.add(hash((name, job.task, job.tenant)))
        return replace(given, job=replace(job, source=replace(job.source, relative=name)))


def data_of(row: JobRow, journal: JournalReader) -> dict[str, Any]:
    """The data that a task was added with."""
    inputs = [_input_of(given, journal) for given in row.job.all_inputs]
    files: dict[str, Any] = {FILE: inputs[0]} if len(inputs) == 1 else {FILES: inputs} if inputs else {}
    return {**files, **_params(row, journal)}


def begins_anew(row: JobRow) -> bool:
    """Whether a task that is added once more is to be done again: it failed, or was cancelled itself."""
    done = row.already_right or row.state in (JobState.SUCCEEDED, JobState.KEPT_SOURCE)
    return row.final and not done and not (row.state is JobState.CANCELLED and row.cancelled_for)


def _input_of(given: JobInput, journal: JournalReader) -> object:
    if not isinstance(given, ProductOf):
        return os.fsdecode(given.path)
    maker = journal.job(given.job_id)
    if maker is not None and maker.is_fetch:
        return asked_for(_params(maker, journal))
    return {"task": given.job_id, "role": given.role or MAIN}


def _params(row: JobRow, journal: JournalReader) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(journal.params(row.params_fingerprint) or "{}")
    return found
