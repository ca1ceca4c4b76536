"""Boxes put into an MP4 that ffmpeg made: marks that no option of ffmpeg's writes."""

from __future__ import annotations

import struct
from pathlib import Path


def box(kind: bytes, content: bytes) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I", 8 + len(content)) + kind + content


TOP_AND_BOTTOM = box(b"st3d", bytes(4) + b"\x01")
SIDE_BY_SIDE = box(b"st3d", bytes(4) + b"\x02")
EQUIRECTANGULAR = box(
    b"sv3d",
    box(b"svhd", bytes(4) + b"test\0") + box(b"proj", box(b"prhd", bytes(16)) + box(b"equi", bytes(20))),
)


def add_to_video(path: Path, boxes: bytes) -> None:
    """Put `boxes` at the end of the sample entry of the first H.264 track; the index must come behind the data."""
    data = path.read_bytes()
    assert data.find(b"mdat") < data.find(b"moov")
    entry = data.find(b"avc1", data.find(b"stsd")) - 4
    made = bytearray(data)
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    made[end:end] = boxes
    outer = [data.rfind(kind, 0, entry + 4) - 4 for kind in (b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov")]
    for place in (entry, *outer):
        length = int.from_bytes(made[place : place + 4], "big") + len(boxes)
        made[place : place + 4] = length.to_bytes(4, "big")
    path.write_bytes(made)
