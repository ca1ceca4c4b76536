"""Chunks: where films are cut, results in order, the manifest, names of processors."""

from __future__ import annotations

import itertools
import json
import math
import os
from array import array
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.chunks import ChunkResult, PipelineError, ResultCollector
from pyprocessor.chunks.manifest import Manifest
from pyprocessor.errors import JobError, UsageError
from pyprocessor.inspect.cuts import PacketIndex
from pyprocessor.inspect.picture_index import PictureIndex
from pyprocessor.models import MediaInfo
from pyprocessor.profiles import load
from pyprocessor.tasks.chunk_cutting import CutChunk, Cutting
from pyprocessor.tasks.chunk_processing import chunk_profile, profile_values
from pyprocessor.tasks.chunk_processors import Processor, processors


def index_of(order: list[tuple[float, bool]], *, last: float = 0.04) -> PictureIndex:
    """The index of pictures in decoding order: when each is shown, and whether it is a keyframe."""
    times = array("q", (round(time * 1_000_000) for time, _ in order))
    keys = [place for place, (_, key) in enumerate(order) if key]
    packets = PacketIndex(
        0, Fraction(1, 1_000_000), times=times, sizes=array("q", [100] * len(times)), keys=keys, entries=keys
    )
    shown = array("d", (time / 1_000_000 for time in sorted(times)))
    return PictureIndex(
        media=MediaInfo("mov", None, False, 0, None, ()),
        sound=(),
        origin=0.0,
        duration=(shown[-1] + last) if shown else 0.0,
        size_bytes=100 * len(times),
        packets=packets,
        shown=shown,
    )


def film(pictures: int, gop: int, *, rate: int = 25, reordered: bool = False) -> PictureIndex:
    """A film of closed groups of pictures; `reordered`: the last picture of each group is decoded second."""
    order: list[tuple[float, bool]] = []
    for first in range(0, pictures, gop):
        group = [(number / rate, number == first) for number in range(first, min(first + gop, pictures))]
        order += [group[0], *group[-1:], *group[1:-1]] if reordered and len(group) > 2 else group
    return index_of(order)


def ends(cut: CutChunk) -> tuple[float, float]:
    """What tells the pictures of a chunk from the others."""
    return (
        -math.inf if cut.first is None else cut.first.before,
        math.inf if cut.end is None else cut.end.before,
    )


films = st.builds(
    film, st.integers(1, 400), st.integers(1, 120), rate=st.sampled_from([1, 24, 25, 60]), reordered=st.booleans()
)
uneven = st.lists(st.floats(0.001, 7.0), min_size=1, max_size=60).map(
    lambda gaps: index_of([(sum(gaps[:n]), n % 7 == 0) for n in range(len(gaps))])
)


@given(st.one_of(films, uneven), st.floats(0.05, 30.0), st.booleans())
def test_each_picture_is_in_one_chunk(index: PictureIndex, seconds: float, at_keyframes: bool) -> None:
    """Whatever the film: no picture twice, none lost, no chunk empty, each begins where the one before it ends."""
    cuts = Cutting(index, seconds).chunks(at_keyframes=at_keyframes)
    counts = [index.pictures(*ends(cut)) for cut in cuts]
    assert sum(counts) == len(index.shown)
    assert all(counts)
    assert [cut.chunk.sequence for cut in cuts] == list(range(len(cuts)))
    assert all(a.chunk.end_time == b.chunk.start_time for a, b in itertools.pairwise(cuts))
    assert cuts[0].chunk.start_time == 0.0
    assert cuts[-1].chunk.end_time == index.duration


