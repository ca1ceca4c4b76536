"""What do the engine and its batch processes send each other? Each process has a pipe of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from pyprocessor.jobs.timeouts import Timeouts
from pyprocessor.models import MediaInfo, Outcome, OutputFacts, ProcessIdentity, Source, Usage
from pyprocessor.models.run import RunRequest
from pyprocessor.state.state_folder import StateFolder


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a batch process is started with; `journal_log` is the write-ahead log to sync before publishing, if any."""

    run_id: int
    slots: int
    request: RunRequest
    folder: StateFolder
    journal_log: bytes


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One job to do. `partial` is the temporary name, `output` the final one below the output root."""

    job_id: str
    task: str
    source: Source
    media: MediaInfo
    threads: int
    partial: str
    output: bytes
    limits: Timeouts


@dataclass(frozen=True, slots=True)
class Grant:
    """The publish is journaled: go. `replace` allows taking the place of an existing file."""

    job_id: str
    replace: bool


class Command(Enum):
    """What a process is to do as a whole.

    DRAIN: start nothing more, hand back what was not started, finish what runs. END: end the ffmpegs and report their
    jobs as interrupted. CLOSE: exit when the last job is done. HOLD: start nothing until RELEASE. TAKE_BACK: hand back
    what was not started.
    """

    DRAIN = auto()
    END = auto()
    CLOSE = auto()
    HOLD = auto()
    RELEASE = auto()
    TAKE_BACK = auto()


@dataclass(frozen=True, slots=True)
class FfmpegOrder:
    """Call this method of the job's `FfmpegRun`; `kill` frees its memory, and the job is done later."""

    job_id: str
    act: Literal["suspend", "resume", "kill"]


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
    """The attempt is over without an output: `killed` by a SIGKILL from outside, `unopened` by ffmpeg."""

    job_id: str
    outcome: Outcome
    usage: Usage | None
    killed: bool = False
    unopened: bool = False


@dataclass(frozen=True, slots=True)
class HandedBack:
    """These were not started: the answer to DRAIN and TAKE_BACK."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InputAway:
    """The input as a whole is gone, with why as a sentence; the inspector sends it, too."""

    reason: str


class Report(Enum):
    """What any process of ours reports without details.

    CLOSED is the last of a batch process that ends as it should. The inspector sends LISTED, the watcher REAPPEARED.
    """

    ALIVE = auto()
    CLOSED = auto()
    LISTED = auto()
    REAPPEARED = auto()


ToWorker = WorkItem | Grant | Command | FfmpegOrder
FromWorker = Started | Spawned | Progressed | Encoded | Verified | Published | Ended | HandedBack | InputAway | Report
