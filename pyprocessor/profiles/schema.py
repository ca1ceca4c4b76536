"""The pydantic models of the nested form: which keys there are, what each holds, and in which range.

Every field is optional and None means *not said here*: files are laid over each other before defaults are filled in.
The descriptions and ranges are also what the JSON Schema tells an editor.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pyprocessor.models import (
    BatchSettings,
    ErrorSettings,
    EstimationSettings,
    HookSettings,
    InputLimits,
    MonitoringSettings,
    ScheduleSettings,
    ThrottlingSettings,
    WatchSettings,
)
from pyprocessor.models.encoders import CONTAINERS
from pyprocessor.profiles.fields import (
    PERCENT,
    PERCENT_OF_BUDGET,
    PERCENT_OF_CORES,
    PERCENT_OF_TIME,
    AudioRate,
    BatchSize,
    Between,
    Bytes,
    Container,
    EncoderName,
    Extension,
    FrameRate,
    Glob,
    GroupPattern,
    Heights,
    MemoryBytes,
    OptionTable,
    Pattern,
    PixelFormat,
    Preset,
    Side,
    Switch,
    TimeOfDay,
    Tune,
    Window,
    Words,
    seconds,
)
from pyprocessor.profiles.problems import listed

_LONGEST_PATH = 4096
"""No system takes a longer one."""
_BATCH = BatchSettings()
_ESTIMATION = EstimationSettings()
_MONITORING = MonitoringSettings()
_THROTTLING = ThrottlingSettings()
_SCHEDULE = ScheduleSettings()
_ERRORS = ErrorSettings()
_WATCH = WatchSettings()
_INPUT = InputLimits()
_HOOKS = HookSettings()


def key(description: str, default: object = None) -> Any:
    """A field that may be absent; `default` is only told to editors, since layers are merged before defaults apply."""
    extra = None if default is None else {"default": default}
    return Field(default=None, description=description, json_schema_extra=extra)  # type: ignore[arg-type]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, and a text is never taken for a number."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )


class Video(Section):
    """The picture."""

    enabled: bool | None = key("false makes an output without picture; `video: false` is short for it.", True)
    encoder: EncoderName | None = key("Encoder as ffmpeg lists it: libx264, libx265, libsvtav1, ...", "libx264")
    preset: Preset | None = key("Speed against size: ultrafast to placebo (x264, x265), 0 to 13 (SVT-AV1).")
    tune: Tune | None = key("Kind of picture the encoder tunes for: film, animation, grain, ...")
    crf: Annotated[int, Between(0, 63)] | None = key(
        "Constant quality, lower is better: 0 to 51 (x264, x265), 0 to 63 (AV1, VP9)."
    )
    bitrates: Heights | None = key(
        "Highest bit rate by height, bits per second: the entry at or below the output's height caps the rate."
    )
    pixel_format: PixelFormat | None = key("Pixel format as ffmpeg lists it, or `source` to keep the source's.")
    max_width: Side | None = key("Wider pictures are scaled down to this, in pixels, even.")
    max_height: Side | None = key("Higher pictures are scaled down to this, in lines, even.")
    fps: FrameRate | None = key("Frames per second of the output: 25, 23.976, 30000/1001. Absent: as the source.")
    hdr: Literal["tonemap", "keep"] | None = key("HDR sources: tone-map to SDR, or keep (10 bit formats).", "tonemap")
    deinterlace: Literal["auto", "always", "never"] | None = key("auto: sources that are interlaced.", "auto")
    keyframe_seconds: seconds(0.02, 600) | None = key("Longest time between keyframes. Absent: the encoder's own.")  # type: ignore[valid-type]
    all_tracks: bool | None = key("Keep every video track; false keeps the first.", False)
    options: OptionTable | None = key("Further encoder options, from the list of allowed ones.")


class Audio(Section):
    """The sound."""

    enabled: bool | None = key("false makes an output without sound; `audio: false` is short for it.", True)
    encoder: EncoderName | None = key("Encoder as ffmpeg lists it: aac, libopus, libmp3lame, flac, ...", "aac")
    bitrate: AudioRate | None = key("Bits per second for stereo; other layouts in proportion to their channels.")
    bitrates: list[AudioRate] | None = key("Bit rates of several renditions; the highest is used for a single output.")
    channels: Annotated[int, Between(1, 8, "channels")] | None = key("Channels of the output. Absent: as the source.")
    sample_rate: Annotated[int, Between(8000, 192_000, "Hz")] | None = key("Hz. Absent: as the source where possible.")
    all_tracks: bool | None = key("Keep every audio track; false keeps the default one, else the first.", True)
    copy_if_compatible: bool | None = key("Copy a track unchanged where the container takes its codec.", False)


class Naming(Section):
    """Names of outputs, by regular expressions matched against the source's file name."""

    rename_pattern: GroupPattern | None = key("The output is named by what group 1 matches.")
    validation_pattern: Pattern | None = key("Sources whose name does not match are skipped, with the reason.")
    organization_pattern: GroupPattern | None = key("Outputs go to a folder named by what group 1 matches.")