@given(films, st.floats(0.05, 30.0), st.floats(0.0, 20.0), st.floats(0.01, 20.0))
def test_a_part_of_a_film(index: PictureIndex, seconds: float, start: float, length: float) -> None:
    """Between two times: exactly the pictures shown there, or, at keyframes, all of them and some beside."""
    wanted = index.pictures(start - 1e-6, start + length - 1e-6)
    exact = Cutting(index, seconds, start, start + length).chunks()
    assert sum(index.pictures(*ends(cut)) for cut in exact) == wanted
    copied = Cutting(index, seconds, start, start + length).chunks(at_keyframes=True)
    assert sum(index.pictures(*ends(cut)) for cut in copied) >= wanted


@given(films, st.floats(0.05, 30.0))
def test_copies_begin_where_nothing_before_is_shown_later(index: PictureIndex, seconds: float) -> None:
    """In decoding order, too, the pictures of a chunk are one piece that begins with a keyframe."""
    for cut in Cutting(index, seconds).chunks(at_keyframes=True):
        low, high = ends(cut)
        places = [place for place, time in enumerate(index.times) if low <= time < high]
        assert places == list(range(places[0], places[-1] + 1))
        assert places[0] in index.packets.keys


def test_an_open_group_of_pictures_is_no_place_to_cut() -> None:
    """A picture that is decoded behind a keyframe and shown before it depends on what is before the keyframe."""
    closed, opened = (0.0, True), (0.12, True)
    index = index_of([closed, (0.04, False), opened, (0.08, False), (0.16, False), (0.2, True), (0.24, False)])
    assert [cut.time for cut in index.safe_cuts] == [0.0, 0.2]
    assert index.keyframe_for(0.16) == 0.0


def test_one_keyframe_gives_one_copied_chunk() -> None:
    """And as many others as were asked for."""
    index = film(100, 100)
    assert len(Cutting(index, 1.0).chunks(at_keyframes=True)) == 1
    assert len(Cutting(index, 1.0).chunks()) == 4


def test_a_pause_makes_no_empty_chunk() -> None:
    """The chunk before it lasts until the next picture's."""
    cuts = Cutting(index_of([(0.0, True), (1.0, True), (9.0, True), (9.5, False)]), 2.0).chunks()
    assert [(cut.chunk.start_time, cut.chunk.end_time) for cut in cuts] == [(0.0, 8.0), (8.0, 9.54)]


def test_of_a_film_that_grows_only_what_cannot_change() -> None:
    """The last chunk, and one whose sound may still come, wait."""
    index = film(250, 25)
    assert len(Cutting(index, 2.0).chunks()) == 5
    assert len(Cutting(index, 2.0).chunks(settled=False)) == 3
    assert Cutting(film(250, 25), 20.0).chunks(settled=False) == []


def test_no_chunks_behind_the_end() -> None:
    """A start behind the end of the film is no mistake."""
    assert Cutting(film(25, 25), 1.0, 5.0).chunks() == []
    assert Cutting(film(25, 25), 1.0, 5.0).chunks(at_keyframes=True) == []


@pytest.mark.parametrize("seconds", [2.0, 3600.0, 1e9])
def test_a_chunk_longer_than_the_film_is_all_of_it(seconds: float) -> None:
    """However much longer."""
    (cut,) = Cutting(film(25, 25), seconds).chunks()
    assert cut.chunk.start_time == 0.0
    assert cut.chunk.end_time == pytest.approx(1.0)


def test_too_many_chunks_are_refused() -> None:
    """Before any of them is made."""
    with pytest.raises(JobError, match="longer chunk_duration"):
        Cutting(film(250, 25), 1e-6).chunks()


@given(st.permutations(range(12)))
def test_results_come_out_in_order(order: list[int]) -> None:
    """In whichever order they come in; what waits for one before it is counted."""
    collector = ResultCollector(12)
    emitted: list[int] = []
    for count, sequence in enumerate(order, start=1):
        emitted += [result.sequence for result in collector.add(ChunkResult(sequence, success=True))]
        assert emitted == list(range(len(emitted)))
        assert collector.emitted_count == len(emitted)
        assert collector.buffered_count == count - len(emitted)
        assert collector.is_complete == (count == 12)
    assert emitted == list(range(12))


