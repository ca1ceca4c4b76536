"""How does the engine write what happened to the journal? One process writes, in one thread.

Every move of a job is one guarded UPDATE: it names the states it may come from and, for a job in a worker's hands, the
attempt that has it. It returns False where the job has moved on meanwhile (a worker that was given up on may still
send messages), which is no error. A move that no table allows is refused by a trigger and raises JournalError.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from pyprocessor.errors import FailureKind
from pyprocessor.jobs.retry import STATE_AFTER
from pyprocessor.journal.audit import PRUNED, records_of
from pyprocessor.journal.database import open_for_writing
from pyprocessor.journal.records import encode, media_shape
from pyprocessor.journal.rows import CachedMedia, JobRow, Made, facts_text, intents_text
from pyprocessor.journal.waiting import WaitingJobs
from pyprocessor.journal.writer import values_of
from pyprocessor.models import (
    BackendState,
    Batch,
    Cost,
    Outcome,
    OutcomeKind,
    OutputFacts,
    ProcessIdentity,
    Source,
    Usage,
)
from pyprocessor.models.products import MAIN, Intent

_ENGINE_DIED = "The run was ended from outside before this attempt was over."
NO_RUN = 0
"""Number of the run to which jobs belong that no run of this journal has changed last."""
REUSED = "reused"
"""The kind of the event that a job got a copy of a result."""
_SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED)
_UNMEASURED = {"wall_seconds": None, "cpu_seconds": None, "peak_memory_bytes": None}


class Journal(WaitingJobs):
    """The journal of one output folder, open for writing.

    Each method that writes is a transaction of its own unless it is called inside `transaction()`. `begin_run` comes
    first, or `begin_without_run`: what is written after belongs to that run, or to none.
    """

    @classmethod
    def open(cls, state_folder: bytes, *, wal: bool, clock: Callable[[], float] = time.time) -> Journal:
        """Open the journal in this folder, making it (mode 0600) where there is none.

        `wal` is False on a network file system, where SQLite's write-ahead log does not work. `clock` gives seconds
        since the epoch. Raises OutputUnwritable (disk full, no permission), JournalDamaged or JournalError (of a newer
        version, somebody else's).
        """
        return cls(open_for_writing(state_folder, wal=wal), clock)

    # ------------------------------------------------------------ runs

    def begin_run(self, arguments: str, engine: ProcessIdentity, *, after: int = 0) -> int:
        """Record that a run begins, now; returns its id, which is higher than those before and than `after`."""
        last = self.last_run()
        self._run_id = max(after, last.id if last is not None else 0) + 1
        self._write("insert_run", arguments=arguments, **values_of(engine))
        return self._run_id

    def begin_without_run(self) -> None:
        """Have what is written from here on belong to no run: it is done between two of them."""
        self._run_id = NO_RUN
        self._write("insert_forgotten_run")

    def end_run(self, exit_code: int, *, done_before: int | None = None, failed_before: int | None = None) -> None:
        """Record that this run ended, now, and how many of its files earlier runs had settled."""
        self._write("end_run", exit_code=exit_code, done_before=done_before, failed_before=failed_before)

    def abandon_open(self) -> int:
        """Make jobs PENDING that a killed engine left ASSIGNED or RUNNING; returns how many.

        They are not charged, their attempts are closed as interrupted, and `killed_runs` counts up for RUNNING ones.
        PUBLISHING jobs are left to the caller. Call it when the processes `open_workers` are known to be gone.
        """
        with self.transaction():
            self._write("abandon_attempts", outcome=OutcomeKind.INTERRUPTED.value, reason=_ENGINE_DIED)
            jobs = self._write("abandon_jobs").rowcount
            self._write("abandon_batches")
            if jobs:
                self.add_event("recovered", f"The last run was killed with {jobs} files in hand; they wait again.")
        return jobs

    # ------------------------------------------------------------ media and planning

    def remember_media(self, source: Source, found: CachedMedia) -> None:
        """Keep what inspecting found in a file; a failure only if it comes again while the file stays as it is."""
        media = None if found.media is None else encode(found.media)
        values = {"shape": media_shape(), "media": media, "failure": found.failure, "message": found.message}
        self._write("remember_media", **values_of(source), **values)

    def adopt(self, job_id: str, facts: OutputFacts) -> bool:
        """PENDING to SUCCEEDED: the output is there already. The job is then of no run that this journal knows."""
        with self.transaction():
            self._write("insert_forgotten_run")
            hit = self._hit("adopt_job", id=job_id, **_facts_values(facts))
            if hit:
                self._write("remember_output", id=job_id)
        return hit

    def claim(self, job_id: str, facts: OutputFacts) -> bool:
        """Note that what lies under a PENDING job's name was made of its source, so that it may be replaced."""
        return self._hit("claim_output", id=job_id, **_facts_values(facts))

    def remember_output(self, made: Made) -> None:
        """Note what was made under a name, where this journal did not see it being made."""
        values = {"output": made.output, "params_fingerprint": made.params_fingerprint, "task": made.task}
        facts = {f"output_{name}": value for name, value in _facts_values(made.facts).items()}
        self._write("insert_output", **values, **values_of(made.source), **facts)

    # ------------------------------------------------------------ batches

    def begin_batch(self, batch: Batch, worker: ProcessIdentity) -> None:
        """Record a batch and the process it is given to; its number is unique within the run."""
        self._write("insert_batch", **values_of(batch), **values_of(worker), jobs=len(batch.job_ids))

    def end_batch(self, batch_id: int, worker_exit_code: int | None) -> bool:
        """Record that the batch's process is gone; its exit code is negative for a signal, None if unknown."""
        return self._hit("end_batch", id=batch_id, worker_exit_code=worker_exit_code)

    # ------------------------------------------------------------ back ends

    def keep_backend(self, name: str, state: BackendState) -> None:
        """Keep the state of a back end for this run and the next ones."""
        self._write("keep_backend", name=name, **values_of(state))

    # ------------------------------------------------------------ results, kept for jobs of the same key

    def remember_content(self, source: Source, digest: str) -> None:
        """Keep what identifies the bytes of a file."""
        self._write("remember_content", digest=digest, **values_of(source))

    def keep_result(self, key: str, result: str, most: int) -> None:
        """Keep a result, as JSON; where there are more than `most`, those that were not used for longest go."""
        with self.transaction():
            self._write("keep_result", key=key, result=result)
            self._write("bound_results", most=most)

    def use_result(self, key: str) -> None:
        """Note that a result was used, so that it stays."""
        self._write("use_result", key=key)

    def count_lookup(self) -> None:
        """Count a job of this run for which a result was looked for."""
        self._write("count_lookup")

    def count_hit(self, saved_cpu_seconds: float) -> None:
        """Count a job of this run that got a copy of a result."""
        self._write("count_hit", cpu_seconds=saved_cpu_seconds)

    # ------------------------------------------------------------ moves

    def assign(self, job_ids: Iterable[str], batch_id: int) -> tuple[str, ...]:
        """PENDING to ASSIGNED. Returns the ids that were; the others had moved on."""
        with self.transaction():
            return tuple(i for i in job_ids if self._hit("assign_job", id=i, batch_id=batch_id))

    def start(self, job_id: str, worker: ProcessIdentity, threads: int, predicted: Cost | None) -> int | None:
        """ASSIGNED to RUNNING: opens an attempt and returns its id, or None where the job had moved on."""
        with self.transaction():
            cost = {"cpu_seconds": None, "memory_bytes": None} if predicted is None else values_of(predicted)
            attempt = self._write("insert_attempt", id=job_id, threads=threads, **cost, **values_of(worker))
            if attempt.rowcount != 1:
                return None
            self._hit("start_job", id=job_id, attempt_id=attempt.lastrowid)
            return attempt.lastrowid

    def name_ffmpeg(self, attempt_id: int, ffmpeg: ProcessIdentity) -> bool:
        """Record which ffmpeg an open attempt runs now."""
        return self._hit("name_ffmpeg", id=attempt_id, **values_of(ffmpeg))

    def grant(
        self, job_id: str, attempt_id: int, facts: OutputFacts, intents: tuple[Intent, ...] = (), result: str = "null"
    ) -> bool:
        """RUNNING to PUBLISHING: the intents, written before the worker may publish; `result` is JSON.

        By them the products are recognised after a crash between rename and report. False where another attempt has the
        job: that worker is to get no grant.
        """
        granted = {**_facts_values(facts), "intents": intents_text(intents), "result": result}
        return self._hit("grant_job", id=job_id, attempt_id=attempt_id, **granted)

    def complete(self, job_id: str, attempt_id: int, result: str | None, usage: Usage | None) -> bool:
        """RUNNING to SUCCEEDED, for a job without products; `result` is JSON."""
        return self._end("complete_job", job_id, attempt_id, _SUCCEEDED, usage, values={"result": result})

    def succeed(self, job_id: str, attempt_id: int, facts: OutputFacts, usage: Usage | None) -> bool:
        """PUBLISHING to SUCCEEDED. `usage` is None where the attempt's end was not seen (a recovery)."""
        with self.transaction():
            companions = [intent for intent in self.intents(job_id) if intent.product.role != MAIN]
            hit = self._end("succeed_job", job_id, attempt_id, _SUCCEEDED, usage, values=_facts_values(facts))
            if hit:
                self._write("remember_output", id=job_id)
                row = self.job(job_id) if companions else None
                for intent in companions:
                    assert row is not None
                    facts = OutputFacts(*intent.seal)
                    self.remember_output(Made(intent.product.name, facts, row.source, row.params_fingerprint, row.task))
        return hit

    def finish(self, job_id: str, attempt_id: int | None, outcome: Outcome, usage: Usage | None = None) -> bool:
        """End a job as anything but succeeded: a waiting one without an attempt, a running one with its own."""
        failed, state = outcome.kind is OutcomeKind.FAILED, STATE_AFTER[outcome.kind].value
        values = {"state": state, "failed": failed, "already_right": outcome.already_right}
        if attempt_id is None:
            return self._hit("finish_waiting_job", id=job_id, **values, **_ending_values(outcome))
        charge = outcome.failure is not None
        return self._end("finish_running_job", job_id, attempt_id, outcome, usage, charge=charge, values=values)

    def requeue(
        self, job_id: str, attempt_id: int | None, outcome: Outcome, *, charge: bool, usage: Usage | None = None
    ) -> bool:
        """Back to PENDING: an ASSIGNED job without an attempt (taken back), a RUNNING or PUBLISHING one with its own.

        `charge` says whether a retry is used up. A failure of kind CRASH counts as a crash, a shed as a shed.
        """
        if attempt_id is None:
            return self._hit("requeue_assigned_job", id=job_id)
        values: dict[str, object] = {"shed": outcome.kind is OutcomeKind.SHED}
        return self._end("requeue_running_job", job_id, attempt_id, outcome, usage, charge=charge, values=values)

    def _end(
        self,
        move: str,
        job_id: str,
        attempt_id: int,
        outcome: Outcome,
        usage: Usage | None,
        *,
        values: Mapping[str, object],
        charge: bool = False,
    ) -> bool:
        """Move a job whose attempt has ended, and close that; False where the job had moved on."""
        ending = {"charge": charge, **_ending_values(outcome)}
        with self.transaction():
            hit = self._hit(move, id=job_id, attempt_id=attempt_id, **ending, **values)
            if hit:
                measured = _UNMEASURED if usage is None else values_of(usage)
                self._write("close_attempt", id=attempt_id, outcome=outcome.kind.value, **measured, **ending)
        return hit

    # ------------------------------------------------------------ pruning

    def select_prunable(self, *, before: float, keep: int) -> int:
        """Note which jobs may go, and return how many: finished before a time, and not among the last `keep`.

        A job stays while one that stays may still need it: one that is not finished, or that failed and may be done
        again. Of a folder's files only those go whose outputs the journal knows without them, since the rows of the
        others are why they are not tried again.
        """
        self._write("make_prunable")
        self._write("clear_prunable")
        return self._write("select_prunable", before=before, keep=keep).rowcount

    def prunable(self) -> Iterator[JobRow]:
        """The jobs that were noted, in the order in which they came."""
        return self._stream(JobRow, "prunable_page")

    def prune(self) -> None:
        """Delete the jobs that were noted, with their attempts, names and params that no other job has.

        What an audit needs of them becomes events.
        """
        with self.transaction():
            for row in self.prunable():
                for record in records_of(row, self):
                    self.add_event(PRUNED, json.dumps(record), row.id)
            for statement in ("prune_attempts", "prune_dependencies", "prune_claims", "prune_jobs", "prune_params"):
                self._write(statement)


def _facts_values(facts: OutputFacts) -> dict[str, object]:
    return {"size_bytes": facts.size_bytes, "mtime_ns": facts.mtime_ns, "facts": facts_text(facts)}


def _ending_values(outcome: Outcome) -> dict[str, object]:
    """Why something ended; what it ended as is not part of it."""
    return {"failure": outcome.failure, "reason": outcome.reason, "crashed": outcome.failure is FailureKind.CRASH}
