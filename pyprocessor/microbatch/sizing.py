"""How many items does a batch have? The size of best throughput, by what batches took (pure).

Sizes are tried on a ladder, each about 1.4 times the one before. From the size in use the controller tries one two
rungs off, five full batches long, goes there if items take 3 % less time there, and goes on in that direction; else it
tries the other side, and last the rungs beside. Then it stays, and tries its neighbours again after 500 batches, or
when what an item takes has changed by a quarter. From the far end of a ladder of 64 that takes about 60 batches. A size
whose batches take longer than the bound is worse than any that do not. Failures and lack of memory lower a ceiling,
which comes back rung by rung, each after 20 batches that succeeded, so the size does not swing.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from statistics import median

from pyprocessor.microbatch.settings import LATENCY_SHARE, BatchProcessingStrategy, BatchProcessorConfig

STEP = math.sqrt(2)
_SAMPLES = 5
_GAIN = 0.97
"""A size is better where items take this much of the time."""
_CHANGED = 1.25
_AGAIN_AFTER = 500
_RECOVERS_AFTER = 20
_GIVES_UP_AFTER = 20
"""Batches that are not full: so many items do not come that a larger size could be tried."""


class SizeController:
    """The size, from `least` to `most`. `bound_seconds` is what a batch may take; without `searches` it stays."""

    def __init__(
        self, least: int, most: int, start: int, *, searches: bool = True, bound_seconds: float | None = None
    ) -> None:
        self._searches = searches
        self._bound = math.inf if bound_seconds is None else bound_seconds
        self._ladder = _ladder(least, most)
        self._at = 0
        """The best rung known."""
        self._ceiling = 0
        """The highest rung that may be used now."""
        self._may_grow = True
        self._good = 0
        """Batches that succeeded since the ceiling was moved."""
        self._partial = 0
        """Batches since a trial began that were not full."""
        self._settled = 0
        self._settled_at: float | None = None
        """How many decisions ago there was nothing left to try, and what an item took then, in seconds."""
        self._trial: int | None = None
        """The rung that is tried."""
        self._samples: dict[int, deque[float]] = {}
        """By rung: seconds an item."""
        self._refused: set[int] = set()
        """Directions in which the next rung is no better."""
        self._restart(start)

    @property
    def size(self) -> int:
        """How many items a full batch has now."""
        return self._ladder[self._index]

    def expected_seconds(self, rows: int) -> float:
        """What a batch of so many items is expected to take; 0 while none was measured."""
        samples = self._samples.get(self._index) or self._samples.get(self._at)
        return median(samples) * rows if samples else 0.0

    def set(self, size: int) -> int:
        """Start anew from a size, which is moved between `least` and `most`; return it."""
        size = max(self._ladder[0], min(size, self._ladder[-1]))
        self._restart(size)
        return size

    def succeeded(self, rows: int, seconds: float, *, is_full: bool = True) -> None:
        """Learn from a batch of so many items; a full one has fewer than `size` where the next one did not fit in."""
        if self._ceiling < len(self._ladder) - 1 and self._may_grow:
            self._good += 1
            if self._good >= _RECOVERS_AFTER:
                self._ceiling, self._good = self._ceiling + 1, 0
                self._refused.discard(1)
        if not self._searches or self._index < self._wanted:
            return
        if not is_full:
            self._partial += 1
            if self._trial is not None and self._partial >= _GIVES_UP_AFTER:
                self._refuse()
            return
        samples = self._samples.setdefault(self._index, deque(maxlen=_SAMPLES))
        samples.append(seconds / rows)
        if len(samples) == _SAMPLES:
            self._decide()

    def failed(self) -> None:
        """Halve the size, since a batch failed or memory is short."""
        self._ceiling = max(0, bisect_right(self._ladder, self.size // 2) - 1)
        self._good = 0
        self._trial = None

    def limit_growth(self, *, may_grow: bool) -> None:
        """Say whether the size may grow from what it is now."""
        if not may_grow:
            self._ceiling = min(self._ceiling, self._index)
        self._may_grow = may_grow

    @property
    def _wanted(self) -> int:
        return self._at if self._trial is None else self._trial

    @property
    def _index(self) -> int:
        return min(self._wanted, self._ceiling)

    def _restart(self, size: int) -> None:
        """Forget what was learned and begin at a size."""
        self._at = bisect_left(self._ladder, size)
        if self._at == len(self._ladder) or self._ladder[self._at] != size:
            self._ladder.insert(self._at, size)
        self._ceiling = len(self._ladder) - 1
        self._trial = self._settled_at = None
        self._samples, self._refused = {}, set()
        self._stride, self._direction = 2, 1
        self._partial = self._good = self._settled = 0

    def _decide(self) -> None:
        """Go on from a size that has been measured."""
        if self._trial is not None:
            if not self._is_better(self._trial, self._at):
                self._refuse()
                return
            self._refused = {-self._direction}
            self._at, self._trial = self._trial, None
        if self._next_trial():
            return
        if self._stride > 1:
            self._stride, self._refused = 1, set()
            self._next_trial()
            return
        self._settled += 1
        now = median(self._samples[self._at])
        if self._settled_at is None:
            self._settled_at = now
        elif not 1 / _CHANGED <= now / max(self._settled_at, 1e-12) <= _CHANGED:
            self._stride, self._refused, self._settled_at, self._settled = 2, set(), None, 0
        elif self._settled >= _AGAIN_AFTER:
            self._refused, self._settled_at, self._settled = set(), None, 0

    def _next_trial(self) -> bool:
        for direction in (self._direction, -self._direction):
            target = max(0, min(self._at + direction * self._stride, self._ceiling))
            if direction not in self._refused and target != self._at:
                self._trial, self._direction, self._partial = target, direction, 0
                self._samples.pop(target, None)
                return True
        return False

    def _refuse(self) -> None:
        """Go back from a trial that brought nothing."""
        self._refused.add(self._direction)
        self._trial = None
        if len(self._samples.get(self._at, ())) == _SAMPLES:
            self._decide()

    def _is_better(self, index: int, other: int) -> bool:
        takes, other_takes = (median(self._samples[one]) for one in (index, other))
        seconds, other_seconds = takes * self._ladder[index], other_takes * self._ladder[other]
        if max(seconds, other_seconds) > self._bound:
            return seconds < other_seconds
        return takes < _GAIN * other_takes


def controller(config: BatchProcessorConfig) -> SizeController:
    """Return the controller that a configuration asks for."""
    greedy = config.processing_strategy is BatchProcessingStrategy.GREEDY
    return SizeController(
        config.min_batch_size,
        config.max_batch_size,
        config.max_batch_size if greedy else config.initial_batch_size,
        searches=config.adapts,
        bound_seconds=None if config.item_timeout is None else LATENCY_SHARE * config.item_timeout,
    )


def _ladder(least: int, most: int) -> list[int]:
    """Return sizes from `least` to `most`, each about 1.4 times the one before."""
    sizes, size = {least, most}, float(least)
    while size < most:
        sizes.add(round(size))
        size *= STEP
    return sorted(sizes)