@pytest.mark.parametrize("sequence", [-1, 0, 1, 3])
def test_a_result_that_is_not_expected(sequence: int) -> None:
    """One that is there already, whether or not it was given back, or that no chunk has."""
    collector = ResultCollector(3)
    collector.add(ChunkResult(0, success=True))
    if sequence == 1:
        collector.add(ChunkResult(1, success=True))
    with pytest.raises(ValueError, match=f"chunk {sequence}"):
        collector.add(ChunkResult(sequence, success=True))


def test_the_manifest_says_what_failed_and_what_was_left(tmp_path: Path) -> None:
    """A failed chunk has no file; files of a call that cut otherwise are named."""
    folder = os.fsencode(tmp_path)
    results = [
        ChunkResult(0, True, str(tmp_path / "chunk_0000.mp4"), start_time=0.0, end_time=2.5, facts={"frames": 5}),
        ChunkResult(1, False, error="It broke.", start_time=2.5, end_time=4.0),
    ]
    Manifest(folder, b"/a/film.mp4").write(results, complete=True, total_chunks=2)
    found = json.loads((tmp_path / "manifest.json").read_text())
    assert (found["source"], found["total_chunks"], found["version"]) == ("/a/film.mp4", 2, 1)
    good, bad = found["segments"]
    assert (good["file"], good["start"], good["end"], good["frames"]) == ("chunk_0000.mp4", 0.0, 2.5, 5)
    assert (bad["file"], bad["failed"], bad["error"], bad["start"]) == (None, True, "It broke.", 2.5)
    (tmp_path / "chunk_0000.mp4").write_text("")
    again = Manifest(folder, b"/a/film.mp4")
    assert "chunk_0000.mp4" in str(again.left_behind(["chunk_0000.mkv"]))
    assert again.left_behind(["chunk_0000.mp4"]) is None
    assert sorted(os.listdir(tmp_path)) == ["chunk_0000.mp4", "manifest.json"]


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", '{"made_by": "pyprocessor", "source": "/another.mp4"}'])
def test_a_manifest_of_others_is_not_replaced(tmp_path: Path, text: str) -> None:
    """Nor one of another source."""
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(PipelineError, match="choose another output folder"):
        Manifest(os.fsencode(tmp_path), b"/a/film.mp4")
    assert (tmp_path / "manifest.json").read_text() == text


def test_names_of_processors() -> None:
    """Our own, several in turn, functions by their module."""
    assert processors("checksum") == {"checksum": None}
    assert list(processors("composite")) == ["checksum", "simulated_decode"]
    assert list(processors("composite:ffmpeg,os.path:basename")) == ["ffmpeg", "os.path:basename"]
    assert processors("os.path:basename") == {"os.path:basename": Processor("os.path:basename")}


@pytest.mark.parametrize(
    "name",
    [
        *("", "nothing", "no.such.module:f", "os.path:nothing", "composite:composite", "composite:checksum,checksum"),
        *(":f", "..os:f", "os:", "os..path:f", "__main__:film"),
    ],
)
def test_processors_that_are_none(name: str) -> None:
    """One sentence each."""
    with pytest.raises(UsageError):
        processors(name)


@pytest.mark.parametrize("text", ["raise ValueError('no licence')", "raise SystemExit(3)", "def f(:"])
def test_a_processor_whose_module_fails(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises, it is one sentence."""
    (tmp_path / "module_that_fails.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="cannot be imported"):
        processors("module_that_fails:f")


@pytest.mark.parametrize("name", ["default", "fast", "archive", "proxy"])
def test_a_profile_goes_to_the_workers_whole(name: str) -> None:
    """What decides how pictures and sound are encoded comes back from JSON as it was."""
    profile = load(name, environment={}).profile
    back = chunk_profile(json.loads(json.dumps(profile_values(profile))))
    assert (back.video, back.audio, back.container) == (profile.video, profile.audio, profile.container)