class Scan(Section):
    """Which files of the input are taken."""

    extensions: Annotated[list[Extension], Field(min_length=1)] | None = key(
        "File extensions taken. Absent: the usual ones."
    )
    include: list[Glob] | None = key("Globs below the input; given any, only files that match one are taken.")
    exclude: list[Glob] | None = key("Globs below the input; files that match one are left out.")
    min_size: Bytes | None = key("Smaller files are left out: bytes, or 500K, 5M.", 0)
    max_size: Bytes | None = key("Larger files are left out: bytes, or 6G.")
    min_age: seconds(0, 366 * 86400) | None = key(  # type: ignore[valid-type]
        "Files changed less long ago are left for the next run: seconds, or 90s, 2m.", 0
    )


class BatchProcessing(Section):
    """How much runs at once, and how much memory it may take."""

    enabled: bool | None = key("false: one file after another in one process.", _BATCH.enabled)
    batch_size: BatchSize | None = key("Files per batch, or auto.", "auto")
    max_memory_percent: Annotated[float, PERCENT] | None = key(
        "Percent of the machine's (or container's) memory to stay under.", _BATCH.max_memory_percent
    )
    memory_limit: MemoryBytes | None = key("Also an absolute limit, such as 6G.")
    jobs: Annotated[int, Between(1, 1024, "batches")] | None = key("Batches at once. Absent: by cores and memory.")


class Estimation(Section):
    """Bounds of automatic batch sizing."""

    target_batch_seconds: seconds(1, 86400) | None = key(  # type: ignore[valid-type]
        "Predicted work per slot that a batch aims at.", _ESTIMATION.target_batch_seconds
    )
    min_batch_size: Annotated[int, Between(1, 1_000_000, "files")] | None = key(
        "Fewest files in an automatic batch.", _ESTIMATION.min_batch_size
    )
    max_batch_size: Annotated[int, Between(1, 1_000_000, "files")] | None = key(
        "Most files in an automatic batch.", _ESTIMATION.max_batch_size
    )
    memory_safety_factor: Annotated[float, Between(1, 10)] | None = key(
        "Predicted memory is multiplied by this.", _ESTIMATION.memory_safety_factor
    )


class Monitoring(Section):
    """How often is looked and told."""

    sample_interval_seconds: seconds(0.05, 60) | None = key(  # type: ignore[valid-type]
        "Time between two readings of memory and CPU.", _MONITORING.sample_interval_seconds
    )
    ramp_interval_seconds: seconds(0.01, 60) | None = key(  # type: ignore[valid-type]
        "The same while files have just begun or memory is short.", _MONITORING.ramp_interval_seconds
    )
    progress_interval_seconds: seconds(0.1, 86400) | None = key(  # type: ignore[valid-type]
        "Time between two progress lines where there is no terminal.", _MONITORING.progress_interval_seconds
    )


