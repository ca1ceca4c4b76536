"""How much CPU time an encoder takes for a pixel, by its preset, the picture's size and how much there is to see in it.

Fitted to real clips (see `encode-cpu.tsv`). A preset that was not measured lies between its neighbours by rank; an
encoder that was not measured is taken for a heavy one.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyprocessor.costs import tables
from pyprocessor.costs.priors import HARDWARE, STAND_INS, UNKNOWN, between, preset_rank

_MEASURED_PIXELS = 1280 * 720
_LEAST_PIXELS, _MOST_PIXELS = 160 * 90, 3840 * 2160
"""Of the clips that were measured: beyond these CPU time per pixel is taken for constant."""
_HARDWARE_CPU_PER_PIXEL = 2e-9
"""The work is the chip's; frames are still uploaded and queued here."""
_SLOWER = 1.5
"""Growth for each rank beyond the slowest preset measured (x264 slow to veryslow: 1.6 a rank)."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """One encoder and preset: CPU-seconds per megapixel of typical 720p pictures, and how that grows with the pixels of
    a picture and with its detail (powers of both). `crf` is the one that was measured, where there is such a thing."""

    rank: int
    megapixel_seconds: float
    size_exponent: float
    detail_exponent: float
    crf: float | None
    crf_step: float


def cpu_per_pixel(encoder: str, preset: str | None, pixels: int, detail: float, crf: int | None = None) -> float:
    """CPU-seconds of encoding per pixel of a picture, at one thread; `detail` is 1 for typical pictures."""
    if encoder.endswith(HARDWARE):
        return _HARDWARE_CPU_PER_PIXEL
    pace = _pace(encoder, preset)
    size = min(max(pixels, _LEAST_PIXELS), _MOST_PIXELS) / _MEASURED_PIXELS
    growth = pace.size_exponent * math.log(size) + pace.detail_exponent * math.log(detail)
    if crf is not None and pace.crf is not None:
        growth -= pace.crf_step * (crf - pace.crf)
    return pace.megapixel_seconds / 1e6 * math.exp(growth)


@functools.cache
def _pace(encoder: str, preset: str | None) -> _Pace:
    encoder = STAND_INS.get(encoder, encoder)
    paces = _table().get(encoder)
    if paces is None:
        encoder, preset = UNKNOWN
        paces = _table()[encoder]
    rank = preset_rank(encoder, preset)
    if rank is None:
        return paces[-1]
    below = max((pace for pace in paces if pace.rank <= rank), key=lambda pace: pace.rank, default=paces[0])
    above = min((pace for pace in paces if pace.rank >= rank), key=lambda pace: pace.rank, default=paces[-1])
    if below.rank >= above.rank:
        slower = _SLOWER ** max(0, rank - below.rank)
        return replace(below, megapixel_seconds=below.megapixel_seconds * slower)
    share = (rank - below.rank) / (above.rank - below.rank)
    return replace(
        below,
        megapixel_seconds=between(below.megapixel_seconds, above.megapixel_seconds, share),
        size_exponent=below.size_exponent * (1 - share) + above.size_exponent * share,
        detail_exponent=below.detail_exponent * (1 - share) + above.detail_exponent * share,
    )


@functools.cache
def _table() -> dict[str, Sequence[_Pace]]:
    """encoder -> its presets, fastest first."""
    table: defaultdict[str, list[_Pace]] = defaultdict(list)
    for encoder, preset, seconds, size, detail, crf, crf_step in tables.rows("encode-cpu.tsv"):
        table[encoder].append(
            _Pace(
                rank=preset_rank(encoder, preset) or 0,
                megapixel_seconds=float(seconds),
                size_exponent=float(size),
                detail_exponent=float(detail),
                crf=None if crf == "-" else float(crf),
                crf_step=float(crf_step),
            )
        )
    return {encoder: sorted(paces, key=lambda pace: pace.rank) for encoder, paces in table.items()}
