"""What an animated WebP holds, read from its chunks: PyAV's libraries cannot open one, ffmpeg 9 can."""

from __future__ import annotations

import errno
import itertools
import os
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from pyprocessor.containers.claims import check_duration, check_picture
from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import END_MISSING, InputLimits, MediaInfo, MediaNote, StreamInfo, StreamKind, VideoInfo

CONTAINER = "webp_anim"
"""ffmpeg's name of the demuxer."""
MOST_PICTURES = 500_000
"""Over four hours at 30 pictures a second."""
_MOVES, _ALPHA = 0x02, 0x10
_CLEARS, _REPLACES = 0x01, 0x02
"""Flags of a picture: its place is cleared when its time is over; it replaces what is there, also where transparent."""
_LOSSLESS_ALPHA = 0x10
_SHORTEST_MS, _USUAL_MS = 10, 100
"""Browsers and ffmpeg show a picture of at most `_SHORTEST_MS` for `_USUAL_MS`."""


@dataclass(frozen=True, slots=True)
class AnimatedWebP:
    """`lengths_ms` is how long each picture is shown. `end` is where the file says it ends.

    `alpha` says that what is shown has transparent parts; the file's own flag is also set where pictures are patches.
    """

    width: int
    height: int
    alpha: bool
    lengths_ms: tuple[int, ...]
    end: int

    @property
    def pictures(self) -> int:
        return len(self.lengths_ms)

    @property
    def seconds(self) -> float:
        return sum(self.lengths_ms) / 1000

    @property
    def timeline(self) -> Timeline:
        """When each picture is shown; its one track has index 0."""
        *starts, end = (ms / 1000 for ms in itertools.accumulate(self.lengths_ms, initial=0))
        return Timeline({0: Track(StreamKind.VIDEO, self.pictures, array("d", starts), end=end)})


def animated_webp(file: BinaryIO, *, most_pictures: int = MOST_PICTURES) -> AnimatedWebP | None:
    """What the file holds, its first `most_pictures` pictures counted; None where it is no WebP or marked as a still.

    Raises OSError where the file cannot be read.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or not head[20] & _MOVES:
        return None
    end = 8 + int.from_bytes(head[4:8], "little")
    lengths: list[int] = []
    uncovered = False
    position = 12
    while position + 8 <= min(end, size_bytes) and len(lengths) < most_pictures:
        file.seek(position)
        chunk = file.read(37)
        length = int.from_bytes(chunk[4:8], "little")
        position += 8 + length + (length & 1)
        if chunk[:4] == b"ANMF" and length >= 16 and position <= size_bytes:
            shown = int.from_bytes(chunk[20:23], "little")
            uncovered = uncovered or _uncovers(chunk, first=not lengths, canvas=head[24:30])
            lengths.append(shown if shown > _SHORTEST_MS else _USUAL_MS)
    return AnimatedWebP(
        width=1 + int.from_bytes(head[24:27], "little"),
        height=1 + int.from_bytes(head[27:30], "little"),
        alpha=bool(head[20] & _ALPHA) and uncovered,
        lengths_ms=tuple(lengths),
        end=end,
    )


def _uncovers(chunk: bytes, *, first: bool, canvas: bytes) -> bool:
    """Whether something of the canvas may be transparent after a picture, of whose chunk this is the beginning."""
    codec, flags = chunk[24:28], chunk[23]
    opaque = codec == b"VP8 " or (codec == b"VP8L" and len(chunk) == 37 and not chunk[36] & _LOSSLESS_ALPHA)
    if flags & _CLEARS:
        return True
    if first:
        return not opaque or chunk[8:14] != bytes(6) or chunk[14:20] != canvas
    return bool(flags & _REPLACES) and not opaque


def timeline_of(path: bytes) -> Timeline:
    """When the pictures of a file are shown that was inspected before. Raises OSError where it cannot be read."""
    with open(path, "rb") as file:
        webp = animated_webp(file)
    if webp is None:
        raise OSError(errno.ESTALE, "it is no longer the file that was inspected")
    return webp.timeline


def describe(webp: AnimatedWebP, name: str, size_bytes: int, limits: InputLimits) -> MediaInfo:
    """The MediaInfo of an animated WebP. Raises InspectError where it claims too much."""
    check_picture(webp.width, webp.height, limits, name)
    if webp.pictures >= MOST_PICTURES:
        raise InspectError(
            FailureKind.BAD_INPUT, f"{name} holds {MOST_PICTURES:,} pictures or more, which is too many for a WebP."
        )
    check_duration(webp.seconds, limits, name)
    video = VideoInfo(
        webp.width,
        webp.height,
        pixel_format="argb",  # of every picture that ffmpeg decodes
        frame_rate=Fraction(1000 * webp.pictures, sum(webp.lengths_ms)).limit_denominator(1001),
        alpha=webp.alpha,
    )
    film = StreamInfo(0, StreamKind.VIDEO, "webp", duration_seconds=webp.seconds, frames=webp.pictures, video=video)
    missing = max(0, webp.end - size_bytes)
    cut_off = MediaNote(f"It is cut off: at least {missing:,} bytes are missing at its end.", END_MISSING)
    return MediaInfo(
        container=CONTAINER,
        duration_seconds=webp.seconds,
        duration_estimated=False,
        size_bytes=size_bytes,
        bit_rate=int(size_bytes * 8 / webp.seconds),
        streams=(film,),
        notes=(cut_off,) if missing else (),
        missing_bytes=missing,
    )
