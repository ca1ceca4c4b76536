"""What does a file hold: streams, duration, colours, HDR, rotation?"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO

import av

from pyprocessor.containers import content, structure
from pyprocessor.containers.claims import check_duration, check_picture, check_streams, too_much_memory
from pyprocessor.containers.cut_off import without_missing_end
from pyprocessor.containers.tags import place_tags, recording_tags
from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect import colour, reader
from pyprocessor.inspect.animation import WEBP, animated_webp, still_picture, webp_info, webp_timeline
from pyprocessor.inspect.film import FilmSampler, usual_aspect
from pyprocessor.inspect.reader import Container, Packet, Stream, is_attached, is_away, video_context
from pyprocessor.inspect.refine import refined, without_thumbnails
from pyprocessor.inspect.sound import audio_info
from pyprocessor.inspect.survey import Survey, survey
from pyprocessor.inspect.timeline import Timeline
from pyprocessor.models import InputLimits, MediaInfo, MediaNote, StreamInfo, StreamKind, VideoInfo, display

WHOLE_BYTES = 4_000_000
"""Files up to this size are surveyed whole when they are inspected; larger ones by the batch process."""
SURVEY_SECONDS = 60.0
"""How long the packets of a source may be read."""

_UNSTATED_DURATION = (
    "aac ac3 ac4 amr amrnb amrwb dts dtshd dv eac3 h261 h263 h264 hevc vvc evc latm loas m4v mjpeg mlp mp3 mpeg "
    "mpegts mpegvideo obu av1 ogg truehd vc1 cavsvideo dirac"
).split()
"""Demuxers that guess the duration from the bit rate, or from the times at both ends."""
_DURATION_FROM_ZERO = ("matroska,webm", "matroska", "flv", "live_flv")
"""Demuxers whose duration counts from time 0 and not from the first packet."""
_HIGHEST_RATE = 240
"""A guessed frame rate above this is a time base and no rate, unless the average says so too."""


def probe(
    path: bytes,
    *,
    size_bytes: int,
    limits: InputLimits = InputLimits(),  # noqa: B008 - frozen
    deep: bool = False,
) -> MediaInfo:
    """Return what the file at `path` (absolute) holds; `deep` reads more at first. Raises InspectError."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # opening a FIFO would wait for a writer
            raise InspectError(FailureKind.BAD_INPUT, "The file is a device, pipe or folder, not a file.")
        if found.st_size == 0:
            raise InspectError(FailureKind.BAD_INPUT, "The file is empty (0 bytes).")
        with open(path, "rb", buffering=0) as file:
            head = file.read(content.HEAD_BYTES)
            what = content.refusal(head, display(os.path.basename(path)), size_bytes) or still_picture(file)
            if what is not None:
                raise InspectError(FailureKind.BAD_INPUT, f"The file is {what}, not video.")
            webp = animated_webp(file)
            if webp is not None:
                return refined(webp_info(webp, size_bytes, limits), Survey(webp.timeline))
            return _read(path, file, size_bytes, limits, deep=deep)
    except MemoryError as error:  # PyAV's is one as well
        raise too_much_memory(limits) from error
    except PermissionError as error:
        raise InspectError(FailureKind.PERMISSION, "The file may not be read; change its permissions.") from error
    except FileNotFoundError as error:
        raise InspectError(FailureKind.UNAVAILABLE, "The file is no longer there.") from error
    except (av.error.FFmpegError, OSError) as error:
        # What a demuxer calls an input/output error may be damage as well.
        if isinstance(error, OSError) and (not isinstance(error, av.error.FFmpegError) or is_away(path)):
            raise InspectError(FailureKind.UNAVAILABLE, f"The file cannot be read: {error.strerror}.") from error
        raise InspectError(FailureKind.BAD_INPUT, f"The file is damaged: {error.strerror}.") from error


