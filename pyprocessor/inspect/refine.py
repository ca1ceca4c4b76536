"""What does a file hold by its packets and sampled pictures, where its header declares something else? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pyprocessor.inspect.clock import USUAL_THRESHOLD
from pyprocessor.inspect.subtitles import with_charset
from pyprocessor.inspect.survey import Survey
from pyprocessor.inspect.timeline import Timeline, Track, compact, rate_of
from pyprocessor.models import END_MISSING, MediaInfo, MediaNote, PictureShape, StreamInfo, StreamKind, VideoInfo

_OVERSTATED_SECONDS, _OVERSTATED_SHARE = 1.0, 0.02
"""How far a header may overstate the duration (careless muxers) without a note."""
_MIDWAY_SECONDS = 2.0
_LEAST_PROGRAMME = 10
"""Packets of a film or sound that may go on elsewhere: a picture or two are a title or a thumbnail beside a film."""
_ELSEWHERE_SHARE = 0.95
_PICTURE_CODECS = frozenset(("mjpeg", "png", "bmp", "gif", "webp", "tiff"))


def refined(media: MediaInfo, found: Survey) -> MediaInfo:
    """Return `media`, which its header and first pictures describe, corrected by a survey of the file.

    A survey that was not read to the end says nothing of ends, rates and counts.
    """
    times = found.timeline
    # They state the shape of pixels for the whole track, which overrides what the pictures say.
    own_aspect = media.container.startswith(("mov,", "matroska"))
    streams = tuple(_stream(stream, found, own_aspect=own_aspect) for stream in media.streams)
    if not times.whole:
        return replace(media, streams=streams)
    cut_short = times.unlisted and times.listed_bytes < _ELSEWHERE_SHARE * media.size_bytes
    streams = tuple(replace(s, goes_on_elsewhere=cut_short or _goes_on(s, times)) for s in without_thumbnails(streams))
    notes = [*media.notes]
    declared, held = media.duration_seconds, times.seconds
    beyond = declared - held if declared is not None and held is not None and not media.duration_estimated else 0.0
    if beyond > max(_OVERSTATED_SECONDS, _OVERSTATED_SHARE * (declared or 0.0)):
        text = f"It declares {declared:,.1f} s and holds {held:,.1f} s: it was cut off, or its header is wrong."
        notes.append(MediaNote(text, END_MISSING))
    if times.unlisted:
        text = "Streams that begin only in the midst of the file were left out."
        notes.append(MediaNote(text, "left out: streams that begin midway"))
    if times.corrections:
        notes.append(
            MediaNote("The clock of its recording jumps; what comes after a jump follows what came before it.")
        )
    return replace(
        media,
        streams=streams,
        duration_seconds=declared if held is None else held,
        duration_estimated=held is None and media.duration_estimated,
        notes=tuple(dict.fromkeys(notes)),
        timeline=compact(times),
        jump_seconds=times.threshold if times.threshold != USUAL_THRESHOLD else None,
    )


def _goes_on(stream: StreamInfo, times: Timeline) -> bool:
    """Return whether a film or sound goes on in another stream, as where the programme changes."""
    track, played = times.tracks.get(stream.index), (StreamKind.VIDEO, StreamKind.AUDIO)
    if track is None or track.start is None or track.end is None or times.end is None or track.kind not in played:
        return False
    if times.end - track.end < _MIDWAY_SECONDS or track.packets < _LEAST_PROGRAMME:
        return False
    halfway = (track.start + track.end) / 2  # a stream that begins before is beside it
    starts = (other.start for other in times.tracks.values() if other is not track and other.kind is track.kind)
    return any(start is not None and start > halfway and abs(start - track.end) < _MIDWAY_SECONDS for start in starts)


def _stream(stream: StreamInfo, found: Survey, *, own_aspect: bool) -> StreamInfo:
    """Return a stream corrected; `own_aspect`: the container's shape of pixels is the right one."""
    times, index = found.timeline, stream.index
    track = times.tracks.get(index, Track(stream.kind, 0)) if times.whole else None
    if texts := found.texts.get(index):
        stream = with_charset(stream, texts)
    if index in found.located:
        stream = replace(stream, has_location=True)
    video, audio = stream.video, stream.audio
    if video is not None and video.attached_picture:
        return stream
    if track is not None and track.start is not None:
        stream = replace(stream, start_seconds=track.start - times.began, duration_seconds=track.seconds or None)
        if stream.kind is StreamKind.VIDEO and stream.frames != 0:  # 0: none of them decodes
            stream = replace(stream, frames=len(track.starts))
    if video is not None:
        film = found.films.get(index)
        if film is not None:
            captions, interlaced = video.captions or film.captions, video.interlaced or film.interlaced
            video = replace(video, captions=captions, interlaced=interlaced, in_decoding_order=film.in_decoding_order)
        if track is not None and len(track.starts) > 1:
            video = _with_rate(video, track.starts)
        if film is not None and film.shapes:
            end = track.end if track is not None else None
            video = _with_shapes(video, film.shapes, times.began, end, own_aspect=own_aspect)
        return replace(stream, video=video)
    if audio is None:
        return stream
    if track is not None and not track.packets:
        return replace(stream, frames=0)
    jitter = round(track.jitter_seconds, 3) if track is not None else audio.jitter_seconds
    sounds = found.sounds.get(index, ())
    varies = len({(sample.layout, sample.channels) for sample in sounds}) > 1
    if varies or not audio.channels:
        widest = max(sounds, key=lambda sample: sample.channels, default=audio)
        audio = replace(widest, sample_rate=audio.sample_rate or widest.sample_rate, varies=varies)
    return replace(stream, audio=replace(audio, jitter_seconds=jitter))


