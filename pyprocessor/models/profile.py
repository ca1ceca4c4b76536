"""What does a profile settle: what to make of a source, and under which limits?"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from fractions import Fraction


class HdrPolicy(StrEnum):
    TONEMAP = "tonemap"
    KEEP = "keep"


class Deinterlace(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Damaged(StrEnum):
    """What to do with a source that is cut off, or whose pictures or sound are broken."""

    KEEP = "keep"
    REFUSE = "refuse"


class Chunking(StrEnum):
    """Whether one film may be encoded in parts side by side, which are joined then."""

    AUTO = "auto"
    """Where that is predicted to end the run sooner."""
    OFF = "off"
    ALWAYS = "always"
    """Every film for which the result can be exact."""


class Mode(StrEnum):
    """In which order jobs are done, and in which batches; `plan/modes` makes settings of the planner of it."""

    AUTO = "auto"
    """The longest first, in batches of predicted work."""
    SEQUENTIAL = "sequential"
    """One after another, in the order of the listing or as they were submitted."""
    PARALLEL = "parallel"
    """A process for each, as many as fit."""
    CHUNKED = "chunked"
    """In batches of a fixed size."""
    ADAPTIVE = "adaptive"
    """One of these three, by how many there are and what they cost."""
    PRIORITY = "priority"
    """By a rule, `BatchSettings.priority_by`."""
    STREAMING = "streaming"
    """In the order in which they are found, from the first one on."""


class PriorityRule(StrEnum):
    """What goes first in the mode `priority`; the last two are followed by a colon and a name."""

    SIDECAR = "sidecar"
    """By a number: that of a submitted job, or the one in a file NAME.priority beside a file."""
    LARGEST = "largest"
    SMALLEST = "smallest"
    NEWEST = "newest"
    OLDEST = "oldest"
    METADATA = "metadata"
    """The highest number under this key of a job's metadata first."""
    LIST = "list"
    """Files in the order of the lines of this file."""


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
    all_tracks: bool = False
    """Whether further video tracks, such as other angles, are kept beside the first."""
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


class UnknownTenants(StrEnum):
    """What becomes of submitted jobs whose tenant is not listed, where some are."""

    ALLOW = "allow"
    """They are done, with a weight of 1 and without limits."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What one tenant is given beside others; None: no limit."""

    weight: float = 1.0
    """Its share of CPU-seconds, in proportion to those of the other tenants that have work."""
    max_jobs: int | None = None
    """In hand at once."""
    max_waiting: int | None = None
    """Submitted and not begun; more are refused."""
    max_cpu_seconds: float | None = None
    """In one run; what is left then waits for another."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """None means: decided by the planner."""

    enabled: bool = True
    """False exactly where the mode is `sequential`."""
    mode: Mode = Mode.AUTO
    priority_by: str = PriorityRule.SIDECAR
    """A rule, with what follows its colon."""
    batch_size: int | None = None
    max_memory_percent: float = 80.0
    memory_limit_bytes: int | None = None
    jobs: int | None = None
    most_jobs: int | None = None
    """A ceiling on how many run at once, of whatever kind, that raises nothing.

    No file sets it: it is for runs to which jobs are added while they go on."""
    resources: tuple[tuple[str, int], ...] = ()
    """How many there are of what tasks name as needed; of what is not listed there is one."""
    tenants: tuple[tuple[str, TenantSettings], ...] = ()
    unknown_tenants: UnknownTenants = UnknownTenants.ALLOW
    cache_size: int = 1000
    """How many results the journal keeps for jobs of the same content; 0: none is looked for."""
    cache_expiry_seconds: float = 30 * 86400.0
    share_results: bool = False
    """Whether tenants get copies of each other's results."""

    @property
    def priority_rule(self) -> tuple[PriorityRule, str]:
        """The rule of the mode `priority`, and what follows its colon."""
        rule, _, name = self.priority_by.partition(":")
        return PriorityRule(rule), name

    def how_many(self, resource: str) -> int:
        """How many there are of this resource."""
        return dict(self.resources).get(resource, 1)


@dataclass(frozen=True, slots=True)
class EstimationSettings:
    """Bounds of automatic batch sizing."""

    target_batch_seconds: float = 90.0
    min_batch_size: int = 1
    max_batch_size: int = 256
    memory_safety_factor: float = 1.15


