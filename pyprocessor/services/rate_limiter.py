"""May so many requests be begun now, and if not, when?"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable


class RateLimiter:
    """At most `max_requests` in any `time_window` seconds. Thread-safe."""

    def __init__(
        self, max_requests: int = 1000, time_window: float = 60, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises ValueError where either is no number above 0."""
        numbers = isinstance(max_requests, int) and isinstance(time_window, int | float)
        if not numbers or max_requests < 1 or not 0 < time_window <= threading.TIMEOUT_MAX:
            raise ValueError(
                f"A rate is a whole number of requests above 0 in a number of seconds above 0, and not "
                f"{max_requests!r} in {time_window!r}."
            )
        self.max_requests = max_requests
        self.time_window = time_window
        self._clock = clock
        self._taken: deque[tuple[float, int]] = deque()
        """When, and how many, within the last window."""
        self._lock = threading.Lock()

    def can_process(self, n: int = 1) -> bool:
        """Whether `n` more may be begun now; these then count."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            if sum(count for _, count in self._taken) + n > self.max_requests:
                return False
            if n > 0:
                self._taken.append((now, n))
            return True

    def get_wait_time(self, n: int = 1) -> float:
        """Seconds until `n` more may be begun: 0 where they may now, infinite where a window never takes so many."""
        if n > self.max_requests:
            return math.inf
        with self._lock:
            now = self._clock()
            self._forget(now)
            over = sum(count for _, count in self._taken) + n - self.max_requests
            for moment, count in self._taken:
                if over <= 0:
                    break
                over -= count
                if over <= 0:
                    return max(0.0, moment + self.time_window - now)
        return 0.0

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0][0] + self.time_window <= now:
            self._taken.popleft()