def _with_rate(video: VideoInfo, starts: Sequence[float]) -> VideoInfo:
    """Return a film with the rate of its packets."""
    hints = (video.frame_rate,)
    rate = rate_of(starts, hints)
    packets = rate.average / video.frame_rate if rate.average and video.frame_rate else 0
    if video.interlaced and 1.8 < packets < 2.2:  # each packet is one field
        rate = rate_of(starts[::2], hints)
    return replace(
        video,
        frame_rate=rate.grid if rate.steady else rate.average or video.frame_rate,
        variable_frame_rate=not rate.steady,
        clock_rate=rate.grid,
    )


def _with_shapes(
    video: VideoInfo, seen: Sequence[PictureShape], began: float, end: float | None, *, own_aspect: bool
) -> VideoInfo:
    """Return a film with the shapes of its pictures where they differ; the one that lasts longest is its own."""
    shapes = [(s.width, s.height, video.sample_aspect_ratio if own_aspect else s.aspect) for s in seen]
    lasting = dict.fromkeys(shapes, 0.0)
    ends = (*(picture.at for picture in seen[1:]), seen[-1].at if end is None else end)
    for shape, picture, until in zip(shapes, seen, ends, strict=True):
        lasting[shape] += max(0.0, until - picture.at)
    if len(lasting) == 1:
        return video
    runs = [
        PictureShape(picture.at - began, *shape)
        for before, shape, picture in zip([None, *shapes], shapes, seen, strict=False)
        if shape != before
    ]
    width, height, aspect = max(lasting, key=lambda shape: lasting[shape])
    return replace(video, width=width, height=height, sample_aspect_ratio=aspect, shapes=tuple(runs))


def without_thumbnails(streams: Iterable[StreamInfo]) -> tuple[StreamInfo, ...]:
    """Mark single-picture tracks beside a real film (thumbnails that lack the flag) as attached pictures."""
    streams = tuple(streams)
    films = [s for s in streams if s.is_film]
    stills = [s for s in films if s.frames == 1 and s.codec in _PICTURE_CODECS]
    mark = len(stills) < len(films)
    return tuple(
        replace(s, video=replace(s.video, attached_picture=True)) if mark and s in stills and s.video else s
        for s in streams
    )
