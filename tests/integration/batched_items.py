"""A function for micro-batches that says what it got, and can be held up."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tests.waiting import DEADLINE_SECONDS

POISON = -1


class Doubling:
    """Returns twice of what it gets; raises over `POISON`, and blocks while `gate` is closed."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.calls: list[list[int]] = []
        """The items of each call, by their first numbers."""
        self.at_once = 0
        self.most_at_once = 0
        self.gate = threading.Event()
        self.failures = 0
        """Calls that are still to fail, whatever they get."""
        self._lock = threading.Lock()
        if is_open:
            self.gate.set()

    def __call__(self, batch: Any) -> Any:
        """Take an array of items, or one that goes alone."""
        rows = batch.reshape(len(batch), -1)[:, 0].tolist() if isinstance(batch, np.ndarray) else [batch]
        with self._lock:
            self.calls.append(rows)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert self.gate.wait(DEADLINE_SECONDS)
            with self._lock:
                self.failures -= 1
                if self.failures >= 0:
                    raise OSError("as asked for")
            if POISON in rows:
                raise ValueError("poison")
            return batch * 2
        finally:
            with self._lock:
                self.at_once -= 1

    @property
    def sizes(self) -> list[int]:
        """How many items each call got."""
        return [len(rows) for rows in self.calls]


def array(number: int, width: int = 3) -> np.ndarray[Any, Any]:
    """An item that is known by its number."""
    return np.full(width, number)
