"""What becomes of subtitle tracks, and of closed captions inside the pictures?"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from pyprocessor.ffmpeg.invocation import MappedStream
from pyprocessor.inspect.contract import StreamPlan
from pyprocessor.models import MediaNote, Profile, StreamInfo, VideoSettings
from pyprocessor.models.encoders import video_encoder

_LOST_LINES = "lines of subtitles lost (not in the others' charset)"
_ENCODERS = {"subrip": "srt", "ass": "ass", "webvtt": "webvtt", "mov_text": "mov_text"}
"""By the codec of subtitles that a container takes as they are."""
_CODECS = {"av1": "AV1", "vp9": "VP9", "prores": "ProRes"}
_CAPTION_RATES = frozenset(Fraction(rate) for rate in "24000/1001 30000/1001 60000/1001 15 24 30 60".split())
"""Frame rates for which ffmpeg distributes captions anew over the pictures; at others it drops or repeats some."""


def subtitle_stream(plan: StreamPlan, stream: StreamInfo, file: int | None) -> MappedStream:
    """The output's track; `file` is the number of the input that has its text, if not the source."""
    encoder = plan.encoder or "copy"
    if stream.charset is not None and encoder == "copy":  # a copy would keep its charset
        encoder = _ENCODERS[stream.codec or ""]
    mapped = MappedStream((0, stream.index), "s", encoder)
    if file is None:
        return mapped
    known = (("language", stream.language), ("title", stream.title))  # a file of text has neither
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


def lost_lines(stderr_text: str) -> tuple[MediaNote, ...]:
    """A note where ffmpeg dropped lines of subtitles because of their charset."""
    if not any(
        message in stderr_text for message in ("Invalid UTF-8 in decoded subtitles", "Unable to recode subtitle")
    ):
        return ()
    text = "Lines of its subtitles were left out: they are not UTF-8, nor in the charset that the others are in."
    return (MediaNote(text, _LOST_LINES),)


def lost_captions(profile: Profile, settings: VideoSettings, *, keeps_rate: bool) -> tuple[MediaNote, ...]:
    """A note on closed captions that the output will lack: some encoders drop them silently."""
    encoder = video_encoder(settings.encoder)
    if not encoder.keeps_captions:
        codec = _CODECS.get(encoder.codec or "", settings.encoder)
        text = f"Its closed captions were left out: {codec} in {profile.container} holds none."
        return (MediaNote(text, f"captions dropped ({profile.container} with {codec} holds none)"),)
    if not keeps_rate and settings.fps not in _CAPTION_RATES:
        text = "Its closed captions lack or repeat letters: ffmpeg does not spread them anew at the new frame rate."
        return (MediaNote(text, "captions damaged (by the new frame rate)"),)
    return ()
