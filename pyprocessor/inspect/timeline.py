"""When are the pictures, the sound and the subtitles of a file, by its packets?"""

from __future__ import annotations

import base64
import itertools
import json
import math
import zlib
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from pyprocessor.inspect.clock import USUAL_THRESHOLD, correct_jumps, jitter_seconds, usual_step
from pyprocessor.models import StreamKind

NO_TIME = -(1 << 63)
"""In arrays of ticks: the packet has no time."""
MOST_PACKETS = 8_000_000
"""At most so many are read of one file: 24 hours of television with two sound tracks."""
SOUND_GAP_SECONDS = 0.1
"""Smaller gaps in sound do not count."""
MOST_COMPACT_CHARACTERS = 3000
"""The longest compact timeline that is stored with a MediaInfo."""

_USUAL_RATES = (
    *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 100, 120, 240)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120, 240)),
)
_GRID_SECONDS, _GRID_SHARE = 0.0011, 0.2
"""How far a picture may be from a tick: containers round to milliseconds; the share of a tick is for high rates."""


@dataclass(slots=True)
class Ticks:
    """The packets of one stream in file order, in ticks of `unit` seconds; `NO_TIME` where there is none."""

    kind: StreamKind
    unit: Fraction
    pts: array[int] = field(default_factory=lambda: array("q"))
    dts: array[int] = field(default_factory=lambda: array("q"))
    durations: array[int] = field(default_factory=lambda: array("q"))
    leading: int = 0
    """How many packets of a film come before its first keyframe, and so cannot be decoded."""
    first_key: int | None = None

    def begins_with_key(self) -> None:
        """Note that the first packets depend on a keyframe that is not shown, such as one before a cut."""
        if not self.pts:
            self.first_key = NO_TIME

    def add(self, pts: int | None, dts: int | None, duration: int | None, *, is_key: bool) -> None:
        """Append a packet: its PTS, DTS and duration."""
        if is_key and self.first_key is None:
            self.first_key = next(time for time in (pts, dts, NO_TIME) if time is not None)
            self.leading = len(self.pts) if self.first_key != NO_TIME else 0
        self.pts.append(NO_TIME if pts is None else pts)
        self.dts.append(NO_TIME if dts is None else dts)
        self.durations.append(max(0, duration or 0))


@dataclass(frozen=True, slots=True)
class Track:
    """The times of one stream in seconds, ascending, jumps of the clock corrected."""

    kind: StreamKind
    packets: int
    starts: Sequence[float] = ()
    """Of pictures or subtitles."""
    spans: tuple[tuple[float, float], ...] = ()
    """What packets of sound cover, with gaps of more than `SOUND_GAP_SECONDS`."""
    end: float | None = None
    leading: Sequence[float] = ()
    """Of pictures that depend on something before the file's first keyframe; they are not among `starts`."""
    untimed: int = 0
    """Packets without a time."""
    jitter_seconds: float = 0.0
    """Of sound: how far packets are at most from where their neighbours show that they should be."""

    @property
    def start(self) -> float | None:
        """The time of its first picture or sample."""
        if self.spans:
            return self.spans[0][0]
        return self.starts[0] if self.starts else None

    @property
    def seconds(self) -> float | None:
        """From its first picture or sample to the end of its last."""
        return None if self.start is None or self.end is None else self.end - self.start

    @property
    def covered_seconds(self) -> float:
        """The length of sound without its gaps."""
        return sum(end - start for start, end in self.spans)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The tracks of a file by stream index."""

    tracks: dict[int, Track]
    whole: bool = True
    """False where reading stopped at a limit."""
    damage: str | None = None
    """The error that ended it."""
    threshold: float = USUAL_THRESHOLD
    """The `dts_delta_threshold` with which ffmpeg sees the same times."""
    corrections: dict[int, array[float]] = field(default_factory=dict)
    """By stream, what was added to the times of each packet to correct jumps of the clock; empty without jumps."""
    unlisted: bool = False
    """Whether there are packets of streams that began after the file was opened."""
    listed_bytes: int = 0
    """The place in the file of the last packet of the other streams, as far as known."""

    @property
    def began(self) -> float:
        """The time of the first packet, of whatever kind."""
        firsts = [t.start for t in self.tracks.values() if t.start is not None]
        firsts += [t.leading[0] for t in self.tracks.values() if t.leading]
        return min(firsts, default=0.0)

    @property
    def end(self) -> float | None:
        """When the last packet ends; None where no packet has a time."""
        return max((t.end for t in self.tracks.values() if t.end is not None), default=None)

    @property
    def seconds(self) -> float | None:
        """From the first packet to the end of the last."""
        return None if self.end is None else self.end - self.began


def timeline(
    streams: dict[int, Ticks], order: Sequence[int] | None, used: Collection[int], *, by_decoding: bool
) -> Timeline:
    """Return the timeline of the packets that were read.

    `order` has the stream of every packet where the clock may jump, which ffmpeg corrects by the streams `used` alone.
    `by_decoding`: lengths are in decoding order, as in MP4, so that only their sum gives the length of a film.
    """
    threshold = USUAL_THRESHOLD
    corrections: dict[int, array[float]] = {}
    if order is not None:
        played = {i: t for i, t in streams.items() if i in used and t.kind in (StreamKind.VIDEO, StreamKind.AUDIO)}
        times = {index: _seconds(ticks.dts, ticks.unit) for index, ticks in played.items()}
        lengths = {index: _seconds(ticks.durations, ticks.unit) for index, ticks in played.items()}
        threshold, corrections = correct_jumps(order, times, lengths)
    tracks = {index: _track(ticks, corrections.get(index), by_decoding=by_decoding) for index, ticks in streams.items()}
    return Timeline(tracks, threshold=threshold, corrections=corrections)


def _seconds(ticks: Iterable[int], unit: Fraction) -> array[float]:
    """Return ticks as seconds; NaN where there is no time."""
    numerator, denominator = unit.numerator, unit.denominator
    return array("d", (math.nan if t == NO_TIME else t * numerator / denominator for t in ticks))


def _track(ticks: Ticks, offsets: Sequence[float] | None, *, by_decoding: bool) -> Track:
    """Return the track of these packets; `offsets` correct jumps of the clock."""
    times = (d if s == NO_TIME else s for s, d in zip(ticks.pts, ticks.dts, strict=True))
    starts, lengths = _seconds(times, ticks.unit), _seconds(ticks.durations, ticks.unit)
    if offsets is not None:
        starts = array("d", (s + o for s, o in zip(starts, offsets, strict=True)))
    if ticks.kind is StreamKind.AUDIO:
        spans = _spans(starts, lengths)
        end, jitter = spans[-1][1] if spans else None, jitter_seconds(starts, lengths)
        return Track(ticks.kind, len(starts), spans=spans, end=end, jitter_seconds=jitter)
    key = None
    if ticks.first_key is not None and ticks.kind is StreamKind.VIDEO:
        moved = offsets[ticks.leading] if offsets else 0.0
        key = ticks.first_key * ticks.unit.numerator / ticks.unit.denominator + moved
    timed = [place for place, start in enumerate(starts) if not math.isnan(start)]
    if not timed:
        return Track(ticks.kind, len(starts), untimed=len(starts))
    kept, leading = array("d"), array("d")
    for place in timed:
        decodes = key is None or (place >= ticks.leading and starts[place] >= key)
        (kept if decodes else leading).append(starts[place])
    last = max(timed, key=starts.__getitem__)
    end = starts[last] + lengths[last]
    if by_decoding:
        end = max(end, min(starts[place] for place in timed) + math.fsum(lengths))
    shown, undecodable = array("d", sorted(kept)), array("d", sorted(leading))
    untimed = len(starts) - len(timed)
    return Track(ticks.kind, len(starts), starts=shown, end=end, leading=undecodable, untimed=untimed)


def _spans(starts: Sequence[float], lengths: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return what packets with these starts and lengths cover, gaps of up to `SOUND_GAP_SECONDS` closed."""
    spans: list[tuple[float, float]] = []
    for start, end in sorted((s, s + n) for s, n in zip(starts, lengths, strict=True) if not math.isnan(s)):
        if spans and start <= spans[-1][1] + SOUND_GAP_SECONDS:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class Rate:
    """Pictures a second."""

    grid: Fraction | None
    """The constant rate of which every picture is at a tick."""
    steady: bool
    """No tick of it is left out."""
    average: Fraction | None


