"""Windows of the day and `until`: what a run may do at any moment, over midnight, changed clocks and set ones."""

from __future__ import annotations

import math
import os
import time as clock
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.models import Overrun, ScheduleSettings
from pyprocessor.plan.hours import SET_BACK_SECONDS, Phase, Schedule

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = ScheduleSettings(window=(time(22), time(6)))
DAY = ScheduleSettings(window=(time(9), time(17, 30)))
UNTIL = ScheduleSettings(until=time(7))
HOUR = 3600.0

minutes = st.integers(0, 24 * 60 - 1).map(lambda m: time(m // 60, m % 60))
moments = st.integers(
    int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
)
zones = st.sampled_from([BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")])
windows = st.tuples(minutes, minutes).filter(lambda pair: pair[0] != pair[1])


def berlin(day: int, hour: int, minute: int = 0, *, month: int = 6, fold: int = 0) -> datetime:
    """A moment of 2026 as clocks in Berlin show it."""
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN, fold=fold)


def later(now: datetime, seconds: float) -> datetime:
    """The local time so many real seconds later."""
    return datetime.fromtimestamp(now.timestamp() + seconds, now.tzinfo)


def test_without_settings_a_run_may_always_work() -> None:
    """No window and no end: open for ever, and everything fits."""
    now = berlin(1, 12)
    schedule = Schedule.begin(ScheduleSettings(), now)
    assert schedule.phase(later(now, 1e8)) is Phase.OPEN
    assert schedule.seconds_left(now) == math.inf
    assert schedule.fits(1e9, 2.0, now)
    assert schedule.sentence(now) is None


@pytest.mark.parametrize(
    ("settings", "at", "phase", "left", "opens_in"),
    [
        (NIGHT, berlin(1, 22), Phase.OPEN, 8 * HOUR, 0.0),
        (NIGHT, berlin(1, 23, 30), Phase.OPEN, 6.5 * HOUR, 0.0),
        (NIGHT, berlin(2, 0), Phase.OPEN, 6 * HOUR, 0.0),
        (NIGHT, berlin(2, 5, 59), Phase.OPEN, 60.0, 0.0),
        (NIGHT, berlin(2, 6), Phase.WAITING, 0.0, 16 * HOUR),
        (NIGHT, berlin(1, 20), Phase.WAITING, 0.0, 2 * HOUR),
        (DAY, berlin(1, 8, 59), Phase.WAITING, 0.0, 60.0),
        (DAY, berlin(1, 9), Phase.OPEN, 8.5 * HOUR, 0.0),
        (DAY, berlin(1, 17, 30), Phase.WAITING, 0.0, 15.5 * HOUR),
        (UNTIL, berlin(1, 6), Phase.OPEN, HOUR, 0.0),
        (UNTIL, berlin(1, 7), Phase.OPEN, 24 * HOUR, 0.0),
        (UNTIL, berlin(1, 8), Phase.OPEN, 23 * HOUR, 0.0),
        (ScheduleSettings((time(22), time(6)), time(5)), berlin(1, 22), Phase.OPEN, 7 * HOUR, 0.0),
        (ScheduleSettings((time(22), time(6)), time(7)), berlin(1, 22), Phase.OPEN, 8 * HOUR, 0.0),
        (ScheduleSettings((time(22), time(6)), time(21)), berlin(1, 20), Phase.OVER, 0.0, math.inf),
    ],
)
def test_a_run_that_starts(
    settings: ScheduleSettings, at: datetime, phase: Phase, left: float, opens_in: float
) -> None:
    """Inside its window it works until it closes or `until`; outside it waits; where it could never work it is over."""
    schedule = Schedule.begin(settings, at)
    assert schedule.phase(at) is phase
    assert schedule.seconds_left(at) == left
    assert schedule.seconds_to_open(at) == opens_in


def test_a_run_waits_works_and_is_over() -> None:
    """Started in the evening: it waits, works through its window once, and does not wait for the next."""
    schedule = Schedule.begin(NIGHT, berlin(1, 20))
    assert schedule.phase(berlin(1, 21, 59)) is Phase.WAITING
    assert schedule.phase(berlin(1, 22)) is Phase.OPEN
    assert schedule.phase(berlin(2, 5, 59)) is Phase.OPEN
    assert schedule.phase(berlin(2, 6)) is Phase.OVER
    assert schedule.phase(berlin(2, 20)) is Phase.OVER
    assert schedule.seconds_to_open(berlin(2, 6)) == math.inf


def test_until_is_over_inside_a_window_too() -> None:
    """The earlier of the two ends the run, for good."""
    schedule = Schedule.begin(ScheduleSettings((time(22), time(6)), time(2)), berlin(1, 22))
    assert schedule.phase(berlin(2, 1, 59)) is Phase.OPEN
    assert schedule.phase(berlin(2, 2)) is Phase.OVER
    assert schedule.phase(berlin(2, 22)) is Phase.OVER


def test_only_files_that_will_be_done_in_time_fit() -> None:
    """The spread of the prediction has to fit too; before the window and after it nothing does."""
    schedule = Schedule.begin(NIGHT, berlin(1, 20))
    assert schedule.fits(HOUR, 2.0, berlin(2, 4))
    assert not schedule.fits(HOUR, 2.01, berlin(2, 4))
    assert schedule.fits(2 * HOUR, 0.5, berlin(2, 4)), "a spread below 1 is none"
    assert not schedule.fits(2 * HOUR + 1, 0.5, berlin(2, 4))
    assert not schedule.fits(0.1, 1.0, berlin(1, 21))
    assert not schedule.fits(0.1, 1.0, berlin(2, 6))


def test_a_file_longer_than_any_window_is_told_from_one_that_fits_tomorrow() -> None:
    """What fits into the whole window is left for another night; what does not is another matter."""
    schedule = Schedule.begin(NIGHT, berlin(2, 5))
    assert not schedule.fits(5 * HOUR, 1.5, berlin(2, 5))
    assert schedule.ever_fits(5 * HOUR, 1.5)
    assert not schedule.ever_fits(5 * HOUR, 2.0)
    assert schedule.window_seconds == 8 * HOUR
    assert Schedule.begin(UNTIL, berlin(1, 6)).ever_fits(1e9, 2.0)


@pytest.mark.parametrize(
    ("month", "day", "hours"),
    [(3, 28, 7), (10, 24, 9), (6, 1, 8)],
    ids=["clocks go forward", "clocks go back", "an ordinary night"],
)
def test_a_night_in_which_clocks_change(month: int, day: int, hours: int) -> None:
    """The window is what clocks show; how long it lasts is counted in real time."""
    start = berlin(day, 22, month=month)
    schedule = Schedule.begin(NIGHT, start)
    assert schedule.seconds_left(start) == hours * HOUR
    assert schedule.phase(later(start, hours * HOUR - 1)) is Phase.OPEN
    assert schedule.phase(later(start, hours * HOUR)) is Phase.OVER


def test_a_time_that_clocks_skip_comes_as_much_later() -> None:
    """02:30 in the night to summer time is 03:30; a window that lies in what is skipped has its length all the same."""
    before = berlin(29, 1, 0, month=3)
    assert Schedule.begin(ScheduleSettings(until=time(2, 30)), before).seconds_left(before) == 1.5 * HOUR
    within = Schedule.begin(ScheduleSettings(window=(time(2, 10), time(2, 40))), before)
    assert within.seconds_to_open(before) == HOUR + 600
    assert within.seconds_left(later(before, HOUR + 600)) == 1800.0
    crossing = Schedule.begin(ScheduleSettings(window=(time(2, 30), time(3, 0))), before)
    assert crossing.seconds_to_open(before) == 24.5 * HOUR, "that night it does not open"


def test_a_time_that_comes_twice() -> None:
    """02:30 in the night to winter time is the first one, but for a run that starts after that the second."""
    before = berlin(25, 2, 10, month=10)
    schedule = Schedule.begin(ScheduleSettings(until=time(2, 30)), before)
    assert schedule.seconds_left(before) == 1200.0
    between = berlin(25, 2, 10, month=10, fold=1)
    assert Schedule.begin(ScheduleSettings(until=time(2, 30)), between).seconds_left(between) == 1200.0


def test_a_clock_that_is_set_back() -> None:
    """Window and end are found anew, and not days away; a correction of a second changes nothing."""
    start = berlin(10, 23)
    schedule = Schedule.begin(ScheduleSettings((time(22), time(6)), time(5)), start)
    schedule = schedule.seen(berlin(11, 1))
    assert schedule.seen(later(berlin(11, 1), -SET_BACK_SECONDS)) is schedule
    back = berlin(8, 4)
    again = schedule.seen(back)
    assert again.phase(back) is Phase.OPEN
    assert again.seconds_left(back) == HOUR
    assert again.seen(berlin(8, 5)).phase(berlin(8, 5)) is Phase.OVER


def test_a_clock_that_is_set_back_before_the_window() -> None:
    """The run waits until it opens again and is not over."""
    schedule = Schedule.begin(NIGHT, berlin(1, 22, 5)).seen(berlin(1, 22, 30))
    back = berlin(1, 21, 30)
    schedule = schedule.seen(back)
    assert schedule.phase(back) is Phase.WAITING
    assert schedule.phase(berlin(1, 22)) is Phase.OPEN


def test_a_machine_that_slept_over_the_end() -> None:
    """Past the end the run is over; awake inside the next window it goes on, but `until` holds for good."""
    schedule = Schedule.begin(NIGHT, berlin(1, 22))
    assert schedule.seen(berlin(2, 9)).phase(berlin(2, 9)) is Phase.OVER
    assert schedule.seen(berlin(2, 23)).phase(berlin(2, 23)) is Phase.OPEN
    ending = Schedule.begin(ScheduleSettings((time(22), time(6)), time(6)), berlin(1, 22))
    assert ending.seen(berlin(2, 23)).phase(berlin(2, 23)) is Phase.OVER


@pytest.fixture
def berlin_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own zone is Berlin's."""
    if not hasattr(clock, "tzset"):
        pytest.skip("the zone of a process cannot be set on this system")
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    clock.tzset()
    yield
    if before is None:
        monkeypatch.delenv("TZ")
    else:
        monkeypatch.setenv("TZ", before)
    clock.tzset()


@pytest.mark.usefixtures("berlin_machine")
def test_naive_times_are_the_machines_own() -> None:
    """`datetime.now()` is understood as local time, the night that clocks change included."""
    for month, day, hours in ((3, 28, 7), (10, 24, 9)):
        start = datetime(2026, month, day, 22)  # noqa: DTZ001  # naive is what this is about
        schedule = Schedule.begin(NIGHT, start)
        assert schedule.seconds_left(start) == hours * HOUR
        assert schedule.phase(later(start, hours * HOUR)) is Phase.OVER


def test_sentences() -> None:
    """Each phase is told once in one sentence that says what happens to running files and how to go on."""
    schedule = Schedule.begin(NIGHT, berlin(1, 20))
    assert schedule.sentence(berlin(1, 20)) == "Waiting until 22:00, when the window 22:00-06:00 opens."
    assert schedule.sentence(berlin(1, 23)) is None
    assert schedule.sentence(berlin(2, 6)) == (
        "The window 22:00-06:00 has closed: nothing more is started, and running files are finished; "
        "the same command goes on from here."
    )
    requeue = ScheduleSettings(until=time(7), overrun=Overrun.REQUEUE)
    assert Schedule.begin(requeue, berlin(1, 6)).sentence(berlin(1, 7)) == (
        "It is 07:00: nothing more is started, and running files are ended and wait; "
        "the same command goes on from here."
    )
    never = Schedule.begin(ScheduleSettings((time(22), time(6)), time(21)), berlin(1, 20))
    assert "over at 21:00, before its window 22:00-06:00 opens" in str(never.sentence(berlin(1, 20)))
    assert "none of the 2,000 waiting files is predicted to be done by 06:00" in schedule.none_fits(2000, berlin(2, 5))
    assert "the only waiting file is not predicted to be done by 06:00" in schedule.none_fits(1, berlin(2, 5))
    assert schedule.never_fits("d/film.mkv", 36_000).startswith(
        "d/film.mkv is predicted to take 10.0 h, which the window 22:00-06:00 does not surely hold"
    )


def test_what_a_plan_says_of_time() -> None:
    """Whether it will all be done, from when on, and nothing where time is no matter."""
    evening = berlin(1, 20)
    schedule = Schedule.begin(NIGHT, evening)
    assert schedule.plan_note(8 * HOUR, evening) == (
        "Work begins at 22:00, when the window 22:00-06:00 opens. All of it is predicted to be done by 06:00."
    )
    assert str(schedule.plan_note(8 * HOUR + 1, evening)).endswith(
        "Not all of it may be done by 06:00; what is left then waits for the same command."
    )
    assert str(schedule.plan_note(HOUR, berlin(2, 4, 30))).startswith("All of it")
    assert Schedule.begin(ScheduleSettings(), evening).plan_note(1e9, evening) is None
    never = Schedule.begin(ScheduleSettings((time(22), time(6)), time(21)), evening)
    assert str(never.plan_note(1.0, evening)).startswith("Nothing can be done")


@given(windows, moments, zones, st.integers(0, 4 * 24 * 60))
def test_a_run_waits_then_works_then_is_over(
    window: tuple[time, time], start: int, zone: ZoneInfo, passed: int
) -> None:
    """Whatever the window, zone and day: where the run waits it opens when it said, and works as long as it said."""
    now = datetime.fromtimestamp(start, zone)
    schedule = Schedule.begin(ScheduleSettings(window), now)
    assert schedule.phase(now) is not Phase.OVER
    opening = later(now, schedule.seconds_to_open(now))
    assert schedule.phase(opening) is Phase.OPEN
    left = schedule.seconds_left(opening)
    assert 0 < left <= 25.5 * HOUR
    assert schedule.phase(later(opening, left - 0.5)) is Phase.OPEN
    at = later(now, passed * 60)
    if at >= opening and at < later(opening, left):
        assert schedule.phase(at) is Phase.OPEN
    # Statements about one moment agree.
    phase = schedule.phase(at)
    assert (schedule.seconds_left(at) > 0) == (phase is Phase.OPEN) == (schedule.seconds_to_open(at) == 0)
    assert schedule.fits(schedule.seconds_left(at), 1.0, at)


@given(minutes, moments, zones)
def test_until_is_the_next_such_time(until: time, start: int, zone: ZoneInfo) -> None:
    """It is later than the start, at most a day and a changed clock away, and clocks show it unless they skip it."""
    now = datetime.fromtimestamp(start, zone)
    left = Schedule.begin(ScheduleSettings(until=until), now).seconds_left(now)
    assert 0 < left <= 25 * HOUR
    end = later(now, left)
    skipped = end.replace(hour=until.hour, minute=until.minute, second=0)
    exists = datetime.fromtimestamp(skipped.timestamp(), zone).time() == skipped.time()
    assert end.time() == until or not exists
    assert end - now <= timedelta(days=1, hours=1)


def test_a_daily_window_comes_back() -> None:
    """Where another run would be over, a daily one waits for the next evening, night after night."""
    begun = Schedule.begin(NIGHT, berlin(1, 12), daily=True)
    for day in (2, 3, 4):
        assert begun.phase(berlin(day, 5, 59)) is Phase.OPEN
        assert begun.phase(berlin(day, 6)) is Phase.WAITING
        assert begun.seconds_to_open(berlin(day, 21)) == HOUR
        assert begun.seconds_left(berlin(day, 22)) == 8 * HOUR
    assert begun.sentence(berlin(1, 12)) == "Waiting until 22:00, when the window 22:00-06:00 opens."
    closed = begun.sentence(berlin(2, 6))
    assert closed is not None
    assert "nothing more is started before 22:00, and running files are finished" in closed
    assert Schedule.begin(NIGHT, berlin(1, 12)).phase(berlin(2, 6)) is Phase.OVER


def test_an_end_ends_a_daily_schedule_too() -> None:
    """`until` is a moment, not a time of every day; and a clock that is set back leaves it daily."""
    begun = Schedule.begin(ScheduleSettings(window=(time(22), time(6)), until=time(5)), berlin(1, 12), daily=True)
    assert begun.phase(berlin(2, 4, 59)) is Phase.OPEN
    assert begun.phase(berlin(2, 5)) is Phase.OVER
    assert begun.phase(berlin(3, 23)) is Phase.OVER
    nights = Schedule.begin(NIGHT, berlin(3, 12), daily=True).seen(berlin(1, 12))
    assert nights.daily
    assert nights.phase(berlin(2, 12)) is Phase.WAITING
