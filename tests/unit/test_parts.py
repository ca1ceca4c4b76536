"""A film in parts: where it may be cut, why it may not, how the parts are chosen and what they say of themselves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.errors import JobError
from pyprocessor.ffmpeg.damage import Damage, StreamDamage
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.cuts import safe_places
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import Chunking, Deinterlace, MediaInfo, Profile, StreamKind, UnsafeArguments
from pyprocessor.models.products import MAIN
from pyprocessor.recipes.features import features
from pyprocessor.recipes.parts import Span, film_part, film_recipe, list_of_parts, why_whole
from pyprocessor.tasks.base import ChildEnd
from pyprocessor.tasks.joining import parts_of
from pyprocessor.tasks.parts import FILM_PART, SOUND_PART, PartEnd, division, evenly
from pyprocessor.tasks.registry import task
from pyprocessor.tasks.transcode import Transcode
from tests.unit.test_recipes_transcode import FILM, MEDIA, SOURCE, with_video

PROFILE = with_video(crf=23)


@st.composite
def films(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Times of pictures in decoding order, and places of keyframes: groups of pictures, closed or open."""
    pts: list[int] = []
    keys: list[int] = []
    for size in draw(st.lists(st.integers(1, 6), min_size=1, max_size=8)):
        own = list(range(len(pts), len(pts) + size))
        leading = draw(st.integers(0, size - 1))
        keys.append(len(pts))
        # The keyframe first, though `leading` pictures are shown before it.
        pts += [own[leading], *draw(st.permutations(own[:leading] + own[leading + 1 :]))]
    return pts, keys


@given(films())
def test_a_cut_separates_what_is_shown_before_it_from_what_is_shown_after(film: tuple[list[int], list[int]]) -> None:
    """And every keyframe that does is a place to cut."""
    pts, keys = film
    found = safe_places(pts, keys)
    for key in keys:
        separates = all(time < pts[key] for time in pts[:key]) and all(time > pts[key] for time in pts[key + 1 :])
        assert (key in found) == separates


@given(
    st.lists(st.tuples(st.floats(0.01, 50), st.floats(0.5, 20)), min_size=1, max_size=60),
    st.integers(2, 12),
    st.floats(1, 30),
)
def test_parts_are_long_enough_and_not_too_many(stretches: list[tuple[float, float]], parts: int, least: float) -> None:
    """They begin with ascending stretches, the first with the first."""
    costs, seconds = zip(*stretches, strict=True)
    begins = evenly(costs, seconds, parts, least)
    assert begins[0] == 0
    assert len(begins) <= parts
    lengths = [sum(seconds[begin:until]) for begin, until in itertools.pairwise([*begins, len(costs)])]
    assert len(lengths) == 1 or min(lengths) >= least - 0.1 - 1e-6


def test_parts_cost_the_same_and_do_not_last_as_long() -> None:
    """A film whose first half takes three times as long has its second part begin earlier than its middle."""
    assert evenly([3.0] * 30 + [1.0] * 30, [2.0] * 60, 2, 10.0) == [0, 20]
    assert evenly([1.0] * 60, [2.0] * 60, 4, 10.0) == [0, 15, 30, 45]


def test_room_is_left_for_the_parts_that_follow() -> None:
    """Where the end of a film costs most, the cuts before it do not keep it from being cut."""
    film = [1.0] * 21 + [3.0] * 9
    assert evenly(film, [*[2.0] * 29, 1.96], 4, 10.0) == [0, 10, 20, 25]


def test_there_are_fewer_parts_where_there_are_few_places() -> None:
    """Two stretches give two parts, one gives one."""
    assert evenly([1.0, 1.0], [20.0, 20.0], 8, 10.0) == [0, 1]
    assert evenly([1.0], [200.0], 8, 10.0) == [0]