class Throttling(Section):
    """When less is done, and how files are run beside other work."""

    hold_percent: Annotated[float, PERCENT_OF_BUDGET] | None = key(
        "Percent of the memory allowed from which on nothing new is started.", _THROTTLING.hold_percent
    )
    release_percent: Annotated[float, PERCENT_OF_BUDGET] | None = key(
        "Percent of the memory allowed below which things go back to normal step by step.", _THROTTLING.release_percent
    )
    release_readings: Annotated[int, Between(1, 10_000, "readings")] | None = key(
        "How long they have to stay below, in sample intervals.", _THROTTLING.release_readings
    )
    wall_percent: Annotated[float, PERCENT] | None = key(
        "Percent of all memory that is never to be exceeded: rather than that, the youngest files are ended and tried "
        "again later.",
        _THROTTLING.wall_percent,
    )
    reaction_seconds: seconds(0.05, 60) | None = key(  # type: ignore[valid-type]
        "How far the growth of memory is looked ahead.", _THROTTLING.reaction_seconds
    )
    pressure_full_percent: Annotated[float, PERCENT_OF_TIME] | None = key(
        "Percent of time that all processes wait for memory (PSI full) from which on the youngest file is suspended.",
        _THROTTLING.pressure_full_percent,
    )
    max_sheds: Annotated[int, Between(1, 100, "times")] | None = key(
        "How often a file is ended for want of memory before it runs alone.", _THROTTLING.max_sheds
    )
    strict_memory: bool | None = key(
        "A file that needs more memory than is allowed fails, instead of running alone.", _THROTTLING.strict_memory
    )
    cpu_limit_percent: Annotated[float, PERCENT_OF_CORES] | None = key("Percent of all cores to stay within.")
    disk_reserve: Bytes | None = key(
        "Room that stays free on the output's disk: bytes, or 1G.", _THROTTLING.disk_reserve_bytes
    )
    nice: Annotated[int, Between(0, 19)] | None = key(
        "CPU priority of the encoders: 0 as usual, 19 the lowest.", _THROTTLING.nice
    )
    io_idle: bool | None = key("Encoders use the disk only while nobody else does.", _THROTTLING.io_idle)
    pressure_polite: bool | None = key("Run fewer files while other work waits.", _THROTTLING.pressure_polite)
    polite_percent: Annotated[float, PERCENT_OF_TIME] | None = key(
        "Percent of time that processes wait (PSI some) from which on other work counts as waiting.",
        _THROTTLING.polite_percent,
    )


class Schedule(Section):
    """At what time of day work is done, in local time."""

    window: Window | None = key('Work only between these times, such as "22:00-06:00".')
    until: TimeOfDay | None = key('Stop at the next such time, such as "07:00".')
    overrun: Literal["finish", "requeue"] | None = key(
        "Files that still run when the time is up: finish them, or end them for a later run to do.",
        _SCHEDULE.overrun.value,
    )
    grace_seconds: seconds(0, 86400) | None = key(  # type: ignore[valid-type]
        "How long running files have to finish once the run is told to end (SIGTERM); 0 ends them at once.",
        _SCHEDULE.grace_seconds,
    )


class ErrorHandling(Section):
    """When to give up on a file."""

    max_retries: Annotated[int, Between(0, 100, "retries")] | None = key(
        "Further tries of a file that failed in a way that may pass.", _ERRORS.max_retries
    )
    retry_delay_seconds: seconds(0.01, 86400) | None = key(  # type: ignore[valid-type]
        "Time before the first of them; it doubles from one to the next.", _ERRORS.retry_delay_seconds
    )
    max_retry_delay_seconds: seconds(0.01, 86400) | None = key(  # type: ignore[valid-type]
        "Longest time before one of them.", _ERRORS.max_retry_delay_seconds
    )
    max_failed_runs: Annotated[int, Between(1, 1000, "runs")] | None = key(
        "Runs in which a file may fail in a way that may pass; the next ones leave it alone.", _ERRORS.max_failed_runs
    )
    max_killed_runs: Annotated[int, Between(1, 1000, "runs")] | None = key(
        "Runs in a row that may be killed while they work on a file, before it is set aside.", _ERRORS.max_killed_runs
    )
    stall_seconds: seconds(1, 86400) | None = key(  # type: ignore[valid-type]
        "An ffmpeg without progress for so long is ended; files that are slow to encode are given more.",
        _ERRORS.stall_seconds,
    )
    time_limit_factor: Annotated[float, Between(2, 10_000, "times")] | None = key(
        "How many times longer than predicted one file may take; an hour is always allowed.", _ERRORS.time_limit_factor
    )
    inspect_timeout_seconds: seconds(0.1, 3600) | None = key(  # type: ignore[valid-type]
        "Longest time that inspecting one file may take.", _ERRORS.inspect_timeout_seconds
    )
    worker_silence_seconds: seconds(1, 86400) | None = key(  # type: ignore[valid-type]
        "A batch process that says nothing for so long is given up on.", _ERRORS.worker_silence_seconds
    )


class Watch(Section):
    """How a folder is watched, with --watch."""

    poll_seconds: seconds(0.5, 86400) | None = key(  # type: ignore[valid-type]
        "Longest time between two looks at the whole folder.", _WATCH.poll_seconds
    )


