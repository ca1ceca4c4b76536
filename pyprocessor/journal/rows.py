"""What does the journal give back: one frozen record for each kind of row?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache, partial
from operator import attrgetter
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pyprocessor.errors import FailureKind
from pyprocessor.journal.records import decode
from pyprocessor.models import (
    FINAL_STATES,
    Cost,
    Job,
    JobInput,
    JobState,
    MediaInfo,
    Origin,
    OutcomeKind,
    OutputFacts,
    ProcessIdentity,
    Product,
    ProductOf,
    Reading,
    Source,
    Usage,
    display,
)
from pyprocessor.models.products import Intent

Row = tuple[Any, ...]
Record = TypeVar("Record")
_OF_JOB = tuple(field.name for field in fields(Job) if field.name not in ("media", "after"))
"""What of a job has columns in its row."""
_values_of_job = attrgetter(*_OF_JOB)


@dataclass(frozen=True, slots=True)
class Cache:
    """For how many jobs a result of the same content was looked for, and how many of them got a copy of one."""

    lookups: int = 0
    hits: int = 0
    saved_cpu_seconds: float = 0.0
    """What making these took, less what copying them took."""

    @property
    def hit_percent(self) -> float | None:
        return 100 * self.hits / self.lookups if self.lookups else None


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
    cache: Cache = Cache()


@dataclass(frozen=True, slots=True)
class CachedMedia:
    """What inspecting found in a file: `media`, or else the kind of failure and its sentence."""

    media: MediaInfo | None
    failure: FailureKind | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the journal knows it.

    `granted` and `intents` are what a publish was granted for, set exactly while the state is PUBLISHING. `produced` is
    the output of the last success; it stays while the job is done again. `run_id` is the run that last changed the row.
    `failed_runs` counts runs in which it ended failed, with the same source and profile; `killed_runs` runs in a row
    that were killed while it was RUNNING. `found` is what inspecting found in its inputs, for jobs of no folder, and
    `result` what it answered when it last succeeded, both as JSON. `anew` says that it was done when it was asked for
    again.
    """

    id: str
    task: str
    origin: Origin
    parent: str
    source: Source
    inputs: tuple[JobInput, ...]
    output: bytes
    output_is_folder: bool
    companions: tuple[Product, ...]
    params_fingerprint: str
    profile_name: str
    state: JobState
    priority: int
    tenant: str
    metadata: tuple[tuple[str, str], ...]
    max_retries: int | None
    timeout_seconds: float | None
    not_before: float | None
    deadline: float | None
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
    intents: tuple[Intent, ...] | None
    produced: OutputFacts | None
    run_id: int
    updated_at: float
    failed_runs: int = 0
    killed_runs: int = 0
    found: str | None = None
    result: str | None = None
    already_right: bool = False
    cancelled_for: str = ""
    anew: bool = False

    @property
    def name(self) -> str:
        """What people call the job."""
        return display(self.source.relative)

    @property
    def job(self) -> Job:
        """The job as it was planned; without what it waited for."""
        return self.job_with()

    def job_with(self, **changed: Any) -> Job:
        """The job as `job` has it, with some of its fields changed."""
        return Job(**{**dict(zip(_OF_JOB, _values_of_job(self), strict=True)), **changed})

    @property
    def products(self) -> tuple[Product, ...]:
        """All that it leaves, as `Job.products`."""
        return self.job.products if self.output or self.companions else ()

    @property
    def is_fetch(self) -> bool:
        """As `Job.is_fetch`."""
        return self.origin is Origin.CHILD and not self.parent

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES

    def change(self, source: Source, params_fingerprint: str) -> str | None:
        """What differs from when it was last planned: "source" (size, mtime), "profile" (the params), or nothing."""
        if (self.source.size_bytes, self.source.mtime_ns) != (source.size_bytes, source.mtime_ns):
            return "source"
        return "profile" if self.params_fingerprint != params_fingerprint else None


@dataclass(frozen=True, slots=True)
class Made:
    """What was last made under a name below the output root, and of which source."""

    output: bytes
    facts: OutputFacts
    source: Source
    params_fingerprint: str
    task: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs are in each state; the fields are the states."""

    waiting: int = 0
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
        return int(getattr(self, state.value))

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


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something to be reported later: `kind` is for programs, `text` for people."""

    id: int
    run_id: int
    at: float
    kind: str
    text: str
    job_id: str | None
    reading: Reading | None


_NONE = "[]"
"""The text of an empty list, as most jobs have it: reading it as JSON takes fifty times as long."""
_IN_TEXT = [field.name for field in fields(OutputFacts) if field.name not in ("size_bytes", "mtime_ns")]
"""The facts that have no column of their own, in the order of the text."""


def facts_text(facts: OutputFacts) -> str:
    """All of the facts but size and mtime, as a JSON list."""
    return json.dumps([getattr(facts, name) for name in _IN_TEXT], separators=(",", ":"))


