"""When the pictures, the sound and the subtitles of a file are, by its packets.

Rates, durations and tags that a file declares may be wrong; decisions and verification both go by packets.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import statistics
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from pyprocessor.inspect.clock import LOWEST_THRESHOLD, USUAL_THRESHOLD, Clock, gaps_in, jitter_seconds, threshold_for
from pyprocessor.models import StreamKind

NO_TIME = -(1 << 63)
"""Stands in arrays of ticks where a packet has no time."""
MOST_PACKETS = 8_000_000
"""Read of one file: 24 hours of television with two sound tracks; what comes after is not looked at."""
SOUND_GAP_SECONDS = 0.1
"""Sound that is further apart is a gap; smaller ones are filled without a word."""
MOST_COMPACT_CHARACTERS = 3000
"""Of a timeline that is kept with what is remembered of a file."""

_USUAL_RATES = (
    *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 100, 120, 240)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120, 240)),
)
_GRID_SECONDS = 0.0011
"""How far a picture may lie from the clock of a constant rate: containers round to milliseconds."""
_GRID_SHARE = 0.2
"""The same as a share of a picture, for rates beyond 180."""


@dataclass(slots=True)
class Ticks:
    """The packets of one stream, in file order, in ticks of `unit` seconds; `NO_TIME` where a packet does not say.

    `leading` counts the packets of a film before its first keyframe, in decoding order: no decoder makes pictures of
    them. `first_key` is the time of that keyframe.
    """

    kind: StreamKind
    unit: Fraction
    shown: array[int] = field(default_factory=lambda: array("q"))
    decoded: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    leading: int = 0
    first_key: int | None = None

    def begins_with_key(self) -> None:
        """Note that the first packets depend on a keyframe that is not shown, such as one before the start of a cut."""
        if not self.shown:
            self.first_key = NO_TIME

    def add(self, shown: int | None, decoded: int | None, length: int | None, *, is_key: bool) -> None:
        if is_key and self.first_key is None:
            times = (time for time in (shown, decoded, NO_TIME) if time is not None)
            self.first_key = next(times)
            self.leading = len(self.shown) if self.first_key != NO_TIME else 0
        self.shown.append(NO_TIME if shown is None else shown)
        self.decoded.append(NO_TIME if decoded is None else decoded)
        self.lengths.append(max(0, length or 0))


@dataclass(frozen=True, slots=True)
class Track:
    """When one stream is there, in seconds of the file's mended clock.

    `starts` are the times of its pictures or subtitles, ascending; empty for sound, which has `spans` instead: what its
    packets cover, ascending, apart by more than `SOUND_GAP_SECONDS`. `leading` are the times of pictures that depend on
    what comes before the file's first keyframe: decoders may leave them out, and they are not among `starts`.
    """

    kind: StreamKind
    packets: int
    starts: Sequence[float] = ()
    spans: tuple[tuple[float, float], ...] = ()
    end: float | None = None
    leading: Sequence[float] = ()
    untimed: int = 0
    """Packets without a time, which are not among `starts` either."""
    jitter_seconds: float = 0.0
    """Of sound: how far its packets are at most from where those around them would have them."""

    @property
    def start(self) -> float | None:
        if self.spans:
            return self.spans[0][0]
        return self.starts[0] if self.starts else None

    @property
    def seconds(self) -> float | None:
        """From its first picture or sample to the end of its last, or None where its packets have no times."""
        return None if self.start is None or self.end is None else self.end - self.start

    @property
    def covered_seconds(self) -> float:
        """Of sound: without its gaps."""
        return sum(end - start for start, end in self.spans)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The tracks of a file by stream index.

    `whole` is False where the reading was given up on; `damage` is what ended it early. `threshold` is the
    `dts_delta_threshold` that ffmpeg needs to see the same times.
    """

    tracks: dict[int, Track]
    whole: bool = True
    damage: str | None = None
    threshold: float = USUAL_THRESHOLD
    moved: dict[int, array[float]] = field(default_factory=dict)
    """By stream, what was added to the times of each of its packets to mend jumps of the clock; empty: nothing was."""

    unlisted: bool = False
    """Whether there are packets of streams that were not known when the file was opened."""
    listed_bytes: int = 0
    """Where in the file the last packet of the known streams begins, as far as packets say."""

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


# ---------------------------------------------------------------- from packets


