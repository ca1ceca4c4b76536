"""The older, flat form of a profile (`ffmpeg_params`, `max_parallel_jobs`, ...), translated to the nested form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from pyprocessor.profiles.documents import Document, KeyPath
from pyprocessor.profiles.fields import (
    AudioRate,
    Between,
    Container,
    EncoderName,
    FrameRate,
    Heights,
    Pattern,
    PixelFormat,
    Preset,
    Tune,
)
from pyprocessor.profiles.problems import Origin
from pyprocessor.profiles.schema import BatchProcessing, ProfileFile, Section, key
from pyprocessor.profiles.validation import problems_of


class FfmpegParams(Section):
    """What ffmpeg is told."""

    video_encoder: EncoderName | None = key("As `video.encoder`.", "libx264")
    audio_encoder: EncoderName | None = key("As `audio.encoder`.", "aac")
    preset: Preset | None = key("As `video.preset`.")
    tune: Tune | None = key("As `video.tune`.")
    crf: Annotated[int, Between(0, 63)] | None = key("As `video.crf`.")
    fps: FrameRate | None = key("As `video.fps`.")
    pixel_format: PixelFormat | None = key("As `video.pixel_format`.")
    include_audio: bool | None = key("false makes an output without sound.", True)
    bitrates: Heights | None = key("As `video.bitrates`: highest bit rate by height.")
    audio_bitrates: list[AudioRate] | None = key("As `audio.bitrates`.")


class FlatProfile(Section):
    """The older, flat form of a profile."""

    description: Annotated[str, Field(max_length=500)] | None = key("One line on what the profile is for.")
    extends: Annotated[str, Field(min_length=1)] | None = key("A built-in profile's name or a file to build on.")
    container: Container | None = key("As in the nested form.", "mp4")
    input_folder: str | None = key("Folder to read, used where no --input is given.")
    output_folder: str | None = key("Folder to write, used where no --output is given.")
    ffmpeg_params: FfmpegParams | None = key("What ffmpeg is told.")
    max_parallel_jobs: Annotated[int, Between(1, 1024, "batches")] | None = key("As `batch_processing.jobs`.")
    auto_rename_files: bool | None = key("Whether `file_rename_pattern` is applied.", False)
    file_rename_pattern: Pattern | None = key("As `naming.rename_pattern`.")
    file_validation_pattern: Pattern | None = key("As `naming.validation_pattern`.")
    auto_organize_folders: bool | None = key("Whether `folder_organization_pattern` is applied.", False)
    folder_organization_pattern: Pattern | None = key("As `naming.organization_pattern`.")
    batch_processing: BatchProcessing | None = key("As in the nested form.")
    last_used_profile: Any = key("Read, but has no effect.")
    server_optimization: Any = key("Read, but has no effect.")


FLAT_SECTIONS: dict[str, type[Section]] = {"ffmpeg_params": FfmpegParams, "batch_processing": BatchProcessing}
_FLAT_ONLY = frozenset(FlatProfile.model_fields) - frozenset(ProfileFile.model_fields)
_NESTED_ONLY = frozenset(ProfileFile.model_fields) - frozenset(FlatProfile.model_fields)

_MOVES: tuple[tuple[KeyPath, KeyPath], ...] = (
    (("description",), ("description",)),
    (("extends",), ("extends",)),
    (("container",), ("container",)),
    (("input_folder",), ("input",)),
    (("output_folder",), ("output",)),
    (("ffmpeg_params", "video_encoder"), ("video", "encoder")),
    (("ffmpeg_params", "preset"), ("video", "preset")),
    (("ffmpeg_params", "tune"), ("video", "tune")),
    (("ffmpeg_params", "crf"), ("video", "crf")),
    (("ffmpeg_params", "fps"), ("video", "fps")),
    (("ffmpeg_params", "pixel_format"), ("video", "pixel_format")),
    (("ffmpeg_params", "bitrates"), ("video", "bitrates")),
    (("ffmpeg_params", "audio_encoder"), ("audio", "encoder")),
    (("ffmpeg_params", "include_audio"), ("audio", "enabled")),
    (("ffmpeg_params", "audio_bitrates"), ("audio", "bitrates")),
    (("file_rename_pattern",), ("naming", "rename_pattern")),
    (("file_validation_pattern",), ("naming", "validation_pattern")),
    (("folder_organization_pattern",), ("naming", "organization_pattern")),
    (("max_parallel_jobs",), ("batch_processing", "jobs")),
    *((("batch_processing", name), ("batch_processing", name)) for name in BatchProcessing.model_fields),
)
_SWITCHED_BY = {"file_rename_pattern": "auto_rename_files", "folder_organization_pattern": "auto_organize_folders"}
_WITHOUT_EFFECT = ("last_used_profile", "server_optimization")


@dataclass(frozen=True, slots=True)
class Translation:
    """The nested values, where each came from, what is wrong, and what has no effect."""

    values: dict[str, Any]
    origins: dict[KeyPath, Origin]
    problems: tuple[str, ...]
    notices: tuple[str, ...]


def is_flat(values: dict[str, Any]) -> bool:
    """Whether a file is in the flat form: any key that only this form has says so."""
    return not _FLAT_ONLY.isdisjoint(values)


def translate(document: Document) -> Translation:
    """The nested form of a flat file. An empty text counts as not said, as it does in files this form comes from."""
    written = {name: _without_empty(value) for name, value in document.values.items() if value != ""}

    def origin(path: KeyPath) -> Origin:
        return Origin(document.name, ".".join(path), document.lines.get(path))

    marker = min(_FLAT_ONLY & document.values.keys())
    problems = [
        f"{origin((name,)).prefix}`{name}` belongs to the nested form of profiles and cannot stand beside `{marker}`, "
        f"which belongs to the older flat form; write the file in one of the two."
        for name in written
        if name in _NESTED_ONLY
    ]
    flat = {name: value for name, value in written.items() if name not in _NESTED_ONLY}
    problems += problems_of(FlatProfile, FLAT_SECTIONS, flat, origin)
    if problems:
        return Translation({}, {}, tuple(problems), ())

    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
    notices = [f"{origin((name,)).prefix}`{name}` has no effect here." for name in _WITHOUT_EFFECT if name in written]
    for source, target in _MOVES:
        value = _at(flat, source)
        if value is None:
            continue
        switch = _SWITCHED_BY.get(source[-1])
        if switch is not None and not flat.get(switch):
            notices.append(f"{origin(source).prefix}`{source[-1]}` has no effect, because `{switch}` is not true.")
            continue
        holder = values
        for part in target[:-1]:
            holder = holder.setdefault(part, {})
        holder[target[-1]] = value
        origins[target] = origin(source)
    return Translation(values, origins, (), tuple(notices))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if item != ""}
    return value


def _at(values: dict[str, Any], path: KeyPath) -> Any:
    found: Any = values
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found
