"""Transcripts: read from back ends, merged, judged, written as subtitles; recordings cut at silences."""

from __future__ import annotations

import json
import math
import re
import tempfile
import wave
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.errors import JobError
from pyprocessor.speech import quality
from pyprocessor.speech.cutting import RATE, Piece, cuts, quietest, samples_of, sounding
from pyprocessor.speech.dropped import uncovered
from pyprocessor.speech.subtitles import LINE_CHARACTERS, LINES, LONGEST_SECONDS, cues, srt, vtt
from pyprocessor.speech.transcripts import Dropped, Segment, Transcript, merged, transcript
from pyprocessor.speech.wav import stands_at, write_wav

SECONDS = st.floats(0, 3600).map(lambda value: round(value, 3))
SAID = st.text(st.sampled_from("abcdefg    <&>-"), min_size=1, max_size=400).filter(str.strip)
SEGMENTS = st.lists(st.builds(lambda at, length, text: Segment(at, at + length, text), SECONDS, st.floats(0, 40), SAID))
SEGMENTS = SEGMENTS.map(lambda found: sorted(found, key=lambda one: one.start))


def written(*segments: tuple[float, float, str], **more: Any) -> bytes:
    """What a back end writes."""
    listed = [{"start": start, "end": end, "text": text} for start, end, text in segments]
    return json.dumps({"language": "en", "segments": listed, **more}).encode()


def tone(level: int, seconds: float) -> array[int]:
    """Sound of a level."""
    return array("h", [level, -level] * round(seconds * RATE / 2))


def raw(folder: Path, *parts: array[int]) -> bytes:
    """A file of raw sound."""
    path = folder / "sound.raw"
    path.write_bytes(b"".join(part.tobytes() for part in parts))
    return str(path).encode()


# ---------------------------------------------------------------- transcripts


def test_pieces_are_merged_with_the_times_of_the_recording() -> None:
    """Times outside a piece lie at its ends; segments without words are left out."""
    first = transcript(written((0, 2, " so "), (1.5, 700, "it begins"), (3, 4, "  ")), 0.0, 600.0)
    second = transcript(written((-1, 1, "and ends"), dropped=[[2, 3, "noise"]]), 600.0, 30.0)
    whole = merged([first, second])
    assert [(one.start, one.end, one.text) for one in whole.segments] == [
        (0.0, 2.0, "so"),
        (1.5, 600.0, "it begins"),
        (600.0, 601.0, "and ends"),
    ]
    assert whole.dropped == (Dropped(602.0, 603.0, "noise"),)


def test_the_language_is_the_one_in_which_most_is_said() -> None:
    """By seconds, with the mean of how sure the pieces of that language are."""
    pieces = [
        Transcript((Segment(0, 3, "a"),), "de", 0.5),
        Transcript((Segment(3, 5, "b"),), "en", 0.9),
        Transcript((Segment(5, 7, "c"),), "en", 0.7),
        Transcript((), "fr", 1.0),
    ]
    assert (merged(pieces).language, merged(pieces).language_probability) == ("en", pytest.approx(0.8))
    assert merged([]) == Transcript()


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"[]", b"{}", b'{"segments": [1]}', b'{"segments": [{"start": null, "end": 1, "text": "a"}]}'),
        *(b'{"segments": [{"start": NaN, "end": 1, "text": "a"}]}', b'{"segments": [], "dropped": [[1, 2]]}'),
    ],
)
def test_what_is_no_transcript_is_refused(document: bytes) -> None:
    """With a sentence."""
    with pytest.raises(JobError, match="wrote what is no transcript"):
        transcript(document, 0.0, 10.0)


def test_a_pause_begins_a_new_line_of_the_text() -> None:
    """And Chinese has no spaces between its words."""
    said = (Segment(0, 1, "one"), Segment(2, 3, "two"), Segment(5, 6, "three"))
    assert Transcript(said, "en").text == "one two\nthree"
    assert Transcript(said, "zh").text == "onetwo\nthree"
    assert Transcript().text == ""


