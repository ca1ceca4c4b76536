"""What time a packet has once jumps of its container's clock are corrected, exactly as ffmpeg corrects them.

Transport and program streams, and Ogg files that were joined, may start a new clock midway: recordings put together, a
signal that was lost, a clock that wraps. ffmpeg compares each packet with where its own stream had got to, and moves
everything after a jump. Inspecting and verifying do the same, or their times would differ from those ffmpeg makes.
"""

from __future__ import annotations

import bisect
import math
import statistics
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

JUMPING = frozenset(("mpegts", "mpegtsraw", "mpeg", "ogg"))
"""Demuxers for which ffmpeg mends jumps (its flag `AVFMT_TS_DISCONT`), among those that may open a user's file."""
USUAL_THRESHOLD = 10.0
"""ffmpeg's `dts_delta_threshold`, seconds: a longer gap is taken for a jump of the clock."""
LOWEST_THRESHOLD = 1.0
"""For parts put together whose streams end at different places: between them ffmpeg sees steps of both signs, and mends
all those back, but of those forwards only the ones beyond its limit."""
LEAST_JITTER_SECONDS = 0.015
"""Less is how containers round."""
_AROUND = 15
"""Packets on either side of one, in the midst of which its time should be."""
_MOST_LOOSE = 500
"""Places of a track at which jitter is measured."""
LARGEST_THRESHOLD = 86_400.0
_BACKWARDS_SECONDS = 0.1
"""A packet so much earlier than the one before it in its stream is a jump, whatever the threshold."""
_PAUSE_MARGIN = 1.5
_STEADY_SECONDS = 5.0
"""A stream whose packets are usually further apart than this pauses by nature (slides), and does not jump."""


@dataclass(slots=True)
class Clock:
    """Follows the packets of the streams that are used, in file order; times are seconds."""

    threshold: float = USUAL_THRESHOLD
    offset: float = 0.0
    mended: bool = False
    """Whether any jump was found."""
    _last: float | None = None
    _current: dict[int, float] = field(default_factory=dict)
    _next: dict[int, float] = field(default_factory=dict)

    def advance(self, stream: int, decoding_time: float | None, duration: float) -> float:
        """Take in the next packet of a video or audio stream; returns what is to be added to its times."""
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


@dataclass(frozen=True, slots=True)
class Gap:
    """A step forwards in one stream of more than the usual threshold.

    `covered` says that another stream goes on meanwhile, or that the stream's packets are always that far apart: then
    it is a pause, and else a jump of the clock.
    """

    seconds: float
    covered: bool


def threshold_for(gaps: Sequence[Gap]) -> float:
    """The `dts_delta_threshold` with which ffmpeg keeps the pauses among these gaps and mends the jumps.

    Where a pause is longer than a jump, the jump stays a hole in all streams alike, so that they keep in step.
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
    packets: Iterable[tuple[int, float, float]], usual_steps: dict[int, float], limit: float = USUAL_THRESHOLD
) -> list[Gap]:
    """The steps of more than `limit` seconds in these packets: stream, decoding time and length, in file order.

    A pause is covered where another stream has packets over at least half of it, wherever they lie in the file: the end
    of a packet may show only where the next begins. `usual_steps` are the median steps of the streams.
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
    return [
        Gap(
            until - since,
            usual_steps.get(stream, 0.0) > _STEADY_SECONDS
            or any(
                _covers(times[other], usual_steps.get(other, 0.0), since, until) for other in times if other != stream
            ),
        )
        for stream, since, until in steps
    ]


def _covers(times: list[float], step: float, since: float, until: float) -> bool:
    """Whether packets at these ascending times, usually `step` apart, fill at least half of a span."""
    inside = bisect.bisect_right(times, until) - bisect.bisect_left(times, since)
    return inside * step >= (until - since) / 2


def jitter_seconds(starts: Sequence[float], lengths: Sequence[float]) -> float:
    """How far packets of sound are at most from where those around them would have them; 0 where they follow closely.

    A gap that stays is none: what comes after it is as much later.
    """
    drift = array("d")
    covered = 0.0
    loose = []
    for start, length in zip(starts, lengths, strict=True):
        if math.isnan(start) or length <= 0:
            return 0.0
        off = start - covered
        if drift and abs(off - drift[-1]) > LEAST_JITTER_SECONDS:
            loose += [len(drift) - 1, len(drift)]
        drift.append(off)
        covered += length
    most = 0.0
    for place in loose[: 2 * _MOST_LOOSE]:
        wide = min(_AROUND, place, len(drift) - 1 - place)  # as many on either side, or a gap near an end would count
        around = drift[place - wide : place + wide + 1]
        most = max(most, abs(drift[place] - statistics.median(around)))
    return most if most > LEAST_JITTER_SECONDS else 0.0
