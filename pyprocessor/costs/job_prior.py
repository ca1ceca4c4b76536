"""What does a whole job take by the measured tables, with nothing learned? CPU time, memory and disk.

How many bits the source's own encoder needed for a picture says how hard it is to encode, once codecs are made
comparable. A preset that was not measured lies between its neighbours; an encoder that was not measured is taken for
the heaviest.
"""

from __future__ import annotations

import functools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Generic, TypeVar

from pyprocessor.models import Cost, CostFeatures
from pyprocessor.models.encoders import encoder_threads, is_hardware, video_encoder

MIB = 1 << 20
_UNKNOWN = ("libaom-av1", "6")
_MEASURED_PIXELS = 1280 * 720
_LEAST_PIXELS, _MOST_PIXELS = 160 * 90, 3840 * 2160
"""Of the clips that were measured: beyond these CPU time per pixel is taken for constant."""
_HARDWARE_CPU_PER_PIXEL = 2e-9
"""Frames are still uploaded and queued here."""
_SLOWER = 1.5
"""Growth for each rank beyond the slowest preset measured (x264 slow to veryslow: 1.6 a rank)."""
_SLOWER_MEMORY = 1.1
"""The same of memory (x264 slow to veryslow: 1.17 a rank)."""
THREAD_GROWTH = 0.15
"""Share of memory that each further thread adds where it was not measured."""
BASE_BYTES = 33 * MIB
"""An ffmpeg that encodes next to nothing (libx264 ultrafast at 160x90: 34 MiB)."""
COPY = "copy"

# Measured with FFmpeg 9.0.2 on real clips, one thread.
_START_CPU_SECONDS = 0.02
_PLAIN_MEMORY_BYTES = 42 * MIB
"""A stream copy (40 MiB) or an audio encode (31 MiB)."""
_COPY_CPU_PER_BYTE = 1e-9
_AUDIO_CPU_PER_CHANNEL_SECOND = 0.0055
_DECODER_BYTES = 3 * MIB
_DECODE_BYTES_PER_PIXEL = 16
"""About ten 8-bit 4:2:0 pictures: references, and frames between decoder and encoder."""
_DECODE_BYTES_PER_PIXEL_AND_THREAD = 3
_RAMP_FRAMES = (15.0, 50.0)
"""Look-ahead fills up with the first frames: x264 medium reaches its peak after some 45 of them."""
_DEEP_MEMORY, _DEEP_CPU = 1.75, 1.2
"""10 bits against 8 (x264 medium at 720p: 1.74 and 1.15)."""
_CHROMA = {"422": 1.33, "440": 1.33, "444": 2.0}

_ULTRAFAST_SIZE = 3.0
_AUDIO_BITS_PER_SECOND = 192_000
_LARGEST_GROWTH = 4
"""A lossy output larger than this many times its source is not expected."""
_TYPICAL_BITS_PER_PIXEL = 0.05
"""Of H.264, the median of the real clips: detail 1."""
_LEAST_DETAIL, _MOST_DETAIL = 0.005, 20.0
"""Of the real clips that were measured."""
_SCALE_CPU_PER_PIXEL = 0.9e-9
"""Bicubic, to smaller pictures, of the source's pixels."""
_DEINTERLACE_CPU_PER_PIXEL = 1.5e-9
_TONE_MAP_CPU_PER_PIXEL = 7.2e-9
"""Through linear light in floating point, of the output's pixels."""


