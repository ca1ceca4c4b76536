"""What does a whole job take by the measured tables, with nothing learned? CPU time, memory and disk."""

from __future__ import annotations

import re

from pyprocessor.costs.content import decoding_seconds, detail, filtering_seconds
from pyprocessor.costs.encoding import BASE_BYTES, MIB, cpu_per_pixel, encode_memory
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
    encoding *= _ramp(features) * (1 + growth * (threads - 1))
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


def _ramp(features: CostFeatures) -> float:
    """The share of its look-ahead that an encode of few frames fills."""
    if features.frames <= 0 or features.preset == "ultrafast":
        return 1.0
    offset, full = _RAMP_FRAMES
    return min(1.0, (features.frames + offset) / full)


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
    bits = encoder.bits_per_pixel * features.frames * features.pixels
    if features.preset == "ultrafast":
        bits *= _ULTRAFAST_SIZE
    picture = bits / 8
    if encoder.crf is not None:
        picture = min(picture, _LARGEST_GROWTH * features.source_bytes)
    return round(picture + audio) + MIB // 16
