"""Reading the journal: what `status`, `report` and the engine itself ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from pyprocessor.errors import FailureKind
from pyprocessor.journal.database import Database, open_for_reading
from pyprocessor.journal.records import decode, shape
from pyprocessor.journal.rows import (
    AttemptRow,
    BatchRow,
    CachedMedia,
    Counts,
    EventRow,
    JobRow,
    Made,
    ReadingRow,
    RunRow,
)
from pyprocessor.models import JobState, MediaInfo

Record = TypeVar("Record")


class JournalReader:
    """A journal that is only read. Iterators stream, a page of rows at a time; all errors are `PyprocessorError`s."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def read_only(state_folder: bytes) -> JournalReader:
        """Opens the journal in this folder beside a run that writes it, with none, or on a read-only disk.

        Raises JournalError where there is none, where it is damaged or written by a newer program.
        """
        return JournalReader(open_for_reading(state_folder))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _records(self, kind: Callable[[Any], Record], rows: Iterable[tuple[object, ...]]) -> Iterator[Record]:
        return (self._database.record(kind, row) for row in rows)

    def last_run(self) -> RunRow | None:
        """The newest run, or None."""
        row = self._database.row("last_run", {})
        return None if row is None else self._database.record(RunRow.from_row, row)

    def open_runs(self) -> tuple[RunRow, ...]:
        """Runs that nobody saw end: running now, or killed."""
        return tuple(self._records(RunRow.from_row, self._database.rows("open_runs", {})))

    def media(self, path: bytes, size_bytes: int, mtime_ns: int) -> CachedMedia | None:
        """What inspecting said of exactly this file.

        None: never inspected, changed since, or kept by a version of the program whose records had other fields.
        """
        key = {"path": path, "size": size_bytes, "mtime_ns": mtime_ns, "shape": shape(MediaInfo)}
        row = self._database.row("media", key)
        if row is None:
            return None
        return self._database.record(_cached, row)

    def job(self, job_id: str) -> JobRow | None:
        """One job, or None."""
        row = self._database.row("job", {"id": job_id})
        return None if row is None else self._database.record(JobRow.from_row, row)

    def owner(self, output: bytes) -> JobRow | None:
        """The job that has, or will have, this output; None where the name is no job's."""
        row = self._database.row("owner", {"output": output})
        return None if row is None else self._database.record(JobRow.from_row, row)

    def made(self, output: bytes) -> Made | None:
        """What was last made under this name, whichever job has it now."""
        row = self._database.row("made", {"output": output})
        return None if row is None else self._database.record(Made.from_row, row)

    def knows_outputs(self) -> bool:
        """Whether any output was ever made, as far as this journal knows."""
        return self._database.row("any_output", {}) is not None

    def jobs(self, state: JobState | None = None, run_id: int | None = None) -> Iterator[JobRow]:
        """The jobs in the order they were first planned; of one state, or last changed by one run."""
        if state is None:
            rows = self._database.pages("jobs_page", {"run_id": run_id})
        else:
            rows = self._database.pages("jobs_page_in_state", {"run_id": run_id, "state": state.value})
        return self._records(JobRow.from_row, rows)

    def publishing_jobs(self) -> Iterator[JobRow]:
        """Jobs whose publish was granted and not told done; after an engine's death `granted` and the disk decide."""
        return self.jobs(JobState.PUBLISHING)

    def counts(self, run_id: int | None = None) -> Counts:
        """How many jobs are in each state; with `run_id` of those that run last changed."""
        if run_id is None:
            rows = self._database.rows("counts", {})
        else:
            rows = self._database.rows("counts_of_run", {"run_id": run_id})
        return self._database.record(_counts, tuple(rows))

    def open_attempts(self) -> Iterator[AttemptRow]:
        """Attempts that nobody closed: running now, or left by a killed engine."""
        return self._records(AttemptRow.from_row, self._database.pages("open_attempts_page", {}))

    def attempts(self, job_id: str | None = None, run_id: int | None = None) -> Iterator[AttemptRow]:
        """Attempts, oldest first: of one job, else of one run, else all."""
        if job_id is not None:
            return self._records(AttemptRow.from_row, self._database.pages("attempts_of_job", {"job_id": job_id}))
        return self._records(AttemptRow.from_row, self._database.pages("attempts_page", {"run_id": run_id}))

    def open_batches(self) -> tuple[BatchRow, ...]:
        """Batches whose process nobody saw end: running now, or left by a killed engine."""
        return tuple(self._records(BatchRow.from_row, self._database.rows("open_batches", {})))

    def batches(self, run_id: int) -> tuple[BatchRow, ...]:
        """The batches of one run."""
        return tuple(self._records(BatchRow.from_row, self._database.rows("batches_of_run", {"run_id": run_id})))

    def readings(self, run_id: int | None = None) -> Iterator[ReadingRow]:
        """The kept readings, oldest first."""
        return self._records(ReadingRow.from_row, self._database.pages("readings_page", {"run_id": run_id}))

    def events(self, run_id: int | None = None, job_id: str | None = None) -> Iterator[EventRow]:
        """Events, oldest first: of one job, else of one run, else all."""
        if job_id is not None:
            return self._records(EventRow.from_row, self._database.pages("events_of_job", {"job_id": job_id}))
        return self._records(EventRow.from_row, self._database.pages("events_page", {"run_id": run_id}))


def _cached(row: tuple[Any, ...]) -> CachedMedia:
    text, failure, message = row
    if text is None:
        return CachedMedia(None, FailureKind(failure), message)
    return CachedMedia(decode(MediaInfo, text), None, message)


def _counts(rows: tuple[Any, ...]) -> Counts:
    return Counts(**dict(rows))