def prior_cost(features: CostFeatures, threads: int) -> Cost:
    """CPU-seconds, bytes of memory and of disk by the measured tables, or what the task itself says."""
    if features.given is not None:
        return features.given
    cpu = _cpu_seconds(features)
    if features.encoder == COPY:
        return Cost(cpu, _PLAIN_MEMORY_BYTES, features.source_bytes + MIB // 4)
    if features.pixels <= 0:
        return Cost(cpu, _PLAIN_MEMORY_BYTES, _disk_bytes(features))
    one_thread, growth = encode_memory(features.encoder, features.preset, features.pixels)
    deep = _is_deep(features.pixel_format)
    encoding = (one_thread - BASE_BYTES) * _chroma(features.pixel_format) * (_DEEP_MEMORY if deep else 1.0)
    if features.frames > 0 and features.preset != "ultrafast":
        offset, full = _RAMP_FRAMES
        encoding *= min(1.0, (features.frames + offset) / full)
    encoding *= 1 + growth * (encoder_threads(features.encoder, threads) - 1)
    decoding = _DECODE_BYTES_PER_PIXEL + _DECODE_BYTES_PER_PIXEL_AND_THREAD * (threads - 1)
    memory = BASE_BYTES + _DECODER_BYTES + encoding + decoding * features.source_pixels * (2 if deep else 1)
    return Cost(cpu, round(memory), _disk_bytes(features))


def _cpu_seconds(features: CostFeatures) -> float:
    if features.encoder == COPY:
        seconds = _COPY_CPU_PER_BYTE * features.source_bytes
    else:
        seconds = _AUDIO_CPU_PER_CHANNEL_SECOND * features.audio_channels * features.duration_seconds
        if features.pixels > 0:
            how = (features.encoder, features.preset, features.pixels)
            per_pixel = cpu_per_pixel(*how, detail(features), features.crf)
            per_pixel *= _chroma(features.pixel_format) ** 0.5 * (_DEEP_CPU if _is_deep(features.pixel_format) else 1.0)
            seconds += features.frames * features.pixels * per_pixel
            seconds += decoding_seconds(features) + filtering_seconds(features)
    return (_START_CPU_SECONDS + seconds) * features.own_factor


def _chroma(pixel_format: str) -> float:
    return next((factor for name, factor in _CHROMA.items() if name in pixel_format), 1.0)


def _is_deep(pixel_format: str) -> bool:
    """More than 8 bits a sample: `yuv420p10le`, `p010le`, `gbrp12be`."""
    return re.search(r"p0?(9|1[0-6])", pixel_format) is not None


def _disk_bytes(features: CostFeatures) -> int:
    """An upper bound that is rarely passed, from the target bit rate where there is one."""
    audio = _AUDIO_BITS_PER_SECOND * features.duration_seconds / 8
    if features.target_bit_rate is not None:
        return round(features.target_bit_rate * features.duration_seconds / 8 * 1.1 + audio) + MIB // 16
    if features.pixels <= 0:
        return round(audio) + MIB // 16
    encoder = video_encoder(features.encoder)
    size = _ULTRAFAST_SIZE if features.preset == "ultrafast" else 1.0
    picture = encoder.bits_per_pixel * features.frames * features.pixels * size / 8
    if encoder.crf is not None:
        picture = min(picture, _LARGEST_GROWTH * features.source_bytes)
    return round(picture + audio) + MIB // 16


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
    worth = _codec(features).worth
    if features.source_keyframes_only:
        worth = min(worth, _codecs()["other-intra"].worth)
    return min(max(bits * worth / _TYPICAL_BITS_PER_PIXEL, _LEAST_DETAIL), _MOST_DETAIL)


def decoding_seconds(features: CostFeatures) -> float:
    """CPU-seconds of decoding the whole source."""
    codec = _codec(features)
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


def _codec(features: CostFeatures) -> SourceCodec:
    return (
        _codecs().get(features.source_codec) or _codecs()["other-intra" if features.source_keyframes_only else "other"]
    )


@functools.cache
def _codecs() -> dict[str, SourceCodec]:
    return {name: SourceCodec(*map(float, numbers)) for name, *numbers in rows("source-codecs.tsv")}


@dataclass(frozen=True, slots=True)
class _Pace:
    """CPU-seconds of one preset per megapixel of typical 720p pictures, and its growth with their pixels and detail."""

    megapixel_seconds: float
    size_exponent: float
    detail_exponent: float
    crf: float | None
    """The one that was measured."""
    crf_step: float


@dataclass(frozen=True, slots=True)
class _Curve:
    """Memory of one preset: (pixels, bytes at one thread), rising; `thread_growth` is the share a thread adds."""

    points: tuple[tuple[int, float], ...]
    thread_growth: float | None


_Measured = TypeVar("_Measured")
_Table = Mapping[str, Mapping[int, _Measured]]
"""What was measured, by encoder and the rank of the preset."""


def cpu_per_pixel(encoder: str, preset: str | None, pixels: int, detail: float, crf: int | None = None) -> float:
    """CPU-seconds of encoding per pixel of a picture, at one thread; `detail` is 1 for typical pictures."""
    if is_hardware(encoder):
        return _HARDWARE_CPU_PER_PIXEL
    pace = _pace(encoder, preset)
    size = min(max(pixels, _LEAST_PIXELS), _MOST_PIXELS) / _MEASURED_PIXELS
    growth = pace.size_exponent * math.log(size) + pace.detail_exponent * math.log(detail)
    if crf is not None and pace.crf is not None:
        growth -= pace.crf_step * (crf - pace.crf)
    return pace.megapixel_seconds / 1e6 * math.exp(growth)


@functools.lru_cache(maxsize=4096)
def encode_memory(encoder: str, preset: str | None, pixels: int) -> tuple[float, float]:
    """Bytes that encoding takes at one thread, without decoding, and the share that each further thread adds."""
    if is_hardware(encoder):
        return 3 * BASE_BYTES + 30.0 * pixels, 0.0
    near = _around(_curves(), encoder, preset)
    reference = max(near.presets, key=lambda curve: len(curve.points))
    memory = _between(_memory(near.below, reference, pixels), _memory(near.above, reference, pixels), near.share)
    growth = near.below.thread_growth if near.below is near.above else None
    if growth is None:
        growth = _mean(curve.thread_growth for curve in near.presets if curve.thread_growth is not None)
    return memory * _SLOWER_MEMORY**near.beyond, THREAD_GROWTH if growth is None else growth


def rows(name: str) -> list[list[str]]:
    """The rows of the table `name` in this package, without its column names and its remarks."""
    text = resources.files("pyprocessor.costs").joinpath(name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")][1:]


def _rank(encoder: str, preset: str | None) -> int | None:
    """How slow a preset is, rising; numbered presets count down to slow. None where it is not known."""
    facts = video_encoder(encoder)
    preset = facts.default_preset if preset is None else preset
    if preset is not None and preset.lstrip("-").isdecimal():
        return -int(preset)
    return facts.presets.index(preset) if preset in facts.presets else None


@dataclass(frozen=True, slots=True)
class _Around(Generic[_Measured]):
    """All measured presets of an encoder, the two around one, its place between them, its ranks beyond the slowest."""

    presets: Iterable[_Measured]
    below: _Measured
    above: _Measured
    share: float
    beyond: int


def _around(table: _Table[_Measured], encoder: str, preset: str | None) -> _Around[_Measured]:
    """Return all presets of an encoder, and the two around `preset`; those of the heaviest for an unknown encoder."""
    encoder = video_encoder(encoder).measured_as or encoder
    if encoder not in table:
        encoder, preset = _UNKNOWN
    known = table[encoder]
    rank = _rank(encoder, preset)
    if rank is None:
        rank = max(known)
    below = max((measured for measured in known if measured <= rank), default=min(known))
    above = min((measured for measured in known if measured >= rank), default=max(known))
    share = (rank - below) / (above - below) if above != below else 0.0
    return _Around(known.values(), known[below], known[above], share, max(0, rank - above))


def _between(low: float, high: float, share: float) -> float:
    """Interpolate geometrically, because presets differ by factors."""
    return low * math.pow(high / low, share)


@functools.cache
def _pace(encoder: str, preset: str | None) -> _Pace:
    near = _around(_paces(), encoder, preset)
    below, above, share = near.below, near.above, near.share
    return replace(
        below,
        megapixel_seconds=_between(below.megapixel_seconds, above.megapixel_seconds, share) * _SLOWER**near.beyond,
        size_exponent=below.size_exponent * (1 - share) + above.size_exponent * share,
        detail_exponent=below.detail_exponent * (1 - share) + above.detail_exponent * share,
    )


@functools.cache
def _paces() -> _Table[_Pace]:
    table: defaultdict[str, dict[int, _Pace]] = defaultdict(dict)
    for encoder, preset, seconds, size, detail, crf, step in rows("encode-cpu.tsv"):
        measured_crf = None if crf == "-" else float(crf)
        pace = _Pace(float(seconds), float(size), float(detail), measured_crf, float(step))
        table[encoder][_rank(encoder, preset) or 0] = pace
    return table


def _memory(curve: _Curve, reference: _Curve, pixels: int) -> float:
    if len(curve.points) == 1 and curve is not reference:
        # Measured at one size only: it grows with the picture as its encoder's best known preset does.
        ((size, memory),) = curve.points
        scale = (memory - BASE_BYTES) / (_memory(reference, reference, size) - BASE_BYTES)
        return BASE_BYTES + scale * (_memory(reference, reference, pixels) - BASE_BYTES)
    points = curve.points if len(curve.points) > 1 else ((0, BASE_BYTES), *curve.points)
    return max(BASE_BYTES, _line(points, pixels))


def _line(points: Sequence[tuple[int, float]], x: int) -> float:
    """Straight lines between points of rising x; beyond the last one on along the last line."""
    if x <= points[0][0]:
        return points[0][1]
    index = next((i for i, point in enumerate(points) if x <= point[0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[index - 1], points[index]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


@functools.cache
def _curves() -> _Table[_Curve]:
    cells: defaultdict[tuple[str, str], dict[tuple[int, int], float]] = defaultdict(dict)
    for width, height, encoder, preset, threads, memory in rows("encode-memory.tsv"):
        cells[encoder, preset][int(width) * int(height), int(threads)] = float(memory) * MIB
    table: defaultdict[str, dict[int, _Curve]] = defaultdict(dict)
    for (encoder, preset), measured in cells.items():
        points = tuple((pixels, memory) for (pixels, threads), memory in sorted(measured.items()) if threads == 1)
        growth = _mean(
            (memory / measured[pixels, 1] - 1) / (threads - 1)
            for (pixels, threads), memory in measured.items()
            if threads > 1
        )
        table[encoder][_rank(encoder, preset) or 0] = _Curve(points, growth)
    return table


def _mean(numbers: Iterable[float]) -> float | None:
    listed = list(numbers)
    return sum(listed) / len(listed) if listed else None