def rate_of(starts: Sequence[float], hints: Iterable[Fraction | None]) -> Rate:
    """Return the rate of pictures at these ascending times; `hints` are rates that the file declares."""
    if len(starts) < 2 or starts[-1] <= starts[0]:
        return Rate(None, False, None)
    average = Fraction((len(starts) - 1) / (starts[-1] - starts[0])).limit_denominator(100_000)
    usual = usual_step(starts)
    likely = [rate for rate in _USUAL_RATES if abs(usual * float(rate) - 1) < 0.1]
    likely += [Fraction(1 / usual).limit_denominator(1001)] if usual > 0 else []
    for rate in dict.fromkeys([*filter(None, hints), *likely, average]):
        steady = _on_grid(starts, rate)
        if steady is not None:
            return Rate(rate, steady, average)
    return Rate(None, False, average)


def _on_grid(starts: Sequence[float], rate: Fraction) -> bool | None:
    """Return True where each tick of `rate` has one picture, False where some have none, None otherwise."""
    tick = float(rate)
    allowed = min(_GRID_SECONDS * tick, _GRID_SHARE)
    # The first picture is rounded to milliseconds, too, so what counts is how far the deviations are from each other.
    low = high = 0.0
    last, steady = -1, True
    for start in starts:
        place = (start - starts[0]) * tick
        nearest = round(place)
        low, high = min(low, place - nearest), max(high, place - nearest)
        if nearest <= last or high - low > 2 * allowed:
            return None
        steady = steady and nearest == last + 1
        last = nearest
    return steady


def compact(found: Timeline) -> str | None:
    """Return the timeline as a short text; None: too long, not read whole, or with jumps of its clock."""
    if not found.whole or found.damage or found.corrections or found.unlisted or found.threshold != USUAL_THRESHOLD:
        return None
    rows = []
    for index, t in found.tracks.items():
        spans = [(round(start, 6), round(end, 6)) for start, end in t.spans]
        rows.append((index, t.kind, t.packets, _steps(t.starts), spans, t.end, _steps(t.leading), t.untimed))
    packed = base64.b85encode(zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 6)).decode()
    return packed if len(packed) <= MOST_COMPACT_CHARACTERS else None


def _steps(starts: Sequence[float]) -> list[int]:
    """Return the microseconds from each time to the next, the first from 0."""
    whole = [round(start * 1_000_000) for start in starts]
    return [b - a for a, b in itertools.pairwise([0, *whole])]


def expand(text: str) -> Timeline:
    """Return the timeline that `compact` made `text` of."""
    tracks = {}
    for index, kind, packets, starts, spans, end, leading, untimed in json.loads(
        zlib.decompress(base64.b85decode(text))
    ):
        shown, before = (array("d", (us / 1_000_000 for us in itertools.accumulate(own))) for own in (starts, leading))
        covered = tuple(map(tuple, spans))
        tracks[index] = Track(StreamKind(kind), packets, shown, spans=covered, end=end, leading=before, untimed=untimed)
    return Timeline(tracks)
