"""What a file holds by its packets and sampled pictures, where its header declares something else. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from pyprocessor.inspect.clock import USUAL_THRESHOLD
from pyprocessor.inspect.subtitles import described
from pyprocessor.inspect.survey import PictureSample, Survey
from pyprocessor.inspect.timeline import Rate, Timeline, Track, compact, rate_of
from pyprocessor.models import END_MISSING, MediaInfo, MediaNote, PictureShape, StreamInfo, StreamKind, VideoInfo

_OVERSTATED_SECONDS = 1.0
_OVERSTATED_SHARE = 0.02
"""How far a header may overstate the duration (careless muxers) without a note."""
_PLAYED = (StreamKind.VIDEO, StreamKind.AUDIO)
_MIDWAY_SECONDS = 2.0
_LEAST_PROGRAMME = 10
"""Packets of a film or sound that may go on elsewhere: a picture or two are a title or a thumbnail beside a film."""
_ELSEWHERE_SHARE = 0.95
_STATE_ASPECT = ("mov,", "matroska")
"""Containers that state the shape of pixels for the whole track, which goes before what the pictures say."""
_TWO_FIELDS = (1.8, 2.2)
"""Packets for each picture that the file declares."""
_PICTURE_CODECS = frozenset(("mjpeg", "png", "bmp", "gif", "webp", "tiff"))
_USUAL_ASPECTS = (Fraction(1, 10), Fraction(10))


def refined(media: MediaInfo, found: Survey) -> MediaInfo:
    """`media`, as its header and first pictures have it, corrected by what a survey of the whole file found.

    What the survey did not read to the end says nothing of ends, rates and counts; what it saw of pictures and sound
    holds all the same.
    """
    times = found.timeline
    own_aspect = media.container.startswith(_STATE_ASPECT)
    streams = tuple(_stream(stream, found, own_aspect=own_aspect) for stream in media.streams)
    if not times.whole:
        return replace(media, streams=streams)
    cut_short = times.unlisted and times.listed_bytes < _ELSEWHERE_SHARE * media.size_bytes
    streams = tuple(replace(s, goes_on_elsewhere=cut_short or _goes_on(s, times)) for s in without_thumbnails(streams))
    notes = (*media.notes, *_declared_too_much(media, times))
    if times.unlisted:
        text = "Streams that begin only in the midst of the file were left out."
        notes += (MediaNote(text, "left out: streams that begin midway"),)
    if times.moved:
        notes += (MediaNote("The clock of its recording jumps; what comes after a jump follows what came before it."),)
    return replace(
        media,
        streams=streams,
        duration_seconds=media.duration_seconds if times.seconds is None else times.seconds,
        duration_estimated=times.seconds is None and media.duration_estimated,
        notes=tuple(dict.fromkeys(notes)),
        timeline=compact(times),
        jump_seconds=times.threshold if times.threshold != USUAL_THRESHOLD else None,
    )


def _goes_on(stream: StreamInfo, times: Timeline) -> bool:
    """Whether a film or sound goes on in another stream, as where a recording changed to another programme."""
    track = times.tracks.get(stream.index)
    if track is None or track.start is None or track.end is None or times.end is None or track.kind not in _PLAYED:
        return False
    if times.end - track.end < _MIDWAY_SECONDS or track.packets < _LEAST_PROGRAMME:
        return False
    halfway = (track.start + track.end) / 2  # what begins before is beside it
    others = (other for other in times.tracks.values() if other is not track and other.kind is track.kind)
    return any(
        other.start is not None and other.start > halfway and abs(other.start - track.end) < _MIDWAY_SECONDS
        for other in others
    )


def _declared_too_much(media: MediaInfo, times: Timeline) -> tuple[MediaNote, ...]:
    declared = media.duration_seconds
    held = times.seconds
    if declared is None or held is None or media.duration_estimated:
        return ()
    if declared - held <= max(_OVERSTATED_SECONDS, _OVERSTATED_SHARE * declared):
        return ()
    text = f"It declares {declared:,.1f} s and holds {held:,.1f} s: it was cut off, or its header is wrong."
    return (MediaNote(text, END_MISSING),)


def _stream(stream: StreamInfo, found: Survey, *, own_aspect: bool) -> StreamInfo:
    times, index = found.timeline, stream.index
    track = times.tracks.get(index, Track(stream.kind, 0)) if times.whole else None
    if texts := found.texts.get(index):
        stream = described(stream, texts)
    if index in found.located:
        stream = replace(stream, has_location=True)
    if stream.video is not None and stream.video.attached_picture:
        return stream
    if track is not None and track.start is not None:
        stream = replace(stream, start_seconds=track.start - times.began, duration_seconds=track.seconds or None)
        if stream.kind is StreamKind.VIDEO and stream.frames != 0:  # 0: none of them decodes
            stream = replace(stream, frames=len(track.starts))
    if stream.video is not None:
        video = replace(stream.video, captions=stream.video.captions or index in found.captioned)
        video = replace(video, in_decoding_order=index in found.in_decoding_order)
        pictures = found.pictures.get(index, ())
        return replace(stream, video=_video(video, track, pictures, times.began, own_aspect=own_aspect))
    if stream.audio is not None and track is not None and not track.packets:
        return replace(stream, frames=0)
    if stream.audio is not None and track is not None:
        stream = replace(stream, audio=replace(stream.audio, jitter_seconds=round(track.jitter_seconds, 3)))
    sounds = found.sounds.get(index, ())
    if stream.audio is not None and sounds:
        widest = max(sounds, key=lambda sample: sample.channels)
        differs = len({(sample.layout, sample.channels) for sample in sounds}) > 1
        if differs or not stream.audio.channels:
            layout = None if widest.layout.endswith("channels") else widest.layout
            audio = replace(stream.audio, channels=widest.channels, layout=layout, varies=differs)
            return replace(stream, audio=replace(audio, sample_rate=audio.sample_rate or widest.sample_rate))
    return stream


def _video(
    video: VideoInfo, track: Track | None, pictures: tuple[PictureSample, ...], first: float, *, own_aspect: bool
) -> VideoInfo:
    video = replace(video, interlaced=video.interlaced or any(sample.interlaced for sample in pictures))
    if track is not None and len(track.starts) > 1:
        rate = rate_of(track.starts, (video.frame_rate,))
        if _holds_fields(video, rate):
            rate = rate_of(track.starts[::2], (video.frame_rate,))
        video = replace(
            video,
            frame_rate=rate.grid if rate.steady else rate.average or video.frame_rate,
            variable_frame_rate=not rate.steady,
            clock_rate=rate.grid,
        )
    if not pictures:
        return video
    shapes = [
        (p.width, p.height, video.sample_aspect_ratio if own_aspect else usual_aspect(p.aspect)) for p in pictures
    ]
    kinds: dict[tuple[int, int, Fraction], float] = dict.fromkeys(shapes, 0.0)
    end = track.end if track is not None and track.end is not None else pictures[-1].at
    for shape, sample, until in zip(shapes, pictures, (*(p.at for p in pictures[1:]), end), strict=True):
        kinds[shape] += max(0.0, until - sample.at)
    if len(kinds) == 1:
        return video
    runs = [
        PictureShape(sample.at - first, *shape)
        for number, (shape, sample) in enumerate(zip(shapes, pictures, strict=True))
        if number == 0 or shape != shapes[number - 1]
    ]
    width, height, aspect = max(kinds, key=lambda shape: kinds[shape])
    return replace(video, width=width, height=height, sample_aspect_ratio=aspect, shapes=tuple(runs))


def _holds_fields(video: VideoInfo, rate: Rate) -> bool:
    """Whether each packet of the film is one field, so that two of them make a picture."""
    if not video.interlaced or not video.frame_rate or not rate.average:
        return False
    return _TWO_FIELDS[0] < rate.average / video.frame_rate < _TWO_FIELDS[1]


def without_thumbnails(streams: Iterable[StreamInfo]) -> tuple[StreamInfo, ...]:
    """Mark single-picture tracks beside a real film (thumbnails that lack the flag) as attached pictures."""
    streams = tuple(streams)
    films = [s for s in streams if s.video is not None and not s.video.attached_picture]
    if len(films) < 2:
        return streams
    moving = [s for s in films if not (s.frames == 1 and s.codec in _PICTURE_CODECS)]
    if not moving:
        return streams
    return tuple(
        replace(s, video=replace(s.video, attached_picture=True))
        if s in films and s not in moving and s.video is not None
        else s
        for s in streams
    )


def usual_aspect(aspect: Fraction | None) -> Fraction:
    """The shape of a pixel as the file states it; square where it states none, or nonsense."""
    return aspect if aspect and _USUAL_ASPECTS[0] <= aspect <= _USUAL_ASPECTS[1] else Fraction(1)
