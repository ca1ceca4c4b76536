"""What is in one file, as text and as a JSON document?"""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction

from pyprocessor.models import HdrKind, MediaInfo, StreamInfo, StreamKind, VideoInfo, display
from pyprocessor.models.wording import clock, one_line, size
from pyprocessor.report.wording import aligned, path_entry

DOCUMENT_VERSION = 1


def media_text(path: bytes, media: MediaInfo) -> str:
    """Lines for people: the container, then each stream."""
    rows = [("File", display(path)), ("Container", media.container), ("Size", size(media.size_bytes))]
    if media.duration_seconds is not None:
        guessed = " (estimated)" if media.duration_estimated else ""
        rows.append(("Duration", _clock(media.duration_seconds) + guessed))
    if media.bit_rate:
        rows.append(("Bit rate", _bit_rate(media.bit_rate)))
    if media.chapters:
        rows.append(("Chapters", str(media.chapters)))
    rows += [(f"Stream {stream.index}", _stream_text(stream)) for stream in media.streams]
    rows += [("Note", one_line(note.text)) for note in media.notes]
    return "\n".join(aligned(rows, 100)) + "\n"


def _stream_text(stream: StreamInfo) -> str:
    parts = [f"{stream.kind.value} {stream.codec or 'of an unknown codec'}"]
    if stream.video is not None:
        parts += _video_parts(stream.video)
    if stream.audio is not None:
        parts += [f"{stream.audio.sample_rate} Hz", stream.audio.layout or f"{stream.audio.channels} channels"]
    if stream.frames is not None and stream.kind is StreamKind.VIDEO:
        parts.append(f"{stream.frames} frames")
    if stream.bit_rate and stream.kind in (StreamKind.VIDEO, StreamKind.AUDIO):
        parts.append(_bit_rate(stream.bit_rate))
    parts += [part for part in (stream.language, stream.title) if part]
    parts += [word.replace("_", " ") for word in stream.dispositions]
    return one_line(", ".join(parts))


def _video_parts(video: VideoInfo) -> list[str]:
    rate, pixel = video.frame_rate, video.sample_aspect_ratio
    variable = " (variable)" if video.variable_frame_rate else ""
    parts = (
        f"{video.width}x{video.height}",
        "" if rate is None else f"{float(rate):.3f}".rstrip("0").rstrip(".") + f" fps{variable}",
        video.pixel_format,
        "" if video.hdr is HdrKind.SDR else video.hdr.value.replace("_", " ").upper(),
        f"rotated by {video.rotation} degrees" if video.rotation else "",
        f"pixels {pixel.numerator}:{pixel.denominator}" if pixel != 1 else "",
        video.spherical,
        video.stereo,
        "closed captions" if video.captions else "",
        "interlaced" if video.interlaced else "",
        "attached picture" if video.attached_picture else "",
    )
    return [part for part in parts if part]


def media_json(path: bytes, media: MediaInfo) -> str:
    """One JSON document with everything inspecting found; exact ratios are texts such as `30000/1001`."""
    document = {"version": DOCUMENT_VERSION, **path_entry("path", path), **asdict(media)}
    del document["timeline"]  # packed for later steps of our own
    return json.dumps(document, indent=2, default=_ratio) + "\n"


def _ratio(value: object) -> str:
    assert isinstance(value, Fraction), f"no JSON form for {type(value)}"
    return f"{value.numerator}/{value.denominator}"


def _clock(seconds: float) -> str:
    whole, hundredths = divmod(round(seconds * 100), 100)
    return f"{clock(whole)}.{hundredths:02d}"


def _bit_rate(bits: int) -> str:
    return f"{bits / 1e6:.1f} Mbit/s" if bits >= 1_000_000 else f"{bits / 1e3:.0f} kbit/s"
