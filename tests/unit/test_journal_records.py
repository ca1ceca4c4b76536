"""Records as JSON text and back."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction

import pytest

from pyprocessor.journal.records import decode, encode
from pyprocessor.journal.rows import facts_from, facts_text
from pyprocessor.models import (
    AudioInfo,
    Colour,
    HdrKind,
    MediaInfo,
    MediaNote,
    OutputFacts,
    Reading,
    StreamInfo,
    StreamKind,
    VideoInfo,
)

MEDIA = MediaInfo(
    container="matroska,webm",
    duration_seconds=12.5,
    duration_estimated=True,
    size_bytes=1 << 40,
    bit_rate=None,
    streams=(
        StreamInfo(
            index=0,
            kind=StreamKind.VIDEO,
            codec="hevc",
            frames=300,
            dispositions=("default", "forced"),
            video=VideoInfo(
                width=3840,
                height=2160,
                frame_rate=Fraction(24000, 1001),
                colour=Colour(primaries="bt2020", transfer="smpte2084"),
                hdr=HdrKind.HDR10,
                content_light=(1000, 400),
                interlaced=True,
            ),
        ),
        StreamInfo(
            index=1,
            kind=StreamKind.AUDIO,
            codec=None,
            title="tit\udcffle\n\U0001f3ac",
            audio=AudioInfo(sample_rate=48000, channels=6, layout="5.1"),
        ),
    ),
    notes=(MediaNote("Eine Notiz.", "etwas"),),
)
READING = Reading(
    monotonic_seconds=1.5,
    cores=2.0,
    total_memory_bytes=8 << 30,
    used_memory_bytes=1 << 30,
    our_memory_bytes=1 << 20,
    cpu_percent=12.5,
    free_disk_bytes=1 << 50,
    oom_kills=3,
)


@pytest.mark.parametrize("record", [MEDIA, READING, VideoInfo(1, 1)], ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record: object) -> None:
    """Nested records, fractions, enumerations, tuples and lone surrogates survive the text."""
    text = encode(record)
    assert text.isascii()
    assert decode(type(record), text) == record


def test_a_text_of_another_version_still_reads() -> None:
    """Unknown names are ignored and missing ones take their default."""
    assert decode(VideoInfo, '{"width": 2, "height": 3, "from_the_future": [1]}') == VideoInfo(2, 3)


def test_a_text_that_is_no_record_is_refused() -> None:
    """A missing field without a default is an error, not a guess."""
    for text in ("{}", "[]", '{"width": "wide", "height": 1}'):
        with pytest.raises(ValueError, match=r"Object missing|Expected"):
            decode(VideoInfo, text)


def test_the_facts_of_an_output_come_back() -> None:
    """Size and mtime travel in their own columns, the rest in the text."""
    facts = OutputFacts(5, 6, None, 1, 2, 3, 25, ("one", "two"))
    assert facts_from(5, 6, facts_text(facts)) == facts
    assert [field.name for field in fields(OutputFacts)][:2] == ["size_bytes", "mtime_ns"]
