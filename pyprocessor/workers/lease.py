"""May a worker still publish, or may its engine have given the job to another one meanwhile?"""

from __future__ import annotations

import math
import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It goes on while the machine sleeps, since the engine may run on another one."""


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class LeaseOver(Exception):
    """The engine may have given the job to another worker."""


class Lease:
    """The time for which a worker may publish, which each message of the engine renews.

    A message may have waited in the pipe while this process was stopped. So it renews the lease only from the moment
    when the pipe was last seen empty.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._empty_at = _now()
        self._until = self._empty_at + seconds

    def drained(self) -> None:
        """The pipe holds no message now."""
        if self._seconds < math.inf:
            self._empty_at = _now()

    def renew(self) -> None:
        """A message of the engine was read."""
        self._until = max(self._until, self._empty_at + self._seconds)

    def check(self) -> None:
        """Raise LeaseOver where the time is up."""
        if self._seconds < math.inf and _now() >= self._until:
            raise LeaseOver