def survey_source(
    path: bytes,
    media: MediaInfo,
    used: Collection[int],
    limits: InputLimits,
    beside: Callable[[Container], Callable[[Packet], object]] = lambda container: lambda packet: None,  # noqa: ARG005
) -> tuple[MediaInfo, Timeline]:
    """Return what is in a file that was inspected before, by all its packets, and its timeline.

    ffmpeg will read the streams `used`; what `beside` returns for the opened file is called with each packet. Raises
    InspectError where the file can no longer be read.
    """
    try:
        if media.container == WEBP:
            return media, webp_timeline(path)
        with closing(reader.open_again(path, media)) as container:
            found = survey(
                container,
                size_bytes=media.size_bytes,
                whole=True,
                limit_seconds=SURVEY_SECONDS,
                used=used,
                also=beside(container),
            )
    except (av.error.FFmpegError, OSError) as error:
        kind = FailureKind.UNAVAILABLE if is_away(path) else FailureKind.BAD_INPUT
        raise InspectError(kind, f"The file can no longer be read: {error.strerror}.") from error
    if found.timeline.damage is not None and is_away(path):
        raise InspectError(FailureKind.UNAVAILABLE, f"The file can no longer be read: {found.timeline.damage}.")
    if found.timeline.unlisted and not media.deep:
        again = probe(path, size_bytes=media.size_bytes, limits=limits, deep=True)
        return survey_source(path, again, [stream.index for stream in again.streams], limits, beside)
    return refined(media, found), found.timeline


def _read(path: bytes, file: BinaryIO, size_bytes: int, limits: InputLimits, *, deep: bool) -> MediaInfo:
    """Return what the open `file` holds; streams that begin late need a `deep` reading."""
    try:
        opened = reader.open_unknown(path, file, size_bytes, deep=deep)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and is_away(path):
            raise
        if isinstance(error, MemoryError) and not structure.is_mp4(file):
            raise
        raise InspectError(*_why_unreadable(error, file, size_bytes)) from error
    container, skipped = opened.container, opened.skipped_bytes
    with closing(container):
        decoders = [video_context(film) for film in container.streams.video if not is_attached(film)]
        if deep or all(decoder is None or (decoder.width and decoder.height) for decoder in decoders):
            tail = 0 if skipped else structure.examine(file, container.format.name, size_bytes)
            if container.format.name.startswith("mov,") and structure.refers_to_other_files(file, size_bytes):
                text = "The file holds no film of its own, but refers to other files, which are not opened for it"
                text += "; put the files it refers to into the input instead."
                raise InspectError(FailureKind.UNSUPPORTED, text)
            media, unlisted = _describe(container, size_bytes, tail, limits)
            if deep or not unlisted:
                notes = (*media.notes, *content.notes_on_start(media.demuxer, path, skipped))
                return replace(media, deep=deep, forward=opened.forward, skipped_bytes=skipped, notes=notes)
    return _read(path, file, size_bytes, limits, deep=True)


def _why_unreadable(error: av.error.FFmpegError, file: BinaryIO, size_bytes: int) -> tuple[FailureKind, str]:
    """Return the kind and the sentence for a file that no demuxer opens."""
    if isinstance(error, PermissionError):
        return FailureKind.PERMISSION, "The file may not be read; change its permissions."
    text = "is not a video or audio file that can be read, or its start is damaged"
    if structure.is_mp4(file):
        missing = structure.examine(file, "mov,", size_bytes)
        index = structure.index_of_mp4(file, size_bytes)
        if missing:
            text = f"is cut off: its structure reaches {missing:,} bytes beyond its end and its index is missing"
        elif index is None:
            text = "has no index (moov): it is damaged, or was never finished"
        elif b"encv" in index or b"enca" in index:
            return FailureKind.UNSUPPORTED, "The file is encrypted (copy protection), so it cannot be read."
        else:
            text = "has an index (moov) that cannot be read: it is damaged"
    return FailureKind.BAD_INPUT, f"The file {text}."