@dataclass(frozen=True, slots=True)
class MonitoringSettings:
    """How often to measure and to report; `ramp_interval_seconds` applies while memory may grow quickly."""

    sample_interval_seconds: float = 0.5
    ramp_interval_seconds: float = 0.05
    progress_interval_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class ThrottlingSettings:
    """When the governor acts; the budget is what `BatchSettings` allows of the memory."""

    hold_percent: float = 95.0
    """Of the budget: from here on nothing new is started."""
    release_percent: float = 85.0
    """Of the budget: below it for `release_readings` sample intervals, limits are lifted step by step."""
    release_readings: int = 6
    wall_percent: float = 95.0
    """Of the total memory: if it would be exceeded within `reaction_seconds`, the youngest file is ended."""
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
    """Run fewer files while processes wait for the CPU, the disk or memory more than `polite_percent` of the time."""
    polite_percent: float = 25.0


class Overrun(StrEnum):
    """What becomes of files that still run when the time is up."""

    FINISH = "finish"
    REQUEUE = "requeue"


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """When a run may work, in local time of day; a window may span midnight."""

    window: tuple[time, time] | None = None
    until: time | None = None
    overrun: Overrun = Overrun.FINISH
    grace_seconds: float = 10.0
    """How long running files have to finish after SIGTERM."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How a folder is watched; `poll_seconds` is the longest time between two scans of it."""

    poll_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class ErrorSettings:
    """When to try again and when to give up."""

    max_retries: int = 3
    retry_delay_seconds: float = 1.0
    """Before the first retry; each further one waits twice as long."""
    max_retry_delay_seconds: float = 60.0
    max_failed_runs: int = 5
    """Runs in which a file failed in a way that may pass."""
    max_killed_runs: int = 5
    """Runs in a row that were killed while they worked on a file."""
    stall_seconds: float = 120.0
    """Files predicted to be slow get more (`jobs/timeouts`)."""
    time_limit_factor: float = 30.0
    """How many times longer than predicted one file may take."""
    inspect_timeout_seconds: float = 20.0
    worker_silence_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Bounds on what a source may claim, so that a decompression bomb fails alone."""

    max_pixels: int = 16_384 * 8_192
    max_streams: int = 1000
    """Fonts are streams as well: films with subtitles come with a hundred."""
    max_duration_seconds: float = 30 * 86400.0
    inspect_memory_bytes: int = 2 << 30
    max_output_growth: float = 100.0
    """Times its source, above the bytes that are always allowed; see `recipes/features.output_limit_bytes`."""
    always_allowed_output_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Programs to call, as argument lists without a shell, after each file and after the run."""

    on_success: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    on_end: tuple[str, ...] = ()
    timeout_seconds: float = 60.0


HOOK_VARIABLES = (
    "HOOK SOURCE OUTPUT OUTCOME FAILURE REASON EXIT_CODE SUCCEEDED FAILED SKIPPED DONE_BEFORE FAILED_BEFORE".split()
)
"""Variables that hooks get, without the `PYPROCESSOR_` before their names."""


@dataclass(frozen=True, slots=True)
class UnsafeArguments:
    """Words passed to ffmpeg unchecked, before the input and before the output, if the user allows it."""

    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """Validated, frozen settings: what to make of a Source and under which limits."""

    name: str
    fingerprint: str
    """A hash of what decides the content of an output: a changed limit redoes nothing, a changed CRF everything."""
    container: str = "mp4"
    extension: str = "mp4"
    video: VideoSettings | None = field(default_factory=VideoSettings)
    audio: AudioSettings | None = field(default_factory=AudioSettings)
    keep_subtitles: bool = True
    keep_attachments: bool = True
    keep_chapters: bool = True
    keep_metadata: bool = True
    damaged: Damaged = Damaged.KEEP
    chunking: Chunking = Chunking.AUTO
    strip_location: bool = False
    """Whether to leave out everything that states where a film was recorded."""
    naming: NamingSettings = NamingSettings()
    scan: ScanSettings = ScanSettings()
    batch: BatchSettings = BatchSettings()
    estimation: EstimationSettings = EstimationSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    throttling: ThrottlingSettings = ThrottlingSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    errors: ErrorSettings = ErrorSettings()
    watch: WatchSettings = WatchSettings()
    input_limits: InputLimits = InputLimits()
    hooks: HookSettings = HookSettings()
    unsafe: UnsafeArguments = UnsafeArguments()