def timeline(
    streams: dict[int, Ticks],
    order: Sequence[int] | None,
    used: Collection[int],
    *,
    by_decoding: bool,
) -> Timeline:
    """The timeline of what was read.

    `order` has the stream of every packet of a container whose clock may jump, else None; `used` are the streams that
    ffmpeg will read, for it mends jumps by these alone. `by_decoding` says that a packet's length is the time to the
    next in decoding order, as MP4 has it, so that only all of them together give the length of a film.
    """
    clock, offsets = (Clock(), {}) if order is None else _mend(streams, order, frozenset(used))
    tracks = {index: _track(ticks, offsets.get(index), by_decoding=by_decoding) for index, ticks in streams.items()}
    return Timeline(tracks, threshold=clock.threshold, moved=offsets if clock.mended else {})


def _mend(
    streams: dict[int, Ticks], order: Sequence[int], used: frozenset[int]
) -> tuple[Clock, dict[int, array[float]]]:
    """The clock that suits these packets, and by stream what is to be added to each packet's times."""
    timed = {
        index: _seconds(ticks.decoded, ticks.unit)
        for index, ticks in streams.items()
        if index in used and ticks.kind in (StreamKind.VIDEO, StreamKind.AUDIO)
    }
    lengths = {index: _seconds(streams[index].lengths, streams[index].unit) for index in timed}
    clock = Clock()
    offsets = _follow(clock, streams, order, timed, lengths)
    if clock.mended:
        usual = {index: _usual_step(times) for index, times in timed.items()}
        threshold = threshold_for(gaps_in(_decoding(order, timed, lengths), usual))
        if threshold == USUAL_THRESHOLD and _tears(timed, offsets):
            pauses = any(gap.covered for gap in gaps_in(_decoding(order, timed, lengths), usual, LOWEST_THRESHOLD))
            threshold = USUAL_THRESHOLD if pauses else LOWEST_THRESHOLD
        if threshold != USUAL_THRESHOLD:
            clock = Clock(threshold)
            offsets = _follow(clock, streams, order, timed, lengths)
    return clock, offsets


def _tears(timed: dict[int, array[float]], offsets: dict[int, array[float]]) -> bool:
    """Whether mending itself made a hole of more than `LOWEST_THRESHOLD` in a stream that has none."""
    for index, times in timed.items():
        steps = zip(itertools.pairwise(times), itertools.pairwise(offsets[index]), strict=True)
        if any(b - a <= LOWEST_THRESHOLD < b + after - a - before for (a, b), (before, after) in steps):
            return True
    return False


def _follow(
    clock: Clock,
    streams: dict[int, Ticks],
    order: Sequence[int],
    timed: dict[int, array[float]],
    lengths: dict[int, array[float]],
) -> dict[int, array[float]]:
    """By stream, what is to be added to the times of each of its packets."""
    seen = dict.fromkeys(streams, 0)
    offsets = {index: array("d") for index in streams}
    for index in order:
        place = seen[index]
        seen[index] = place + 1
        times = timed.get(index)
        if times is None:
            offsets[index].append(clock.offset)
            continue
        now = times[place]
        offsets[index].append(clock.advance(index, None if math.isnan(now) else now, lengths[index][place]))
    return offsets


def _decoding(
    order: Sequence[int], timed: dict[int, array[float]], lengths: dict[int, array[float]]
) -> Iterator[tuple[int, float, float]]:
    """Stream, decoding time and length of the packets that have one, in file order."""
    seen = dict.fromkeys(timed, 0)
    for index in order:
        if index in timed:
            place = seen[index]
            seen[index] = place + 1
            if not math.isnan(timed[index][place]):
                yield index, timed[index][place], lengths[index][place]


def _seconds(ticks: Iterable[int], unit: Fraction) -> array[float]:
    """Ticks as seconds; not a number where there is no time."""
    numerator, denominator = unit.numerator, unit.denominator
    return array("d", (math.nan if t == NO_TIME else t * numerator / denominator for t in ticks))


def _usual_step(times: Sequence[float]) -> float:
    known = [t for t in times if not math.isnan(t)]
    return statistics.median(b - a for a, b in itertools.pairwise(known)) if len(known) > 1 else 0.0


def _track(ticks: Ticks, offsets: Sequence[float] | None, *, by_decoding: bool) -> Track:
    shown, decoded = _seconds(ticks.shown, ticks.unit), _seconds(ticks.decoded, ticks.unit)
    starts = array("d", (d if math.isnan(s) else s for s, d in zip(shown, decoded, strict=True)))
    if offsets is not None:
        starts = array("d", (s + o for s, o in zip(starts, offsets, strict=True)))
    lengths = _seconds(ticks.lengths, ticks.unit)
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
    return Track(
        ticks.kind,
        len(starts),
        starts=array("d", sorted(kept)),
        end=end,
        leading=array("d", sorted(leading)),
        untimed=len(starts) - len(timed),
    )


