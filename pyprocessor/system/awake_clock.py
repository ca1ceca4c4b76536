"""How much time has passed, without that in which this process was stopped or the machine slept?"""

from __future__ import annotations

import time
from collections.abc import Callable


class AwakeClock:
    """Seconds in which the caller's loop turned; each turn, ended by `turn`, counts for `most_seconds` at most."""

    def __init__(self, most_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_seconds = most_seconds
        self._clock = clock
        self._counted = 0.0
        self._turned = clock()

    def __call__(self) -> float:
        return self._counted + min(self._clock() - self._turned, self._most_seconds)

    def turn(self) -> None:
        """A turn of the loop is over."""
        self._counted = self()
        self._turned = self._clock()