class InputLimitsTable(Section):
    """What a source may claim before it counts as damaged, or as made to harm."""

    max_pixels: Annotated[int, Between(256, 1 << 30, "pixels")] | None = key(
        "Largest picture of a source, width x height.", _INPUT.max_pixels
    )
    max_streams: Annotated[int, Between(1, 10_000, "streams")] | None = key(
        "Most streams that a source may hold.", _INPUT.max_streams
    )
    max_duration: seconds(1, 366 * 86400) | None = key(  # type: ignore[valid-type]
        "Longest that a source may claim to last.", _INPUT.max_duration_seconds
    )
    inspect_memory: MemoryBytes | None = key(
        "Memory that inspecting may take (Linux); a file that wants more is refused.", _INPUT.inspect_memory_bytes
    )
    max_output_growth: Annotated[float, Between(1, 1_000_000, "times the source")] | None = key(
        "How many times its source's size an output may reach, beside `always_allowed_output`.",
        _INPUT.max_output_growth,
    )
    always_allowed_output: Bytes | None = key(
        "Size that any output may reach, however small its source.", _INPUT.always_allowed_output_bytes
    )


class Hooks(Section):
    """Programs to call, each a list of its name and arguments; no shell reads them."""

    on_success: Words | None = key("After each file that succeeded.")
    on_failure: Words | None = key("After each file that failed for good.")
    on_end: Words | None = key("After the run.")
    timeout_seconds: seconds(0.1, 86400) | None = key(  # type: ignore[valid-type]
        "A program that takes longer is ended.", _HOOKS.timeout_seconds
    )


class Unsafe(Section):
    """Words for ffmpeg that nobody checks; they need --allow-unsafe-args on the command line."""

    input: Words | None = key("Put before the input.")
    output: Words | None = key("Put before the output.")


class ProfileFile(Section):
    """A pyprocessor profile."""

    description: Annotated[str, Field(max_length=500)] | None = key("One line on what the profile is for.")
    extends: Annotated[str, Field(min_length=1, max_length=_LONGEST_PATH)] | None = key(
        "A built-in profile's name or a file to build on."
    )
    input: Annotated[str, Field(min_length=1, max_length=_LONGEST_PATH)] | None = key(
        "File or folder to read, used where no --input is given."
    )
    output: Annotated[str, Field(min_length=1, max_length=_LONGEST_PATH)] | None = key(
        "Folder to write, used where no --output is given."
    )
    container: Container | None = key(f"Container of the outputs: {listed(CONTAINERS)}.", "mp4")
    video: Annotated[Video, Switch()] | None = key("The picture, or false for none.")
    audio: Annotated[Audio, Switch()] | None = key("The sound, or false for none.")
    subtitles: bool | None = key("Keep subtitles, converted where the container needs it.", True)
    attachments: bool | None = key("Keep attachments such as fonts where the container takes them.", True)
    chapters: bool | None = key("Keep chapters.", True)
    metadata: bool | None = key("Keep metadata such as title, date, place and camera.", True)
    strip_location: bool | None = key("Leave out whatever says where it was recorded, for films to share.", False)
    damaged: Literal["keep", "refuse"] | None = key(
        "Sources that are cut off or damaged: keep what is there of them, or fail them.", "keep"
    )
    naming: Naming | None = key("Names of outputs.")
    scan: Scan | None = key("Which files of the input are taken.")
    batch_processing: BatchProcessing | None = key("How much runs at once.")
    estimation: Estimation | None = key("Bounds of automatic batch sizing.")
    monitoring: Monitoring | None = key("How often is looked and told.")
    throttling: Throttling | None = key("When less is done, and how files are run beside other work.")
    schedule: Schedule | None = key("At what time of day work is done.")
    error_handling: ErrorHandling | None = key("When to give up on a file.")
    watch: Watch | None = key("How a folder is watched, with --watch.")
    input_limits: InputLimitsTable | None = key("What a source may claim.")
    hooks: Hooks | None = key("Programs to call after files and after the run.")
    unsafe: Unsafe | None = key("Unchecked words for ffmpeg; they need --allow-unsafe-args.")


SECTIONS: dict[str, type[Section]] = {
    "video": Video,
    "audio": Audio,
    "naming": Naming,
    "scan": Scan,
    "batch_processing": BatchProcessing,
    "estimation": Estimation,
    "monitoring": Monitoring,
    "throttling": Throttling,
    "schedule": Schedule,
    "error_handling": ErrorHandling,
    "watch": Watch,
    "input_limits": InputLimitsTable,
    "hooks": Hooks,
    "unsafe": Unsafe,
}
"""The keys of `ProfileFile` that hold keys of their own."""