def _describe(
    container: Container, size_bytes: int, tail: int | MediaNote, limits: InputLimits
) -> tuple[MediaInfo, bool]:
    """Return what an open file holds, and whether streams begin in it that are not listed."""
    check_streams(len(container.streams), limits)
    for film in container.streams.video:  # before a decoder allocates them
        context = video_context(film)
        if context is not None:
            check_picture(context.width, context.height, limits)
    found = survey(container, size_bytes=size_bytes, whole=size_bytes <= WHOLE_BYTES, limit_seconds=SURVEY_SECONDS)
    remarks = [(index, film.note) for index, film in found.films.items() if film.note is not None]
    listed = [stream.frames for stream in (*container.streams.video, *container.streams.audio)]
    # An MP4 that lists its samples in fragments: its durations count from time 0.
    fragmented = container.format.name.startswith("mov,") and bool(listed) and not any(listed)
    streams = [_stream(container, s, found.films.get(s.index), from_zero=fragmented) for s in container.streams]
    for video in (stream.video for stream in streams if stream.video is not None):
        check_picture(video.width, video.height, limits)
    if not streams:
        raise InspectError(FailureKind.BAD_INPUT, "The file holds no streams at all.")
    duration, estimated = _duration(container, streams, from_zero=fragmented)
    check_duration(duration, limits)
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
        notes=tuple(MediaNote(text if len(found.films) == 1 else f"Stream {at}: {text}") for at, text in remarks),
    )
    media = without_missing_end(container, media, tail, fragmented=fragmented)
    return refined(media, found), found.timeline.unlisted


def _stream(container: Container, stream: Stream, film: FilmSampler | None, *, from_zero: bool) -> StreamInfo:
    """Return a stream as its header and first picture have it; `from_zero`: durations count from 0."""
    context, kind = reader.context_of(stream), reader.kind_of(stream)
    codec = context.codec.canonical_name if context is not None else None
    if context is None and film is not None and film.frame is not None:
        codec = "av1"
    decoder, frames = (film.decoder, film.frames) if film is not None else (None, None)
    language = stream.metadata.get("language")
    start = 0.0
    if stream.start_time is not None and stream.time_base is not None and container.start_time is not None:
        start = float(stream.start_time * stream.time_base) - container.start_time / av.time_base
    return StreamInfo(
        index=stream.index,
        kind=kind,
        codec=codec,
        decoder=decoder,
        start_seconds=max(0.0, start),
        duration_seconds=_stream_seconds(stream, from_zero=from_zero),
        frames=frames if frames is not None else _exact_frames(container.format.name, stream),
        bit_rate=(context.bit_rate or None) if context is not None and kind is not StreamKind.SUBTITLE else None,
        language=None if language in (None, "", "und") else language,
        title=stream.metadata.get("title") or stream.metadata.get("name") or None,
        dispositions=tuple(flag.name for flag in type(stream.disposition) if flag in stream.disposition and flag.name),
        video=_video(stream, film) if isinstance(stream, av.VideoStream) else None,
        audio=audio_info(context) if isinstance(context, av.AudioCodecContext) else None,
        chapter_titles=kind is StreamKind.DATA and _holds_chapters(container, stream),
    )


def _holds_chapters(container: Container, stream: Stream) -> bool:
    """Return whether a track of an MP4 is where its chapters come from: each of its samples starts one."""
    chapters = container.chapters()
    if not container.format.name.startswith("mov,"):
        return False
    starts = [chapter["start"] * (chapter["time_base"] or 0) for chapter in chapters]
    entries = stream.index_entries if len(stream.index_entries) == len(starts) else ()
    return bool(starts) and [entry.timestamp * (stream.time_base or 0) for entry in entries] == starts


