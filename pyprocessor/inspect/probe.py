"""Asks a file what it holds, with PyAV: every stream, duration, colour, HDR, rotation.

It runs in the scout process, so a demuxer that crashes or hangs on a hostile file costs that one file. What it
reads is bounded all the same: the demuxers that may open a file, the bytes they may look at, and how much is decoded in
search of the first picture, which alone carries rotation and HDR side data. Small files are surveyed whole; larger
ones by whoever works on them (`survey_source`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import av
import av.error

from pyprocessor.containers import content, structure
from pyprocessor.containers.claims import check_duration, check_picture, check_streams, too_much_memory
from pyprocessor.containers.cut_off import with_its_end
from pyprocessor.containers.tags import place_tags, recording_tags
from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect import colour, projection, webp
from pyprocessor.inspect.animation import still_picture
from pyprocessor.inspect.first_picture import FirstPicture, context_of, video_context
from pyprocessor.inspect.reader import is_away, notes_on_start, open_again, open_unknown
from pyprocessor.inspect.refine import refined, usual_aspect, without_thumbnails
from pyprocessor.inspect.sound import audio_info
from pyprocessor.inspect.survey import Survey, is_attached, kind_of, survey
from pyprocessor.inspect.timeline import Timeline
from pyprocessor.inspect.webp import animated_webp
from pyprocessor.models import (
    InputLimits,
    MediaInfo,
    MediaNote,
    PacketFacts,
    StreamInfo,
    StreamKind,
    VideoInfo,
    display,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

WHOLE_BYTES = 4_000_000
"""Files up to this size are surveyed whole when they are inspected; it takes a few milliseconds."""
SURVEY_SECONDS = 60.0
"""How long the packets of a source may be read."""

_UNSTATED_DURATION = frozenset(
    (
        "aac ac3 ac4 amr amrnb amrwb dts dtshd dv eac3 h261 h263 h264 hevc vvc evc latm loas m4v mjpeg mlp mp3 mpeg "
        "mpegts mpegvideo obu av1 ogg truehd vc1 cavsvideo dirac"
    ).split()
)
"""Demuxers that guess the duration from the bit rate, or from the time stamps at both ends."""
_DURATION_FROM_ZERO = frozenset(("matroska,webm", "matroska", "flv", "live_flv"))
"""Demuxers whose duration counts from time 0 and not from the first packet."""
_FIELD_ORDERS_INTERLACED = frozenset((2, 3, 4, 5))
_HIGHEST_RATE = 240
"""A guessed frame rate above this is a time base and no rate, unless the average says so too."""


def probe(
    path: bytes,
    *,
    size_bytes: int,
    limits: InputLimits = InputLimits(),  # noqa: B008 - frozen
    deep: bool = False,
) -> MediaInfo:
    """What the file at `path` (absolute) holds. `size_bytes` is the size the scanner saw, `limits` what it may claim;
    `deep` reads more of it at first than usual.

    Raises InspectError where the file is not media, is damaged beyond reading, or cannot be read.
    """
    name = display(os.path.basename(path))
    try:
        with _regular_file(path, name) as file:
            what = content.refusal(file.read(content.HEAD_BYTES), name, size_bytes) or still_picture(file)
            if what is not None:
                raise InspectError(FailureKind.BAD_INPUT, f"{name} is {what}, not video.")
            moving = animated_webp(file)
            if moving is not None:  # PyAV cannot open it
                return refined(webp.describe(moving, name, size_bytes, limits), Survey(moving.timeline, {}, {}, {}))
            return _read(path, file, name, size_bytes, limits, deep=deep)
    except MemoryError as error:  # PyAV's is one as well
        raise too_much_memory(limits, name) from error
    except PermissionError as error:
        raise InspectError(FailureKind.PERMISSION, f"{name} may not be read; change its permissions.") from error
    except FileNotFoundError as error:
        raise InspectError(FailureKind.UNAVAILABLE, f"{name} is no longer there.") from error
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and is_away(path):
            raise InspectError(FailureKind.UNAVAILABLE, f"{name} cannot be read: {error.strerror}.") from error
        raise InspectError(FailureKind.BAD_INPUT, f"{name} is damaged: {error.strerror}.") from error
    except OSError as error:
        raise InspectError(FailureKind.UNAVAILABLE, f"{name} cannot be read: {error.strerror}.") from error


def survey_source(
    path: bytes, media: MediaInfo, used: Collection[int], limits: InputLimits
) -> tuple[MediaInfo, Timeline]:
    """Survey a file that was inspected before, of which ffmpeg will read the streams `used`: what is now known of it,
    and when its packets are.

    Raises InspectError where it can no longer be read.
    """
    name = display(os.path.basename(path))
    try:
        if media.container == webp.CONTAINER:
            return media, webp.timeline_of(path)
        with closing(open_again(path, media)) as container:
            found = survey(container, size_bytes=media.size_bytes, whole=True, limit_seconds=SURVEY_SECONDS, used=used)
    except (av.error.FFmpegError, OSError) as error:
        kind = FailureKind.UNAVAILABLE if is_away(path) else FailureKind.BAD_INPUT
        raise InspectError(kind, f"{name} can no longer be read: {error.strerror}.") from error
    if found.timeline.damage is not None and is_away(path):
        raise InspectError(FailureKind.UNAVAILABLE, f"{name} can no longer be read: {found.timeline.damage}.")
    if found.timeline.unlisted and not media.deep:
        again = probe(path, size_bytes=media.size_bytes, limits=limits, deep=True)
        return survey_source(path, again, [stream.index for stream in again.streams], limits)
    return refined(media, found), found.timeline


def _read(path: bytes, file: BinaryIO, name: str, size_bytes: int, limits: InputLimits, *, deep: bool) -> MediaInfo:
    """What the open `file` holds; streams that begin late, or with pictures far apart, need a `deep` reading."""
    try:
        container, forward, skipped = open_unknown(path, file, size_bytes, deep=deep)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and is_away(path):
            raise
        if isinstance(error, MemoryError) and not structure.is_mp4(file):
            raise
        raise InspectError(*_why_unreadable(error, name, file, size_bytes)) from error
    with closing(container):
        if deep or all(_known_size(film) for film in container.streams.video if not is_attached(film)):
            tail = structure.Tail() if skipped else structure.examine(file, container.format.name, size_bytes)
            if container.format.name.startswith("mov,"):
                _refuse_references(file, name, size_bytes)
            media, unlisted = _describe(container, name, size_bytes, tail, limits)
            if deep or not unlisted:
                notes = (*media.notes, *notes_on_start(media, name, skipped))
                return replace(media, deep=deep, forward=forward, skipped_bytes=skipped, notes=notes)
    return _read(path, file, name, size_bytes, limits, deep=True)


def _known_size(film: av.VideoStream) -> bool:
    context = video_context(film)
    return context is None or bool(context.width and context.height)


def _regular_file(path: bytes, name: str) -> BinaryIO:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # opening a FIFO would wait for a writer
        raise InspectError(FailureKind.BAD_INPUT, f"{name} is a device, pipe or folder, not a file.")
    if found.st_size == 0:
        raise InspectError(FailureKind.BAD_INPUT, f"{name} is empty (0 bytes).")
    return open(path, "rb", buffering=0)


def _why_unreadable(error: av.error.FFmpegError, name: str, file: BinaryIO, size_bytes: int) -> tuple[FailureKind, str]:
    if isinstance(error, PermissionError):
        return FailureKind.PERMISSION, f"{name} may not be read; change its permissions."
    if structure.is_mp4(file):
        missing = structure.examine(file, "mov,", size_bytes).missing_bytes
        if missing:
            return (
                FailureKind.BAD_INPUT,
                f"{name} is cut off: its structure reaches {missing:,} bytes beyond its end and its index is missing.",
            )
        index = structure.index_of_mp4(file, size_bytes)
        if index is None:
            return FailureKind.BAD_INPUT, f"{name} has no index (moov): it is damaged, or was never finished."
        if b"encv" in index or b"enca" in index:
            return FailureKind.UNSUPPORTED, f"{name} is encrypted (copy protection), so it cannot be read."
        return FailureKind.BAD_INPUT, f"{name} has an index (moov) that cannot be read: it is damaged."
    return FailureKind.BAD_INPUT, f"{name} is not a video or audio file that can be read, or its start is damaged."


def _describe(
    container: InputContainer, name: str, size_bytes: int, tail: structure.Tail, limits: InputLimits
) -> tuple[MediaInfo, bool]:
    check_streams(len(container.streams), limits, name)
    for film in container.streams.video:  # before a decoder allocates them
        context = video_context(film)
        if context is not None:
            check_picture(context.width, context.height, limits, name)
    found = survey(container, size_bytes=size_bytes, whole=size_bytes <= WHOLE_BYTES, limit_seconds=SURVEY_SECONDS)
    notes = [
        MediaNote(seen.note if len(found.first) == 1 else f"Stream {index}: {seen.note}")
        for index, seen in found.first.items()
        if seen.note is not None
    ]
    streams = []
    for stream in container.streams:
        described = _stream(container, stream, found.first.get(stream.index), found.packets.get(stream.index))
        if described.video is not None:
            check_picture(described.video.width, described.video.height, limits, name)
        streams.append(described)
    if not streams:
        raise InspectError(FailureKind.BAD_INPUT, f"{name} holds no streams at all.")
    duration, estimated = _duration(container, streams)
    check_duration(duration, limits, name)
    media = MediaInfo(
        container=container.format.name,
        duration_seconds=duration,
        duration_estimated=estimated,
        size_bytes=size_bytes,
        bit_rate=container.bit_rate or None,
        streams=without_thumbnails(streams),
        chapters=len(container.chapters()),
        tags=recording_tags(container.metadata),
        place_tags=place_tags(container),
        notes=tuple(notes),
    )
    media = with_its_end(container, media, tail, fragmented=_is_fragmented(container))
    return refined(media, found), found.timeline.unlisted


def _refuse_references(file: BinaryIO, name: str, size_bytes: int) -> None:
    index = structure.index_of_mp4(file, size_bytes)
    if index is not None and structure.refers_to_other_files(index):
        raise InspectError(
            FailureKind.UNSUPPORTED,
            f"{name} holds no film of its own, but refers to other files, which are not opened for it; put the files "
            "it refers to into the input instead.",
        )


# ---------------------------------------------------------------- streams


def _stream(
    container: InputContainer, stream: Stream, picture: FirstPicture | None, packets: PacketFacts | None
) -> StreamInfo:
    context = context_of(stream)
    video = audio = decoder = None
    codec = context.codec.canonical_name if context is not None else None
    frames = _exact_frames(container.format.name, stream)
    kind = kind_of(stream)
    if isinstance(stream, av.VideoStream):
        video = replace(_video(stream, picture), packets=packets)
        if picture is not None:
            if context is None and picture.frame is not None:
                codec, decoder = "av1", picture.decoder
            if picture.frames is not None:
                frames = picture.frames
    elif isinstance(stream, av.AudioStream) and isinstance(context, av.AudioCodecContext):
        audio = audio_info(context)
    language = stream.metadata.get("language")
    return StreamInfo(
        index=stream.index,
        kind=kind,
        codec=codec,
        decoder=decoder,
        start_seconds=_start_seconds(container, stream),
        duration_seconds=_stream_seconds(stream, from_zero=_is_fragmented(container)),
        frames=frames,
        bit_rate=(context.bit_rate or None) if context is not None and kind is not StreamKind.SUBTITLE else None,
        language=None if language in (None, "", "und") else language,
        title=stream.metadata.get("title") or stream.metadata.get("name") or None,
        dispositions=tuple(flag.name for flag in type(stream.disposition) if flag in stream.disposition and flag.name),
        video=video,
        audio=audio,
        chapter_titles=kind is StreamKind.DATA and _holds_chapters(container, stream),
    )


def _holds_chapters(container: InputContainer, stream: Stream) -> bool:
    """Whether a track of an MP4 is where its chapters come from: each of its samples is the start of one."""
    chapters = container.chapters()
    if not chapters or not container.format.name.startswith("mov,") or len(stream.index_entries) != len(chapters):
        return False
    return all(
        entry.timestamp * (stream.time_base or 0) == chapter["start"] * (chapter["time_base"] or 0)
        for entry, chapter in zip(stream.index_entries, chapters, strict=True)
    )


def _video(stream: av.VideoStream, picture: FirstPicture | None) -> VideoInfo:
    context, frame = video_context(stream), picture.frame if picture is not None else None
    pixel_format = frame.format if frame is not None else (context.format if context is not None else None)
    format_name = pixel_format.name if pixel_format is not None else None
    described = colour.colour(context, frame, format_name)
    dolby_vision = picture is not None and picture.decoder is not None
    base, average, guessed = stream.base_rate, stream.average_rate, stream.guessed_rate
    rate = guessed or average
    if rate is not None and rate > _HIGHEST_RATE and average and average <= _HIGHEST_RATE:
        rate = average
    aspect = stream.sample_aspect_ratio if context is not None else None
    return VideoInfo(
        # A frame may be wider than its picture where cropping it would misalign memory, so the context goes first.
        width=context.width if context is not None else (frame.width if frame is not None else 0),
        height=context.height if context is not None else (frame.height if frame is not None else 0),
        pixel_format=format_name,
        bit_depth=max((c.bits for c in pixel_format.components), default=8) if pixel_format is not None else 8,
        frame_rate=rate or None,
        sample_aspect_ratio=usual_aspect(aspect),
        rotation=round(-frame.rotation / 90) * 90 % 360 if frame is not None else 0,
        colour=described,
        hdr=colour.hdr_kind(described, frame, "dav1" if dolby_vision else context.codec_tag if context else ""),
        mastering_display=colour.mastering_display(frame),
        content_light=colour.content_light(frame),
        interlaced=(frame is not None and frame.interlaced_frame)
        or (context is not None and context.field_order in _FIELD_ORDERS_INTERLACED),
        variable_frame_rate=_varies(base, average),
        attached_picture=is_attached(stream),
        spherical=projection.spherical(frame),
        stereo=projection.stereo(frame),
        alpha=stream.metadata.get("alpha_mode") == "1"  # of VP8 and VP9, which keep it beside the picture
        or (
            pixel_format is not None
            and any(component.is_alpha for component in pixel_format.components)
            and not (context is not None and context.name == "gif" and frame is not None and colour.is_opaque(frame))
        ),
    )


def _varies(base: Fraction | None, average: Fraction | None) -> bool:
    """Whether the frame rate varies: the average is neither the base rate nor half of it (fields, doubled clocks)."""
    if not base or not average:
        return bool(base and base >= _HIGHEST_RATE / 2)
    return all(abs(base / average / times - 1) > 0.02 for times in (1, 2))


def _exact_frames(container_name: str, stream: Stream) -> int | None:
    """The number of pictures where the container's index lists every one, or its demuxer counts them; else None."""
    if not isinstance(stream, av.VideoStream) or not stream.frames or context_of(stream) is None:
        return None
    if container_name == "gif":
        return stream.frames
    if not container_name.startswith("mov,") and container_name != "avi":
        return None
    entries = stream.index_entries
    if len(entries) != stream.frames:
        return None
    return sum(not entry.is_discard for entry in entries)  # an edit list may leave out pictures that decoders need


