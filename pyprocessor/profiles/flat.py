"""Translates the older, flat form of a profile to the nested form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyprocessor.profiles.documents import Document, KeyPath
from pyprocessor.profiles.flat_schema import FLAT_SECTIONS, FlatProfile
from pyprocessor.profiles.problems import Origin
from pyprocessor.profiles.schema import BatchProcessing, ProfileFile
from pyprocessor.profiles.validation import problems_of

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
