"""What travels over the pipes between the engine and its processes.

Each batch process and the scout have a pipe of their own (no shared queue: a killed process could hold its lock).
A message read from a pipe is therefore known to come from the process at its other end, and a process that was given up
on is silenced by closing the pipe. Messages are small: work items are sent a few ahead, never a whole batch, so that a
process that does not read can not block the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.errors import FailureKind
from pyprocessor.models import (
    Input,
    InputFolder,
    MediaInfo,
    Outcome,
    OutputFacts,
    ProcessIdentity,
    Profile,
    Source,
    Usage,
)

# ---------------------------------------------------------------- engine to batch process


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a batch process is started with. Folders are absolute; `slots` is how many jobs it runs at once.

    `journal_log` is the file that holds the intent to publish, committed when that is granted; where there is none,
    commits are on the disk by themselves. `folders` are those of the run's inputs. `nice` is added
    to its niceness; `io_idle` has its disk access served when nobody else wants the disk.
    """

    run_id: int
    batch_id: int
    slots: int
    profile: Profile
    ffmpeg: str
    output_root: bytes
    partials: bytes
    receipts: bytes
    logs: bytes
    nice: int = 0
    io_idle: bool = False
    journal_log: bytes = b""
    folders: tuple[InputFolder, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One job to do. `partial` is the temporary name, `output` the final one below the output root.

    `stall_seconds` is how long its ffmpeg may go without progress, `wall_limit_seconds` how long it may take in all.
    """

    job_id: str
    task: str
    source: Source
    media: MediaInfo
    threads: int
    partial: str
    output: bytes
    stall_seconds: float
    wall_limit_seconds: float


@dataclass(frozen=True, slots=True)
class Grant:
    """The publish is journaled: go. `replace` allows taking the place of an existing file."""

    job_id: str
    replace: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Start nothing more; hand back what was not started; finish what runs."""


@dataclass(frozen=True, slots=True)
class End:
    """End the ffmpegs, remove their partials, report the jobs as interrupted."""


@dataclass(frozen=True, slots=True)
class Close:
    """No more work will come: exit when the last job is done."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Start nothing until `Release`: memory or disk is short."""


@dataclass(frozen=True, slots=True)
class Release:
    """Start what waits."""


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Hand back what was not started."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """Stop the job's ffmpeg where it stands."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Let a suspended ffmpeg go on."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Shed:
    """Kill the job's ffmpeg to get its memory back at once."""

    job_id: str


# ---------------------------------------------------------------- batch process to engine


@dataclass(frozen=True, slots=True)
class Started:
    """Sent before the ffmpeg is spawned, so that a death in between is charged to the right job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Spawned:
    job_id: str
    ffmpeg: ProcessIdentity


@dataclass(frozen=True, slots=True)
class Progressed:
    job_id: str
    media_seconds: float
    speed: float | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """The attempt's last ffmpeg has ended: its slot and memory are free, while the output is still to be verified."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The partial output is whole and on disk; it waits for the grant."""

    job_id: str
    facts: OutputFacts


@dataclass(frozen=True, slots=True)
class Published:
    job_id: str
    facts: OutputFacts
    usage: Usage


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt is over without an output. `killed` says that a SIGKILL which we did not send ended its ffmpeg, and
    `unopened` that its ffmpeg could not open the source, which could be opened to be inspected."""

    job_id: str
    outcome: Outcome
    usage: Usage | None
    killed: bool = False
    unopened: bool = False


@dataclass(frozen=True, slots=True)
class HandedBack:
    """Answer to `Drain` and `TakeBack`: these were not started."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alive:
    """Said every few seconds, whatever else there is to say; a process that is silent for long is given up on."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The last message of a batch process that ends as it should."""


# ---------------------------------------------------------------- engine to scout


@dataclass(frozen=True, slots=True)
class InspectorSetup:
    """What the scout is started with.

    `resume_after` is the relative path after which to go on, when a scout that died
    is replaced. `ages_from_ns` is the wall clock that `min_age` is measured from. One that does not list only inspects.
    """

    inputs: tuple[Input, ...]
    output_root: bytes
    profile: Profile
    ages_from_ns: int
    resume_after: bytes | None = None
    lists: bool = True


@dataclass(frozen=True, slots=True)
class WatcherSetup:
    """What the lookout is started with. `input` is a folder.

    A file that comes later is told of once it was seen unchanged for `min_age_seconds`.
    """

    input: Input
    output_root: bytes
    profile: Profile
    min_age_seconds: float


@dataclass(frozen=True, slots=True)
class Inspect:
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """Is `other`, a path that a file of the same name, size and mtime had, this file itself, or there no more?"""

    source: Source
    other: bytes


# ---------------------------------------------------------------- scout to engine


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source that passed the filters, the output it would have, and what lies there now as (size, mtime_ns)."""

    source: Source
    output: bytes
    existing: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file or folder that is not taken, and why, as a clause: "is empty"."""

    relative: bytes
    reason: str
    failure: FailureKind | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A message about the input as a whole, as a sentence.

    `closing` says that it belongs into the closing table, too: files that are not taken.
    """

    text: str
    closing: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    candidates: tuple[Candidate, ...]
    passed_over: tuple[PassedOver, ...]
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """The listing is complete."""


@dataclass(frozen=True, slots=True)
class Inspecting:
    """Sent before a file is opened, so that a hang or crash is charged to it."""

    source: Source


@dataclass(frozen=True, slots=True)
class Inspected:
    """Either `media` or `failure` with its sentence."""

    source: Source
    media: MediaInfo | None
    failure: FailureKind | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Answer to `Compare`."""

    source: Source
    other: bytes
    same: bool


@dataclass(frozen=True, slots=True)
class InputAway:
    """Said by the scout and by batch processes: the input as a whole is gone, with why as a sentence."""

    reason: str


# ---------------------------------------------------------------- lookout to engine


@dataclass(frozen=True, slots=True)
class Looking:
    """A look at the folder is under way."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A look at the whole folder is complete; the next one begins after so many seconds at the latest."""

    next_seconds: float


@dataclass(frozen=True, slots=True)
class Vanished:
    """The folder is not there, or not what it was, with why as a clause: "does not exist"."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reappeared:
    """The folder that had vanished is there again."""


ToWorker = WorkItem | Grant | Drain | End | Close | Hold | Release | TakeBack | Suspend | Resume | Shed
FromWorker = (
    Started | Spawned | Progressed | Encoded | Verified | Published | Ended | HandedBack | Alive | Closed | InputAway
)
