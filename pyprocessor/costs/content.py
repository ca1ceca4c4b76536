"""How much CPU time do decoding and filters take, and how much detail is there for the encoder to encode?

A talking head takes a third of what confetti takes at the same size. How many bits the source's own encoder needed
for a picture explains most of that difference, once codecs are made comparable: HEVC needs half as many as H.264, and
a codec of keyframes alone many times as many.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from pyprocessor.costs.encoding import rows
from pyprocessor.models import CostFeatures

_TYPICAL_BITS_PER_PIXEL = 0.05
"""Of H.264, the median of the real clips: detail 1."""
_LEAST_DETAIL, _MOST_DETAIL = 0.005, 20.0
"""Of the real clips that were measured."""
_SCALE_CPU_PER_PIXEL = 0.9e-9
"""Bicubic, to smaller pictures, of the source's pixels."""
_DEINTERLACE_CPU_PER_PIXEL = 1.5e-9
_TONE_MAP_CPU_PER_PIXEL = 7.2e-9
"""Through linear light in floating point, of the output's pixels."""


@dataclass(frozen=True, slots=True)
class SourceCodec:
    """CPU-seconds of decoding at one thread; `worth` is how many bits of H.264 one of its bits equals."""

    megapixel_seconds: float
    megabyte_seconds: float
    worth: float


def detail(features: CostFeatures) -> float:
    """How detailed a source's pictures are; 1 for typical and for unknown ones."""
    bits = features.source_bits_per_pixel
    if bits is None:
        return 1.0
    worth = _codec(features.source_codec, keyframes_only=features.source_keyframes_only).worth
    if features.source_keyframes_only:
        worth = min(worth, _table()["other-intra"].worth)
    return min(max(bits * worth / _TYPICAL_BITS_PER_PIXEL, _LEAST_DETAIL), _MOST_DETAIL)


def decoding_seconds(features: CostFeatures) -> float:
    """CPU-seconds of decoding the whole source."""
    codec = _codec(features.source_codec, keyframes_only=features.source_keyframes_only)
    megapixels = features.frames * features.source_pixels / 1e6
    return megapixels * codec.megapixel_seconds + features.source_bytes / 1e6 * codec.megabyte_seconds


def filtering_seconds(features: CostFeatures) -> float:
    """CPU-seconds of all filters."""
    seconds = features.frames * features.source_pixels * _DEINTERLACE_CPU_PER_PIXEL if features.deinterlaced else 0.0
    if features.pixels != features.source_pixels:
        seconds += features.frames * features.source_pixels * _SCALE_CPU_PER_PIXEL
    if features.tone_mapped:
        seconds += features.frames * features.pixels * _TONE_MAP_CPU_PER_PIXEL
    return seconds


def _codec(name: str, *, keyframes_only: bool) -> SourceCodec:
    table = _table()
    if name in table:
        return table[name]
    return table["other-intra" if keyframes_only else "other"]


@functools.cache
def _table() -> dict[str, SourceCodec]:
    return {name: SourceCodec(*map(float, numbers)) for name, *numbers in rows("source-codecs.tsv")}