def _video(stream: av.VideoStream, film: FilmSampler | None) -> VideoInfo:
    """Return the pictures of a film or cover as its header and first picture have them."""
    context, frame = video_context(stream), film.frame if film is not None else None
    # A frame may be larger than its picture where cropping it would misalign memory, so the context goes first.
    sized, formatted = context or frame, frame or context
    pixel_format = formatted.format if formatted is not None else None
    components = pixel_format.components if pixel_format is not None else ()
    format_name = pixel_format.name if pixel_format is not None else None
    described = colour.colour(context, frame, format_name)
    dolby_vision = film is not None and film.decoder is not None
    base, average = stream.base_rate, stream.average_rate
    rate = stream.guessed_rate or average
    if rate is not None and rate > _HIGHEST_RATE and average and average <= _HIGHEST_RATE:
        rate = average
    varies = bool(base and base >= _HIGHEST_RATE / 2)
    if base and average:  # neither the base rate nor half of it (fields, doubled clocks)
        varies = all(abs(base / average / times - 1) > 0.02 for times in (1, 2))
    opaque = context is not None and context.name == "gif" and frame is not None and colour.is_opaque(frame)
    return VideoInfo(
        width=sized.width if sized is not None else 0,
        height=sized.height if sized is not None else 0,
        pixel_format=format_name,
        bit_depth=max((component.bits for component in components), default=8),
        frame_rate=rate or None,
        sample_aspect_ratio=usual_aspect(stream.sample_aspect_ratio if context is not None else None),
        rotation=round(-frame.rotation / 90) * 90 % 360 if frame is not None else 0,
        colour=described,
        hdr=colour.hdr_kind(described, frame, "dav1" if dolby_vision else context.codec_tag if context else ""),
        mastering_display=colour.mastering_display(frame),
        content_light=colour.content_light(frame),
        interlaced=(frame is not None and frame.interlaced_frame)
        or (context is not None and context.field_order in (2, 3, 4, 5)),
        variable_frame_rate=varies,
        attached_picture=is_attached(stream),
        spherical=colour.spherical(frame),
        stereo=colour.stereo(frame),
        alpha=stream.metadata.get("alpha_mode") == "1"  # of VP8 and VP9, which keep it beside the picture
        or (any(component.is_alpha for component in components) and not opaque),
        packets=film.packets if film is not None else None,
    )


def _exact_frames(container_name: str, stream: Stream) -> int | None:
    """Return the number of pictures, where the container's index lists all of them; else None."""
    if not isinstance(stream, av.VideoStream) or not stream.frames or reader.context_of(stream) is None:
        return None
    if container_name == "gif":
        return stream.frames
    if container_name.startswith(("mov,", "avi")) and len(stream.index_entries) == stream.frames:
        # An edit list may leave out pictures that decoders need.
        return sum(not entry.is_discard for entry in stream.index_entries)
    return None


def _stream_seconds(stream: Stream, *, from_zero: bool) -> float | None:
    if stream.time_base is None:
        return None
    start = float(max(0, stream.start_time or 0) * stream.time_base)
    if stream.duration is not None and stream.duration > 0:
        seconds = float(stream.duration * stream.time_base) - (start if from_zero else 0.0)
    else:  # Matroska states the end of a track in a tag, `HH:MM:SS.fraction`
        try:
            hours, minutes, rest = stream.metadata.get("DURATION", "").split(":")
            seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest) - start
        except ValueError:
            return None
    return seconds if seconds > 0 else None


def _duration(container: Container, streams: list[StreamInfo], *, from_zero: bool) -> tuple[float | None, bool]:
    """Return the seconds that the file lasts from its first packet, and whether that is a guess."""
    if container.duration is not None and container.duration > 0:
        seconds = container.duration / av.time_base
        if from_zero or container.format.name in _DURATION_FROM_ZERO:
            seconds = max(0.0, seconds - max(0, container.start_time or 0) / av.time_base)
        return seconds, container.format.name in _UNSTATED_DURATION
    stated = [s.duration_seconds for s in streams if s.duration_seconds is not None]
    return (max(stated), False) if stated else (None, True)
