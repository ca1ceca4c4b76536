"""What time does a packet have once jumps of its container's clock are corrected, exactly as ffmpeg corrects them?"""

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
_HIGHEST_THRESHOLD = 86_400.0
_PAUSE_MARGIN = 1.5
"""Times the longest pause is the threshold that keeps it, where no jump lies nearer."""
_BACKWARDS_SECONDS = 0.1
"""A packet so much earlier than the one before it in its stream is a jump, whatever the threshold."""
LEAST_JITTER_SECONDS = 0.015
"""Smaller deviations come from how containers round times."""
_MOST_JITTER_PLACES, _NEIGHBOURS = 1000, 15
"""Packets of a track whose deviation is measured, and packets on either side of one that show where it should be."""
_STEADY_SECONDS = 5.0
"""A stream whose packets are usually further apart than this (slides) pauses and does not jump."""


@dataclass(slots=True)
class Clock:
    """Compares each packet with the end of the one before it in its stream; moves everything after a jump (seconds)."""

    threshold: float = USUAL_THRESHOLD
    offset: float = 0.0
    jumped: bool = False
    """Whether any jump was found."""
    _last: float | None = None
    _current: dict[int, float] = field(default_factory=dict)
    _next: dict[int, float] = field(default_factory=dict)

    def advance(self, stream: int, decoding_time: float | None, duration: float) -> float:
        """Take in the next packet; return what is to be added to its times."""
        expected = self._next.get(stream)
        if decoding_time is None:
            if expected is not None:
                self._current[stream], self._next[stream] = expected, expected + duration
            return self.offset
        now = decoding_time + self.offset
        before = self._last if expected is None else expected
        jump = now - before if before is not None else 0.0
        backwards = expected is not None and now + _BACKWARDS_SECONDS < self._current[stream]
        if jump and (abs(jump) > self.threshold or backwards):
            self.jumped = True
            self.offset -= jump
            now -= jump
        self._last = self._current[stream] = now
        self._next[stream] = now + duration
        return self.offset


def correct_jumps(
    order: Sequence[int], times: Mapping[int, array[float]], lengths: Mapping[int, array[float]]
) -> tuple[float, dict[int, array[float]]]:
    """Return the threshold that ffmpeg needs, and by stream what to add to each packet's times, if anything.

    `order` has the stream of every packet; `times` (NaN: none) and `lengths` are of the streams that ffmpeg reads.
    """

    def packets() -> Iterator[tuple[int, float, float]]:
        feeds = {index: zip(times[index], lengths[index], strict=True) for index in times}
        unread = itertools.repeat((math.nan, 0.0))
        return ((index, *next(feeds.get(index, unread))) for index in order)

    def follow(clock: Clock) -> dict[int, array[float]]:
        offsets = {index: array("d") for index in set(order)}
        for index, now, length in packets():
            offsets[index].append(clock.advance(index, None if math.isnan(now) else now, length))
        return offsets if clock.jumped else {}

    clock = Clock()
    offsets = follow(clock)
    if clock.jumped:
        known = {index: [t for t in seconds if not math.isnan(t)] for index, seconds in times.items()}
        pairs = {index: itertools.pairwise(own) for index, own in known.items()}
        steps = {index: statistics.median([b - a for a, b in own] or [0.0]) for index, own in pairs.items()}
        timed = [packet for packet in packets() if not math.isnan(packet[1])]
        threshold = threshold_for(*gaps_in(timed, steps))
        if threshold == USUAL_THRESHOLD and _opens_gap(times, offsets):
            pauses, _ = gaps_in(timed, steps, LOWEST_THRESHOLD)
            threshold = USUAL_THRESHOLD if pauses else LOWEST_THRESHOLD
        if threshold != USUAL_THRESHOLD:
            clock = Clock(threshold)
            offsets = follow(clock)
    return clock.threshold, offsets


def usual_step(times: Iterable[float]) -> float:
    """Return the median distance between neighbours, the higher of two; 0 where there is only one time."""
    steps = [b - a for a, b in itertools.pairwise(times)]
    return statistics.median_high(steps) if steps else 0.0


def _opens_gap(times: Mapping[int, array[float]], offsets: Mapping[int, array[float]]) -> bool:
    """Return whether the corrections themselves open a gap of more than `LOWEST_THRESHOLD` in a stream."""
    return any(
        b - a <= LOWEST_THRESHOLD < b + after - a - before
        for index, own in times.items()
        for (a, b), (before, after) in zip(itertools.pairwise(own), itertools.pairwise(offsets[index]), strict=True)
    )


def threshold_for(pauses: Sequence[float], jumps: Sequence[float]) -> float:
    """Return the `dts_delta_threshold` with which ffmpeg keeps these pauses and corrects longer jumps."""
    longest = max(pauses, default=0.0)
    wanted = min([longest * _PAUSE_MARGIN, *((longest + jump) / 2 for jump in jumps if jump > longest > 0)])
    return min(_HIGHEST_THRESHOLD, max(USUAL_THRESHOLD, wanted))


def gaps_in(
    packets: Iterable[tuple[int, float, float]], usual_steps: Mapping[int, float], limit: float = USUAL_THRESHOLD
) -> tuple[list[float], list[float]]:
    """Return the steps of more than `limit` seconds in packets (stream, DTS, length): pauses and jumps.

    A step is a pause where another stream has packets over at least half of it, wherever they lie in the file, or where
    the stream's packets are always that far apart.
    """
    times: dict[int, list[float]] = {}
    steps: list[tuple[int, float, float]] = []
    latest = -math.inf
    reached: dict[int, float] = {}
    for stream, now, length in packets:
        if stream in reached:
            if now - reached[stream] > limit:
                steps.append((stream, reached[stream], now))
        elif latest - now > limit:
            steps.append((stream, now, latest))
        latest = now
        reached[stream] = now + length
        times.setdefault(stream, []).append(now)
    for known in times.values():
        known.sort()
    pauses: list[float] = []
    jumps: list[float] = []
    for stream, since, until in steps:
        is_pause = usual_steps.get(stream, 0.0) > _STEADY_SECONDS or any(
            2 * (bisect.bisect_right(known, until) - bisect.bisect_left(known, since)) * usual_steps.get(other, 0.0)
            >= until - since
            for other, known in times.items()
            if other != stream
        )
        (pauses if is_pause else jumps).append(until - since)
    return pauses, jumps


def jitter_seconds(starts: Sequence[float], lengths: Sequence[float]) -> float:
    """Return how far packets of sound are at most from where their neighbours show that they should be.

    0 where a time or length is unknown. A gap after which all packets are later is no jitter.
    """
    drift = array("d")
    covered = 0.0
    loose: list[int] = []
    for start, length in zip(starts, lengths, strict=True):
        if math.isnan(start) or length <= 0:
            return 0.0
        off = start - covered
        if drift and abs(off - drift[-1]) > LEAST_JITTER_SECONDS:
            loose += [len(drift) - 1, len(drift)]
        drift.append(off)
        covered += length
    most = 0.0
    for place in loose[:_MOST_JITTER_PLACES]:
        wide = min(_NEIGHBOURS, place, len(drift) - 1 - place)  # equally many, or a gap near an end would count
        near = statistics.median(drift[place - wide : place + wide + 1])
        most = max(most, abs(drift[place] - near))
    return most if most > LEAST_JITTER_SECONDS else 0.0
