"""Timelines: what packets make of pictures, sound and rates, and the short form that is remembered."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.inspect.timeline import Ticks, Timeline, compact, expand, rate_of, timeline
from pyprocessor.models import StreamKind

MS = Fraction(1, 1000)


def film(shown: list[int], *, keys: tuple[int, ...] = (0,), length: int = 40) -> Ticks:
    """A film of packets with these times (ms), in decoding order, keyframes at these places."""
    ticks = Ticks(StreamKind.VIDEO, MS)
    for place, at in enumerate(shown):
        ticks.add(at, place * length, length, is_key=place in keys)
    return ticks


def sound(starts: list[int], length: int = 20) -> Ticks:
    """Sound of packets with these times (ms)."""
    ticks = Ticks(StreamKind.AUDIO, MS)
    for at in starts:
        ticks.add(at, at, length, is_key=True)
    return ticks


def made(**streams: Ticks) -> Timeline:
    """The timeline of a file of these streams."""
    numbered = dict(enumerate(streams.values()))
    return timeline(numbered, None, numbered, by_decoding=False)


def test_pictures_are_in_order_and_end_with_the_last() -> None:
    """Whatever the decoding order is."""
    track = made(film=film([0, 120, 40, 80])).tracks[0]
    assert list(track.starts) == [0.0, 0.04, 0.08, 0.12]
    assert (track.start, track.end, len(track.leading)) == (0.0, 0.16, 0)


def test_pictures_before_the_first_keyframe_are_set_apart() -> None:
    """Those decoded before it, and those shown before it that were decoded after."""
    track = made(film=film([0, 40, 200, 120, 160, 240], keys=(2,))).tracks[0]
    assert list(track.starts) == [0.2, 0.24]
    assert list(track.leading) == [0.0, 0.04, 0.12, 0.16]


def test_a_cut_that_begins_behind_a_hidden_keyframe_has_no_leading_pictures() -> None:
    """An edit list leaves the keyframe out, but decoders get it."""
    ticks = Ticks(StreamKind.VIDEO, MS)
    ticks.begins_with_key()
    ticks.add(600, 600, 40, is_key=False)
    ticks.add(640, 640, 40, is_key=True)
    assert list(made(film=ticks).tracks[0].starts) == [0.6, 0.64]


def test_lengths_in_decoding_order_count_together() -> None:
    """In MP4 the packet with the longest length need not be the picture that is shown longest."""
    ticks = Ticks(StreamKind.VIDEO, MS)
    for shown, decoded, length in [(0, 0, 40), (12_080, 40, 12_000), (40, 12_040, 40), (12_120, 12_080, 40)]:
        ticks.add(shown, decoded, length, is_key=not shown)
    track = timeline({0: ticks}, None, [0], by_decoding=True).tracks[0]
    assert track.end == pytest.approx(12.16)


def test_sound_is_what_its_packets_cover() -> None:
    """A gap of a tenth of a second or more parts it; overlaps and small holes do not."""
    track = made(sound=sound([0, 20, 40, 65, 300, 320])).tracks[0]
    assert track.spans == ((0.0, 0.085), (0.3, 0.34))
    assert track.covered_seconds == pytest.approx(0.125)


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(1)]
)
def test_a_constant_rate_is_found_through_milliseconds(rate: Fraction) -> None:
    """Matroska rounds every time, and declares nothing that can be relied upon."""
    starts = [round(1000 * n / rate) / 1000 for n in range(400)]
    found = rate_of(starts, (Fraction(24769, 524),))
    assert (found.grid, found.steady) == (rate, True)


def test_left_out_pictures_stay_on_the_clock() -> None:
    """A recording that dropped some is not steady, but keeps its clock."""
    found = rate_of([n / 25 for n in range(100) if n % 7], (None,))
    assert (found.grid, found.steady) == (Fraction(25), False)


def test_a_varying_rate_has_no_clock() -> None:
    """Phones and screens: 16 to 33 ms apart, as it comes."""
    at, starts = 0.0, []
    for n in range(200):
        starts.append(round(at, 3))
        at += 0.0165 + 0.0083 * (n * 7919 % 11) / 10
    found = rate_of(starts, (Fraction(24769, 524),))
    assert found.grid is None
    assert found.average == pytest.approx(199 / (starts[-1] - starts[0]))


@given(st.lists(st.integers(0, 10**7), max_size=60, unique=True), st.lists(st.integers(0, 10**6), max_size=30))
def test_the_short_form_is_the_timeline_again(shown: list[int], heard: list[int]) -> None:
    """Unless it is too long to be one."""
    found = made(film=film(shown), sound=sound(heard))
    text = compact(found)
    if text is not None:
        again = expand(text)
        assert again.tracks[0].starts == pytest.approx(list(found.tracks[0].starts))
        assert again.tracks[0].leading == pytest.approx(list(found.tracks[0].leading))
        pairs = zip(again.tracks[1].spans, found.tracks[1].spans, strict=True)
        assert all(a == pytest.approx(b) for a, b in pairs)
        assert again.began == pytest.approx(found.began)


def test_a_long_timeline_has_no_short_form_and_a_steady_one_is_tiny() -> None:
    """An hour at a constant rate takes little; as much jitter does not fit."""
    steady = made(film=film([40 * n for n in range(90_000)]))
    assert 0 < len(compact(steady) or "") < 1500
    jitter = made(film=film([40 * n + n * 7919 % 37 for n in range(90_000)]))
    assert compact(jitter) is None
