"""What do the engine and its inspector or watcher send each other? `Command` and `Report` are in `workers`.

The engine sends a tuple of questions, which the inspector answers in turn with one `Inspected` each. It sends OPENING
before each, so that a hang or crash is charged to that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyprocessor.errors import FailureKind
from pyprocessor.models import Input, Profile, Source


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """What the inspector or watcher is to list. `output_root` is never entered; `ages_from_ns` is wall clock time.

    `resume_after` is the relative path after which to go on. With `lists` false the inspector lists nothing.
    """

    inputs: tuple[Input, ...]
    output_root: bytes
    profile: Profile
    ages_from_ns: int
    resume_after: bytes | None = None
    opens_unknown: bool = True
    """Whether to look into files with unknown extensions."""
    lists: bool = True
    extensions: frozenset[bytes] | None = None
    """Of the files to take where they are no videos; none of them means files of any name, empty ones too."""
    except_endings: tuple[bytes, ...] = ()
    """Names of files in folders that end so are left alone."""
    products_of: tuple[str, ...] = ()
    """Tasks whose main products are taken although runs made them, or those of their products that `include` names."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Asks whether `other` leads to this file, or to nothing any more; a file of its name, size and mtime had it."""

    source: Source
    other: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source that passed the filters, the output it would have, and what lies there now as (size, mtime_ns)."""

    source: Source
    output: bytes
    existing: tuple[int, int] | None
    priority: int = 0
    """By the file's sidecar or place in a list, where the run's mode asks for that."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file or folder that is not taken, and why, as a clause: "is empty"."""

    relative: bytes
    reason: str
    failure: FailureKind | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about the input: `serious` if files may be missing, `closing` if for the closing table."""

    text: str
    closing: bool = False
    serious: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Entries found since the last message; may be empty."""

    entries: tuple[Candidate | PassedOver | Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class InspectJob:
    """Asks what the task of a job of no folder finds in its inputs."""

    task: str
    inputs: tuple[Source, ...]
    params: Any


@dataclass(frozen=True, slots=True)
class DivideJob:
    """Asks a job's task for the jobs that it is made of, where it is to be done in so many parts."""

    task: str
    inputs: tuple[Source, ...]
    params: Any
    found: Any
    parts: int


Question = Source | Compare | InspectJob | DivideJob
"""A source is a file to inspect."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found: the media of a file, of a job JSON, whether it is the same, the jobs that one is made of.

    Or the failure with its reason.
    """

    found: Any
    failure: FailureKind | None = None
    reason: str = ""
    contents: tuple[str, ...] = ()
    """What identifies the bytes of each input; empty unless the results of the task may be reused."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A look at the whole watched folder is complete; the next one begins after so many seconds at the latest."""

    next_seconds: float


@dataclass(frozen=True, slots=True)
class Vanished:
    """The watched folder is not there, or not what it was, with why as a clause: "does not exist"."""

    reason: str
