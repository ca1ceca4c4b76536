"""What are jobs, batches and attempts: their costs, states and outcomes?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from pyprocessor.errors import FailureKind
from pyprocessor.models.media import MediaInfo, Source
from pyprocessor.models.products import MAIN, Product, Seal


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job takes: predicted before it runs, measured after."""

    cpu_seconds: float
    memory_bytes: int
    disk_bytes: int
    wait_seconds: float = 0.0
    """In which it computes nothing: the network, a sleep."""
    resources: tuple[tuple[str, int], ...] = ()
    """How many it holds of what has a name: a GPU, an encoder's session, calls of a service."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A service that jobs of a task may be done by, which may be busy, limited or down. Its name is its identity."""

    name: str
    per_minute: float | None = None
    """How many requests it takes in a minute; None: any number."""
    burst: int = 1
    """How many of them at once, after a pause."""


@dataclass(frozen=True, slots=True)
class BackendState:
    """What is remembered of a back end between jobs and runs. Times are seconds since the epoch."""

    spent: float = 0.0
    """Requests that its burst lacked at `spent_at`; more than the burst is debt."""
    spent_at: float = 0.0
    failures: int = 0
    """Attempts in a row that it did not answer."""
    failed_at: float = 0.0
    """When the last of them ended."""
    blocked_until: float = 0.0
    """Nothing is asked of it before."""
    probing: bool = False
    """One attempt tries whether it answers again. Not kept: attempts end with their run."""


@dataclass(frozen=True, slots=True)
class Division:
    """Whether a job may be done in parts, side by side, which the job itself joins once they have ended."""

    most_parts: int = 1
    """1: it is done whole."""
    why_whole: str = ""
    """Why it is, as a sentence, where the profile asks for parts; empty where nobody would expect them."""
    part_seconds: float = 0.0
    """CPU-seconds that each part takes beside its share."""
    join: Cost = Cost(0.0, 0, 0)
    """What the job itself takes once its parts are there."""


WHOLE = Division()


@dataclass(frozen=True, slots=True)
class CostFeatures:
    """What a job's cost is predicted from. `pixels` and `frames` are of the decoded and encoded picture.

    A task that is no work of ffmpeg says with `given` what it takes at one thread; `encoder` is then its affinity: jobs
    that have it in common cost alike, and one process does them one after another.
    """

    task: str
    encoder: str
    preset: str | None = None
    pixels: int = 0
    source_pixels: int = 0
    pixel_format: str = ""
    frames: float = 0.0
    duration_seconds: float = 0.0
    source_bytes: int = 0
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
    given: Cost | None = None
    resources: tuple[tuple[str, int], ...] = ()
    """As `Cost.resources`, where nothing is given."""


FOLDER_TASK = "transcode"
"""What is done with the files that a scan of a folder finds."""


class JobState(StrEnum):
    WAITING = "waiting"
    """For other jobs, or for those that it made itself."""
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

    @property
    def is_failure(self) -> bool:
        """Whether the job could not be done."""
        return self in (JobState.FAILED, JobState.QUARANTINED)


IN_HAND = frozenset({JobState.ASSIGNED, JobState.RUNNING, JobState.PUBLISHING})
"""The states of a job that a batch process has."""
FINAL_STATES = frozenset(JobState) - IN_HAND - {JobState.WAITING, JobState.PENDING}