def test_the_document_holds_all() -> None:
    """As JSON that later tasks read."""
    document = Transcript((Segment(0, 1, "one", 0.5),), "en", 0.9, (Dropped(2, 3, "noise"),)).document(4.0)
    assert json.loads(json.dumps(document)) == {
        "version": 1,
        "duration_seconds": 4.0,
        "text": "one",
        "segments": [{"start": 0, "end": 1, "text": "one", "confidence": 0.5}],
        "language": "en",
        "language_probability": 0.9,
        "dropped": [{"start": 2, "end": 3, "why": "noise"}],
    }


# ---------------------------------------------------------------- quality


def test_doubtful_segments_and_lost_speech_are_warned_of() -> None:
    """Each kind in one sentence, with where it begins."""
    found = Transcript(
        (Segment(0, 9, "sure", 0.9), Segment(60, 61, "x" * 100, 0.2), Segment(62, 63, "unknown")),
        dropped=(Dropped(70, 72, "noise"), Dropped(80, 81.5, "noise")),
    )
    assert list(quality.warnings(found)) == [
        f"1 of 3 segments are doubtful (confidence below 0.5), the first at 1 min 00 s: '{'x' * 60}...'.",
        "3.5 s that may be speech have no words: noise, first at 1 min 10 s.",
    ]
    assert quality.confidence(found) == pytest.approx((9 * 0.9 + 0.2) / 10)
    assert list(quality.warnings(Transcript())) == ["No words were recognized."]
    assert quality.confidence(Transcript()) is None


@pytest.mark.parametrize(
    ("reference", "accuracy"),
    [("Go forward ten meters!", 100.0), ("go forward ten", 200 / 3), ("back", 0.0), ("", 0.0)],
)
def test_accuracy_is_what_is_right_of_the_reference(reference: str, accuracy: float) -> None:
    """In percent, never below zero."""
    said = Transcript((Segment(0, 1, "go forward"), Segment(1, 2, "10 meters")))
    assert quality.accuracy(said, reference) == pytest.approx(accuracy)


@given(st.lists(st.tuples(SECONDS, st.floats(0, 50))), st.lists(st.tuples(SECONDS, st.floats(0, 50))))
def test_what_is_uncovered_lies_in_a_stretch_and_under_nothing(
    stretches: list[tuple[float, float]], covered: list[tuple[float, float]]
) -> None:
    """And lasts a second or more."""
    inside, over = ([(start, start + length) for start, length in some] for some in (stretches, covered))
    for start, end in uncovered(inside, over):
        assert end - start >= 1.0
        assert any(a <= start and end <= b for a, b in inside)
        assert all(end <= a or b <= start for a, b in over)


def test_a_stretch_without_anything_over_it_is_uncovered() -> None:
    """Whole, or what is left on both sides."""
    assert list(uncovered([(0, 10)], [(4, 5), (5.5, 6)])) == [(0, 4), (6, 10)]
    assert list(uncovered([(0, 10), (20, 20.5)], [])) == [(0, 10)]


# ---------------------------------------------------------------- subtitles


@given(SEGMENTS)
def test_cues_are_short_in_order_and_hold_every_word(segments: list[Segment]) -> None:
    """At most two lines of 42 characters for seven seconds, none over the next one."""
    shown = cues(segments)
    assert all(len(cue.lines) <= LINES for cue in shown)
    assert all(0 < len(line) <= LINE_CHARACTERS for cue in shown for line in cue.lines)
    assert all(0 <= cue.end - cue.start <= LONGEST_SECONDS + 1e-6 for cue in shown)
    assert all(math.isclose(one.end, after.start) or one.end <= after.start for one, after in pairwise(shown))
    said = sorted("".join(segment.text for segment in segments).replace(" ", ""))
    assert sorted("".join(line for cue in shown for line in cue.lines).replace(" ", "")) == said


def test_a_long_segment_becomes_several_cues() -> None:
    """Each with as much of the time as of the words; two lines are of near equal length."""
    text = "we choose to go to the moon in this decade and do the other things not because they are easy"
    first, second = cues([Segment(10, 20, text)])
    assert first.lines == ("we choose to go to the moon in this decade",)
    assert second.lines == ("and do the other things not because they", "are easy")
    assert (first.start, second.end) == (10, pytest.approx(20, abs=3.1))
    (short,) = cues([Segment(0, 0.2, "seven of clubs and then the ten of clubs as well")])
    assert short.lines == ("seven of clubs and then", "the ten of clubs as well")
    assert short.end == 1.0


