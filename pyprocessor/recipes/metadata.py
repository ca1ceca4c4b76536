"""What becomes of a source's tags and marks: place, camera, date, default and forced tracks?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pyprocessor.containers.tags import UNNAMED, is_camera, is_place, is_vendor
from pyprocessor.ffmpeg.invocation import Options
from pyprocessor.models import MediaInfo, MediaNote, Profile, StreamInfo
from pyprocessor.models.encoders import MP4_FAMILY

_MARKS = (
    "default dub original comment lyrics karaoke forced hearing_impaired visual_impaired clean_effects captions "
    "descriptions metadata dependent"
).split()
"""Dispositions that an output's track takes from its source's."""


@dataclass(frozen=True, slots=True)
class FileTags:
    """The options that write an output's tags, what to add to `-movflags`, and notes for the user."""

    options: Options
    movflags: str = ""
    recorded: datetime | None = None
    """The date that the headers of an MP4 are given afterwards: as a key it would stand there twice."""
    notes: tuple[MediaNote, ...] = ()


def file_tags(profile: Profile, media: MediaInfo) -> FileTags:
    """How the tags of the file and its chapters are written; those of single streams are in `stream_tags`."""
    if not profile.keep_metadata or (profile.strip_location and UNNAMED in media.place_tags):
        return FileTags((("map_metadata", "-1"),))
    # By default ffmpeg copies all metadata but the date of the recording.
    options = [("map_metadata", "0")]
    tags = media.tags
    if profile.strip_location:
        tags = tuple((key, value) for key, value in tags if not is_place(key, value))
        options += [
            (f"metadata:{owner}" if owner else "metadata", f"{key}=")
            for owner, key in media.place_tags
            if not owner or (owner.startswith("c:") and profile.keep_chapters)
        ]
    if profile.container in ("mpegts", "wav"):
        return FileTags(tuple(options), notes=_left_out(profile.container, tags))
    if profile.container not in MP4_FAMILY or not any(_needs_key(profile.container, *tag) for tag in tags):
        return FileTags(tuple(options))
    # A phone's own tags stay only as QuickTime keys. ffmpeg then writes all tags so, which fewer players show.
    options += [("metadata", f"{key}=") for key in ("major_brand", "minor_version", "compatible_brands")]
    options += [("metadata", f"{_as_phones_write(key)}={value}") for key, value in tags if _as_phones_write(key) != key]
    recorded = _recorded(dict(tags))
    if recorded is not None:
        options.append(("metadata", "creation_time="))
    return FileTags(tuple(options), "+use_metadata_tags", recorded)


def stream_tags(profile: Profile, media: MediaInfo, stream: StreamInfo) -> Options:
    """The tags of an output's track that are not just its source's."""
    stripped = profile.strip_location and profile.keep_metadata
    tags = [(key, "") for owner, key in media.place_tags if stripped and owner == f"s:{stream.index}"]
    if media.container.startswith("mov,") and stream.title and profile.keep_metadata:
        tags.append(("title", stream.title))  # what ffmpeg reads as `name` there, it writes only as `title`
    return tuple(tags)


def marks(stream: StreamInfo) -> str:
    """The dispositions of an output's track; without them ffmpeg makes the first track default."""
    return "+".join(mark for mark in _MARKS if mark in stream.dispositions) or "0"


def lost_marks(container: str, subtitles: tuple[StreamInfo, ...]) -> tuple[MediaNote, ...]:
    """A note where a container does not hold that subtitles are to be shown unasked."""
    if container != "mov" or not any("forced" in stream.dispositions for stream in subtitles):
        return ()
    text = f"That a subtitle track is forced is not in the output: {container} does not say so."
    return (MediaNote(text, f"subtitles no longer marked as forced ({container} does not say so)"),)


def _needs_key(container: str, key: str, value: str) -> bool:
    """Whether a tag would be lost without being asked for; `location` has a box of its own."""
    if is_vendor(key) or (container != "mov" and is_camera(key)):
        return True
    return is_place(key, value) and not key.lower().startswith("location")


def _as_phones_write(key: str) -> str:
    """The key in the case that phones use; Matroska holds it in capitals."""
    if not is_vendor(key) or key != key.upper():
        return key
    return key.lower().replace("iso6709", "ISO6709")


def _recorded(tags: Mapping[str, str]) -> datetime | None:
    try:
        date = datetime.fromisoformat(tags.get("creation_time", ""))
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _left_out(container: str, tags: tuple[tuple[str, str], ...]) -> tuple[MediaNote, ...]:
    place, camera = any(is_place(*tag) for tag in tags), any(is_camera(key) for key, _ in tags)
    if not place and not camera:
        return ()
    lost = "the place and the camera" if place and camera else "the place" if place else "the camera"
    lost += " of the recording"
    text = f"{lost.capitalize()} {'were' if place and camera else 'was'} left out: {container} holds none."
    return (MediaNote(text, f"{lost} left out ({container} holds none)"),)
