"""When may a run work: its window of the day, the time at which it is to be over, and which files still fit? Pure.

Windows are about the wall clock, lengths of time are counted in real seconds. A run that is asleep over its end is
over, but inside a later window it goes on, unless `until` has passed. A time of day that a change of clocks skips comes
as much later, and one that comes twice counts at its first, as RFC 5545 (3.3.5) has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import Enum

from pyprocessor.models import Overrun, ScheduleSettings

SET_BACK_SECONDS = 30.0
"""A clock that goes back by more was set; less is a correction."""


class Phase(Enum):
    """What a run may do now; once it is over, `ScheduleSettings.overrun` says what becomes of running files."""

    WAITING = "waiting"
    OPEN = "open"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run's times, in seconds since the epoch. `now` is local time: naive, or with a `ZoneInfo`.

    A fixed offset (`now.astimezone()`) would not know of a change of clocks.
    """

    settings: ScheduleSettings
    opens: float
    """When the run's window opens, or opened; minus infinity without a window."""
    until: float
    """When the run is to be over; infinity without `until`."""
    last: float
    """When the clock was last looked at."""
    daily: bool = False
    """Whether the window comes back every day."""

    @classmethod
    def begin(cls, settings: ScheduleSettings, now: datetime, *, daily: bool = False) -> Schedule:
        """The times of a run that starts now."""
        opens = -math.inf if settings.window is None else _window_at_or_after(settings.window, now)[0]
        until = math.inf if settings.until is None else next_time(settings.until, now)
        return cls(settings, opens, until, now.timestamp(), daily)

    def seen(self, now: datetime) -> Schedule:
        """The schedule after a look at the clock, begun anew where that was set back."""
        at = now.timestamp()
        if at < self.last - SET_BACK_SECONDS:
            return Schedule.begin(self.settings, now, daily=self.daily)
        return replace(self, last=at) if at > self.last else self

    def phase(self, now: datetime) -> Phase:
        """What the run may do now. A run whose `until` comes before its window opens is over at once."""
        at = now.timestamp()
        if at >= self.until or self.until <= self.opens:
            return Phase.OVER
        if self.settings.window is None:
            return Phase.OPEN
        if _window_at_or_after(self.settings.window, now)[0] <= at:
            return Phase.OPEN
        return Phase.WAITING if at < self.opens or self.daily else Phase.OVER

    def seconds_left(self, now: datetime) -> float:
        """Until the window closes or `until`, whichever is first; 0 unless open, infinity without an end."""
        if self.phase(now) is not Phase.OPEN:
            return 0.0
        window = self.settings.window
        closes = math.inf if window is None else _window_at_or_after(window, now)[1]
        return max(0.0, min(self.until, closes) - now.timestamp())

    def seconds_to_open(self, now: datetime) -> float:
        """Until something may be started: 0 where it may now, infinity once the run is over."""
        phase = self.phase(now)
        if phase is not Phase.WAITING:
            return 0.0 if phase is Phase.OPEN else math.inf
        assert self.settings.window is not None
        return max(0.0, _window_at_or_after(self.settings.window, now)[0] - now.timestamp())

    def fits(self, predicted_seconds: float, spread: float, now: datetime) -> bool:
        """Whether a file that is started now will be done in time, even if it takes `spread` times as long."""
        return predicted_seconds * max(1.0, spread) <= self.seconds_left(now)

    def ever_fits(self, predicted_seconds: float, spread: float) -> bool:
        """Whether a file fits into a whole window, so that another night can do it."""
        if self.settings.window is None:
            return True
        start, end = (datetime.combine(date.min, moment) for moment in self.settings.window)
        window_seconds = (end - start).total_seconds() % 86_400 or 86_400.0
        return predicted_seconds * max(1.0, spread) <= window_seconds

    def sentence(self, now: datetime, *, frozen: bool = False) -> str | None:
        """The sentence for the user when the phase has changed, None while work goes on; `frozen` by the user."""
        phase, until, files = self.phase(now), self.settings.until, "running files are ended and wait"
        if self.settings.overrun is Overrun.FINISH:
            files = "running files are finished"
            if frozen and phase is Phase.WAITING:
                files = "running files, which are suspended, are finished once `pyprocessor resume` lets them go on"
        if phase is Phase.OPEN:
            return None
        if phase is Phase.WAITING:
            opens = self._window().partition("-")[0]
            if now.timestamp() < self.opens:
                return f"Waiting until {opens}, when the window {self._window()} opens."
            return f"The window {self._window()} has closed: nothing more is started before {opens}, and {files}."
        if until is None:
            why = f"The window {self._window()} has closed"
        elif now.timestamp() >= self.until:
            why = f"It is {until:%H:%M}"
        else:
            run = f"the run is to be over at {until:%H:%M}, before its window {self._window()} opens"
            return f"Nothing can be done: {run}."
        return f"{why}: nothing more is started, and {files}; the same command goes on from here."

    def plan_note(self, predicted_seconds: float, now: datetime) -> str | None:
        """A sentence for a plan about work that takes at most so long; None where time sets no limit."""
        start = self.seconds_to_open(now)
        if start == math.inf:
            return self.sentence(now)
        begin = datetime.fromtimestamp(now.timestamp() + start, now.tzinfo)
        left = self.seconds_left(begin)
        if left == math.inf:
            return None
        end = datetime.fromtimestamp(begin.timestamp() + left, now.tzinfo)
        begins = f"Work begins at {begin:%H:%M}, when the window {self._window()} opens. " if start > 0 else ""
        if predicted_seconds <= left:
            return f"{begins}All of it is predicted to be done by {end:%H:%M}."
        return f"{begins}Not all of it may be done by {end:%H:%M}; what is left then waits for the same command."

    def none_fits(self, waiting: int, now: datetime) -> str:
        """The sentence for a run that ends early, because no waiting file would be done in time."""
        at = datetime.fromtimestamp(now.timestamp() + min(self.seconds_left(now), 86_400.0), now.tzinfo)
        files = "the only waiting file is not" if waiting == 1 else f"none of the {waiting:,} waiting files is"
        return (
            f"Nothing more is started: {files} predicted to be done by {at:%H:%M}; the same command goes on from here."
        )

    def never_fits(self, name: str, predicted_seconds: float) -> str:
        """The sentence for a file that `ever_fits` refuses; `name` is printable."""
        hours = predicted_seconds / 3600
        return (
            f"{name} is predicted to take {hours:.1f} h, which the window {self._window()} does not surely hold; "
            "it is left until the command is run without --window, or with a longer one."
        )

    def _window(self) -> str:
        assert self.settings.window is not None
        start, end = self.settings.window
        return f"{start:%H:%M}-{end:%H:%M}"


