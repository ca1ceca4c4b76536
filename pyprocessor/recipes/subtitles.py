"""How subtitle tracks are written: copied, converted, or out of a charset that is not UTF-8."""

from __future__ import annotations

from dataclasses import replace

from pyprocessor.ffmpeg.invocation import MappedStream
from pyprocessor.inspect.contract import StreamPlan
from pyprocessor.models import MediaNote, StreamInfo

_LOST_LINES = "lines of subtitles lost (not in the others' charset)"
_ENCODERS = {"subrip": "srt", "ass": "ass", "webvtt": "webvtt", "mov_text": "mov_text"}
"""By the codec of subtitles that a container takes as they are."""


def subtitle_stream(plan: StreamPlan, stream: StreamInfo, file: int | None) -> MappedStream:
    """The output's track; `file` is the number of the input that has its text, where that is not the source's."""
    encoder = plan.encoder or "copy"
    if stream.charset is not None and encoder == "copy":  # as it is, its text would stay in its charset
        encoder = _ENCODERS[stream.codec or ""]
    mapped = MappedStream((0, stream.index), "s", encoder)
    if file is None:
        return mapped
    known = (("language", stream.language), ("title", stream.title))  # of which a file of text says nothing
    return replace(mapped, source=(file, 0), metadata=tuple((key, value) for key, value in known if value))


def charset_notes(stream: StreamInfo) -> tuple[MediaNote, ...]:
    """A note on subtitles that are not UTF-8."""
    which = f"its subtitles (stream {stream.index})"
    if stream.charset is None:
        text = f"Some lines of {which} are not UTF-8 as the others are; players drop them."
        return () if stream.charset_sure else (MediaNote(text, _LOST_LINES),)
    if not stream.charset_sure:
        text = f"The charset of {which} is unknown: all lines are there, but some letters will be wrong."
        return (MediaNote(text, "letters of subtitles wrong (unknown charset)"),)
    return (MediaNote(f"By the look of {which} they are in {stream.charset}; they were converted to UTF-8."),)


def lost_lines(ffmpeg_said: str) -> tuple[MediaNote, ...]:
    """A note where ffmpeg dropped lines of subtitles, whose charset was not seen in what was read of them before."""
    if not any(said in ffmpeg_said for said in ("Invalid UTF-8 in decoded subtitles", "Unable to recode subtitle")):
        return ()
    text = "Lines of its subtitles were left out: they are not UTF-8, nor in the charset that the others are in."
    return (MediaNote(text, _LOST_LINES),)
