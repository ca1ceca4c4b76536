"""How much memory an encode takes before anything was measured here: a table of measured encodes, interpolated.

Memory follows encoder, preset, pixels and threads. A preset that was not measured lies between its neighbours by rank;
an encoder that was not measured is taken for a heavy one. (CPU time: see `pace`.)
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyprocessor.costs import tables

MIB = 1 << 20
_PRESET_NAMES = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
_DEFAULT_PRESETS = {
    "libx264": "medium",
    "libx265": "medium",
    "libsvtav1": "8",
    "libvpx-vp9": "2",
    "libaom-av1": "6",
}
STAND_INS = {"libvpx": "libvpx-vp9", "librav1e": "libaom-av1", "mpeg2video": "mpeg4", "prores": "prores_ks"}
HARDWARE = ("_nvenc", "_qsv", "_vaapi", "_amf", "_videotoolbox", "_v4l2m2m", "_mf")
UNKNOWN = ("libaom-av1", "6")
"""What an encoder nobody measured is taken for: the heaviest one that was."""

_SLOWER_MEMORY = 1.1
"""Growth for each rank beyond the slowest preset measured (x264 slow to veryslow: 1.17 a rank)."""
_THREAD_GROWTH = 0.15
"""Share of memory that each further thread adds where it was not measured."""
BASE_BYTES = 33 * MIB
"""An ffmpeg that encodes next to nothing (libx264 ultrafast at 160x90: 34 MiB)."""


@dataclass(frozen=True, slots=True)
class _Point:
    pixels: int
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class _Curve:
    """One encoder and preset at one thread, by rising pixels; `thread_growth` is the share a further thread adds."""

    rank: int
    points: tuple[_Point, ...]
    thread_growth: float | None


@dataclass(frozen=True, slots=True)
class EncodePrior:
    """One picture size of one encoder and preset, one thread."""

    memory_bytes: float
    thread_growth: float


@functools.lru_cache(maxsize=4096)
def encode_prior(encoder: str, preset: str | None, pixels: int) -> EncodePrior:
    """What encoding takes, without decoding. `pixels` is width x height, more than 0."""
    if encoder.endswith(HARDWARE):
        # The work is the chip's; frames are still uploaded and queued here.
        return EncodePrior(3 * BASE_BYTES + 30.0 * pixels, 0.0)
    encoder = STAND_INS.get(encoder, encoder)
    curves = _table().get(encoder)
    if curves is None:
        encoder, preset = UNKNOWN
        curves = _table()[encoder]
    rank = preset_rank(encoder, preset)
    reference = max(curves, key=lambda curve: len(curve.points))
    known = sorted(curves, key=lambda curve: curve.rank)
    growths = [curve.thread_growth for curve in known if curve.thread_growth is not None]
    growth = sum(growths) / len(growths) if growths else _THREAD_GROWTH
    if rank is None:
        return _prior(known[-1], reference, pixels, growth)
    below = max((c for c in known if c.rank <= rank), key=lambda c: c.rank, default=known[0])
    above = min((c for c in known if c.rank >= rank), key=lambda c: c.rank, default=known[-1])
    if below.rank >= above.rank:
        prior = _prior(below, reference, pixels, growth)
        return replace(prior, memory_bytes=prior.memory_bytes * _SLOWER_MEMORY ** max(0, rank - below.rank))
    share = (rank - below.rank) / (above.rank - below.rank)
    return EncodePrior(
        between(_memory(below, reference, pixels), _memory(above, reference, pixels), share),
        growth,
    )


def _prior(curve: _Curve, reference: _Curve, pixels: int, growth: float) -> EncodePrior:
    """The prior of a measured preset; `growth` is that of its encoder's other presets."""
    own = growth if curve.thread_growth is None else curve.thread_growth
    return EncodePrior(_memory(curve, reference, pixels), own)


def between(low: float, high: float, share: float) -> float:
    """Geometric: presets multiply."""
    return math.exp(math.log(low) * (1 - share) + math.log(high) * share)


def preset_rank(encoder: str, preset: str | None) -> int | None:
    """Speed rank, rising with slowness, of `preset` or the encoder's own default; numbered presets count down to slow.

    None where there is no preset, or one of an unknown name.
    """
    preset = preset if preset is not None else _DEFAULT_PRESETS.get(encoder)
    if preset in _PRESET_NAMES:
        return _PRESET_NAMES.index(preset)
    if preset is not None and preset.lstrip("-").isdecimal():
        return -int(preset)
    return None


def _memory(curve: _Curve, reference: _Curve, pixels: int) -> float:
    if len(curve.points) == 1 and curve is not reference:
        # Measured at one size only: it grows with the picture as its encoder's best known preset does.
        (point,) = curve.points
        scale = (point.memory_bytes - BASE_BYTES) / (_memory(reference, reference, point.pixels) - BASE_BYTES)
        return BASE_BYTES + scale * (_memory(reference, reference, pixels) - BASE_BYTES)
    points = [(p.pixels, p.memory_bytes) for p in curve.points]
    if len(points) == 1:
        points.insert(0, (0, BASE_BYTES))
    return max(BASE_BYTES, _line(points, pixels))


def _line(points: Sequence[tuple[int, float]], x: int) -> float:
    """Straight lines between points of rising x; beyond the last one on along the last line."""
    if len(points) == 1 or x <= points[0][0]:
        return points[0][1]
    index = next((i for i, point in enumerate(points) if x <= point[0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[index - 1], points[index]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


@functools.cache
def _table() -> dict[str, tuple[_Curve, ...]]:
    """encoder -> its presets' curves."""
    cells: defaultdict[tuple[str, str], dict[tuple[int, int], float]] = defaultdict(dict)
    for width, height, encoder, preset, threads, memory in tables.rows("encode-memory.tsv"):
        cells[encoder, preset][int(width) * int(height), int(threads)] = float(memory) * MIB
    table: defaultdict[str, list[_Curve]] = defaultdict(list)
    for (encoder, preset), measured in cells.items():
        points = tuple(_Point(pixels, memory) for (pixels, threads), memory in sorted(measured.items()) if threads == 1)
        growths = [
            (memory / measured[pixels, 1] - 1) / (threads - 1)
            for (pixels, threads), memory in measured.items()
            if threads > 1
        ]
        growth = sum(growths) / len(growths) if growths else None
        table[encoder].append(_Curve(preset_rank(encoder, preset) or 0, points, growth))
    return {encoder: tuple(curves) for encoder, curves in table.items()}