def facts_from(size_bytes: int, mtime_ns: int, text: str) -> OutputFacts:
    """The facts again from their two columns and the text, which lacks what was added since it was written."""
    values = _tuples(text)
    known = dict(zip(_IN_TEXT[: len(values)], values, strict=True))
    return OutputFacts(size_bytes=size_bytes, mtime_ns=mtime_ns, **known)


def _tuples(text: str) -> Row:
    if text == _NONE:
        return ()
    return tuple(tuple(value) if isinstance(value, list) else value for value in json.loads(text))


def inputs_text(inputs: tuple[JobInput, ...]) -> str:
    """The inputs as a JSON list: of each the job and the role, or what identifies the file."""
    return _text(
        [given.job_id, given.role]
        if isinstance(given, ProductOf)
        else [os.fsdecode(given.path), os.fsdecode(given.relative), given.size_bytes, given.mtime_ns]
        for given in inputs
    )


def inputs_from(text: str) -> tuple[JobInput, ...]:
    """The inputs again from their text."""
    if text == _NONE:
        return ()
    return tuple(
        ProductOf(*given) if len(given) == 2 else Source(os.fsencode(given[0]), os.fsencode(given[1]), *given[2:])
        for given in json.loads(text)
    )


def products_text(products: tuple[Product, ...]) -> str:
    """The products as a JSON list."""
    return _text([os.fsdecode(product.name), product.role, product.folder] for product in products)


def _products(text: str) -> tuple[Product, ...]:
    if text == _NONE:
        return ()
    return tuple(Product(os.fsencode(name), role, folder) for name, role, folder in json.loads(text))


def intents_text(intents: tuple[Intent, ...]) -> str:
    """What a publish is granted for as a JSON list."""
    return _text(
        [os.fsdecode(made.name), made.role, made.folder, intent.temporary, intent.seal, intent.before]
        for intent in intents
        for made in (intent.product,)
    )


def intents_from(text: str) -> tuple[Intent, ...]:
    """The intents again from their text."""
    return tuple(
        Intent(
            Product(os.fsencode(name), role, folder), temporary, tuple(seal), None if before is None else tuple(before)
        )
        for name, role, folder, temporary, seal, before in json.loads(text)
    )


def _text(values: Iterable[object]) -> str:
    listed = list(values)
    return json.dumps(listed, separators=(",", ":")) if listed else _NONE


_MADE_BY: dict[Any, tuple[int, Callable[..., Any]]] = {
    tuple[JobInput, ...]: (1, inputs_from),
    tuple[Product, ...]: (1, _products),
    tuple[Intent, ...]: (1, intents_from),
    OutputFacts: (3, facts_from),
    Cost: (3, Cost),
    MediaInfo: (1, partial(decode, MediaInfo)),
    Reading: (1, partial(decode, Reading)),
    bool: (1, bool),
    tuple: (1, _tuples),
}
"""How many columns hold a value of a type, and what makes it of them."""


def from_row(kind: Callable[..., Record], row: Row) -> Record:
    """Make a record of the last columns of a row, which are in the order of its fields; NULL first makes None."""
    record: Record = _reader(kind)(row)
    return record


@cache
def _reader(kind: Any) -> Callable[[Row], Any]:
    """One expression for all fields of a record: a loop over them takes four times as long."""
    columns = _columns(kind)
    at = -sum(width for width, *_ in columns)
    names: dict[str, Any] = {"kind": kind}
    values = []
    for number, (width, make, optional) in enumerate(columns):
        taken = ", ".join(f"row[{place}]" for place in range(at, at + width))
        if make is not None:
            names[f"make{number}"] = make
            taken = f"make{number}({taken})" + (f" if row[{at}] is not None else None" if optional else "")
        values.append(taken)
        at += width
    reader: Callable[[Row], Any] = eval(f"lambda row: kind({', '.join(values)})", names)  # noqa: S307 - of ours alone
    return reader


@cache
def _columns(kind: Any) -> tuple[tuple[int, Callable[..., Any] | None, bool], ...]:
    """For each field: how many columns it has, what makes its value of them (None: nothing), if it may be NULL."""
    found: list[tuple[int, Callable[..., Any] | None, bool]] = []
    for hint in get_type_hints(kind).values():
        whole: Any = get_args(hint)[0] if isinstance(hint, UnionType) else hint
        wanted: Any = get_origin(whole) or whole
        width = len(fields(wanted)) if is_dataclass(wanted) else 1
        make = wanted if is_dataclass(wanted) or issubclass(wanted, StrEnum) else None
        known = _MADE_BY.get(whole, _MADE_BY.get(wanted, (width, make)))
        found.append((*known, isinstance(hint, UnionType)))
    return tuple(found)
