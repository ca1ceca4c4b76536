"""The cache's form of a MediaInfo gives back exactly what went in."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.inspect.record import from_json, to_json
from pyprocessor.models import AudioInfo, Colour, HdrKind, MediaInfo, StreamInfo, StreamKind, VideoInfo

counts = st.integers(min_value=0, max_value=2**40)
words = st.none() | st.text(max_size=12)
seconds = st.none() | st.floats(min_value=0, max_value=1e7, allow_nan=False)
fractions = st.fractions(min_value=0, max_value=100_000, max_denominator=100_000)
videos = st.builds(
    VideoInfo,
    width=counts,
    height=counts,
    pixel_format=words,
    bit_depth=st.integers(1, 32),
    frame_rate=st.none() | fractions,
    sample_aspect_ratio=fractions,
    rotation=st.sampled_from((0, 90, 180, 270)),
    colour=st.builds(Colour, words, words, words, words),
    hdr=st.sampled_from(HdrKind),
    mastering_display=words,
    content_light=st.none() | st.tuples(counts, counts),
    interlaced=st.booleans(),
    variable_frame_rate=st.booleans(),
    attached_picture=st.booleans(),
)
streams = st.builds(
    StreamInfo,
    index=counts,
    kind=st.sampled_from(StreamKind),
    codec=words,
    decoder=words,
    duration_seconds=seconds,
    frames=st.none() | counts,
    bit_rate=st.none() | counts,
    language=words,
    title=words,
    dispositions=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    video=st.none() | videos,
    audio=st.none() | st.builds(AudioInfo, counts, counts, words),
)
media_files = st.builds(
    MediaInfo,
    container=st.text(max_size=20),
    duration_seconds=seconds,
    duration_estimated=st.booleans(),
    size_bytes=counts,
    bit_rate=st.none() | counts,
    streams=st.lists(streams, max_size=4).map(tuple),
    chapters=counts,
    notes=st.lists(st.text(max_size=30), max_size=3).map(tuple),
    missing_bytes=counts,
)


@given(media_files)
def test_round_trip_is_exact(media: MediaInfo) -> None:
    """Every field of every record comes back equal, in one line of ASCII."""
    text = to_json(media)
    assert text.isascii()
    assert "\n" not in text
    assert from_json(text) == media


def test_what_is_at_its_default_is_left_out() -> None:
    """A plain stream takes few bytes, since a journal holds one record for every file."""
    plain = MediaInfo("avi", 1.0, False, 10, None, (StreamInfo(0, StreamKind.VIDEO, "h264", video=VideoInfo(2, 2)),))
    assert "rotation" not in to_json(plain)


def test_fractions_survive() -> None:
    """NTSC's frame rate is not rounded."""
    video = VideoInfo(2, 2, frame_rate=Fraction(30000, 1001))
    media = MediaInfo("avi", None, True, 1, None, (StreamInfo(0, StreamKind.VIDEO, "h264", video=video),))
    restored = from_json(to_json(media)).streams[0].video
    assert restored is not None
    assert restored.frame_rate == Fraction(30000, 1001)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"v":1}', '{"v":0,"container":"avi"}', '{"v":1,"streams":[{"kind":"soup"}]}', "\x00"],
)
def test_anything_else_is_refused_with_a_value_error(text: str) -> None:
    """A damaged cache entry is told apart, so that the file is probed again."""
    with pytest.raises(ValueError, match=r".+"):
        from_json(text)
