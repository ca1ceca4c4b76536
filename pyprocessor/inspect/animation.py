"""Does a GIF, PNG or WebP hold more than one picture, and what is in an animated WebP, which PyAV cannot open?"""

from __future__ import annotations

import errno
import io
import itertools
import os
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, cast

from pyprocessor.containers.claims import check_duration, check_picture
from pyprocessor.containers.content import HEAD_BYTES, refusal
from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import END_MISSING, InputLimits, MediaInfo, MediaNote, StreamInfo, StreamKind, VideoInfo

MOST_CHUNKS = 10_000
"""Of a PNG before its first picture."""
MOST_GIF_BYTES = 64_000_000
"""Read in search of a GIF's second picture; the first of one of 8000 x 8000 is shorter."""
_PNG = b"\x89PNG\r\n\x1a\n"

WEBP = "webp_anim"
"""ffmpeg's name of the demuxer of animated WebP."""
MOST_PICTURES = 500_000
"""Of a WebP: over four hours at 30 pictures a second."""
_MOVES, _ALPHA = 0x02, 0x10
_CLEARED_AFTERWARDS, _REPLACES, _LOSSLESS_ALPHA = 0x01, 0x02, 0x10
"""Flags of one picture; the last is of the head of its lossless codec."""


def is_still(path: bytes) -> bool:
    """Return whether a file named as a picture holds nothing that moves; False for an empty one. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        head = file.read(HEAD_BYTES)
        return not head or refusal(head, "", len(head)) is not None or still_picture(file) is not None


def still_picture(file: BinaryIO) -> str | None:
    """Return what a GIF, PNG or WebP of one picture is ("a picture (GIF)"), else None. Raises OSError."""
    file.seek(0)
    head = file.read(16)
    if head.startswith(_PNG):
        return None if _png_moves(file) else "a picture (PNG)"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return None if _gif_moves(file) else "a picture (GIF)"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        webp = animated_webp(file, most_pictures=2)
        return None if webp is not None and len(webp.lengths_ms) > 1 else "a picture (WebP)"
    return None


def _png_moves(file: BinaryIO) -> bool:
    """Return whether a chunk before the first picture announces several."""
    position = len(_PNG)
    for _ in range(MOST_CHUNKS):
        file.seek(position)
        head = file.read(12)
        if len(head) < 12 or head[4:8] == b"IDAT":
            return False
        if head[4:8] == b"acTL":
            return int.from_bytes(head[8:12], "big") > 1
        position += 12 + int.from_bytes(head[:4], "big")
    return False


def _gif_moves(file: BinaryIO) -> bool:
    """Return whether there is a second picture, or the limit is reached before that is known."""
    file.seek(0)
    gif = io.BufferedReader(cast("io.RawIOBase", file), 1 << 16)  # `file` itself is unbuffered
    pictures = 0
    try:
        left = MOST_GIF_BYTES - _skip_colours(gif, gif.read(13)[10:11])
        while left > 0:
            kind = gif.read(1)
            if kind == b"\0":  # padding
                left -= 1
                continue
            pictures += kind == b","
            if kind not in (b",", b"!") or pictures > 1:
                return kind not in (b";", b"")
            if kind == b",":
                left -= _skip_colours(gif, gif.read(9)[8:9])
            gif.read(1)
            left -= 1
            while left > 0 and (length := gif.read(1)) and length[0]:
                left -= 1 + len(gif.read(length[0]))
        return True
    finally:
        gif.detach()


def _skip_colours(gif: io.BufferedReader[io.RawIOBase], flags: bytes) -> int:
    """Read over the colour table that these flags announce; return its bytes."""
    return len(gif.read(3 * (2 << (flags[0] & 7)))) if flags and flags[0] & 0x80 else 0


@dataclass(frozen=True, slots=True)
class AnimatedWebP:
    """Size, durations of the pictures, and the end of the file that its header states."""

    width: int
    height: int
    alpha: bool
    """Whether what is shown has transparent parts; the file's own flag is also set where only patches have."""
    lengths_ms: tuple[int, ...]
    end: int

    @property
    def timeline(self) -> Timeline:
        """When each picture is shown; its one track has index 0."""
        *starts, end = (ms / 1000 for ms in itertools.accumulate(self.lengths_ms, initial=0))
        return Timeline({0: Track(StreamKind.VIDEO, len(starts), array("d", starts), end=end)})


def animated_webp(file: BinaryIO, *, most_pictures: int = MOST_PICTURES) -> AnimatedWebP | None:
    """Return what an animated WebP holds, `most_pictures` at most; None for any other file. Raises OSError."""
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
            lengths.append(shown if shown > 10 else 100)  # as browsers and ffmpeg do
    return AnimatedWebP(
        width=1 + int.from_bytes(head[24:27], "little"),
        height=1 + int.from_bytes(head[27:30], "little"),
        alpha=bool(head[20] & _ALPHA) and uncovered,
        lengths_ms=tuple(lengths),
        end=end,
    )


def _uncovers(chunk: bytes, *, first: bool, canvas: bytes) -> bool:
    """Return whether the canvas may be transparent somewhere after the picture whose chunk begins so."""
    codec, flags = chunk[24:28], chunk[23]
    opaque = codec == b"VP8 " or (codec == b"VP8L" and len(chunk) == 37 and not chunk[36] & _LOSSLESS_ALPHA)
    if flags & _CLEARED_AFTERWARDS:
        return True
    if first:
        return not opaque or chunk[8:20] != bytes(6) + canvas
    return bool(flags & _REPLACES) and not opaque


def webp_timeline(path: bytes) -> Timeline:
    """Return the timeline of a WebP that was inspected before. Raises OSError."""
    with open(path, "rb") as file:
        webp = animated_webp(file)
    if webp is None:
        raise OSError(errno.ESTALE, "it is no longer the file that was inspected")
    return webp.timeline


def webp_info(webp: AnimatedWebP, size_bytes: int, limits: InputLimits) -> MediaInfo:
    """Return the MediaInfo of an animated WebP. Raises InspectError where it claims too much."""
    check_picture(webp.width, webp.height, limits)
    pictures = len(webp.lengths_ms)
    if pictures >= MOST_PICTURES:
        text = f"The file holds {MOST_PICTURES:,} pictures or more, which is too many for a WebP."
        raise InspectError(FailureKind.BAD_INPUT, text)
    seconds = sum(webp.lengths_ms) / 1000
    check_duration(seconds, limits)
    video = VideoInfo(
        webp.width,
        webp.height,
        pixel_format="argb",  # of every picture that ffmpeg decodes
        frame_rate=Fraction(1000 * pictures, sum(webp.lengths_ms)).limit_denominator(1001),
        alpha=webp.alpha,
    )
    film = StreamInfo(0, StreamKind.VIDEO, "webp", duration_seconds=seconds, frames=pictures, video=video)
    missing = max(0, webp.end - size_bytes)
    cut_off = MediaNote(f"It is cut off: at least {missing:,} bytes are missing at its end.", END_MISSING)
    return MediaInfo(
        container=WEBP,
        duration_seconds=seconds,
        duration_estimated=False,
        size_bytes=size_bytes,
        bit_rate=int(size_bytes * 8 / seconds),
        streams=(film,),
        notes=(cut_off,) if missing else (),
        missing_bytes=missing,
    )
