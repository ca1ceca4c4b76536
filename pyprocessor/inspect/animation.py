"""Whether a GIF, PNG or WebP moves: what holds one picture is no video.

Read from the file's own structure, within bounds: the headers of its parts, and of a GIF, whose parts do not say how
long they are, all up to its second picture.
"""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from pyprocessor.containers.content import HEAD_BYTES, refusal
from pyprocessor.inspect.webp import animated_webp

MOST_CHUNKS = 10_000
"""Of a PNG before its first picture."""
MOST_GIF_BYTES = 64_000_000
"""Read in search of a GIF's second picture; the first of one of 8000 x 8000 is shorter."""
_READ_BYTES = 1 << 16
_PNG = b"\x89PNG\r\n\x1a\n"
_GIF = (b"GIF87a", b"GIF89a")


def is_still(path: bytes) -> bool:
    """Whether a file that is named as a picture holds nothing that moves, whatever it is; an empty one does not.

    Raises OSError where the file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        head = file.read(HEAD_BYTES)
        return not head or refusal(head, "", len(head)) is not None or still_picture(file) is not None


def still_picture(file: BinaryIO) -> str | None:
    """What the file is, where it is a GIF, PNG or WebP of one picture ("a picture (GIF)"); None where it is not.

    Raises OSError where the file cannot be read.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(_PNG):
        return None if _png_moves(file) else "a picture (PNG)"
    if head.startswith(_GIF):
        return None if _gif_moves(file) else "a picture (GIF)"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        webp = animated_webp(file, most_pictures=2)
        return None if webp is not None and webp.pictures > 1 else "a picture (WebP)"
    return None


def _png_moves(file: BinaryIO) -> bool:
    """Whether a chunk before its first picture announces several."""
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
    """Whether it holds a second picture; also True where the limit is reached before that is known."""
    file.seek(0)
    reader = io.BufferedReader(cast("io.RawIOBase", file), _READ_BYTES)  # `file` reads ahead less, or not at all
    try:
        return _has_second_picture(reader)
    finally:
        reader.detach()


def _has_second_picture(gif: io.BufferedReader[io.RawIOBase]) -> bool:
    pictures = 0
    left = MOST_GIF_BYTES - _skip_colours(gif, gif.read(13)[10:11])
    while left > 0:
        kind = gif.read(1)
        if kind == b",":
            pictures += 1
            if pictures > 1:
                return True
            left -= _skip_colours(gif, gif.read(9)[8:9])
            gif.read(1)
        elif kind == b"!":
            gif.read(1)
        elif kind != b"\0":  # padding
            return kind not in (b";", b"")
        else:
            left -= 1
            continue
        left -= _skip_blocks(gif, left)
    return True


def _skip_colours(gif: io.BufferedReader[io.RawIOBase], flags: bytes) -> int:
    """Read over the table of colours that these flags announce; returns how many bytes it takes."""
    return len(gif.read(3 * (2 << (flags[0] & 7)))) if flags and flags[0] & 0x80 else 0


def _skip_blocks(gif: io.BufferedReader[io.RawIOBase], most: int) -> int:
    """Read over blocks up to the empty one that ends them, or over `most` bytes; returns how many bytes they take."""
    skipped = 1
    while skipped < most and (length := gif.read(1)) and length[0]:
        skipped += 1 + len(gif.read(length[0]))
    return skipped
