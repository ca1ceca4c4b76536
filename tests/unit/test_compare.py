"""Comparing an output's timeline with its source's: what passes, what is noted, what is refused."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pyprocessor.errors import FailureKind, VerifyError
from pyprocessor.inspect.compare import Pair, compare_tracks
from pyprocessor.inspect.timeline import Track
from pyprocessor.models import BROKEN, MediaNote, StreamKind


def film(starts: Sequence[float], leading: Sequence[float] = (), length: float = 0.04) -> Track:
    """A film of pictures at these times."""
    end = starts[-1] + length if starts else None
    return Track(StreamKind.VIDEO, len(starts) + len(leading), array("d", starts), (), end, array("d", leading))


def sound(*spans: tuple[float, float]) -> Track:
    """Sound that covers these spans."""
    return Track(StreamKind.AUDIO, 100, spans=spans, end=spans[-1][1])


def words(*starts: float) -> Track:
    """Subtitles at these times."""
    return Track(StreamKind.SUBTITLE, len(starts), array("d", starts), end=starts[-1] + 1)


def steady(pictures: int, first: float = 0.0, step: float = 0.04) -> list[float]:
    """Times of pictures at a constant rate."""
    return [first + step * n for n in range(pictures)]


def notes(*pairs: Pair, same_frames: bool = True, whole: bool = True, damaged: bool = False) -> list[MediaNote]:
    """What is noted of these tracks."""
    began = min((t for p in pairs if (t := p.source.start) is not None), default=0.0)
    return compare_tracks(pairs, began=began, same_frames=same_frames, whole=whole, damaged=damaged, name="a.ts")


def losses(found: list[MediaNote]) -> list[str]:
    """The kinds of loss among notes."""
    return [note.loss for note in found]


WHOLE = Pair(film(steady(250, 1.4)), film(steady(250)))


def test_everything_at_its_time_is_worth_no_word() -> None:
    """The whole file may have moved, by the same for all."""
    assert notes(WHOLE, Pair(sound((1.4, 11.4)), sound((-0.02, 10.02))), Pair(words(3.4, 5.4), words(2.0, 4.0))) == []


def test_lost_pictures_are_counted() -> None:
    """Also where so few are lost that the length stays."""
    short = film([t for t in steady(250) if not 2 < t < 2.3])
    (note,) = notes(replace(WHOLE, output=short))
    assert note.loss == BROKEN
    assert note.text.startswith("7 of the 250 pictures could not be decoded, at 3.4")


def test_pictures_at_other_times_are_noted() -> None:
    """As many as there were, in other places."""
    moved = film([t if t < 5 else 5 + (t - 5) * 0.9 for t in steady(250)])
    assert losses(notes(replace(WHOLE, output=moved))) == ["pictures not at their times"]


def test_a_lost_start_does_not_move_the_rest() -> None:
    """The end tells where the pictures belong, and the sound is in step."""
    late, beside = replace(WHOLE, output=film(steady(240, 0.4))), Pair(sound((1.4, 11.4)), sound((0.0, 10.0)))
    assert losses(notes(late, beside, damaged=True)) == [BROKEN]
    (note,) = notes(late, beside)
    assert (note.loss, note.text[:21]) == ("", "Its first 10 pictures")


def test_pictures_before_the_first_keyframe_are_no_damage() -> None:
    """Whether or not a decoder made something of them."""
    source = film(steady(240, 0.4), leading=steady(10))
    (note,) = notes(Pair(source, film(steady(240, 0.4))), Pair(sound((0.0, 10.0)), sound((0.0, 10.0))))
    assert (note.loss, note.text[:21]) == ("", "Its first 10 pictures")
    assert notes(Pair(source, film(steady(250))), Pair(sound((0.0, 10.0)), sound((0.0, 10.0)))) == []


def test_fields_are_pictures_by_twos() -> None:
    """A transport stream may hold every field in a packet of its own."""
    fields = film(steady(124, 0.0, 1 / 59.94))
    pair = Pair(fields, film(steady(62, 0.0, 1 / 29.97)), interlaced=True)
    assert notes(pair) == []
    assert losses(notes(replace(pair, output=film(steady(62, 0.0, 1 / 29.97)[:50])))) == [BROKEN]


def test_pictures_at_one_time_are_named_as_that() -> None:
    """No encoder can hold two pictures at one time."""
    source = film(sorted([*steady(50), 1.0, 1.0, 1.0]))
    assert losses(notes(Pair(source, film(steady(50))))) == ["pictures moved or dropped: several at one time"]


@pytest.mark.parametrize("apart", [-0.3, 0.2])
def test_sound_out_of_step_is_noted(apart: float) -> None:
    """Earlier or later than beside the picture of the source."""
    found = notes(WHOLE, Pair(sound((1.4, 11.4)), sound((apart, 10 + apart))))
    assert losses(found) == ["sound out of step with the picture"]


def test_sound_far_out_of_step_is_refused() -> None:
    """Nobody can watch that."""
    with pytest.raises(VerifyError, match="earlier"):
        notes(WHOLE, Pair(sound((1.4, 11.4)), sound((-50.0, -40.0))))


def test_missing_sound_is_blamed_on_damage_or_on_the_output() -> None:
    """A hole in the midst counts as much as an end."""
    broken = Pair(sound((1.4, 11.4)), sound((0.0, 4.0), (6.0, 10.0)))
    (note,) = notes(WHOLE, broken, damaged=True)
    assert (note.loss, note.text) == (BROKEN, "2.00 s of the 10.00 s of sound are missing.")
    with pytest.raises(VerifyError) as caught:
        notes(WHOLE, broken)
    assert caught.value.kind is FailureKind.INFRASTRUCTURE


def test_a_gap_of_the_source_may_be_filled() -> None:
    """Silence is put where the source has nothing."""
    assert notes(WHOLE, Pair(sound((1.4, 3.0), (5.0, 11.4)), sound((0.0, 10.0)))) == []


def test_a_changed_rate_is_held_to_the_length() -> None:
    """Fewer pictures are what was asked for; a shorter film is not."""
    assert notes(replace(WHOLE, output=film(steady(100, step=0.1), length=0.1)), same_frames=False) == []
    assert losses(notes(replace(WHOLE, output=film(steady(70, step=0.1))), same_frames=False)) == [BROKEN]


def test_subtitles_that_went_or_moved_are_noted() -> None:
    """By their times."""
    found = notes(WHOLE, Pair(words(2.4, 3.4, 4.4), words(1.0, 3.0)))
    assert losses(found) == ["subtitles missing or moved"]
    assert notes(WHOLE, Pair(words(2.4, 3.4, 4.4), words(1.0), timed=False)) == []


def test_what_was_not_read_is_not_compared() -> None:
    """A source or output too large to be read in time."""
    assert notes(replace(WHOLE, output=film(steady(100))), whole=False) == []


def test_no_picture_at_all_is_refused() -> None:
    """Nothing that decodes is no film."""
    with pytest.raises(VerifyError, match="None of the pictures"):
        notes(replace(WHOLE, output=film([])))
