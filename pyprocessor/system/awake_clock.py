"""A clock for deadlines of others: it stands still while this process does.

A process that was stopped, or whose machine slept, comes back to find that much time has passed. None of it may count
against those it waits for: they were stopped with it, or have been talking to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class AwakeClock:
    """Seconds that went by while the caller's loop turned. `turn` is to be called once a turn; `most_seconds` is what
    a turn may count for, however long it took."""

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
