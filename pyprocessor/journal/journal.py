"""How does the engine write what happened to the journal? One process writes, in one thread.

Every move of a job is one guarded UPDATE: it names the states it may come from and, for a job in a worker's hands, the
attempt that has it. It returns False where the job has moved on meanwhile (a worker that was given up on may still
send messages), which is no error. A move that no table allows is refused by a trigger and raises JournalError.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict

from pyprocessor.errors import FailureKind
from pyprocessor.jobs.retry import STATE_AFTER
from pyprocessor.journal.database import Database, open_for_writing
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.records import encode, media_shape
from pyprocessor.journal.rows import CachedMedia, Made, NameTaken, PlanChange, Planned, facts_text
from pyprocessor.models import (
    Batch,
    Cost,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    OutputFacts,
    ProcessIdentity,
    Reading,
    Source,
    Usage,
)

READINGS_KEPT = 20_000
"""Older readings are dropped: at two a second this is nearly three hours."""
PRUNE_EVERY = 256

_IN_HAND = frozenset({JobState.ASSIGNED, JobState.RUNNING, JobState.PUBLISHING})
_ENGINE_DIED = "The run was ended from outside before this attempt was over."
_UNMEASURED = {"wall_seconds": None, "cpu_seconds": None, "peak_memory_bytes": None}


class Journal(JournalReader):
    """The journal of one output folder, open for writing.

    Each method that writes is a transaction of its own unless it is called inside `transaction()`. `begin_run` comes
    first: what is written after belongs to that run.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database)
        self._clock = clock
        self._run_id: int | None = None

    @classmethod
    def open(cls, state_folder: bytes, *, wal: bool, clock: Callable[[], float] = time.time) -> Journal:
        """Opens the journal in this folder, making it (mode 0600) where there is none.

        `wal` is False on a network file system, where SQLite's write-ahead log does not work. `clock` gives seconds
        since the epoch. Raises OutputUnwritable (disk full, no permission), JournalDamaged or JournalError (of a newer
        version, somebody else's).
        """
        return cls(open_for_writing(state_folder, wal=wal), clock)

    def transaction(self) -> AbstractContextManager[None]:
        """Groups writes: all are committed at the end of the block, or none where an exception leaves it."""
        return self._database.transaction()

    # ------------------------------------------------------------ runs

    def begin_run(self, arguments: str, engine: ProcessIdentity, *, after: int = 0) -> int:
        """Records that a run begins, now; returns its id, which is higher than those before and than `after`."""
        last = self.last_run()
        cursor = self._database.write(
            "insert_run",
            {
                "id": max(after, last.id if last is not None else 0) + 1,
                "arguments": _storable(arguments),
                "pid": engine.pid,
                "start_time": engine.start_time,
                "started_at": self._clock(),
            },
        )
        assert cursor.lastrowid is not None
        self._run_id = cursor.lastrowid
        return self._run_id

    def end_run(self, exit_code: int, *, done_before: int | None = None, failed_before: int | None = None) -> None:
        """Records that this run ended, now, and how many of its files earlier runs had settled."""
        values = {"run_id": self.run_id, "exit_code": exit_code, "ended_at": self._clock()}
        self._database.write("end_run", {**values, "done_before": done_before, "failed_before": failed_before})

    @property
    def run_id(self) -> int:
        """The run that `begin_run` began."""
        assert self._run_id is not None, "begin_run comes before anything that belongs to a run"
        return self._run_id

    def abandon_open(self) -> int:
        """Makes jobs PENDING that a killed engine left ASSIGNED or RUNNING; returns how many.

        They are not charged, their attempts are closed as interrupted, and `killed_runs` counts up for RUNNING ones.
        PUBLISHING jobs are left to the caller. Call it when the processes of `open_batches` are known to be gone.
        """
        with self.transaction():
            attempts = {"now": self._clock(), "outcome": OutcomeKind.INTERRUPTED.value, "reason": _ENGINE_DIED}
            self._database.write("abandon_attempts", attempts)
            jobs = self._database.write("abandon_jobs", self._stamp()).rowcount
            self._database.write("abandon_batches", {"now": self._clock()})
            if jobs:
                self.add_event("recovered", f"The last run was killed with {jobs} files in hand; they wait again.")
        return jobs

    # ------------------------------------------------------------ media

    def remember_media(self, source: Source, found: CachedMedia) -> None:
        """Keeps what inspecting found in a file; a failure only if it comes again while the file stays as it is."""
        self._database.write(
            "remember_media",
            {
                "path": source.path,
                "size": source.size_bytes,
                "mtime_ns": source.mtime_ns,
                "shape": media_shape(),
                "media": None if found.media is None else encode(found.media),
                "failure": found.failure,
                "message": _storable(found.message),
            },
        )

    # ------------------------------------------------------------ planning

    def plan(
        self,
        job: Job,
        *,
        media_seconds: float | None,
        profile_name: str = "",
        again: bool = False,
        forgive: bool = False,
    ) -> Planned | NameTaken:
        """Takes a job in: as PENDING where it is new, or where its source or profile changed since it was last planned.

        Else its row stays as it is, unless `again` has a final one begin anew. That one goes on counting the runs in
        which it failed, and a PENDING one all that is charged to it, unless source or profile changed or `forgive` is
        set. `media_seconds` is the source's duration, None if unknown. Returns NameTaken, with nothing written, where
        another job owns the name of the output; an empty name is no name.
        """
        with self.transaction():
            known = self.job(job.id)
            if known is not None and known.state in _IN_HAND:
                return Planned(PlanChange.IN_HAND, known)
            change = PlanChange.NEW if known is None else known.change(job.source, job.profile_fingerprint)
            anew = known is not None and (change is not PlanChange.UNCHANGED or (again and known.final))
            if known is not None and not anew and known.state is not JobState.PENDING:
                return Planned(change, known)
            values = {
                "id": job.id,
                "task": job.task,
                **_source_values(job.source),
                "output": job.output,
                "profile_fingerprint": job.profile_fingerprint,
                "profile_name": _storable(profile_name),
                "priority": job.priority,
                "tenant": _storable(job.tenant),
                "dependencies": json.dumps(job.dependencies),
                "metadata": json.dumps(job.metadata),
                **asdict(job.cost),
                "media_seconds": media_seconds,
                "forgive": forgive or change is not PlanChange.UNCHANGED,
                **self._stamp(),
            }
            statement = "insert_job" if known is None else "replan_job" if anew else "refresh_job"
            if not self._database.insert_unless_taken(statement, values):
                return NameTaken(job.output)
            if known is not None and anew:
                if change is PlanChange.UNCHANGED:
                    self.add_event("reset", "It is done again.", job.id)
                else:
                    what = "source" if change is PlanChange.SOURCE_CHANGED else "profile"
                    self.add_event(
                        "replanned", f"The {what} changed; a job that was {known.state} begins anew.", job.id
                    )
            row = self.job(job.id)
            assert row is not None
            return Planned(change, row, known if anew else None)

    def adopt(self, job_id: str, facts: OutputFacts) -> bool:
        """PENDING to SUCCEEDED: the output is there already. The job is then of no run that this journal knows."""
        with self.transaction():
            self._database.write("insert_forgotten_run", {"now": self._clock()})
            hit = self._hit("adopt_job", {"id": job_id, **_facts_values(facts)})
            if hit:
                self._database.write("remember_output", {"id": job_id})
        return hit

    def claim(self, job_id: str, facts: OutputFacts) -> bool:
        """Notes that what lies under a PENDING job's name was made of its source, so that it may be replaced."""
        return self._hit("claim_output", {"id": job_id, **_facts_values(facts)})

    def remember_output(self, made: Made) -> None:
        """Notes what was made under a name, where this journal did not see it being made."""
        values = {"output": made.output, "profile_fingerprint": made.profile_fingerprint, "task": made.task}
        facts = {f"output_{name}": value for name, value in _facts_values(made.facts).items()}
        self._database.write("insert_output", {**values, **_source_values(made.source), **facts})

    # ------------------------------------------------------------ batches

    def begin_batch(self, batch: Batch, worker: ProcessIdentity) -> None:
        """Records a batch and the process it is given to; its number is unique within the run."""
        self._database.write(
            "insert_batch",
            {
                "id": batch.id,
                "jobs": len(batch.job_ids),
                "slots": batch.slots,
                "threads": batch.threads,
                "memory_budget_bytes": batch.memory_budget_bytes,
                "worker_pid": worker.pid,
                "worker_start_time": worker.start_time,
                **self._stamp(),
            },
        )

    def end_batch(self, batch_id: int, worker_exit_code: int | None) -> bool:
        """Records that the batch's process is gone; its exit code is negative for a signal, None if unknown."""
        values = {"run_id": self.run_id, "id": batch_id, "worker_exit_code": worker_exit_code, "now": self._clock()}
        return self._database.write("end_batch", values).rowcount == 1

    # ------------------------------------------------------------ moves

    def assign(self, job_ids: Iterable[str], batch_id: int) -> tuple[str, ...]:
        """PENDING to ASSIGNED. Returns the ids that were; the others had moved on."""
        with self.transaction():
            return tuple(i for i in job_ids if self._hit("assign_job", {"id": i, "batch_id": batch_id}))

    def start(
        self, job_id: str, worker: ProcessIdentity, threads: int | None = None, predicted: Cost | None = None
    ) -> int | None:
        """ASSIGNED to RUNNING: opens an attempt and returns its id, or None where the job had moved on."""
        with self.transaction():
            attempt = self._database.write(
                "insert_attempt",
                {
                    "id": job_id,
                    "worker_pid": worker.pid,
                    "worker_start_time": worker.start_time,
                    "threads": threads,
                    "cpu_seconds": None if predicted is None else predicted.cpu_seconds,
                    "memory_bytes": None if predicted is None else predicted.memory_bytes,
                    **self._stamp(),
                },
            )
            if attempt.rowcount != 1:
                return None
            self._hit("start_job", {"id": job_id, "attempt_id": attempt.lastrowid})
            return attempt.lastrowid

    def name_ffmpeg(self, attempt_id: int, ffmpeg: ProcessIdentity) -> bool:
        """Records which ffmpeg an open attempt runs now."""
        values = {"id": attempt_id, "pid": ffmpeg.pid, "start_time": ffmpeg.start_time}
        return self._database.write("name_ffmpeg", values).rowcount == 1

    def grant(self, job_id: str, attempt_id: int, facts: OutputFacts) -> bool:
        """RUNNING to PUBLISHING: the intent, written before the worker may publish.

        By the facts the output is recognised after a crash between rename and report. False where another attempt has
        the job: that worker gets no grant.
        """
        return self._hit("grant_job", {"id": job_id, "attempt_id": attempt_id, **_facts_values(facts)})

    def succeed(self, job_id: str, attempt_id: int, facts: OutputFacts, usage: Usage | None) -> bool:
        """PUBLISHING to SUCCEEDED. `usage` is None where the attempt's end was not seen (a recovery)."""
        with self.transaction():
            hit = self._hit("succeed_job", {"id": job_id, "attempt_id": attempt_id, **_facts_values(facts)})
            if hit:
                self._close_attempt(attempt_id, Outcome(OutcomeKind.SUCCEEDED), usage, charge=False)
                self._database.write("remember_output", {"id": job_id})
        return hit

    def finish(self, job_id: str, attempt_id: int | None, outcome: Outcome, usage: Usage | None = None) -> bool:
        """Ends a job as anything but succeeded: a waiting one without an attempt, a running one with its own."""
        failed = outcome.kind is OutcomeKind.FAILED
        values = {"id": job_id, "state": STATE_AFTER[outcome.kind].value, "failed": failed, **_ending_values(outcome)}
        if attempt_id is None:
            return self._hit("finish_waiting_job", values)
        with self.transaction():
            crashed = {"crashed": outcome.failure is FailureKind.CRASH, "attempt_id": attempt_id}
            hit = self._hit("finish_running_job", {**values, **crashed})
            if hit:
                self._close_attempt(attempt_id, outcome, usage, charge=outcome.failure is not None)
        return hit

    def requeue(
        self, job_id: str, attempt_id: int | None, outcome: Outcome, *, charge: bool, usage: Usage | None = None
    ) -> bool:
        """Back to PENDING: an ASSIGNED job without an attempt (taken back), a RUNNING or PUBLISHING one with its own.

        `charge` says whether a retry is used up. A failure of kind CRASH counts as a crash, a shed as a shed.
        """
        if attempt_id is None:
            return self._hit("requeue_assigned_job", {"id": job_id})
        values = {
            "id": job_id,
            "attempt_id": attempt_id,
            "charge": charge,
            "crashed": outcome.failure is FailureKind.CRASH,
            "shed": outcome.kind is OutcomeKind.SHED,
            **_ending_values(outcome),
        }
        with self.transaction():
            hit = self._hit("requeue_running_job", values)
            if hit:
                self._close_attempt(attempt_id, outcome, usage, charge=charge)
        return hit

    def _close_attempt(self, attempt_id: int, outcome: Outcome, usage: Usage | None, *, charge: bool) -> None:
        self._database.write(
            "close_attempt",
            {
                "id": attempt_id,
                "now": self._clock(),
                "outcome": outcome.kind.value,
                "charge": charge,
                **(_UNMEASURED if usage is None else asdict(usage)),
                **_ending_values(outcome),
            },
        )

    # ------------------------------------------------------------ readings and events

    def add_reading(self, reading: Reading) -> None:
        """Keeps a Reading, and drops the oldest once there are over `READINGS_KEPT`."""
        values = {"run_id": self.run_id, "at": self._clock(), "reading": encode(reading)}
        cursor = self._database.write("insert_reading", values)
        assert cursor.lastrowid is not None
        if cursor.lastrowid % PRUNE_EVERY == 0:
            self._database.write("prune_readings", {"kept": READINGS_KEPT})

    def add_event(
        self,
        kind: str,
        text: str,
        job_id: str | None = None,
        batch_id: int | None = None,
        reading: Reading | None = None,
    ) -> None:
        """Adds an event: `kind` for programs, `text` a sentence, and the Reading that a decision was taken on."""
        self._database.write(
            "insert_event",
            {
                "run_id": self.run_id,
                "at": self._clock(),
                "kind": kind,
                "text": _storable(text),
                "job_id": job_id,
                "batch_id": batch_id,
                "reading": None if reading is None else encode(reading),
            },
        )

    # ------------------------------------------------------------ statements

    def _hit(self, statement: str, values: dict[str, object]) -> bool:
        """Runs a guarded UPDATE of one job; returns whether the job was in an expected state."""
        return self._database.write(statement, {**values, **self._stamp()}).rowcount == 1

    def _stamp(self) -> dict[str, object]:
        return {"run_id": self.run_id, "now": self._clock()}


# ---------------------------------------------------------------- what statements take, by the names they give it


def _source_values(source: Source) -> dict[str, object]:
    return {
        "source_path": source.path,
        "relative": source.relative,
        "size": source.size_bytes,
        "mtime_ns": source.mtime_ns,
    }


def _facts_values(facts: OutputFacts) -> dict[str, object]:
    return {"size": facts.size_bytes, "mtime_ns": facts.mtime_ns, "facts": facts_text(facts)}


def _ending_values(outcome: Outcome) -> dict[str, object]:
    """Why something ended; what it ended as is not part of it."""
    return {"failure": outcome.failure, "reason": _storable(outcome.reason)}


def _storable(text: str) -> str:
    """The text with lone surrogates escaped, which SQLite takes none of and odd file names hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
