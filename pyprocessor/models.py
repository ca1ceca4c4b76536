"""The frozen records every room speaks in; one word per thing (see docs/design.md).

Paths are bytes as the file system has them (`os.fsencode`), so names that are not UTF-8 survive; `display` makes them
printable. Sizes are bytes, times are seconds, both said in the name.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from fractions import Fraction

from pyprocessor.errors import FailureKind


def display(path: bytes) -> str:
    """The path as one printable line: undecodable bytes and control characters come out escaped."""
    text = os.fsdecode(path)
    return "".join(
        c
        if c.isprintable()
        else c.encode("utf-8", "surrogateescape").decode("latin-1").encode("unicode_escape").decode("ascii")
        for c in text
    )


# ---------------------------------------------------------------- sources and what inspecting says of them


@dataclass(frozen=True, slots=True)
class Source:
    """A file found by the scanner. `path` is absolute; `relative` is below the input root (a file: its bare name)."""

    path: bytes
    relative: bytes
    size_bytes: int
    mtime_ns: int


class StreamKind(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"
    SUBTITLE = "subtitle"
    DATA = "data"
    ATTACHMENT = "attachment"


class HdrKind(StrEnum):
    """How a video stream codes high dynamic range."""

    SDR = "sdr"
    HDR10 = "hdr10"
    HDR10_PLUS = "hdr10+"
    HLG = "hlg"
    DOLBY_VISION = "dolby_vision"


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour description in ffmpeg's names (`bt709`, `smpte2084`, ...); None where the stream does not say."""

    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None
    range: str | None = None


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Of one video stream. Rotation is degrees clockwise to turn the decoded picture upright: 0, 90, 180 or 270."""

    width: int
    height: int
    pixel_format: str | None = None
    bit_depth: int = 8
    frame_rate: Fraction | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    colour: Colour = Colour()
    hdr: HdrKind = HdrKind.SDR
    mastering_display: str | None = None
    """In x265's notation, `G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`."""
    content_light: tuple[int, int] | None = None
    """MaxCLL and MaxFALL, cd/m2."""
    interlaced: bool = False
    variable_frame_rate: bool = False
    attached_picture: bool = False

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class AudioInfo:
    sample_rate: int
    channels: int
    layout: str | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream as the container lists it. `frames` is exact (from the container's index) or None."""

    index: int
    kind: StreamKind
    codec: str | None
    decoder: str | None = None
    """A decoder that ffmpeg must be told to use, where its own choice fails."""
    duration_seconds: float | None = None
    frames: int | None = None
    bit_rate: int | None = None
    language: str | None = None
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    video: VideoInfo | None = None
    audio: AudioInfo | None = None


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What inspecting says of a Source."""

    container: str
    """The demuxer's name as PyAV gives it, for instance `mov,mp4,m4a,3gp,3g2,mj2`."""
    duration_seconds: float | None
    duration_estimated: bool
    """True where the container does not state the duration and it was guessed from bit rate or size."""
    size_bytes: int
    bit_rate: int | None
    streams: tuple[StreamInfo, ...]
    chapters: int = 0
    notes: tuple[str, ...] = ()
    """Oddities worth telling the user, as sentences."""
    missing_bytes: int = 0
    """How far the container's own structure reaches beyond the end of the file: above 0, it was cut off."""

    @property
    def video(self) -> StreamInfo | None:
        """The first video stream that is a film and not an attached picture."""
        return next((s for s in self.streams if s.video is not None and not s.video.attached_picture), None)

    @property
    def audio(self) -> tuple[StreamInfo, ...]:
        return tuple(s for s in self.streams if s.kind is StreamKind.AUDIO)


# ---------------------------------------------------------------- profile


class HdrPolicy(StrEnum):
    TONEMAP = "tonemap"
    KEEP = "keep"


class Deinterlace(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class VideoSettings:
    encoder: str = "libx264"
    preset: str | None = None
    tune: str | None = None
    crf: int | None = None
    bitrates: tuple[tuple[int, int], ...] = ()
    """(height in lines, bits per second), highest first; the entry at or below the output's height caps the rate."""
    pixel_format: str | None = "yuv420p"
    """None keeps the source's where the encoder can."""
    max_width: int | None = None
    max_height: int | None = None
    fps: Fraction | None = None
    hdr: HdrPolicy = HdrPolicy.TONEMAP
    deinterlace: Deinterlace = Deinterlace.AUTO
    keyframe_seconds: float | None = None
    options: tuple[tuple[str, str], ...] = ()
    """Further encoder options, from the allow-list."""


@dataclass(frozen=True, slots=True)
class AudioSettings:
    encoder: str = "aac"
    bitrate: int | None = None
    """Bits per second for stereo; other layouts are scaled by their channels."""
    bitrates: tuple[int, ...] = ()
    channels: int | None = None
    sample_rate: int | None = None
    all_tracks: bool = True
    copy_if_compatible: bool = False


@dataclass(frozen=True, slots=True)
class NamingSettings:
    """Regular expressions matched against the file's name; group 1 is what is taken."""

    rename_pattern: str | None = None
    validation_pattern: str | None = None
    organization_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """Extensions are lower case, without the dot. Globs match the path below the input root."""

    extensions: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_size_bytes: int = 0
    max_size_bytes: int | None = None
    min_age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """None means: decided by the planner."""

    enabled: bool = True
    batch_size: int | None = None
    max_memory_percent: float = 80.0
    memory_limit_bytes: int | None = None
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class EstimationSettings:
    """Bounds of automatic batch sizing."""

    target_batch_seconds: float = 90.0
    min_batch_size: int = 1
    max_batch_size: int = 256
    memory_safety_factor: float = 1.15


@dataclass(frozen=True, slots=True)
class MonitoringSettings:
    """How often to look. `ramp_interval_seconds` holds while memory may grow quickly."""

    sample_interval_seconds: float = 0.5
    ramp_interval_seconds: float = 0.05
    progress_interval_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class ThrottlingSettings:
    """When the governor acts (see engine/governor). The budget is what `BatchSettings` allows of the memory."""

    hold_percent: float = 95.0
    """Of the budget: from here on nothing new is started."""
    release_percent: float = 85.0
    """Of the budget: below it, for `release_readings` readings in turn, things go back to normal step by step."""
    release_readings: int = 6
    wall_percent: float = 95.0
    """Of the total memory: where memory would be beyond it within `reaction_seconds`, the youngest file is ended."""
    reaction_seconds: float = 0.5
    pressure_full_percent: float = 20.0
    """PSI `full`: above it the youngest file is suspended."""
    max_sheds: int = 3
    """How often one file is ended for want of memory before it runs alone."""
    strict_memory: bool = False
    """A file that needs more than the budget fails instead of running alone."""
    cpu_limit_percent: float | None = None
    """Of all cores."""
    disk_reserve_bytes: int = 256 << 20
    nice: int = 0
    io_idle: bool = False
    pressure_polite: bool = False
    """Yield to other work when it, or we, wait for the CPU, the disk or memory more than `polite_percent` of time."""
    polite_percent: float = 25.0


class Overrun(StrEnum):
    """What becomes of files that still run when the time is up."""

    FINISH = "finish"
    REQUEUE = "requeue"


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """When a run may work, in local time of day; a window may span midnight. `until` is the next such time."""

    window: tuple[time, time] | None = None
    until: time | None = None
    overrun: Overrun = Overrun.FINISH


@dataclass(frozen=True, slots=True)
class ErrorSettings:
    max_retries: int = 3
    stall_seconds: float = 120.0
    inspect_timeout_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Validated, frozen settings: what to make of a Source and under which limits.

    `fingerprint` is a hash of what decides the *content* of an output (container, video, audio, streams), so that a
    changed limit redoes nothing and a changed CRF redoes everything.
    """

    name: str
    fingerprint: str
    container: str = "mp4"
    extension: str = "mp4"
    video: VideoSettings | None = field(default_factory=VideoSettings)
    audio: AudioSettings | None = field(default_factory=AudioSettings)
    keep_subtitles: bool = True
    keep_attachments: bool = True
    keep_chapters: bool = True
    keep_metadata: bool = True
    naming: NamingSettings = NamingSettings()
    scan: ScanSettings = ScanSettings()
    batch: BatchSettings = BatchSettings()
    estimation: EstimationSettings = EstimationSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    throttling: ThrottlingSettings = ThrottlingSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    errors: ErrorSettings = ErrorSettings()


# ---------------------------------------------------------------- work


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job takes: predicted before it runs, measured after."""

    cpu_seconds: float
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class CostFeatures:
    """What the cost model may look at. `pixels` and `frames` are of the decoded and encoded picture."""

    task: str
    encoder: str
    preset: str | None
    pixels: int
    """Width x height of the output picture."""
    source_pixels: int
    pixel_format: str
    frames: float
    duration_seconds: float
    source_bytes: int
    target_bit_rate: int | None = None


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


_FINAL = (
    JobState.SUCCEEDED,
    JobState.SKIPPED,
    JobState.KEPT_SOURCE,
    JobState.FAILED,
    JobState.QUARANTINED,
    JobState.CANCELLED,
)
FINAL_STATES = frozenset(_FINAL)

TRANSITIONS: frozenset[tuple[JobState, JobState]] = frozenset(
    {
        (JobState.PENDING, JobState.ASSIGNED),
        (JobState.PENDING, JobState.SKIPPED),
        (JobState.PENDING, JobState.FAILED),
        (JobState.PENDING, JobState.QUARANTINED),
        (JobState.PENDING, JobState.CANCELLED),
        (JobState.PENDING, JobState.SUCCEEDED),  # adopted: a receipt proves the output is already there
        (JobState.ASSIGNED, JobState.RUNNING),
        (JobState.ASSIGNED, JobState.PENDING),  # taken back, or its process died before it started
        (JobState.ASSIGNED, JobState.CANCELLED),
        (JobState.RUNNING, JobState.PENDING),  # interrupted, shed, or to be tried again
        (JobState.RUNNING, JobState.PUBLISHING),
        (JobState.RUNNING, JobState.SKIPPED),
        (JobState.RUNNING, JobState.KEPT_SOURCE),
        (JobState.RUNNING, JobState.FAILED),
        (JobState.RUNNING, JobState.QUARANTINED),
        (JobState.RUNNING, JobState.CANCELLED),
        (JobState.PUBLISHING, JobState.SUCCEEDED),
        (JobState.PUBLISHING, JobState.PENDING),  # died between grant and rename
        (JobState.PUBLISHING, JobState.FAILED),
    }
    | {(state, JobState.PENDING) for state in _FINAL}  # source or profile changed, output gone, or asked for again
)
"""Every move a job may make; the journal holds the same table and refuses any other."""


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
    """How an attempt ended. `reason` is a sentence; `failure` is set exactly when the kind is FAILED or QUARANTINED."""

    kind: OutcomeKind
    reason: str = ""
    failure: FailureKind | None = None


def job_id(source_path: bytes, task: str) -> str:
    """A stable id: the same source and task give the same id in every run (128 bits of SHA-256, hex)."""
    return hashlib.sha256(task.encode() + b"\0" + source_path).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work: Source x Profile. `output` is below the output root."""

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
    """An ordered list of jobs for one batch process. `threads` is what each job's ffmpeg may use."""

    id: int
    job_ids: tuple[str, ...]
    slots: int
    threads: int
    memory_budget_bytes: int


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What was checked of an output, as it lies on disk. Size and mtime tell it again after a rename."""

    size_bytes: int
    mtime_ns: int
    duration_seconds: float | None
    video_streams: int
    audio_streams: int
    subtitle_streams: int
    frames: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What one attempt took, measured: peak is the largest VmHWM among its ffmpegs, CPU from wait4."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid together with its start time, so that a reused pid is never mistaken for ours.

    `start_time` is psutil's `create_time()` (seconds since the epoch).
    """

    pid: int
    start_time: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of the machine and of our process trees."""

    monotonic_seconds: float
    cores: float
    """Cores this process may use: affinity and cgroup quota taken into account."""
    total_memory_bytes: int
    """min(physical, tightest cgroup limit)."""
    used_memory_bytes: int
    """Of that total, what is in use by anyone, less what the kernel can drop (inactive file pages)."""
    our_memory_bytes: int
    cpu_percent: float
    """Of all cores of the machine, 0 to 100."""
    free_disk_bytes: int
    memory_pressure_full: float | None = None
    """PSI `full avg10`, percent; None where the kernel has no PSI."""
    oom_kills: int | None = None
    our_cpu_percent: float = 0.0
    """What our processes take, of all cores we may use, 0 to 100, since the last reading."""
    disk_bytes_per_second: float = 0.0
    """Read and written by all of the machine's disks, since the last reading."""
    waiting_percent: float | None = None
    """The highest of PSI `some avg10` of cpu, io and memory, percent; None where the kernel has no PSI."""


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """One process of ours at one moment; `suspended` is true while it is stopped by a signal."""

    pid: int
    memory_bytes: int
    """Resident (RSS)."""
    peak_memory_bytes: int
    """The highest it ever was (VmHWM)."""
    cpu_seconds: float
    suspended: bool = False


# ---------------------------------------------------------------- what a run tells its listeners


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Where a run stands. `done` counts files in a final state (succeeded, failed and skipped) out of `total`."""

    done: int
    total: int
    total_is_final: bool
    """False while the listing goes on, so that `total` may still grow."""
    succeeded: int
    failed: int
    skipped: int
    active: int
    memory_bytes: int
    """Resident memory of the engine and all its processes."""
    cpu_percent: float
    """Of all cores of the machine, 0 to 100."""
    elapsed_seconds: float
    eta_seconds: float | None
    draining: bool
    """True once a stop was asked for: running files finish and nothing new starts."""
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None
    """The band around `eta_seconds` that the predictions' spread allows."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a plan; both paths are relative, to the input and to the output root."""

    name: bytes
    output: bytes
    cost: Cost


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file a plan leaves alone, and why, as a sentence."""

    name: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """One batch of a plan; `start_seconds` is when it is predicted to start, counted from the start of the run."""

    number: int
    files: tuple[PlannedFile, ...]
    slots: int
    threads: int
    memory_bytes: int
    seconds_low: float
    seconds_high: float
    start_seconds: float


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do. Memory is what all batches that run at once are predicted to take at their peak."""

    batches: tuple[PlannedBatch, ...]
    skipped: tuple[SkippedFile, ...]
    peak_memory_bytes: int
    memory_budget_bytes: int
    disk_bytes: int
    seconds_low: float
    seconds_high: float
    processes: int
    notes: tuple[str, ...] = ()
