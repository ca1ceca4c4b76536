"""How large an output may become: far more than any sound source gives, far less than a disk; pure."""

from __future__ import annotations

from pyprocessor.models import CostFeatures, InputLimits
from pyprocessor.models.encoders import video_encoder

_RAW_BYTES_PER_PIXEL = 6.0
"""The most a picture takes that is not compressed at all: three components of 16 bits."""
_SOUND_BYTES_PER_SECOND = 8 * 4 * 192_000
"""The most that sound takes: eight channels of 32 bits at 192 kHz."""


def output_limit_bytes(limits: InputLimits, features: CostFeatures) -> int:
    """Bytes that the output of a source may reach before its ffmpeg is ended."""
    limit = limits.always_allowed_output_bytes + limits.max_output_growth * features.source_bytes
    if video_encoder(features.encoder).raw_sized:
        limit += features.frames * features.pixels * _RAW_BYTES_PER_PIXEL
    if not features.pixels:  # sound that is decoded may be stored as it is
        limit += features.duration_seconds * _SOUND_BYTES_PER_SECOND
    return int(limit)
