"""Closed captions in pictures as they lie in a file, and what becomes of them by encoder."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pyprocessor.inspect.film import captions_in
from pyprocessor.models import Profile, VideoSettings
from pyprocessor.recipes.subtitles import lost_captions


def user_data(*triplets: bytes, flags: int = 0x40) -> bytes:
    """A picture's user data with these triplets."""
    return b"\0\0\1\xb2GA94\x03" + bytes((flags | len(triplets), 0xFF)) + b"".join(triplets) + b"\xff"


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (user_data(b"\xfc\x94\x20"), True),
        (user_data(b"\xfc\x80\x80"), False),
        (user_data(b"\xfc\x80\x80", b"\xfd\x80\x80", b"\xfa\0\0", b"\xfa\0\0"), False),
        (user_data(b"\xfc\x80\x80", b"\xff\x02\x21"), True),
        (user_data(b"\xf8\x94\x20"), False),
        (user_data(b"\xfc\x94\x20", flags=0), False),
        (user_data(b"\xfc\x80\x80") + user_data(b"\xfc\x94\x20"), True),
        (b"GA94\x03", False),
        (b"GA94\x03\x5f", False),
        (b"\xb5\x00\x31GA94\x03\x42\xff\xfa\0\0\xfc\x94\x20\xff\x80", True),
        (bytes(1000), False),
    ],
    ids=[
        "608",
        "pause",
        "padding",
        "708",
        "not valid",
        "not processed",
        "second",
        "cut",
        "cut later",
        "in h264",
        "none",
    ],
)
def test_captions_count_where_they_say_something(packet: bytes, found: bool) -> None:
    """A station's empty triplets are no captions."""
    assert captions_in(memoryview(packet)) is found


def test_what_becomes_of_captions() -> None:
    """Kept by encoders that write them, unless pictures go at a rate for which ffmpeg does not spread them anew."""
    profile = Profile("p", "f", container="mkv")
    for encoder, loss in (
        ("libx264", None),
        ("libx265", None),
        ("libsvtav1", "captions dropped (mkv with AV1 holds none)"),
        ("libvpx-vp9", "captions dropped (mkv with VP9 holds none)"),
        ("ffv1", "captions dropped (mkv with ffv1 holds none)"),
    ):
        notes = lost_captions(profile, VideoSettings(encoder), keeps_rate=True)
        assert [note.loss for note in notes] == ([loss] if loss else [])
    at_rate = VideoSettings(fps=Fraction(30000, 1001))
    assert lost_captions(profile, at_rate, keeps_rate=False) == ()
    assert lost_captions(profile, replace(at_rate, fps=Fraction(10)), keeps_rate=False)