def _spans(starts: Sequence[float], lengths: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """What packets with these starts and lengths cover, gaps of more than `SOUND_GAP_SECONDS` apart."""
    pairs = [(s, s + n) for s, n in zip(starts, lengths, strict=True) if not math.isnan(s)]
    pairs.sort()
    spans: list[tuple[float, float]] = []
    for start, end in pairs:
        if spans and start <= spans[-1][1] + SOUND_GAP_SECONDS:
            if end > spans[-1][1]:
                spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(spans)


# ---------------------------------------------------------------- rates


@dataclass(frozen=True, slots=True)
class Rate:
    """How often pictures come. `grid` is the constant rate on whose clock every picture lies, or None; `steady` says
    that no place on that clock is left out. `average` counts pictures over the time from the first to the last."""

    grid: Fraction | None
    steady: bool
    average: Fraction | None


def rate_of(starts: Sequence[float], hints: Iterable[Fraction | None]) -> Rate:
    """The rate of pictures at these ascending times; `hints` are the rates that the file declares."""
    if len(starts) < 2 or starts[-1] <= starts[0]:
        return Rate(None, False, None)
    span = starts[-1] - starts[0]
    average = Fraction((len(starts) - 1) / span).limit_denominator(100_000)
    steps = sorted(b - a for a, b in itertools.pairwise(starts))
    usual = steps[len(steps) // 2]
    candidates = [hint for hint in hints if hint]
    candidates += [rate for rate in _USUAL_RATES if usual > 0 and abs(usual * float(rate) - 1) < 0.1]
    if usual > 0:
        candidates.append(Fraction(1 / usual).limit_denominator(1001))
    candidates.append(average)
    for rate in dict.fromkeys(candidates):
        steady = _on_grid(starts, rate)
        if steady is not None:
            return Rate(rate, steady, average)
    return Rate(None, False, average)


def _on_grid(starts: Sequence[float], rate: Fraction) -> bool | None:
    """Whether all pictures lie on the clock of `rate`, each at a place of its own: True where they fill it, False with
    places left out; None where they do not."""
    tick = float(rate)
    allowed = min(_GRID_SECONDS * tick, _GRID_SHARE)
    # Milliseconds are rounded from an unknown place, the first picture too: the middle of all deviations is the clock.
    first = starts[0]
    low = high = 0.0
    last = -1
    steady = True
    for start in starts:
        place = (start - first) * tick
        nearest = round(place)
        off = place - nearest
        low, high = min(low, off), max(high, off)
        if nearest <= last or high - low > 2 * allowed:
            return None
        steady = steady and nearest == last + 1
        last = nearest
    return steady


# ---------------------------------------------------------------- kept with what is remembered of a file


def compact(found: Timeline) -> str | None:
    """The timeline as a short text, or None where it is too long for one, was not read whole, or had to be mended."""
    if (
        not found.whole
        or found.damage is not None
        or found.moved
        or found.unlisted
        or found.threshold != USUAL_THRESHOLD
    ):
        return None
    rows = [
        [
            index,
            t.kind.value,
            t.packets,
            _steps(t.starts),
            [[round(a, 6), round(b, 6)] for a, b in t.spans],
            t.end,
            _steps(t.leading),
            t.untimed,
        ]
        for index, t in found.tracks.items()
    ]
    packed = base64.b85encode(zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 6)).decode()
    return packed if len(packed) <= MOST_COMPACT_CHARACTERS else None


def _steps(starts: Sequence[float]) -> list[int]:
    """Microseconds from each time to the next, the first from 0."""
    whole = [round(start * 1_000_000) for start in starts]
    return [b - a for a, b in itertools.pairwise([0, *whole])]


def _times(steps: Iterable[int]) -> array[float]:
    return array("d", (micros / 1_000_000 for micros in itertools.accumulate(steps)))


def expand(text: str) -> Timeline:
    """The timeline that `compact` made `text` of."""
    tracks = {}
    for index, kind, packets, steps, spans, end, leading, untimed in json.loads(
        zlib.decompress(base64.b85decode(text))
    ):
        pairs = tuple((a, b) for a, b in spans)
        tracks[index] = Track(StreamKind(kind), packets, _times(steps), pairs, end, _times(leading), untimed)
    return Timeline(tracks)
