"""Which layout a sound track gets, and where each of its channels goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.recipes.layouts import LAYOUTS, Channels, Placement, layout_name, named_channels, offered, place

ENCODERS = ("aac", "libopus", "libvorbis", "libmp3lame", "ac3", "eac3", "flac", "alac", "pcm_s16le", "libfdk_aac", "x")
CONTAINERS = ("mp4", "mov", "mkv", "mpegts", "wav", "flac", "ogg")


def placed(encoder: str, layout: str, container: str = "mkv") -> Placement:
    """Where the channels of `layout` go for that encoder."""
    channels = LAYOUTS.get(layout) or tuple(layout.split("+"))
    return place(channels, offered(encoder, container, channels))


@pytest.mark.parametrize(
    ("encoder", "layout", "expected"),
    [
        ("aac", "2.1", "2.1"),
        ("aac", "4.0", "4.0"),
        ("aac", "7.1", "7.1"),
        ("libopus", "2.1", "5.1"),
        ("libopus", "4.0", "6.1"),
        ("libopus", "3.1", "5.1"),
        ("libopus", "7.0", "7.1"),
        ("ac3", "5.1", "5.1(side)"),
        ("aac", "6.0", "hexagonal"),
        ("aac", "SL+SR", "stereo"),
        ("ac3", "SL+SR", "stereo"),
        ("aac", "BC", "mono"),
        ("aac", "downmix", "stereo"),
        ("libopus", "binaural", "stereo"),
        ("libopus", "7.1(wide)", "7.1"),
        ("aac", "FL+FR+SL+SR+BL+BR", "7.0"),
        ("flac", "FL+FR+FLC+FRC", "FL+FR+FLC+FRC"),
        ("pcm_s16le", "quad", "5.0"),
    ],
)
def test_the_nearest_layout_that_loses_nothing(encoder: str, layout: str, expected: str) -> None:
    """As it is; under another name; or in a larger layout, with silence in the channels that it lacks."""
    found = placed(encoder, layout)
    assert not found.mixed + found.dropped
    assert layout_name(found.channels) == expected


@pytest.mark.parametrize(
    ("encoder", "layout", "mixed"),
    [("ac3", "7.1", "BL+BR"), ("libopus", "octagonal", "BC"), ("aac", "cube", "TBL+TBR")],
)
def test_what_fits_nowhere_is_mixed_into_its_neighbours(encoder: str, layout: str, mixed: str) -> None:
    """And nothing else is."""
    assert "+".join(placed(encoder, layout).mixed) == mixed


def test_containers_that_lack_a_name() -> None:
    """Matroska names no channels of PCM, and MPEG-TS has no room for the newer configurations of AAC."""
    assert layout_name(placed("pcm_s16le", "3.0", "wav").channels) == "3.0"
    assert layout_name(placed("pcm_s16le", "3.0", "mkv").channels) != "3.0"
    assert layout_name(placed("aac", "7.1", "mpegts").channels) != "7.1"
    assert layout_name(placed("flac", "7.0", "mp4").channels) == "7.1"


@given(
    st.sampled_from(ENCODERS),
    st.sampled_from(CONTAINERS),
    st.sampled_from(sorted(LAYOUTS)).map(LAYOUTS.__getitem__)
    | st.lists(st.sampled_from(LAYOUTS["22.2"]), min_size=1, max_size=12, unique=True).map(tuple),
)
def test_every_channel_is_somewhere_or_named_as_lost(encoder: str, container: str, source: Channels) -> None:
    """Whatever the layout: each channel comes out, alone and whole unless it is told, and only bass is ever dropped."""
    found = place(source, offered(encoder, container, source))
    heard = {number for part in found.parts for _, number in part}
    assert {source[number] for number in range(len(source)) if number not in heard} == set(found.dropped)
    assert set(found.dropped) <= {"LFE", "LFE2"}
    assert len(found.parts) == len(found.channels)
    if not found.mixed + found.dropped:
        assert sorted(part[0] for part in found.parts if part) == sorted((1.0, n) for n in range(len(source)))
        assert all(len(part) <= 1 for part in found.parts)


def test_names_of_channels() -> None:
    """ffmpeg's names of layouts and its lists of channels; channels that nobody named have none."""
    assert named_channels("5.1(side)", 6) == ("FL", "FR", "FC", "LFE", "SL", "SR")
    assert named_channels("2 channels (SL+SR)", 2) == ("SL", "SR")
    assert named_channels(None, 2) is None
    assert named_channels("ambisonic 1", 4) is None
    assert named_channels("2 channels (USR1+USR2)", 2) is None