def test_the_list_of_parts_holds_any_name_but_one_with_a_line_break() -> None:
    """Each but the last part has the microseconds until the next one begins."""
    text = list_of_parts([b"/o/it's \xff", b"/o/b", b"/o/c"], [0.5, 10.541667, 20.583333])
    assert text.splitlines() == [
        b"ffconcat version 1.0",
        b"file 'file:/o/it'\\''s \xff'",
        b"duration 10041667us",
        b"file 'file:/o/b'",
        b"duration 10041666us",
        b"file 'file:/o/c'",
    ]
    with pytest.raises(ValueError, match="o"):
        list_of_parts([b"/o/\n/a"], [0.0])


def _media(**video: Any) -> MediaInfo:
    assert FILM.video is not None
    return replace(MEDIA, streams=(replace(FILM, video=replace(FILM.video, **video)), *MEDIA.streams[1:]))


@pytest.mark.parametrize(
    ("profile", "media", "why"),
    [
        (with_video(), MEDIA, "bit rate"),
        (with_video(crf=23, bitrates=((720, 3_000_000),)), MEDIA, "bit rate"),
        (with_video(crf=23, options=(("maxrate", "3M"),)), MEDIA, "bit rate"),
        (with_video(crf=23, options=(("x264-params", "aq-mode=3:vbv-maxrate=3000"),)), MEDIA, "bit rate"),
        (with_video(crf=23, encoder="libx265", options=(("x265-params", "no-hrd=0:hrd=1"),)), MEDIA, "bit rate"),
        (with_video(crf=31, encoder="libaom-av1"), MEDIA, "libaom-av1"),
        (with_video(crf=23, fps=50), MEDIA, "frame rate"),
        (with_video(crf=23, deinterlace=Deinterlace.ALWAYS), MEDIA, "interlaced"),
        (PROFILE, _media(interlaced=True), "interlaced"),
        (PROFILE, _media(in_decoding_order=True), "decoding"),
        (PROFILE, replace(MEDIA, forward=True), "from its start"),
        (PROFILE, replace(MEDIA, jump_seconds=3600.0), "from its start"),
        (replace(PROFILE, container="mpegts"), MEDIA, "mpegts"),
        (replace(PROFILE, unsafe=UnsafeArguments(output=("-x",))), MEDIA, "unchecked"),
        (
            with_video(crf=23, all_tracks=True),
            replace(MEDIA, streams=(*MEDIA.streams, replace(FILM, index=3))),
            "several films",
        ),
    ],
)
def test_what_could_not_be_exact_is_done_whole_with_a_reason(profile: Profile, media: MediaInfo, why: str) -> None:
    """By what the profile and the header of the file say."""
    assert why in why_whole(profile, media, contract(profile, media))


@pytest.mark.parametrize("options", [(), (("bf", "2"),), (("x264-params", "aq-mode=3:intra-refresh=0"),)])
def test_other_options_do_not_forbid_parts(options: tuple[tuple[str, str], ...]) -> None:
    """Nor does one that is switched off."""
    profile = with_video(crf=23, options=options)
    assert why_whole(profile, MEDIA, contract(profile, MEDIA)) == ""


def test_a_plan_says_how_many_parts_there_may_be() -> None:
    """Of ten seconds or more; none where the profile wants none, and then without a reason."""

    def planned_at(rate: Fraction, seconds: float) -> Any:
        return planned(PROFILE, seconds, _media(frame_rate=rate))

    def planned(profile: Profile, seconds: float, media: MediaInfo = MEDIA) -> Any:
        streams = tuple(replace(stream, duration_seconds=seconds) for stream in media.streams)
        media = replace(media, duration_seconds=seconds, streams=streams)
        return division(profile, media, contract(profile, media), features(profile, media))

    assert planned(PROFILE, 65.0).most_parts == 6
    assert planned(PROFILE, 65.0).join.disk_bytes > 0
    assert planned(PROFILE, 65.0).why_whole == ""
    slides = planned_at(Fraction(1), 400.0)
    assert slides.most_parts == 1  # of 240 pictures each
    short = planned(PROFILE, 19.0)
    assert (short.most_parts, "too short" in short.why_whole) == (1, True)
    assert planned(with_video(encoder="libx265", crf=28), 65.0).most_parts == 3  # of twenty seconds
    off = planned(replace(PROFILE, chunking=Chunking.OFF), 65.0)
    assert (off.most_parts, off.why_whole) == (1, "")
    assert Transcode().plan(PROFILE, (SOURCE,), MEDIA, b"a.mp4").division.why_whole == short.why_whole


