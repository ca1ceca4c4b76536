"""When will the run be done? What is left of the predicted work, over the pace it was measured to go at. Pure.

Work is predicted CPU-seconds on both sides, so that predictions that are wrong by one factor still give the right time.
The pace is per thread of a running ffmpeg, so that it holds when the governor changes how many run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyprocessor.jobs.running_job import PREDICTION_WEIGHT, RunningJob, expected_seconds

MEMORY_SECONDS = 120.0
"""What was measured so long ago counts 1/e: long enough for a mix of files, short enough to follow a busy machine."""
UNWATCHED_SECONDS = 30.0
"""Looks that are further apart (the program itself was stopped, or the machine slept) measure nothing."""
ASSUMED_SECONDS = 5.0
"""So many seconds of one thread are assumed to have gone at one CPU-second a second, before anything is measured."""
UNMEASURED_SPREAD = 0.5
"""By this share the pace may be off while it is only assumed."""
Work = tuple[float, float]
"""Predicted CPU-seconds of files that wait, and the factor that these may be off by (1 or more)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast work is done: `work` in predicted CPU-seconds, `capacity` in seconds x units; both fade."""

    at: float | None = None
    """When it was last measured (monotonic)."""
    done: float = 0.0
    concurrency: float = 0.0
    work: float = 0.0
    capacity: float = 0.0

    def after(self, now: float, done: float, concurrency: float) -> Pace:
        """The pace after one more look; a clock that did not go on changes nothing.

        `done` is all predicted CPU-seconds done up to now; it falls when a file is to be done again. `concurrency` is
        the threads of the files that run now.
        """
        concurrency = max(0.0, concurrency)
        passed = 0.0 if self.at is None else now - self.at
        if self.at is None or passed > UNWATCHED_SECONDS:
            return replace(self, at=now, done=done, concurrency=concurrency)
        if not passed > 0:
            return self
        # Files come and go between two looks: the mean is nearer to the truth than either end.
        units = (self.concurrency + concurrency) / 2
        kept = math.exp(-passed / MEMORY_SECONDS) if units > 0 else 1.0
        return Pace(
            at=now,
            done=done,
            concurrency=concurrency,
            work=self.work * kept + max(0.0, done - self.done),
            capacity=self.capacity * kept + passed * units,
        )

    @property
    def rate(self) -> float:
        """Predicted CPU-seconds done per second and unit of concurrency; always more than 0."""
        return (self.work + ASSUMED_SECONDS) / (self.capacity + ASSUMED_SECONDS)

    @property
    def spread(self) -> float:
        """The factor by which the rate may be off, for want of measurements."""
        return 1 + UNMEASURED_SPREAD * ASSUMED_SECONDS / (ASSUMED_SECONDS + self.capacity)


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds until all is done, and their band; None where unknown. While files are being found `low` is known."""

    seconds: float | None = None
    low: float | None = None
    high: float | None = None

    def after(self, seconds: float) -> Eta:
        """The same for work that begins only in so many seconds."""
        return Eta(*(None if part is None else part + seconds for part in (self.seconds, self.low, self.high)))


def estimate(
    pace: Pace,
    concurrency: float,
    waiting: Sequence[Work],
    running: Sequence[RunningJob],
    now: float,
    *,
    listing_done: bool = True,
    beside_seconds: float = 0.0,
) -> Eta:
    """When all that waits and runs will be done; nothing can be said where work is left and nothing may run.

    `concurrency` is how many threads run at once from now on, as the governor allows. Jobs that mostly wait take
    `beside_seconds`, whatever the cores do.
    """
    rate = pace.rate
    parts = [(max(0.0, seconds), spread) for seconds, spread in waiting]
    parts += [
        (max(0.0, j.queued.cpu_seconds) * (1 - share_done(j, rate, now)), j.queued.factors.spread) for j in running
    ]
    left = math.fsum(cost for cost, _ in parts)
    if left <= 0 and not running:
        return Eta(0.0, 0.0, 0.0) if listing_done else Eta()
    if concurrency <= 0:
        return Eta()
    per_second = rate * concurrency
    # One class may be off as a whole; that all are off the same way at once is not to be expected.
    above = math.hypot(*(cost * (max(1.0, spread) - 1) for cost, spread in parts))
    below = math.hypot(*(cost * (1 - 1 / max(1.0, spread)) for cost, spread in parts))
    seconds = left / per_second
    high = (left + above) / per_second * pace.spread
    low = max(0.0, left - below) / per_second / pace.spread
    seconds, high, low = (max(end, beside_seconds) for end in (seconds, high, low))
    # However many cores there are, the run is not over before each file is, by its own speed.
    for job in running:
        whole, done = _predicted_seconds(job, rate), share_done(job, rate, now)
        if job.media_seconds > 0:
            whole = expected_seconds(whole, job.active_seconds(now), done)
        own = whole * (1 - done)
        off = 1 + (max(1.0, job.queued.factors.spread) - 1) * (1 - done)
        seconds = max(seconds, own)
        high = max(high, own * off)
        low = max(low, own / off)
    return Eta(seconds, low, high) if listing_done else Eta(low=low)


def share_done(job: RunningJob, rate: float, now: float) -> float:
    """The share of a running file that is done, 0 to 1; by its predicted time if its duration is unknown."""
    if job.extent[1] > 0:
        return job.share_done
    return min(1 - PREDICTION_WEIGHT, job.active_seconds(now) / _predicted_seconds(job, rate))


def _predicted_seconds(job: RunningJob, rate: float) -> float:
    return job.queued.wait_seconds + max(job.queued.cpu_seconds, 1e-6) / (rate * max(1, job.cores))
