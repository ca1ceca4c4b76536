"""What does a whole job take by the measured tables, with nothing learned? CPU time, memory and disk.

A talking head takes a third of what confetti takes at the same size. How many bits the source's own encoder needed
for a picture explains most of that, once codecs are made comparable: HEVC needs half as many as H.264.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from pyprocessor.costs.encoding import BASE_BYTES, MIB, cpu_per_pixel, encode_memory, rows
from pyprocessor.models import Cost, CostFeatures
from pyprocessor.models.encoders import video_encoder

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
    """CPU-seconds, bytes of memory and of disk by the measured tables."""
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
    encoding *= 1 + growth * (threads - 1)
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
