"""May a worker still publish, or may its engine have given the job to another one meanwhile?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It goes on while the machine sleeps, since the engine may run on another one."""


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class LeaseOver(Exception):
    """The engine may have given the job to another worker."""


class Lease:
    """The time for which a worker may publish, which each message of the engine renews.

    A message may have waited in the pipe while this process was stopped. So it renews the lease only from the moment
    when the pipe was last looked at and found empty.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = _now) -> None:
        self._seconds = seconds
        self._clock = clock
        self._looked_at = self._empty_at = clock()
        self._until = self._empty_at + seconds

    @property
    def ends(self) -> bool:
        """Whether it has an end at all."""
        return self._seconds < math.inf

    def look(self) -> None:
        """The pipe is going to be looked at."""
        if self.ends:
            self._looked_at = self._clock()

    def empty(self) -> None:
        """It held no message then."""
        self._empty_at = self._looked_at

    def renew(self) -> None:
        """A message of the engine was read."""
        self._until = max(self._until, self._empty_at + self._seconds)

    def check(self) -> None:
        """Raise LeaseOver where the time is up."""
        if self.ends and self._clock() >= self._until:
            raise LeaseOver
