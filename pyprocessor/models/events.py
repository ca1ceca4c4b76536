"""What does a caller of `pyprocessor.run` learn while a run goes on: one frozen record for each kind of event?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pyprocessor.errors import FailureKind
from pyprocessor.models.run import RunSnapshot
from pyprocessor.models.work import OutcomeKind

VERSION = 1
"""Rises when a field changes its meaning or goes; new fields do not raise it."""


@dataclass(frozen=True, slots=True)
class _Versioned:
    version: int = field(default=VERSION, init=False)


@dataclass(frozen=True, slots=True)
class Found(_Versioned):
    """So many files were listed up to now; `complete` once the listing is over."""

    files: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Queued(_Versioned):
    """Totals of the work known up to now, which grow while the listing goes on."""

    jobs: int
    media_seconds: float


@dataclass(frozen=True, slots=True)
class Started(_Versioned):
    """An attempt at a file began; `name` is relative to the input."""

    job_id: str
    name: str
    media_seconds: float | None


@dataclass(frozen=True, slots=True)
class Progressed(_Versioned):
    """How far a running file is; `speed` is media seconds per second."""

    job_id: str
    media_seconds_done: float
    speed: float | None


@dataclass(frozen=True, slots=True)
class Ended(_Versioned):
    """An attempt ended, or a file was settled without one; `reason` is a sentence that does not name the file."""

    job_id: str
    name: str
    outcome: OutcomeKind
    reason: str
    failure: FailureKind | None
    will_retry: bool


@dataclass(frozen=True, slots=True)
class Notice(_Versioned):
    """One plain sentence; `level` is "info", "warning" or "error"."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Tick(_Versioned):
    """How far the run is; at least once a second."""

    snapshot: RunSnapshot


Event: TypeAlias = Found | Queued | Started | Progressed | Ended | Notice | Tick
