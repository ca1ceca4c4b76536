"""What is ffmpeg to do to write one chunk of a film: copied between two keyframes, or encoded between two pictures?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyprocessor.ffmpeg.invocation import Filter, Input, Invocation, MappedStream, Options, Output, opening
from pyprocessor.models import MediaInfo
from pyprocessor.models.encoders import muxer

_MP4_FILMS = frozenset("h264 hevc av1 vp9 mpeg4 mpeg2video".split())
_MP4_SOUND = frozenset("aac mp3 ac3 eac3 alac opus flac mp2".split())


@dataclass(frozen=True, slots=True)
class Range:
    """What a chunk holds of a source, in seconds of its container's own clock.

    `low` and `high` lie between the packets, or pictures, of this chunk and of those beside it; None is no bound.
    `zero` is the time that becomes 0. Reading begins at `seek`, else where the file does, at `file_start`.
    """

    low: float | None
    high: float | None
    zero: float
    seek: float | None
    file_start: float
    film_ends: float | None = None
    """From where the container hides pictures that lie behind the last, so that a copy is to leave them out."""

    @property
    def begins(self) -> float:
        """Where reading begins."""
        return self.file_start if self.seek is None else self.seek


def copied_container(media: MediaInfo, streams: tuple[int, ...]) -> str:
    """`mp4` where that holds the codecs of these streams as they are, else `mkv`."""
    used = [stream for stream in media.streams if stream.index in streams]
    fits = all(stream.codec in (_MP4_FILMS if stream.video is not None else _MP4_SOUND) for stream in used)
    return "mp4" if fits else "mkv"


def copied(
    path: bytes, media: MediaInfo, streams: tuple[int, ...], within: Range, *, container: str, output_name: str
) -> Invocation:
    """Copy the packets of these streams whose times lie in a range."""
    by_index = {stream.index: stream for stream in media.streams}
    mapped = []
    for index in streams:
        film = by_index[index].video is not None
        options = _only(within.low, within.film_ends if film and within.high is None else within.high)
        if container == "mp4" and by_index[index].codec == "hevc" and media.demuxer != "mov":
            options += (("tag", "hvc1"),)  # Apple's players refuse hev1, which stays where the source has it
        mapped.append(MappedStream((0, index), "v" if film else "a", "copy", options=options))
    options = (
        *(("copypriorss:" + str(number), "1") for number in range(len(mapped))),
        ("output_ts_offset", f"{-within.zero:.9f}"),
        ("max_muxing_queue_size", "4096"),
        ("map_chapters", "-1"),
        # Without the latter the marks of Dolby Vision, 360 degree and stereo films would be left out.
        *((("movflags", "+faststart"), ("strict", "unofficial")) if container == "mp4" else ()),
    )
    source = Input(path, options=(*opening(media), ("copyts", ""), *_reading(within)))
    return Invocation((source,), Output(output_name, muxer(container), tuple(mapped), options))


def _only(low: float | None, high: float | None) -> Options:
    """Drop packets by their own time; -ss and -t would cut by decoding times, in the midst of a group of pictures."""
    outside = [f"lt(ld(0),{low:.9f})"] if low is not None else []
    outside += [f"gte(ld(0),{high:.9f})"] if high is not None else []
    if not outside:
        return ()
    return (("bsf", f"noise=drop='0*st(0,if(eq(pts,nopts),dts,pts)*tb)+{'+'.join(outside)}'"),)


def encoded(whole: Invocation, within: Range) -> Invocation:
    """`whole`, which encodes all of a film, for one chunk of it: every picture and sample that is shown in it."""
    source, *others = whole.inputs
    source = replace(source, options=(*source.options, *_reading(within, to_end=True)))
    options, streams = whole.output.options, whole.output.streams
    if within.low is not None:
        options += (("ss", f"{within.low - within.begins:.6f}"),)
    if within.high is not None:
        # Not -t, which counts from the first picture or sample of each stream.
        streams = tuple(_until(stream, within.high, within) for stream in streams)
    return replace(whole, inputs=(source, *others), output=replace(whole.output, streams=streams, options=options))


def _until(stream: MappedStream, high: float, within: Range) -> MappedStream:
    """The stream of the output, ended before `high`."""
    if stream.encoder == "copy":
        begin = within.begins if within.low is None else within.low
        return replace(stream, options=(*stream.options, *_only(None, high - begin)))
    ending = Filter("trim" if stream.kind == "v" else "atrim", (("end", f"{high - within.begins:.6f}"),))
    return replace(stream, filters=(ending, *stream.filters))


def _reading(within: Range, *, to_end: bool = False) -> Options:
    """Where to begin to read and, unless the output says so, where to end: well behind what is wanted."""
    options: Options = ()
    if within.seek is not None:
        options += (("seek_timestamp", "1"), ("ss", f"{within.seek:.6f}"))
    if within.high is not None and not to_end:
        options += (("t", f"{within.high - within.begins + _BEHIND_SECONDS:.6f}"),)
    return options


_BEHIND_SECONDS = 15.0
"""How far behind a chunk reading goes on: sound may lie behind the pictures that it belongs to."""