def test_subtitles_are_written_as_players_read_them() -> None:
    """Clocks with hours; WebVTT has its own escapes, and neither may hold an arrow in a text."""
    shown = cues([Segment(3661.5, 3663, "Tom & <Jerry> --> run"), Segment(3663.02, 3664, "on")])
    assert srt(shown) == (
        "1\n01:01:01,500 --> 01:01:02,940\nTom & <Jerry> -> run\n\n2\n01:01:03,020 --> 01:01:04,020\non\n\n"
    )
    assert vtt(shown).startswith("WEBVTT\n\n01:01:01.500 --> 01:01:02.940\nTom &amp; &lt;Jerry&gt; --&gt; run\n\n")
    assert srt([]) == ""
    assert re.fullmatch(r"WEBVTT\n\n", vtt([]))


# ---------------------------------------------------------------- cutting


def test_a_recording_is_cut_in_its_pauses(tmp_path: Path) -> None:
    """The last one before the longest piece ends, however short."""
    path = raw(tmp_path, tone(900, 50), tone(3, 0.4), tone(900, 8), tone(3, 0.4), tone(900, 30))
    first, second = cuts(path, 60)
    assert first.begin == 0
    assert 58.5 < first.seconds < 58.7
    assert (second.begin, second.end) == (first.end, (Path(path.decode()).stat().st_size) // 2)


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0.05, 8)), max_size=6), st.floats(1, 6))
def test_pieces_cover_a_recording(parts: list[tuple[int, float]], longest: float) -> None:
    """Without gaps, none longer than asked for or empty."""
    with tempfile.TemporaryDirectory() as folder:
        path = raw(Path(folder), *(tone(level, seconds) for level, seconds in parts))
        pieces = list(cuts(path, longest))
    samples = sum(len(tone(0, seconds)) for _, seconds in parts)
    assert [piece.begin for piece in pieces] == [0, *(piece.end for piece in pieces)][: len(pieces)]
    assert (pieces[-1].end if pieces else 0) == samples
    assert all(0 < piece.seconds <= longest for piece in pieces)


def test_the_last_of_equal_silences_is_the_quietest() -> None:
    """So that pieces are as long as they may be; less than 300 ms has no place to cut."""
    assert quietest(tone(0, 2)) / RATE == pytest.approx(1.85)
    assert quietest(tone(5, 0.1)) == len(tone(5, 0.1))


def test_silence_at_both_ends_is_found(tmp_path: Path) -> None:
    """A quarter of a second of it is kept; where all is silent, all is."""
    found = sounding(raw(tmp_path, tone(2, 3), tone(900, 2), tone(2, 4)), 100)
    assert (found.begin_seconds, found.seconds) == (pytest.approx(2.75, abs=0.03), pytest.approx(2.5, abs=0.03))
    assert sounding(raw(tmp_path, tone(2, 3)), 100) == Piece(0, 3 * RATE)


def test_a_wav_file_says_where_it_stands_in_its_source(tmp_path: Path) -> None:
    """As other programs read it: the samples are those of the piece."""
    path, made = raw(tmp_path, tone(1, 1), tone(2, 1), tone(3, 1)), str(tmp_path / "a.wav").encode()
    write_wav(path, Piece(RATE, 2 * RATE), made, stands_at=RATE * 5 // 2)
    assert stands_at(made) == 2.5
    with wave.open(made.decode()) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes()) == (RATE, 1, 2, RATE)
        assert file.readframes(RATE) == samples_of(path, RATE, 2 * RATE).tobytes()
    (tmp_path / "b.wav").write_bytes(Path(made.decode()).read_bytes().replace(b"pyprocessor", b"recorder!!!"))
    assert stands_at(str(tmp_path / "b.wav").encode()) == 0.0, "another program's time is one of the day"
    assert stands_at(path) == 0.0
    with pytest.raises(JobError, match="longer than a WAV file can hold"):
        write_wav(path, Piece(0, 1 << 31), made)
