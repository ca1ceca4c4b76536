"""Does a file claim more pixels, streams or time than the profile allows? Each check raises InspectError. Pure."""

from __future__ import annotations

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.models import InputLimits, MediaInfo
from pyprocessor.models.wording import memory_size

MAX_SIDE = 16_384
"""Pixels: the largest side that x264, x265 and SVT-AV1 all take. A larger one is an error or a decompression bomb."""


def check_picture(width: int, height: int, limits: InputLimits) -> None:
    """Refuse pictures that no encoder takes, or that have more pixels than are allowed."""
    claim = f"The file claims pictures of {width}x{height}"
    if max(width, height) > MAX_SIDE:
        raise InspectError(FailureKind.BAD_INPUT, f"{claim} pixels; at most {MAX_SIDE} either way are read.")
    if width * height > limits.max_pixels:
        raise _refusal(f"{claim}, {width * height:,} pixels; at most {limits.max_pixels:,} are read.", "max_pixels")


def check_streams(count: int, limits: InputLimits) -> None:
    """Refuse a file of more streams than are allowed."""
    if count > limits.max_streams:
        claim = f"The file claims to hold more than {limits.max_streams:,} streams, which is as many as are read."
        raise _refusal(claim, "max_streams")


def check_duration(seconds: float | None, limits: InputLimits) -> None:
    """Refuse a file that claims to last longer than is allowed."""
    if seconds is not None and seconds > limits.max_duration_seconds:
        long, allowed = (
            f"{each / 86400:,.0f} days" if each >= 2 * 86400 else f"{each:,.0f} s"
            for each in (seconds, limits.max_duration_seconds)
        )
        raise _refusal(f"The file claims to last {long}, which is longer than the {allowed} allowed.", "max_duration")


def check_claims(media: MediaInfo, limits: InputLimits) -> None:
    """Check all claims of a file that was inspected earlier under other limits."""
    check_streams(len(media.streams), limits)
    for stream in media.streams:
        if stream.video is not None:
            check_picture(stream.video.width, stream.video.height, limits)
    check_duration(media.duration_seconds, limits)


def too_much_memory(limits: InputLimits) -> InspectError:
    """Return the error for a file whose inspection reached the memory limit."""
    wanted = f"Inspecting the file takes more memory than the {memory_size(limits.inspect_memory_bytes)} allowed"
    return _refusal(f"{wanted}; it is damaged or made to harm.", "inspect_memory")


def _refusal(claim: str, key: str) -> InspectError:
    advice = f"If it is sound, raise `input_limits.{key}` in the profile and run with --retry-failed."
    return InspectError(FailureKind.BAD_INPUT, f"{claim} {advice}")
