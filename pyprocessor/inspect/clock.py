"""What time does a packet have once jumps of its container's clock are corrected, exactly as ffmpeg corrects them?

Transport and program streams, and Ogg files that were joined, may start a new clock midway: recordings put together, a
lost signal, a clock that wraps. ffmpeg compares each packet with the end of the one before it in its stream, and moves
everything after a jump. Inspecting and verifying do the same, or their times would differ from those ffmpeg makes.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

JUMPING = frozenset(("mpegts", "mpegtsraw", "mpeg", "ogg"))
"""Demuxers for which ffmpeg corrects jumps (its flag `AVFMT_TS_DISCONT`), among those for users' files."""
USUAL_THRESHOLD = 10.0
"""ffmpeg's `dts_delta_threshold`, seconds: a longer gap counts as a jump of the clock."""
LOWEST_THRESHOLD = 1.0
"""For joined parts whose streams end at different times: ffmpeg corrects all steps back, but few forward."""
LARGEST_THRESHOLD = 86_400.0
_BACKWARDS_SECONDS = 0.1
"""A packet so much earlier than the one before it in its stream is a jump, whatever the threshold."""
_PAUSE_MARGIN = 1.5
_STEADY_SECONDS = 5.0
"""A stream whose packets are usually further apart than this (slides) pauses and does not jump."""


@dataclass(slots=True)
class Clock:
    """Follows the packets of the streams that ffmpeg reads, in file order; times are seconds."""

    threshold: float = USUAL_THRESHOLD
    offset: float = 0.0
    mended: bool = False
    """Whether any jump was found."""
    _last: float | None = None
    _current: dict[int, float] = field(default_factory=dict)
    _next: dict[int, float] = field(default_factory=dict)

    def advance(self, stream: int, decoding_time: float | None, duration: float) -> float:
        """Take in the next packet; return what is to be added to its times."""
        expected = self._next.get(stream)
        if decoding_time is None:
            if expected is not None:
                self._current[stream] = expected
                self._next[stream] = expected + duration
            return self.offset
        now = decoding_time + self.offset
        jump = 0.0
        if expected is None:
            if self._last is not None and abs(now - self._last) > self.threshold:
                jump = now - self._last
        elif abs(now - expected) > self.threshold or now + _BACKWARDS_SECONDS < self._current[stream]:
            jump = now - expected
        if jump:
            self.mended = True
            self.offset -= jump
            now -= jump
        self._last = now
        self._current[stream] = now
        self._next[stream] = now + duration
        return self.offset


def mend(
    order: Sequence[int], times: Mapping[int, array[float]], lengths: Mapping[int, array[float]]
) -> tuple[float, dict[int, array[float]]]:
    """Return the threshold that ffmpeg needs, and by stream what to add to each packet's times (empty: no jumps).

    `order` has the stream of every packet; `times` (NaN: none) and `lengths` are those of streams that ffmpeg reads.
    """

    def packets() -> Iterator[tuple[int, float, float]]:
        feeds = {index: zip(times[index], lengths[index], strict=True) for index in times}
        unread = itertools.repeat((math.nan, 0.0))
        return ((index, *next(feeds.get(index, unread))) for index in order)

    def follow(clock: Clock) -> dict[int, array[float]]:
        offsets = {index: array("d") for index in set(order)}
        for index, now, length in packets():
            offsets[index].append(clock.advance(index, None if math.isnan(now) else now, length))
        return offsets if clock.mended else {}

    clock = Clock()
    offsets = follow(clock)
    if clock.mended:
        steps = {index: usual_step(t for t in seconds if not math.isnan(t)) for index, seconds in times.items()}
        timed = [packet for packet in packets() if not math.isnan(packet[1])]
        threshold = threshold_for(gaps_in(timed, steps))
        if threshold == USUAL_THRESHOLD and _tears(times, offsets):
            pauses = any(gap.covered for gap in gaps_in(timed, steps, LOWEST_THRESHOLD))
            threshold = USUAL_THRESHOLD if pauses else LOWEST_THRESHOLD
        if threshold != USUAL_THRESHOLD:
            clock = Clock(threshold)
            offsets = follow(clock)
    return clock.threshold, offsets


def usual_step(times: Iterable[float]) -> float:
    """Return the median distance between neighbours; 0 where there is only one time."""
    steps = [b - a for a, b in itertools.pairwise(times)]
    return statistics.median_high(steps) if steps else 0.0


def _tears(times: Mapping[int, array[float]], offsets: Mapping[int, array[float]]) -> bool:
    """Return whether mending itself made a hole of more than `LOWEST_THRESHOLD` in a stream."""
    for index, own in times.items():
        steps = zip(itertools.pairwise(own), itertools.pairwise(offsets[index]), strict=True)
        if any(b - a <= LOWEST_THRESHOLD < b + after - a - before for (a, b), (before, after) in steps):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Gap:
    """A step forwards in one stream of more than the usual threshold: a pause where `covered`, else a jump.

    `covered`: another stream goes on meanwhile, or the stream's packets are always that far apart.
    """

    seconds: float
    covered: bool


def threshold_for(gaps: Sequence[Gap]) -> float:
    """Return the `dts_delta_threshold` with which ffmpeg keeps the pauses among these gaps and corrects the jumps.

    Where a pause is longer than a jump, the jump stays a hole in all streams, so that they keep in step.
    """
    pauses = [gap.seconds for gap in gaps if gap.covered]
    if not pauses:
        return USUAL_THRESHOLD
    longest = max(pauses)
    jumps = [gap.seconds for gap in gaps if not gap.covered and gap.seconds > longest]
    wanted = longest * _PAUSE_MARGIN
    if jumps:
        wanted = min(wanted, (longest + min(jumps)) / 2)
    return min(LARGEST_THRESHOLD, max(USUAL_THRESHOLD, wanted))


def gaps_in(
    packets: Iterable[tuple[int, float, float]], usual_steps: Mapping[int, float], limit: float = USUAL_THRESHOLD
) -> list[Gap]:
    """Return the steps of more than `limit` seconds in packets (stream, decoding time, length) in file order.

    A pause is covered where another stream has packets over at least half of it, wherever they lie in the file.
    """
    times: dict[int, list[float]] = {}
    steps: list[tuple[int, float, float]] = []
    latest: float | None = None
    reached: dict[int, float] = {}
    for stream, now, length in packets:
        if stream in reached:
            if now - reached[stream] > limit:
                steps.append((stream, reached[stream], now))
        elif latest is not None and latest - now > limit:
            steps.append((stream, now, latest))
        latest = now
        reached[stream] = now + length
        times.setdefault(stream, []).append(now)
    for known in times.values():
        known.sort()

    def covered(stream: int, since: float, until: float) -> bool:
        if usual_steps.get(stream, 0.0) > _STEADY_SECONDS:
            return True
        others = (other for other in times if other != stream)
        return any(_covers(times[other], usual_steps.get(other, 0.0), since, until) for other in others)

    return [Gap(until - since, covered(stream, since, until)) for stream, since, until in steps]


def _covers(times: list[float], step: float, since: float, until: float) -> bool:
    """Return whether packets at these ascending times, usually `step` apart, fill at least half of a span."""
    inside = bisect.bisect_right(times, until) - bisect.bisect_left(times, since)
    return inside * step >= (until - since) / 2
