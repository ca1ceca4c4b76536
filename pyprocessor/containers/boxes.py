"""Which boxes do an MP4 or QuickTime file and its boxes consist of?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Box:
    """A box in a buffer: its kind, and where it starts, its content starts, and it ends."""

    kind: bytes
    start: int
    body: int
    end: int


def boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between `start` and `end` up to the first malformed one, clipped to `end`."""
    while start + 8 <= end:
        length, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if length == 1:
            length, body = int.from_bytes(data[body : body + 8], "big"), start + 16
        if length < body - start:
            return
        yield Box(bytes(data[start + 4 : start + 8]), start, body, min(start + length, end))
        start += length


def within(data: bytes | bytearray, box: Box, *kinds: bytes) -> Iterator[Box]:
    """Yield the boxes at the end of a path of kinds below `box`."""
    for child in boxes(data, box.body, box.end):
        if child.kind == kinds[0]:
            if len(kinds) == 1:
                yield child
            else:
                yield from within(data, child, *kinds[1:])


def outermost(file: BinaryIO, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and length of a file's outermost boxes; no kind: its length is not valid."""
    position = 0
    while position + 8 <= size_bytes:
        file.seek(position)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0 means "to the end of the file"; anything else here is junk
            yield b"", position, length
            return
        yield head[4:8], position, length
        position += length
