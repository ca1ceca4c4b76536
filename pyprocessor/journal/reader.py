"""What is in the journal? Asked by `status`, `report` and the engine itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Self, TypeVar

from pyprocessor.errors import NoJournal
from pyprocessor.journal.database import Database, open_for_reading
from pyprocessor.journal.records import decode, media_shape
from pyprocessor.journal.rows import (
    AttemptRow,
    CachedMedia,
    Counts,
    EventRow,
    JobRow,
    Made,
    RunRow,
    from_row,
    intents_from,
)
from pyprocessor.models import FINAL_STATES, BackendState, JobState, ProcessIdentity, Profile, Reading
from pyprocessor.models.products import Intent

Record = TypeVar("Record")
_DONE = frozenset({JobState.SUCCEEDED, JobState.KEPT_SOURCE, JobState.SKIPPED})
_BEGINS_AN_ID = re.compile("[0-9a-f]{1,32}")


class JournalReader:
    """A journal that is only read. Iterators stream, a page of rows at a time; all errors are `PyprocessorError`s."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def read_only(state_folder: bytes) -> JournalReader:
        """Open the journal in this folder to read it, beside a writer or not. Raises JournalError."""
        return JournalReader(open_for_reading(state_folder))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _all(self, kind: type[Record], query: str, **parameters: object) -> tuple[Record, ...]:
        make = partial(from_row, kind)
        return tuple(self._database.record(make, row) for row in self._database.rows(query, parameters))

    def _one(self, kind: type[Record], query: str, **parameters: object) -> Record | None:
        return next(iter(self._all(kind, query, **parameters)), None)

    def _stream(self, kind: type[Record], query: str, **parameters: object) -> Iterator[Record]:
        make = partial(from_row, kind)
        return (self._database.record(make, row) for row in self._database.pages(query, parameters))

    def last_run(self) -> RunRow | None:
        """The newest run, or None."""
        return self._one(RunRow, "last_run")

    def last_runs(self, most: int) -> tuple[RunRow, ...]:
        """The newest runs, at most so many, newest first."""
        return self._all(RunRow, "last_runs", most=most)

    def last_written(self, run_id: int) -> float:
        """When a run last entered something, in seconds since the epoch."""
        return float(self._database.rows("last_written", {"run_id": run_id})[0][0])

    def settings(self, run_id: int) -> Profile | None:
        """The profile under which a run began; None of runs that did not note it."""
        rows = self._database.rows("settings", {"run_id": run_id})
        return self._database.record(lambda row: decode(Profile, str(row[0])), rows[0]) if rows else None

    def readings(self, run_id: int) -> Iterator[Reading]:
        """The readings of a run that were taken at the slow interval, oldest first; of a long run the last ones."""
        rows = self._database.pages("readings_page", {"run_id": run_id})
        return (self._database.record(lambda row: decode(Reading, str(row[1])), row) for row in rows)

    def runs(self) -> Iterator[RunRow]:
        """All runs, oldest first; number 0 stands for what is done between runs."""
        return iter(self._all(RunRow, "all_runs"))

    def open_runs(self) -> tuple[RunRow, ...]:
        """Runs without an end: running now, or killed."""
        return self._all(RunRow, "open_runs")

    def media(self, path: bytes, size_bytes: int, mtime_ns: int) -> CachedMedia | None:
        """What inspecting found in exactly this file; None also where the records had other fields then."""
        key = {"path": path, "size_bytes": size_bytes, "mtime_ns": mtime_ns, "shape": media_shape()}
        return self._one(CachedMedia, "media", **key)

    def content(self, path: bytes, size_bytes: int, mtime_ns: int) -> str:
        """What identifies the bytes of exactly this file; empty where that is not known."""
        rows = self._database.rows("content", {"path": path, "size_bytes": size_bytes, "mtime_ns": mtime_ns})
        return str(rows[0][0]) if rows else ""

    def cached_result(self, key: str, oldest: float) -> tuple[str, float] | None:
        """The result of this key, as JSON that may be damaged, and when it was made; None of those that are older."""
        rows = self._database.rows("cached_result", {"key": key, "oldest": oldest})
        return (str(rows[0][0]), float(rows[0][1])) if rows else None

    def job(self, job_id: str) -> JobRow | None:
        """One job, or None."""
        return self._one(JobRow, "job", id=job_id)

    def intents(self, job_id: str) -> tuple[Intent, ...]:
        """What a publish of a job is granted for; empty where none is."""
        rows = self._database.rows("intents", {"id": job_id})
        granted = [row for row in rows if row[0] is not None]
        return self._database.record(lambda row: intents_from(*row), granted[0]) if granted else ()

    def find(self, name: str, most: int, tenants: Collection[str] = ()) -> tuple[JobRow, ...]:
        """The jobs, at most so many, that a user may mean: of this id, else of this name, else the ids that begin so.

        A name comes before the beginnings of ids, which are chance: a job named "a" is always found by it.

        Where `tenants` are given, only jobs of theirs.
        """
        one = self.job(name)
        if one is not None:
            return (one,) if not tenants or one.tenant in tenants else ()
        enough = most if not tenants else -1  # which bounds nothing
        found = self._all(JobRow, "jobs_by_name", name=os.fsencode(name), most=enough)
        found = tuple(row for row in found if not tenants or row.tenant in tenants)
        if not found and _BEGINS_AN_ID.fullmatch(name):
            found = self._all(JobRow, "jobs_by_prefix", prefix=name, most=enough)
            found = tuple(row for row in found if not tenants or row.tenant in tenants)
        return found[:most]

    def dependents(self, job_id: str, most: int) -> tuple[JobRow, ...]:
        """The jobs, at most so many, that wait for this one, or waited for it."""
        return self._all(JobRow, "dependents", id=job_id, most=most)

    def attempts_of(self, job_id: str) -> tuple[AttemptRow, ...]:
        """All attempts of one job, oldest first."""
        return self._all(AttemptRow, "attempts_of_job", id=job_id)

    def owner(self, output: bytes) -> JobRow | None:
        """The job that has, or will have, this output; None where the name is no job's."""
        return self._one(JobRow, "owner", name=output)

    def has_submitted(self) -> bool:
        """Whether there is any job that no folder holds."""
        return bool(self._database.rows("any_submitted", {}))

    def submitted_in_vain(self) -> Iterator[JobRow]:
        """The submitted jobs that failed, or that the user cancelled."""
        return self._stream(JobRow, "submitted_in_vain")

    def names(self) -> Iterator[tuple[bytes, str, str]]:
        """What the jobs are called that read files or products, with their tasks and tenants."""
        return ((bytes(name), str(kind), str(tenant)) for _, name, kind, tenant in self._database.pages("names", {}))

    def results_of(self, task: str) -> Iterator[tuple[bytes, bytes, str | None]]:
        """The names and sources of all jobs of a task that succeeded, with what they answered, as JSON."""
        rows = self._database.pages("results_of_task", {"task": task})
        return ((bytes(name), bytes(path), result) for _, name, path, result in rows)

    def count_to_come(self) -> int:
        """How many submitted jobs are to be done, now or later."""
        return int(self._database.rows("count_to_come", {})[0][0])

    def waiting_of(self, tenant: str) -> int:
        """How many submitted jobs of a tenant have not begun."""
        return int(self._database.rows("count_waiting_of", {"tenant": tenant})[0][0])

    def pending(self) -> Iterator[JobRow]:
        """The jobs of no folder that could be done now, in the order in which they were submitted."""
        return self._stream(JobRow, "jobs_waiting_for_nothing")

    def needs(self, job_id: str) -> tuple[str, ...]:
        """The ids of the jobs that a job waits for, or waited for."""
        return tuple(str(found) for (found,) in self._database.rows("dependencies", {"id": job_id}))

    def divided(self) -> tuple[str, ...]:
        """The ids of a folder's files that are made of other jobs and are not done."""
        return tuple(str(found) for (found,) in self._database.rows("divided", {}))

    def children(self, job_id: str) -> tuple[JobRow, ...]:
        """The jobs that a job made."""
        return self._all(JobRow, "children", id=job_id)

    def is_awaited(self, job_id: str) -> bool:
        """Whether any job that reads what this one fetches has not ended."""
        return not self._dependent_states(job_id) <= FINAL_STATES

    def is_wanted(self, job_id: str) -> bool:
        """Whether any job that reads what this one fetches is not done; one that failed may be tried again."""
        return not self._dependent_states(job_id) <= _DONE

    def _dependent_states(self, job_id: str) -> frozenset[JobState]:
        """The states of the jobs that wait for a job, or waited for it."""
        return frozenset(JobState(found) for (found,) in self._database.rows("dependent_states", {"id": job_id}))

    def has_children(self) -> bool:
        """Whether there is any job that was made for another."""
        return bool(self._database.rows("any_child", {}))

    def parents(self) -> dict[str, str]:
        """The ids of all jobs that others made, with the ids of those."""
        return {str(child): str(parent) for child, parent in self._database.rows("parents", {})}

    def params(self, fingerprint: str) -> str | None:
        """What jobs of these params were asked to do, as JSON."""
        rows = self._database.rows("params", {"fingerprint": fingerprint})
        return str(rows[0][0]) if rows else None

    def made(self, output: bytes) -> Made | None:
        """What was last made under this name, whichever job has it now."""
        return self._one(Made, "made", output=output)

    def knows_outputs(self) -> bool:
        """Whether any output was ever made, as far as this journal knows."""
        return bool(self._database.rows("any_output", {}))

    def jobs(self, state: JobState | None = None, run_id: int | None = None) -> Iterator[JobRow]:
        """The jobs in the order they were first planned; of one state, or last changed by one run."""
        query = "jobs_page" if state is None else "jobs_page_in_state"
        return self._stream(JobRow, query, run_id=run_id, state=state)

    def counts(self, run_id: int | None = None) -> Counts:
        """How many jobs are in each state, without those that others made; `run_id`: of those that run last changed."""
        rows = self._database.rows("counts" if run_id is None else "counts_of_run", {"run_id": run_id})
        return self._database.record(lambda states: Counts(**dict(states)), tuple(rows))

    def attempts(self, run_id: int | None = None) -> Iterator[AttemptRow]:
        """Attempts, oldest first: of one run, else all."""
        return self._stream(AttemptRow, "attempts_page", run_id=run_id)

    def open_workers(self) -> tuple[ProcessIdentity, ...]:
        """Batch processes whose end is not recorded: running now, or left by a killed engine."""
        return self._all(ProcessIdentity, "open_workers")

    def backends(self) -> dict[str, BackendState]:
        """The states of the back ends that jobs have used, by name."""
        rows = self._database.rows("backends", {})
        return {str(name): self._database.record(lambda row: BackendState(*row), tuple(rest)) for name, *rest in rows}

    def events(self, run_id: int | None = None) -> Iterator[EventRow]:
        """Events, oldest first: of one run, else all."""
        return self._stream(EventRow, "events_page", run_id=run_id)


@contextmanager
def jobs_known(state_folder: bytes) -> Iterator[Callable[[str], JobRow | None]]:
    """Yield a function that looks up a job by its id in this folder's journal; without one it finds nothing."""
    try:
        journal = JournalReader.read_only(state_folder)
    except NoJournal:
        yield lambda _: None
        return
    with journal:
        yield journal.job