_MOVES: dict[str, str] = {
    "waiting": "pending cancelled failed",
    # succeeded: a receipt proves its output; waiting: it made jobs of its own
    "pending": "assigned skipped failed quarantined cancelled succeeded waiting",
    "assigned": "running cancelled pending",  # the last: taken back, or its process died before it started
    # succeeded: it has no products; pending: to be tried again
    "running": "publishing succeeded skipped kept_source failed quarantined cancelled pending",
    "publishing": "succeeded failed pending",  # the last: died between grant and rename
    **dict.fromkeys(FINAL_STATES, "pending waiting"),  # inputs or params changed, output gone, or asked for again
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

    @property
    def is_failure(self) -> bool:
        """Whether the job could not be done, for good."""
        return self in (OutcomeKind.FAILED, OutcomeKind.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `failure` is set exactly when the kind is FAILED or QUARANTINED."""

    kind: OutcomeKind
    reason: str = ""
    failure: FailureKind | None = None
    already_right: bool = False
    """Of a skip: what the job was to make is there, so that what waits for it may go on."""
    retry_after_seconds: float | None = None
    """Of a failure: how long the server asked to be left alone."""
    result: str | None = field(default=None, compare=False)
    """Of a job that succeeded: what it answered, as JSON."""


class Origin(StrEnum):
    """Where a job came from."""

    FOLDER = "folder"
    """A scan of the input."""
    SUBMITTED = "submitted"
    """A program or a file of jobs."""
    CHILD = "child"
    """Another job made it, its `parent`, and waits for it; or it fetches an input of jobs that were submitted."""


@dataclass(frozen=True, slots=True)
class ProductOf:
    """An input that another job makes."""

    job_id: str
    role: str = MAIN


JobInput = Source | ProductOf


def job_id(source_path: bytes, task: str) -> str:
    """A stable id: the same source and task give the same id in every run (128 bits of SHA-256, hex)."""
    return _digest(task.encode(), source_path)


def submitted_id(queue: str, key: str, tenant: str = "") -> str:
    """The id of a job that was submitted: the same key in the same queue, of the same tenant, is the same job."""
    kind, *parts = ("of a tenant", tenant, queue, key) if tenant else ("submitted", queue, key)
    return _digest(kind.encode(), *(part.encode("utf-8", "surrogateescape") for part in parts))


def tenant_folder(tenant: str) -> bytes:
    """Return the name of the folder for products of a tenant, different for each; empty for no tenant."""
    name = "".join(f"%{ord(c):02X}" if c in "/%" or ord(c) < ord(" ") else c for c in tenant)
    return (f"%2E{name[1:]}" if name.startswith(".") else name).encode("utf-8", "surrogateescape")


def child_id(parent: str, role: str, sequence: int, params_fingerprint: str) -> str:
    """The id of a job that another one made."""
    return _digest(b"child", parent.encode(), role.encode(), str(sequence).encode(), params_fingerprint.encode())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work. `output` is the name of its main product below the output root, empty where it has none.

    `source` is its first input that is a file; where there is none, its path is empty and `relative` is what people
    call the job. Without the first, `inputs` has the others, in order.
    """

    id: str
    task: str
    source: Source
    output: bytes
    params_fingerprint: str
    cost: Cost
    media: MediaInfo | None = None
    priority: int = 0
    """Lower first."""
    tenant: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    origin: Origin = Origin.FOLDER
    inputs: tuple[JobInput, ...] = ()
    output_is_folder: bool = False
    companions: tuple[Product, ...] = ()
    """Its products but the main one."""
    after: tuple[str, ...] = ()
    """Jobs that have to succeed before it begins."""
    parent: str = ""
    """The job that made it."""
    max_retries: int | None = None
    """None: as the run's settings have it, as for the timeout."""
    timeout_seconds: float | None = None
    not_before: float | None = None
    """In seconds since the epoch, as the deadline, by which it has to begin."""
    deadline: float | None = None

    @property
    def is_fetch(self) -> bool:
        """Whether it fetches something, for all jobs that need that."""
        return self.origin is Origin.CHILD and not self.parent

    @property
    def products(self) -> tuple[Product, ...]:
        """All that it leaves, the main product first."""
        main = (Product(self.output, MAIN, self.output_is_folder),) if self.output else ()
        return (*main, *self.companions)

    @property
    def all_inputs(self) -> tuple[JobInput, ...]:
        """What it reads, its source first where that is a file."""
        return (self.source, *self.inputs) if self.source.path else self.inputs

    @property
    def needs(self) -> tuple[str, ...]:
        """The jobs that it waits for: those of `after`, and those whose products it reads."""
        made = (given.job_id for given in self.inputs if isinstance(given, ProductOf))
        return tuple(dict.fromkeys((*self.after, *made)))


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
    duration_seconds: float | None = None
    video_streams: int = 0
    audio_streams: int = 0
    subtitle_streams: int = 0
    frames: int | None = None
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    """Kinds of loss (`MediaNote.loss`) among the notes, each once."""

    @property
    def seal(self) -> Seal:
        return self.size_bytes, self.mtime_ns


@dataclass(frozen=True, slots=True)
class Reusable:
    """What a job made, for others of the same content that are asked to do the same."""

    job_id: str
    name: str
    """What people call it."""
    sources: tuple[Source, ...]
    """The files that it read, in order."""
    products: tuple[tuple[Product, Seal], ...]
    facts: OutputFacts | None
    """Of its main product; None where it has none."""
    result: str | None
    """JSON."""
    cpu_seconds: float
    """What making it took."""


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