def _is_fragmented(container: InputContainer) -> bool:
    """Whether an MP4 lists its samples in fragments; its durations then count from time 0."""
    listed = [stream.frames for stream in (*container.streams.video, *container.streams.audio)]
    return container.format.name.startswith("mov,") and bool(listed) and not any(listed)


def _start_seconds(container: InputContainer, stream: Stream) -> float:
    if stream.start_time is None or stream.time_base is None or container.start_time is None:
        return 0.0
    return max(0.0, float(stream.start_time * stream.time_base) - container.start_time / av.time_base)


def _stream_seconds(stream: Stream, *, from_zero: bool) -> float | None:
    if stream.time_base is None:
        return None
    start = float(max(0, stream.start_time or 0) * stream.time_base)
    if stream.duration is not None and stream.duration > 0:
        seconds: float | None = float(stream.duration * stream.time_base) - (start if from_zero else 0.0)
    else:  # Matroska tells in a tag when the track ends
        end = _clock_seconds(stream.metadata.get("DURATION", ""))
        seconds = end - start if end is not None else None
    return seconds if seconds is not None and seconds > 0 else None


def _clock_seconds(text: str) -> float | None:
    """Seconds of a Matroska `DURATION` tag, `HH:MM:SS.fraction`, or None where it is not one."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _duration(container: InputContainer, streams: list[StreamInfo]) -> tuple[float | None, bool]:
    """Seconds that the file lasts from its first packet, and whether that is a guess."""
    if container.duration is not None and container.duration > 0:
        seconds = container.duration / av.time_base
        if container.format.name in _DURATION_FROM_ZERO or _is_fragmented(container):
            seconds = max(0.0, seconds - max(0, container.start_time or 0) / av.time_base)
        return seconds, container.format.name in _UNSTATED_DURATION
    stated = [s.duration_seconds for s in streams if s.duration_seconds is not None]
    return (max(stated), False) if stated else (None, True)