def _window_at_or_after(window: tuple[time, time], now: datetime) -> tuple[float, float]:
    """The window that is open now, else the next one: its opening and its closing."""
    at = now.timestamp()
    start, end = window
    for day in _days(now, first=-1):
        opens = _moment(day, start, now)
        closes = _moment(day if end > start else day + timedelta(days=1), end, now)
        if at < closes and opens < closes:
            return opens, closes
    raise AssertionError(f"no window {window} within days of {now}")


def next_time(wanted: time, now: datetime) -> float:
    """The next moment after now at which clocks show this time of day."""
    at = now.timestamp()
    for day in _days(now, first=0):
        first = _moment(day, wanted, now)
        # Of an hour that comes twice the second is later; of one that is skipped it would be the earlier reading.
        second = _moment(day, wanted.replace(fold=1), now)
        for moment in (first, second):
            if moment > at and moment >= first:
                return moment
    raise AssertionError(f"no {wanted} within days of {now}")


def _days(now: datetime, *, first: int) -> Iterator[date]:
    """Calendar days around today, enough to pass any change of clocks."""
    return (now.date() + timedelta(days=offset) for offset in range(first, 4))


def _moment(day: date, wanted: time, now: datetime) -> float:
    """This day's time of day, in the zone of `now`, as seconds since the epoch."""
    return datetime.combine(day, wanted, tzinfo=now.tzinfo).timestamp()
