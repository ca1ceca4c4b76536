"""What the journal hands out: frozen records, one per kind of row."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from pyprocessor.errors import FailureKind
from pyprocessor.journal.records import decode
from pyprocessor.models import (
    FINAL_STATES,
    Cost,
    JobState,
    MediaInfo,
    OutcomeKind,
    OutputFacts,
    ProcessIdentity,
    Reading,
    Source,
    Usage,
)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One call of the command. `ended_at` is None while it runs, and for ever if it was killed.

    `done_before` and `failed_before` count the files it was asked for that earlier runs had settled; None likewise.
    """

    id: int
    arguments: str
    engine: ProcessIdentity
    started_at: float
    ended_at: float | None
    exit_code: int | None
    done_before: int | None = None
    failed_before: int | None = None

    @classmethod
    def from_row(cls, row: Row) -> RunRow:
        return cls(row[0], row[1], ProcessIdentity(row[2], row[3]), *row[4:9])


@dataclass(frozen=True, slots=True)
class CachedMedia:
    """What inspecting said of a file: `media`, or else the kind of failure and its sentence."""

    media: MediaInfo | None
    failure: FailureKind | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the journal knows it.

    `granted` is what a publish was granted for and is set exactly while the state is PUBLISHING. `produced` is the
    output of the last success; it stays while the job is done again, so that our own old output can be told from a
    stranger's.
    `run_id` is the run that last changed the row. `failed_runs` counts runs in which it ended failed, with the same
    source and profile; `killed_runs` runs in a row that were killed while it was RUNNING.
    """

    id: str
    task: str
    source: Source
    output: bytes
    profile_fingerprint: str
    profile_name: str
    state: JobState
    priority: int
    tenant: str
    dependencies: tuple[str, ...]
    metadata: tuple[tuple[str, str], ...]
    cost: Cost
    media_seconds: float | None
    attempts: int
    crashes: int
    sheds: int
    retries_charged: int
    failure: FailureKind | None
    reason: str
    attempt_id: int | None
    batch_id: int | None
    granted: OutputFacts | None
    produced: OutputFacts | None
    run_id: int
    updated_at: float
    failed_runs: int = 0
    killed_runs: int = 0

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES

    def change(self, source: Source, profile_fingerprint: str) -> PlanChange:
        """What is another than when it was last planned: the source (size, mtime), the profile, or nothing."""
        if (self.source.size_bytes, self.source.mtime_ns) != (source.size_bytes, source.mtime_ns):
            return PlanChange.SOURCE_CHANGED
        if self.profile_fingerprint != profile_fingerprint:
            return PlanChange.PROFILE_CHANGED
        return PlanChange.UNCHANGED

    @classmethod
    def from_row(cls, row: Row) -> JobRow:
        return cls(
            id=row[1],
            task=row[2],
            source=Source(path=row[3], relative=row[4], size_bytes=row[5], mtime_ns=row[6]),
            output=row[7],
            profile_fingerprint=row[8],
            profile_name=row[9],
            state=JobState(row[10]),
            priority=row[11],
            tenant=row[12],
            dependencies=() if row[13] == "[]" else tuple(json.loads(row[13])),
            metadata=() if row[14] == "[]" else tuple((key, value) for key, value in json.loads(row[14])),
            cost=Cost(cpu_seconds=row[15], memory_bytes=row[16], disk_bytes=row[17]),
            media_seconds=row[18],
            attempts=row[19],
            crashes=row[20],
            sheds=row[21],
            retries_charged=row[22],
            failure=None if row[23] is None else FailureKind(row[23]),
            reason=row[24],
            attempt_id=row[25],
            batch_id=row[26],
            granted=None if row[29] is None else facts_from(row[27], row[28], row[29]),
            produced=None if row[32] is None else facts_from(row[30], row[31], row[32]),
            run_id=row[33],
            updated_at=row[34],
            failed_runs=row[35],
            killed_runs=row[36],
        )


def facts_text(facts: OutputFacts) -> str:
    """All of the facts but size and mtime, which have columns of their own, as a JSON list in field order."""
    return json.dumps([getattr(facts, field.name) for field in fields(facts)[2:]], separators=(",", ":"))


def facts_from(size_bytes: int, mtime_ns: int, text: str) -> OutputFacts:
    """The facts again from their two columns and the text."""
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in json.loads(text)]
    return OutputFacts(size_bytes, mtime_ns, *values)


@dataclass(frozen=True, slots=True)
class Made:
    """What was last made under a name below the output root, and of which source."""

    output: bytes
    facts: OutputFacts
    source: Source
    profile_fingerprint: str
    task: str

    @classmethod
    def from_row(cls, row: Row) -> Made:
        return cls(row[0], facts_from(row[1], row[2], row[3]), Source(*row[4:8]), row[8], row[9])


class PlanChange(StrEnum):
    """What `plan` did with a job."""

    NEW = "new"
    UNCHANGED = "unchanged"
    """Same source, same profile: the row is as it was (pending ones took today's name, cost and labels)."""
    SOURCE_CHANGED = "source_changed"
    PROFILE_CHANGED = "profile_changed"
    IN_HAND = "in_hand"
    """A worker of this run has it: left alone, whatever changed."""


@dataclass(frozen=True, slots=True)
class Planned:
    """`row` is the job as it now stands. `previous` is how it stood, where source or profile changed."""

    change: PlanChange
    row: JobRow
    previous: JobRow | None = None


@dataclass(frozen=True, slots=True)
class NameTaken:
    """The job was not planned: its output's name belongs to another job. Plan it again under another name."""

    output: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs are in each state; the fields are the states."""

    pending: int = 0
    assigned: int = 0
    running: int = 0
    publishing: int = 0
    succeeded: int = 0
    skipped: int = 0
    kept_source: int = 0
    failed: int = 0
    quarantined: int = 0
    cancelled: int = 0

    def of(self, state: JobState) -> int:
        """The count of one state."""
        count = getattr(self, state.value)
        assert isinstance(count, int)
        return count

    @property
    def total(self) -> int:
        return sum(self.of(state) for state in JobState)

    @property
    def final(self) -> int:
        return sum(self.of(state) for state in FINAL_STATES)

    @property
    def bad(self) -> int:
        """Jobs that failed, for now or for good."""
        return self.failed + self.quarantined


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try of one job. Open while `ended_at` is None. `charged` says whether it used up a retry.

    `predicted` is what it was expected to take when it began, with that many `threads`; its disk_bytes are not kept.
    """

    id: int
    job_id: str
    run_id: int
    batch_id: int | None
    number: int
    worker: ProcessIdentity
    ffmpeg: ProcessIdentity | None
    started_at: float
    ended_at: float | None
    outcome: OutcomeKind | None
    failure: FailureKind | None
    reason: str
    charged: bool
    usage: Usage | None
    threads: int | None = None
    predicted: Cost | None = None

    @classmethod
    def from_row(cls, row: Row) -> AttemptRow:
        return cls(
            id=row[0],
            job_id=row[1],
            run_id=row[2],
            batch_id=row[3],
            number=row[4],
            worker=ProcessIdentity(row[5], row[6]),
            ffmpeg=None if row[7] is None else ProcessIdentity(row[7], row[8]),
            started_at=row[9],
            ended_at=row[10],
            outcome=None if row[11] is None else OutcomeKind(row[11]),
            failure=None if row[12] is None else FailureKind(row[12]),
            reason=row[13],
            charged=bool(row[14]),
            usage=None if row[15] is None else Usage(row[15], row[16], row[17]),
            threads=row[18],
            predicted=None if row[19] is None else Cost(row[19], row[20], 0),
        )


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch and the process it was given to. Open while `ended_at` is None."""

    run_id: int
    id: int
    jobs: int
    slots: int
    threads: int
    memory_budget_bytes: int
    worker: ProcessIdentity
    started_at: float
    ended_at: float | None
    worker_exit_code: int | None

    @classmethod
    def from_row(cls, row: Row) -> BatchRow:
        run_id, number, jobs, slots, threads, budget, pid, start_time, started_at, ended_at, exit_code = row
        worker = ProcessIdentity(pid, start_time)
        return cls(run_id, number, jobs, slots, threads, budget, worker, started_at, ended_at, exit_code)


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """A Reading and when it was taken (seconds since the epoch)."""

    id: int
    run_id: int
    at: float
    reading: Reading

    @classmethod
    def from_row(cls, row: Row) -> ReadingRow:
        return cls(row[0], row[1], row[2], decode(Reading, row[3]))


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something worth telling later: `kind` is for programs, `text` for people."""

    id: int
    run_id: int
    at: float
    kind: str
    text: str
    job_id: str | None
    batch_id: int | None
    reading: Reading | None

    @classmethod
    def from_row(cls, row: Row) -> EventRow:
        number, run_id, at, kind, text, job_id, batch_id, reading = row
        read = None if reading is None else decode(Reading, reading)
        return cls(number, run_id, at, kind, text, job_id, batch_id, read)