def test_a_part_is_the_film_with_other_packets_and_nothing_beside_it() -> None:
    """Its encoder is told what the whole one is told, and how pieces can be joined."""
    film = film_recipe(PROFILE, MEDIA, SOURCE, threads=1, output_name="o.mp4")
    part = film_part(film, Span(1000, 2000, 40.0))
    (mapped,) = part.output.streams
    (whole,) = film.invocation.output.streams
    assert set(whole.options) <= set(mapped.options)
    assert ("x264-params", "stitchable=1:open-gop=0") in mapped.options
    assert [step.name for step in mapped.filters[:2]] == ["trim", "setpts"]
    assert mapped.filters[2:] == whole.filters
    options = dict(part.inputs[0].options)
    assert options["ss"] == "39.000000"
    assert "1000" in options["bsf:0"]
    assert "ss" not in dict(film_part(film, Span(0, 1000, None)).inputs[0].options)


def _end(role: str, result: Mapping[str, Any], name: str) -> ChildEnd:
    return ChildEnd(role, succeeded=True, products={MAIN: name.encode()}, result=result)


def _film_end(at: float, damage: Damage = Damage(), headers: str = "h") -> ChildEnd:  # noqa: B008 - frozen
    return _end(FILM_PART, PartEnd(0.0, damage, at, "1/25", 250, headers).as_json(), f"/o/{at:g}")


TIMES = Timeline({0: Track(StreamKind.VIDEO, 500, tuple(n / 25 for n in range(500)), end=20.0)})


def test_what_the_parts_found_damaged_is_counted_together() -> None:
    """Pictures of each part; the container's broken places, which the sound met as well, once."""
    first = Damage((StreamDamage(0, broken=2),), concealed=1, gaps=1)
    second = Damage((StreamDamage(0, undecodable=3, packets=1),), gaps=2)
    sound = Damage((StreamDamage(1, undecodable=4),), gaps=3)
    ends = (_film_end(0.0, first), _film_end(10.0, second), _end(SOUND_PART, PartEnd(0.0, sound).as_json(), "/o/s"))
    parts = parts_of(ends, FILM, TIMES)
    wanted = Damage((StreamDamage(0, 2, 3, 1), StreamDamage(1, 0, 4, 0)), concealed=1, gaps=3)
    assert parts.damage_with(Damage()) == wanted
    assert (parts.pictures, parts.sound, parts.film_parts) == (500, b"/o/s", (b"/o/0", b"/o/10"))


@pytest.mark.parametrize(
    "ends",
    [
        (_film_end(0.0), ChildEnd(FILM_PART, succeeded=False, reason="It failed.")),
        (_film_end(0.0), _film_end(10.0, headers="other")),
    ],
)
def test_parts_that_failed_or_differ_are_not_joined(ends: tuple[ChildEnd, ...]) -> None:
    """The film is then made whole."""
    with pytest.raises(JobError):
        parts_of(ends, FILM, TIMES)


@pytest.mark.parametrize("name", [FILM_PART, SOUND_PART])
def test_a_part_has_to_belong_to_a_film(name: str) -> None:
    """Submitted by itself it fails with a sentence; with a profile it costs what its params say."""
    part = task(name)
    cost = features(PROFILE, MEDIA)
    with pytest.raises(JobError, match="cannot be submitted"):
        part.plan({"profile": "f", "cost": asdict(cost)}, (SOURCE,), None, b"x")
    assert part.plan({"profile": PROFILE, "cost": asdict(cost)}, (SOURCE,), None, b"x").cost == cost
