"""When a file has settled: decided from sightings and the clock alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.intake.messages import Candidate, PassedOver
from pyprocessor.intake.watcher import Sighting, mark_of, next_look, sighted
from pyprocessor.models import Source

SMALL, GROWN = (100, 1), (200, 2)


def test_a_file_settles_when_it_was_seen_unchanged_for_long_enough() -> None:
    """Not before, and not again once the engine has it."""
    seen = sighted(sighted(None, SMALL, 10.0), SMALL, 14.9)
    assert seen.since == 10.0
    assert not seen.settled(14.9, 5.0)
    assert seen.settled(15.0, 5.0)
    assert not replace(seen, reported=True).settled(100.0, 5.0)


def test_every_change_begins_the_time_anew() -> None:
    """Another size or time, also of one that was reported: it is then reported again."""
    known = Sighting(SMALL, 0.0, reported=True)
    changed = sighted(known, GROWN, 50.0)
    assert not changed.settled(54.0, 5.0)
    assert changed.settled(55.0, 5.0)
    assert sighted(changed, SMALL, 60.0) == Sighting(SMALL, 60.0)


def test_a_clock_of_the_files_does_not_matter() -> None:
    """An mtime from the last century or from the future says nothing about whether the file is being written."""
    for mtime in (0, 1 << 62):
        assert not sighted(None, (1, mtime), 10.0).settled(10.0, 5.0)


def test_what_a_change_alters() -> None:
    """Size and time of a file; of what is passed over without being looked at, the reason."""
    source = Source(b"/in/a.mp4", b"a.mp4", 7, 8)
    assert mark_of(Candidate(source, b"a.mp4", None)) == (7, 8)
    assert mark_of(PassedOver(b"a.mp4", "is empty", None, source)) == (7, 8)
    assert mark_of(PassedOver(b"a.mp4", "is not a regular file")) == "is not a regular file"


@given(st.lists(st.tuples(st.floats(0.01, 10.0), st.integers(0, 2)), min_size=1, max_size=30), st.floats(0.1, 20.0))
def test_what_settles_stood_still_for_the_whole_time(looks: list[tuple[float, int]], min_age: float) -> None:
    """A reported file had one size in all looks of the last `min_age` seconds."""
    now, sighting, history = 0.0, None, []
    for pause, size in looks:
        now += pause
        history.append((now, size))
        sighting = sighted(sighting, (size, 0), now)
        if sighting.settled(now, min_age):
            recent = {seen for at, seen in history if at >= now - min_age}
            assert recent == {size}
            assert now - history[0][0] >= min_age
            sighting = replace(sighting, reported=True)


def test_the_next_look_is_when_the_first_may_have_settled() -> None:
    """Within the bounds: never at once, never later than the regular look, and only for what is not reported yet."""
    waits = [Sighting(SMALL, 100.0), Sighting(SMALL, 103.0), Sighting(SMALL, 90.0, reported=True)]
    times = {"min_age_seconds": 5.0, "poll_seconds": 30.0, "least_seconds": 0.5}
    assert next_look(waits, 101.0, **times) == 4.0
    assert next_look(waits, 104.9, **times) == 0.5
    assert next_look(waits[2:], 101.0, **times) == 30.0
    assert next_look([], 101.0, **{**times, "least_seconds": 60.0}) == 60.0
