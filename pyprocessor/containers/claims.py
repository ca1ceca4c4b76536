"""What a file claims of itself, held against the limits of the profile: a bomb is refused for its claim.

The claims are looked at before anything is allocated for them; pure. Each function raises InspectError with a sentence
that says what is claimed, what is allowed, and which key allows more.
"""

from __future__ import annotations

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.models import InputLimits, MediaInfo
from pyprocessor.models.wording import memory_size

MAX_SIDE = 16_384
"""Pixels: the largest side that x264, x265 and SVT-AV1 all take. A larger one is an error or a decompression bomb."""


def check_picture(width: int, height: int, limits: InputLimits, name: str) -> None:
    """Refuse pictures that no encoder takes, or that have more pixels than are allowed."""
    if max(width, height) > MAX_SIDE:
        raise InspectError(
            FailureKind.BAD_INPUT,
            f"{name} claims pictures of {width}x{height} pixels; at most {MAX_SIDE} either way are read.",
        )
    if width * height > limits.max_pixels:
        raise InspectError(
            FailureKind.BAD_INPUT,
            f"{name} claims pictures of {width}x{height}, {width * height:,} pixels; at most {limits.max_pixels:,} are "
            f"read. {_raise('max_pixels')}",
        )


def check_streams(count: int, limits: InputLimits, name: str) -> None:
    """Refuse a file of more streams than are allowed."""
    if count > limits.max_streams:
        raise InspectError(
            FailureKind.BAD_INPUT,
            f"{name} claims to hold more than {limits.max_streams:,} streams, which is as many as are read. "
            f"{_raise('max_streams')}",
        )


def check_duration(seconds: float | None, limits: InputLimits, name: str) -> None:
    """Refuse a file that claims to last longer than is allowed."""
    if seconds is not None and seconds > limits.max_duration_seconds:
        raise InspectError(
            FailureKind.BAD_INPUT,
            f"{name} claims to last {_time(seconds)}, which is longer than the {_time(limits.max_duration_seconds)} "
            f"allowed. {_raise('max_duration')}",
        )


def check_claims(media: MediaInfo, limits: InputLimits, name: str) -> None:
    """All of these, of a file that was inspected before under other limits."""
    check_streams(len(media.streams), limits, name)
    for stream in media.streams:
        if stream.video is not None:
            check_picture(stream.video.width, stream.video.height, limits, name)
    check_duration(media.duration_seconds, limits, name)


def too_much_memory(limits: InputLimits, name: str) -> InspectError:
    """What is said of a file for which inspecting may take no more memory."""
    return InspectError(
        FailureKind.BAD_INPUT,
        f"{name} wants more memory to be inspected than the {memory_size(limits.inspect_memory_bytes)} allowed; it is "
        f"damaged or made to harm. {_raise('inspect_memory')}",
    )


def _raise(key: str) -> str:
    return f"If it is sound, raise `input_limits.{key}` in the profile and run with --retry-failed."


def _time(seconds: float) -> str:
    return f"{seconds / 86400:,.0f} days" if seconds >= 2 * 86400 else f"{seconds:,.0f} s"
