"""Which keys may a profile hold, in its nested form and in the older flat one?

Every key is optional and None means *not said here*: files are laid over each other before defaults are filled in.
Descriptions, ranges and defaults are also in the JSON Schema for editors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from pyprocessor import models
from pyprocessor.models.encoders import CONTAINERS
from pyprocessor.profiles import kinds
from pyprocessor.profiles.kinds import Kind, Switch, number, one_of, percent, seconds, text, tuple_of, whole
from pyprocessor.profiles.problems import KeyPath, listed

_UNITS = ("", "_bytes", "_seconds")
"""What the name of a record's field may have after that of its key: `min_size` is kept as `min_size_bytes`."""

PROFILE_FIELDS = {
    "batch_processing": "batch",
    "error_handling": "errors",
    **{kept: f"keep_{kept}" for kept in ("subtitles", "attachments", "chapters", "metadata")},
}
"""The fields of `models.Profile` that have another name than their key."""
SWITCHED = ("video", "audio")
"""Tables for which files may also have `true` or `false`."""


class Key(NamedTuple):
    """A key that may be absent; `default` is for editors only, as layers are merged before defaults apply."""

    kind: Kind | Table
    description: str
    default: Any = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table of keys. `record` is the class of `models` that it fills, `record_fields` the field of each key."""

    description: str
    keys: Mapping[str, Key]
    record: Any
    record_fields: Mapping[str, str]

    @property
    def sections(self) -> dict[str, Table]:
        """The keys that hold keys of their own."""
        return {name: key.kind for name, key in self.keys.items() if isinstance(key.kind, Table)}


def table(description: str, record: Any = None, /, **keys: Key) -> Table:
    """A table of keys, whose defaults are those of its record."""
    defaults = {} if record is None else {field.name: field.default for field in dataclasses.fields(record)}
    kept_as = {name: name + unit for name in keys for unit in _UNITS if name + unit in defaults}
    for key, field in kept_as.items():
        if keys[key].default is None:
            keys[key] = keys[key]._replace(default=defaults[field])
    return Table(description, keys, record, kept_as)


_OF_MEMORY = percent("80 for four fifths of the memory")
_OF_BUDGET = percent("90 for nine tenths of the memory allowed")
_OF_TIME = percent("20 for a fifth of the time")

SECTIONS: dict[str, Table] = {
    "video": table(
        "The picture.",
        enabled=Key(Switch, "false makes an output without picture; `video: false` is short for it.", True),
        encoder=Key(kinds.EncoderName, "Encoder as ffmpeg lists it: libx264, libx265, libsvtav1, ...", "libx264"),
        preset=Key(kinds.Preset, "Speed against size: ultrafast to placebo (x264, x265), 0 to 13 (SVT-AV1)."),
        tune=Key(kinds.Tune, "Kind of picture the encoder tunes for: film, animation, grain, ..."),
        crf=Key(whole(0, 63), "Constant quality, lower is better: 0 to 51 (x264, x265), 0 to 63 (AV1, VP9)."),
        bitrates=Key(kinds.Heights, "Highest bit rate by height: the entry at or below the output's height caps it."),
        pixel_format=Key(kinds.PixelFormat, "Pixel format as ffmpeg lists it, or `source` to keep the source's."),
        max_width=Key(kinds.Side, "Wider pictures are scaled down to this, in pixels, even."),
        max_height=Key(kinds.Side, "Higher pictures are scaled down to this, in lines, even."),
        fps=Key(kinds.FrameRate, "Frames per second of the output: 25, 23.976, 30000/1001. Absent: as the source."),
        hdr=Key(one_of(models.HdrPolicy), "HDR sources: tone-map to SDR, or keep (10 bit formats).", "tonemap"),
        deinterlace=Key(one_of(models.Deinterlace), "auto: sources that are interlaced.", "auto"),
        keyframe_seconds=Key(seconds(0.02, 600), "Longest time between keyframes. Absent: the encoder's own."),
        all_tracks=Key(Switch, "Keep every video track; false keeps the first.", False),
        options=Key(kinds.OptionTable, "Further encoder options, from the list of allowed ones."),
    ),
    "audio": table(
        "The sound.",
        enabled=Key(Switch, "false makes an output without sound; `audio: false` is short for it.", True),
        encoder=Key(kinds.EncoderName, "Encoder as ffmpeg lists it: aac, libopus, libmp3lame, flac, ...", "aac"),
        bitrate=Key(kinds.AudioRate, "Bits per second for stereo; other layouts in proportion to their channels."),
        bitrates=Key(tuple_of(kinds.AudioRate), "Bit rates of several renditions; one output takes the highest."),
        channels=Key(whole(1, 8, "channels"), "Channels of the output. Absent: as the source."),
        sample_rate=Key(whole(8000, 192_000, "Hz"), "Hz. Absent: as the source where possible."),
        all_tracks=Key(Switch, "Keep every audio track; false keeps the default one, else the first.", True),
        copy_if_compatible=Key(Switch, "Copy a track unchanged where the container takes its codec.", False),
    ),
    "naming": table(
        "Names of outputs, by regular expressions matched against the source's file name.",
        models.NamingSettings,
        rename_pattern=Key(kinds.GroupPattern, "The output is named by what group 1 matches."),
        validation_pattern=Key(kinds.Pattern, "Sources whose name does not match are skipped, with the reason."),
        organization_pattern=Key(kinds.GroupPattern, "Outputs go to a folder named by what group 1 matches."),
    ),
    "scan": table(
        "Which files of the input are taken.",
        models.ScanSettings,
        extensions=Key(tuple_of(kinds.Extension, 1), "File extensions taken. Absent: the usual ones."),
        include=Key(tuple_of(kinds.Glob), "Globs below the input; given any, only files that match one are taken."),
        exclude=Key(tuple_of(kinds.Glob), "Globs below the input; files that match one are left out."),
        min_size=Key(kinds.Bytes, "Smaller files are left out: bytes, or 500K, 5M."),
        max_size=Key(kinds.Bytes, "Larger files are left out: bytes, or 6G."),
        min_age=Key(seconds(0, 366 * 86400), "Files changed less long ago are left for the next run, as 90s or 2m."),
    ),
    "batch_processing": table(
        "How much runs at once, and how much memory it may take.",
        models.BatchSettings,
        enabled=Key(Switch, "false: the mode sequential, and true any other."),
        mode=Key(one_of(models.Mode), "Order and batches: auto, sequential, parallel, chunked, adaptive, ..."),
        priority_by=Key(kinds.PriorityBy, "What goes first in the mode priority: largest, metadata:KEY, ..."),
        batch_size=Key(kinds.BatchSize, "Files per batch, or auto.", "auto"),
        max_memory_percent=Key(_OF_MEMORY, "Percent of the machine's (or container's) memory to stay under."),
        memory_limit=Key(kinds.MemoryBytes, "Also an absolute limit, such as 6G."),
        jobs=Key(whole(1, 1024, "batches"), "Batches at once. Absent: by cores and memory."),
        resources=Key(kinds.Resources, "How many there are of what tasks need by name, as {gpu: 2}; else one."),
        tenants=Key(kinds.Tenants, "Shares and limits of tenants, as {studio: {weight: 3, max_jobs: 4}}."),
        unknown_tenants=Key(one_of(models.UnknownTenants), "Jobs of tenants that are not listed.", "allow"),
        cache_size=Key(whole(0, 100_000, "results"), "Results kept for jobs of the same content; 0: none is reused."),
        cache_expiry=Key(seconds(0, 36525 * 86400), "Results made longer ago are not reused, such as 12h."),
        share_results=Key(Switch, "Whether tenants get copies of each other's results."),
    ),
    "estimation": table(
        "Bounds of automatic batch sizing.",
        models.EstimationSettings,
        target_batch_seconds=Key(seconds(1, 86400), "Predicted work per slot that a batch aims at."),
        min_batch_size=Key(whole(1, 1_000_000, "files"), "Fewest files in an automatic batch."),
        max_batch_size=Key(whole(1, 1_000_000, "files"), "Most files in an automatic batch."),
        memory_safety_factor=Key(number(1, 10), "Predicted memory is multiplied by this."),
    ),
    "monitoring": table(
        "How often the machine is measured, and progress is shown.",
        models.MonitoringSettings,
        sample_interval_seconds=Key(seconds(0.05, 60), "Time between two readings of memory and CPU."),
        ramp_interval_seconds=Key(seconds(0.01, 60), "The same while files have just begun or memory is short."),
        progress_interval_seconds=Key(seconds(0.1, 86400), "Time between progress lines where there is no terminal."),
    ),
    "throttling": table(
        "When less is done, and how files are run beside other work.",
        models.ThrottlingSettings,
        hold_percent=Key(_OF_BUDGET, "Percent of the memory allowed from which on nothing new is started."),
        release_percent=Key(_OF_BUDGET, "The same, below which limits are lifted step by step."),
        release_readings=Key(whole(1, 10_000, "readings"), "How long memory has to stay below, in sample intervals."),
        wall_percent=Key(_OF_MEMORY, "Percent of all memory: rather than exceed it, the youngest files are ended."),
        reaction_seconds=Key(seconds(0.05, 60), "How far ahead the growth of memory is reckoned."),
        pressure_full_percent=Key(_OF_TIME, "PSI full, percent of time waited for memory; above it a file is stopped."),
        max_sheds=Key(whole(1, 100, "times"), "How often a file is ended for want of memory before it runs alone."),
        strict_memory=Key(Switch, "A file that needs more memory than is allowed fails, instead of running alone."),
        cpu_limit_percent=Key(percent("50 for half of all cores"), "Percent of all cores to stay within."),
        disk_reserve=Key(kinds.Bytes, "Room that stays free on the output's disk: bytes, or 1G."),
        nice=Key(whole(0, 19), "CPU priority of the encoders: 0 as usual, 19 the lowest."),
        io_idle=Key(Switch, "Encoders use the disk only while nobody else does."),
        pressure_polite=Key(Switch, "Run fewer files while other work waits."),
        polite_percent=Key(_OF_TIME, "PSI some, percent of time waited: from it on other work counts as waiting."),
    ),
    "schedule": table(
        "At what time of day work is done, in local time.",
        models.ScheduleSettings,
        window=Key(kinds.Window, 'Work only between these times, such as "22:00-06:00".'),
        until=Key(kinds.TimeOfDay, 'Stop at the next such time, such as "07:00".'),
        overrun=Key(one_of(models.Overrun), "Files that run when the time is up: finish them, or queue them again."),
        grace_seconds=Key(seconds(0, 86400), "How long running files may go on after SIGTERM; 0 ends them at once."),
    ),
    "error_handling": table(
        "When to give up on a file.",
        models.ErrorSettings,
        max_retries=Key(whole(0, 100, "retries"), "Further tries of a file that failed in a way that may pass."),
        retry_delay_seconds=Key(seconds(0.01, 86400), "Time before the first of them; it doubles with each."),
        max_retry_delay_seconds=Key(seconds(0.01, 86400), "Longest time before one of them."),
        max_failed_runs=Key(whole(1, 1000, "runs"), "Runs in which a file may fail so, before it is tried no more."),
        max_killed_runs=Key(whole(1, 1000, "runs"), "Runs in a row killed over a file, before it is set aside."),
        stall_seconds=Key(seconds(1, 86400), "An ffmpeg without progress for so long is ended; slow ones get more."),
        time_limit_factor=Key(
            number(2, 10_000, "times"), "Times the predicted time that a file may take; an hour at least."
        ),
        inspect_timeout_seconds=Key(seconds(0.1, 3600), "Longest time that inspecting one file may take."),
        worker_silence_seconds=Key(seconds(1, 86400), "A batch process that sends nothing for so long is given up on."),
    ),
    "watch": table(
        "How a folder is watched, with --watch.",
        models.WatchSettings,
        poll_seconds=Key(seconds(0.5, 86400), "Longest time between two looks at the whole folder."),
    ),
    "input_limits": table(
        "What a source may claim before it counts as damaged, or as made to harm.",
        models.InputLimits,
        max_pixels=Key(whole(256, 1 << 30, "pixels"), "Largest picture of a source, width x height."),
        max_streams=Key(whole(1, 10_000, "streams"), "Most streams that a source may hold."),
        max_duration=Key(seconds(1, 366 * 86400), "Longest that a source may claim to last."),
        inspect_memory=Key(kinds.MemoryBytes, "Memory that inspecting a file may take (Linux); more is refused."),
        max_output_growth=Key(number(1, 1_000_000, "times the source"), "Times its source that an output may reach."),
        always_allowed_output=Key(kinds.Bytes, "Size that any output may reach, however small its source."),
    ),
    "hooks": table(
        "Programs to call after files and after the run: lists of words, which no shell reads.",
        models.HookSettings,
        on_success=Key(kinds.Words, "After each file that succeeded."),
        on_failure=Key(kinds.Words, "After each file that failed for good."),
        on_end=Key(kinds.Words, "After the run."),
        timeout_seconds=Key(seconds(0.1, 86400), "A program that takes longer is ended."),
    ),
    "unsafe": table(
        "Unchecked words for ffmpeg; they need --allow-unsafe-args on the command line.",
        models.UnsafeArguments,
        input=Key(kinds.Words, "Put before the input."),
        output=Key(kinds.Words, "Put before the output."),
    ),
}
"""The keys of `ProfileFile` that hold keys of their own."""

_PATH = text(1, 4096)
ProfileFile = table(
    "A pyprocessor profile.",
    description=Key(text(0, 500), "One line on what the profile is for."),
    extends=Key(_PATH, "A built-in profile's name or a file to build on."),
    input=Key(_PATH, "File or folder to read, used where no --input is given."),
    output=Key(_PATH, "Folder to write, used where no --output is given."),
    container=Key(kinds.Container, f"Container of the outputs: {listed(CONTAINERS)}.", "mp4"),
    video=Key(SECTIONS["video"], "The picture, or false for none."),
    audio=Key(SECTIONS["audio"], "The sound, or false for none."),
    subtitles=Key(Switch, "Keep subtitles, converted where the container needs it.", True),
    attachments=Key(Switch, "Keep attachments such as fonts where the container takes them.", True),
    chapters=Key(Switch, "Keep chapters.", True),
    metadata=Key(Switch, "Keep metadata such as title, date, place and camera.", True),
    damaged=Key(one_of(models.Damaged), "Sources cut off or damaged: keep what is there, or fail them.", "keep"),
    chunking=Key(one_of(models.Chunking), "Long films in parts side by side: auto, off, or always.", "auto"),
    strip_location=Key(Switch, "Leave out whatever says where it was recorded, for films to share.", False),
    **{name: Key(section, section.description) for name, section in SECTIONS.items() if name not in SWITCHED},
)


# ---------------------------------------------------------------- the older, flat form

_FFMPEG_PARAMS: dict[str, KeyPath] = {
    "video_encoder": ("video", "encoder"),
    **{name: ("video", name) for name in ("preset", "tune", "crf", "fps", "pixel_format", "bitrates")},
    "audio_encoder": ("audio", "encoder"),
    "include_audio": ("audio", "enabled"),
    "audio_bitrates": ("audio", "bitrates"),
}
_FLAT_TOP: dict[str, KeyPath] = {
    **{name: (name,) for name in ("description", "extends", "container")},
    "input_folder": ("input",),
    "output_folder": ("output",),
    "max_parallel_jobs": ("batch_processing", "jobs"),
    "file_rename_pattern": ("naming", "rename_pattern"),
    "file_validation_pattern": ("naming", "validation_pattern"),
    "folder_organization_pattern": ("naming", "organization_pattern"),
}
FLAT_KEYS: dict[KeyPath, KeyPath] = {
    **{(name,): path for name, path in _FLAT_TOP.items()},
    **{("ffmpeg_params", name): path for name, path in _FFMPEG_PARAMS.items()},
    **{("batch_processing", name): ("batch_processing", name) for name in SECTIONS["batch_processing"].keys},
}
"""The key of the nested form that means the same as one of the flat form."""


def key_of(path: KeyPath) -> Key:
    """The key at this path of the nested form."""
    return (ProfileFile if len(path) == 1 else SECTIONS[path[0]]).keys[path[-1]]


def _as(path: KeyPath) -> Key:
    """A key of the flat form that takes what this one takes."""
    return key_of(path)._replace(description=f"As `{'.'.join(path)}`.")


FLAT_SECTIONS: dict[str, Table] = {
    "ffmpeg_params": table("What ffmpeg is to do.", **{name: _as(path) for name, path in _FFMPEG_PARAMS.items()}),
    "batch_processing": SECTIONS["batch_processing"],
}
FlatProfile = table(
    "The older, flat form of a profile.",
    **{
        **{name: _as(path) for name, path in _FLAT_TOP.items()},
        **{name: Key(section, section.description) for name, section in FLAT_SECTIONS.items()},
        # These need their group only where the switch beside them is on.
        "file_rename_pattern": Key(kinds.Pattern, "As `naming.rename_pattern`."),
        "folder_organization_pattern": Key(kinds.Pattern, "As `naming.organization_pattern`."),
        "auto_rename_files": Key(Switch, "Whether `file_rename_pattern` is applied.", False),
        "auto_organize_folders": Key(Switch, "Whether `folder_organization_pattern` is applied.", False),
        "last_used_profile": Key(kinds.Anything, "Read, but has no effect."),
        "server_optimization": Key(kinds.Anything, "Read, but has no effect."),
    },
)

KNOWN_AT_TOP = frozenset(ProfileFile.keys) | frozenset(FlatProfile.keys)
"""Every key that may stand at the top of a profile of either form."""


# ---------------------------------------------------------------- for editors


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) that takes the nested and the older flat form."""
    tables = {_camel_case(name): section for name, section in (SECTIONS | FLAT_SECTIONS).items()}
    tables |= {"ProfileFile": ProfileFile, "FlatProfile": FlatProfile}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pyprocessor profile",
        "description": "What pyprocessor makes of a source, and under which limits.",
        "anyOf": [{"$ref": "#/$defs/ProfileFile"}, {"$ref": "#/$defs/FlatProfile"}],
        "$defs": {name: _table_schema(each) for name, each in tables.items()},
    }


def _camel_case(name: str) -> str:
    return name.title().replace("_", "")


def _table_schema(described: Table) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, (kind, description, default) in described.keys.items():
        forms = ({"$ref": f"#/$defs/{_camel_case(name)}"},) if isinstance(kind, Table) else kind.forms
        switch = Switch.forms if name in SWITCHED else ()
        properties[name] = {"anyOf": [*forms, *switch, {"type": "null"}], "description": description}
        if isinstance(default, str | int | float):
            properties[name]["default"] = default
    head = {"type": "object", "description": described.description, "additionalProperties": False}
    return {**head, "properties": properties}
