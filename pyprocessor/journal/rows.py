"""What does the journal give back: one frozen record for each kind of row?

Each `from_row` relies on the column order of `schema.sql`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

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
Kind = TypeVar("Kind")


def _maybe(make: Callable[..., Kind], *columns: Any) -> Kind | None:
    """What a row holds in these columns; None where the first is NULL."""
    return None if columns[0] is None else make(*columns)


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
    """What inspecting found in a file: `media`, or else the kind of failure and its sentence."""

    media: MediaInfo | None
    failure: FailureKind | None = None
    message: str = ""

    @classmethod
    def from_row(cls, row: Row) -> CachedMedia:
        return cls(_maybe(lambda text: decode(MediaInfo, text), row[0]), _maybe(FailureKind, row[1]), row[2])


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the journal knows it.

    `granted` is what a publish was granted for, set exactly while the state is PUBLISHING. `produced` is the output of
    the last success; it stays while the job is done again. `run_id` is the run that last changed the row.
    `failed_runs` counts runs in which it ended failed, with the same source and profile; `killed_runs` runs in a row
    that were killed while it was RUNNING.
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
        """What differs from when it was last planned: the source (size, mtime), the profile, or nothing."""
        if (self.source.size_bytes, self.source.mtime_ns) != (source.size_bytes, source.mtime_ns):
            return PlanChange.SOURCE_CHANGED
        if self.profile_fingerprint != profile_fingerprint:
            return PlanChange.PROFILE_CHANGED
        return PlanChange.UNCHANGED

    @classmethod
    def from_row(cls, row: Row) -> JobRow:
        values: Row = (
            *row[1:3],
            Source(*row[3:7]),
            *row[7:10],
            JobState(row[10]),
            *row[11:13],
            tuple(json.loads(row[13])),
            tuple((key, value) for key, value in json.loads(row[14])),
            Cost(*row[15:18]),
            *row[18:23],
            _maybe(FailureKind, row[23]),
            *row[24:27],
            _maybe(facts_from, *row[27:30]),
            _maybe(facts_from, *row[30:33]),
            *row[33:37],
        )
        return cls(*values)


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
        return cls(row[0], facts_from(*row[1:4]), Source(*row[4:8]), *row[8:10])


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
        values: Row = (
            *row[:5],
            ProcessIdentity(*row[5:7]),
            _maybe(ProcessIdentity, *row[7:9]),
            *row[9:11],
            _maybe(OutcomeKind, row[11]),
            _maybe(FailureKind, row[12]),
            row[13],
            bool(row[14]),
            _maybe(Usage, *row[15:18]),
            row[18],
            _maybe(Cost, *row[19:21], 0),
        )
        return cls(*values)


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
        values: Row = (
            *row[:6],
            ProcessIdentity(*row[6:8]),
            *row[8:],
        )
        return cls(*values)


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something to be reported later: `kind` is for programs, `text` for people."""

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
        values: Row = (
            *row[:7],
            _maybe(lambda text: decode(Reading, text), row[7]),
        )
        return cls(*values)
