"""What are jobs, batches and attempts: their costs, states and outcomes?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.errors import FailureKind
from pyprocessor.models.media import MediaInfo, Source


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job takes: predicted before it runs, measured after."""

    cpu_seconds: float
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class CostFeatures:
    """What a job's cost is predicted from. `pixels` and `frames` are of the decoded and encoded picture."""

    task: str
    encoder: str
    preset: str | None
    pixels: int
    source_pixels: int
    pixel_format: str
    frames: float
    duration_seconds: float
    source_bytes: int
    target_bit_rate: int | None = None
    crf: int | None = None
    audio_channels: float = 2.0
    """Encoded channels of all tracks; one of a lower sample rate counts as that share of one at 48 kHz."""
    source_codec: str = ""
    source_bits_per_pixel: float | None = None
    """Of pictures that are no keyframes, or of all where there are only keyframes."""
    source_keyframes_only: bool = False
    deinterlaced: bool = False
    tone_mapped: bool = False
    own_factor: float = 1.0
    """CPU time that this file took before, as a multiple of what others of its class take."""


class JobState(StrEnum):
    PENDING = "pending"
    ASSIGNED = "assigned"
    RUNNING = "running"
    PUBLISHING = "publishing"
    """Verified, and the publish is granted."""
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    KEPT_SOURCE = "kept_source"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


FINAL_STATES = frozenset(JobState) - {JobState.PENDING, JobState.ASSIGNED, JobState.RUNNING, JobState.PUBLISHING}

_MOVES: dict[str, str] = {
    "pending": "assigned skipped failed quarantined cancelled succeeded",  # the last: a receipt proves its output
    "assigned": "running cancelled pending",  # the last: taken back, or its process died before it started
    "running": "publishing skipped kept_source failed quarantined cancelled pending",  # the last: to be tried again
    "publishing": "succeeded failed pending",  # the last: died between grant and rename
    **dict.fromkeys(FINAL_STATES, "pending"),  # source or profile changed, output gone, or asked for again
}
TRANSITIONS = frozenset((JobState(old), JobState(new)) for old, after in _MOVES.items() for new in after.split())
"""Every move a job may make; the journal has the same table and refuses any other."""


class OutcomeKind(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    KEPT_SOURCE = "kept_source"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    SHED = "shed"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `failure` is set exactly when the kind is FAILED or QUARANTINED."""

    kind: OutcomeKind
    reason: str = ""
    failure: FailureKind | None = None


def job_id(source_path: bytes, task: str) -> str:
    """A stable id: the same source and task give the same id in every run (128 bits of SHA-256, hex)."""
    return hashlib.sha256(task.encode() + b"\0" + source_path).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work: a source under a profile. `output` is below the output root."""

    id: str
    task: str
    source: Source
    output: bytes
    profile_fingerprint: str
    cost: Cost
    media: MediaInfo | None = None
    priority: int = 0
    tenant: str = ""
    dependencies: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """An ordered list of jobs for one batch process."""

    id: int
    job_ids: tuple[str, ...]
    slots: int
    threads: int
    """Of each job's ffmpeg."""
    memory_budget_bytes: int
    cores: int = 1
    """What each job counts as: less than `threads` where it is to take over cores that fall idle later."""


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What verification found in an output on disk; size and mtime identify it after the rename."""

    size_bytes: int
    mtime_ns: int
    duration_seconds: float | None
    video_streams: int
    audio_streams: int
    subtitle_streams: int
    frames: int | None
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    """Kinds of loss (`MediaNote.loss`) among the notes, each once."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one attempt took, measured: peak is the largest VmHWM among its ffmpegs, CPU from wait4."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid together with its start time, so that a reused pid is never mistaken for ours."""

    pid: int
    start_time: float
    """psutil's `create_time()`, in seconds since the epoch."""
