"""When a run will be done: what is left of the predicted work over the pace it was measured to go at, with a band.

Pure. Work is counted in predicted CPU-seconds on both sides, so that predictions that are wrong by one factor still
give the right time. The pace is kept per unit of concurrency (one thread of one running ffmpeg that is not suspended),
so that it holds when the governor changes how many run, and through hours in which none does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

MEMORY_SECONDS = 120.0
"""What was measured so long ago counts 1/e: long enough for a mix of files, short enough to follow a busy machine."""
UNWATCHED_SECONDS = 30.0
"""Looks that are further apart (the program itself was stopped, or the machine slept) measure nothing."""
ASSUMED_SECONDS = 5.0
"""So many seconds of one thread are assumed to have gone at one CPU-second a second, before anything is measured."""
UNMEASURED_SPREAD = 0.5
"""By this share the pace may be off while it is only assumed."""
ASSUMED_SHARE = 0.1
"""A file's prediction weighs as much as having seen this share of the file."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast work gets done. `work` is predicted CPU-seconds retired, `capacity` seconds x units; both fade."""

    at: float | None = None
    """When it was last measured, on the monotonic clock, in seconds."""
    retired: float = 0.0
    concurrency: float = 0.0
    work: float = 0.0
    capacity: float = 0.0

    def after(self, now: float, retired: float, concurrency: float) -> Pace:
        """The pace after one more look; a clock that did not go on changes nothing.

        `retired` is all predicted CPU-seconds done up to now: of finished files, and of running ones by their share.
        It may fall when a file is to be done again. `concurrency` is the threads of the files that run now.
        """
        concurrency = max(0.0, concurrency)
        passed = 0.0 if self.at is None else now - self.at
        if self.at is None or passed > UNWATCHED_SECONDS:
            return replace(self, at=now, retired=retired, concurrency=concurrency)
        if not passed > 0:
            return self
        # Files come and go between two looks: the mean is nearer to the truth than either end.
        units = (self.concurrency + concurrency) / 2
        kept = math.exp(-passed / MEMORY_SECONDS) if units > 0 else 1.0
        return Pace(
            at=now,
            retired=retired,
            concurrency=concurrency,
            work=self.work * kept + max(0.0, retired - self.retired),
            capacity=self.capacity * kept + passed * units,
        )

    @property
    def rate(self) -> float:
        """Predicted CPU-seconds retired per second and unit of concurrency; always more than 0."""
        return (self.work + ASSUMED_SECONDS) / (self.capacity + ASSUMED_SECONDS)

    @property
    def spread(self) -> float:
        """The factor by which the rate may be off, for want of measurements."""
        return 1 + UNMEASURED_SPREAD * ASSUMED_SECONDS / (ASSUMED_SECONDS + self.capacity)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The files of one class that wait: predicted CPU-seconds of all, and the factor they may be off by (1 or more)."""

    cpu_seconds: float
    spread: float


@dataclass(frozen=True, slots=True)
class InProgress:
    """One running file. `cpu_seconds` is predicted for all of it.

    `share` is how much of its media is done, 0 to 1, or None where its duration is unknown. `active_seconds` is how
    long it has run, less the time it was suspended.
    """

    cpu_seconds: float
    spread: float
    threads: int
    share: float | None
    active_seconds: float

    def done(self, rate: float) -> float:
        """The share that is behind it, 0 to 1; by its predicted time where its duration is unknown, never all of it."""
        if self.share is not None:
            return min(1.0, max(0.0, self.share))
        return min(1 - ASSUMED_SHARE, max(0.0, self.active_seconds) / self.predicted_seconds(rate))

    def predicted_seconds(self, rate: float) -> float:
        """Its whole wall time at this rate."""
        return max(self.cpu_seconds, _LEAST) / (rate * max(1, self.threads))

    def seconds_left(self, rate: float) -> float:
        """What it still takes by its own speed, which counts for the more the further it is."""
        predicted, done = self.predicted_seconds(rate), self.done(rate)
        if self.share is None:
            return predicted * (1 - done)
        return (1 - done) * expected_seconds(predicted, self.active_seconds, done)


def expected_seconds(predicted: float, used: float, share: float) -> float:
    """Seconds that a file takes in all which took `used` seconds for `share` (0 to 1) of it.

    Its own speed counts more the further it is.
    """
    return (max(0.0, used) + ASSUMED_SHARE * predicted) / (share + ASSUMED_SHARE)


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds until all is done, and the band around them: `low` <= `seconds` <= `high`.

    All None where nothing can be said. While files are still being found `low` alone is known.
    """

    seconds: float | None = None
    low: float | None = None
    high: float | None = None

    def after(self, seconds: float) -> Eta:
        """The same where work begins only after so many seconds."""
        return Eta(*(None if known is None else known + seconds for known in (self.seconds, self.low, self.high)))


_LEAST = 1e-6


def estimate(
    pace: Pace,
    concurrency: float,
    waiting: Sequence[Waiting],
    running: Sequence[InProgress],
    *,
    longest_waiting_seconds: float = 0.0,
    listing_done: bool = True,
) -> Eta:
    """When all that waits and runs will be done.

    `concurrency` is how many threads will run at once from now on: what the governor allows at present, not how many
    just happen to be started. `longest_waiting_seconds` is the predicted wall time of the largest waiting file. Where
    work is left and nothing may run, nothing can be said.
    """
    rate = pace.rate
    parts = [(max(0.0, part.cpu_seconds), part.spread) for part in waiting]
    parts += [(max(0.0, part.cpu_seconds) * (1 - part.done(rate)), part.spread) for part in running]
    left = math.fsum(cost for cost, _ in parts)
    if left <= 0 and not running:
        return Eta(0.0, 0.0, 0.0) if listing_done else Eta()
    if concurrency <= 0:
        return Eta()
    per_second = rate * concurrency
    # One class may be off as a whole; that all are off the same way at once is not to be expected.
    above = math.hypot(*(cost * (_factor(spread) - 1) for cost, spread in parts))
    below = math.hypot(*(cost * (1 - 1 / _factor(spread)) for cost, spread in parts))
    seconds = left / per_second
    high = (left + above) / per_second * pace.spread
    low = max(0.0, left - below) / per_second / pace.spread
    # However many cores there are, the run is not over before each file is.
    for own, off in _single_files(running, rate, longest_waiting_seconds, waiting):
        seconds, high, low = max(seconds, own), max(high, own * off), max(low, own / off)
    return Eta(seconds, low, high) if listing_done else Eta(low=low)


def _single_files(
    running: Sequence[InProgress], rate: float, longest_waiting_seconds: float, waiting: Sequence[Waiting]
) -> list[tuple[float, float]]:
    """What each running file, and the longest waiting one, takes by itself, and the factor that may be off by."""
    alone = [(part.seconds_left(rate), 1 + (_factor(part.spread) - 1) * (1 - part.done(rate))) for part in running]
    if longest_waiting_seconds > 0:
        alone.append((longest_waiting_seconds / rate, max((_factor(part.spread) for part in waiting), default=1.0)))
    return alone


def _factor(spread: float) -> float:
    return max(1.0, spread)
