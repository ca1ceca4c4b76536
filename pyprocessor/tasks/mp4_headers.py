"""Corrects in a finished MP4 or MOV what ffmpeg's muxer cannot be asked for; the file keeps its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from pyprocessor.publish.refusals import refusal
from pyprocessor.recipes.metadata import HeaderEdits

_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_MOST_INDEX_BYTES = 64_000_000
"""An index larger than this is left as it is: a film of a day has one of 30 MB."""
_TEXT_HANDLERS = (b"sbtl", b"text", b"subt", b"clcp")
_PICTURE_ENTRY_BYTES = 78
"""Of fixed fields in a video track's sample entry, before its boxes."""
_ENABLED = 1


@dataclass(frozen=True, slots=True)
class _Box:
    """A box in a buffer: its kind, where it starts, where its content does, where it ends."""

    kind: bytes
    start: int
    body: int
    end: int


def edit_headers(path: bytes, edits: HeaderEdits) -> None:
    """Carry out `edits` in the file at `path`. Raises JobError where it cannot be written."""
    try:
        with open(path, "r+b") as file:
            place = _index(file)
            if place is None:
                return  # verification says so
            file.seek(place.start)
            data = bytearray(file.read(place.end - place.start))
            for index in _boxes(data, 0, len(data)):
                _edit(data, index, edits)
            file.seek(place.start)
            file.write(data)
    except OSError as error:
        raise refusal(error, path, "could not be written") from error


def _index(file: BinaryIO) -> _Box | None:
    position = 0
    while True:
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return None
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return None
        if head[4:8] == b"moov":
            return _Box(b"moov", position, position + 8, position + length) if length <= _MOST_INDEX_BYTES else None
        position += length


def _boxes(data: bytearray, start: int, end: int) -> Iterator[_Box]:
    while start + 8 <= end:
        length = int.from_bytes(data[start : start + 4], "big")
        if length < 8 or start + length > end:
            return
        yield _Box(bytes(data[start + 4 : start + 8]), start, start + 8, start + length)
        start += length


def _within(data: bytearray, box: _Box, *kinds: bytes) -> Iterator[_Box]:
    """The boxes at the end of a path of kinds below `box`."""
    for child in _boxes(data, box.body, box.end):
        if child.kind == kinds[0]:
            if len(kinds) == 1:
                yield child
            else:
                yield from _within(data, child, *kinds[1:])


def _edit(data: bytearray, index: _Box, edits: HeaderEdits) -> None:
    if edits.recorded is not None:
        seconds = int((edits.recorded - _EPOCH).total_seconds())
        paths = ((b"mvhd",), (b"trak", b"tkhd"), (b"trak", b"mdia", b"mdhd"))
        for header in (found for path in paths for found in _within(data, index, *path)):
            _set_dates(data, header, seconds)
    defaults = iter(edits.default_subtitles)
    for track in _within(data, index, b"trak"):
        handler = next(_within(data, track, b"mdia", b"hdlr"), None)
        kind = bytes(data[handler.body + 8 : handler.body + 12]) if handler is not None else b""
        if kind in _TEXT_HANDLERS and not next(defaults, True):
            for header in _within(data, track, b"tkhd"):
                data[header.body + 3] &= ~_ENABLED
        if kind == b"vide" and edits.stereo:
            for table in _within(data, track, b"mdia", b"minf", b"stbl", b"stsd"):
                for entry in _boxes(data, table.body + 8, table.end):
                    _name_stereo(data, entry, edits.stereo)


def _set_dates(data: bytearray, header: _Box, seconds: int) -> None:
    """Write the dates of creation and change, which come first in all three headers."""
    width = 8 if data[header.body] == 1 else 4
    if 0 < seconds < 1 << 8 * width:
        data[header.body + 4 : header.body + 4 + 2 * width] = 2 * seconds.to_bytes(width, "big")


def _name_stereo(data: bytearray, entry: _Box, layout: int) -> None:
    """Say how two pictures lie in one by a `st3d` box; ffmpeg's `vexu` box says only that there are two of them."""
    known = {box.kind: box for box in _boxes(data, entry.body + _PICTURE_ENTRY_BYTES, entry.end)}
    eyes = known.get(b"vexu")
    if eyes is None:
        return
    kept = b"".join(
        bytes(data[box.start : box.end]) for box in _boxes(data, eyes.body, eyes.end) if box.kind != b"eyes"
    )
    boxes = b"" if b"st3d" in known else _box(b"st3d", bytes(4) + bytes((layout,)))
    if kept and b"sv3d" not in known:
        boxes += _box(b"vexu", kept)
    room = eyes.end - eyes.start - len(boxes)
    if room >= 8:
        data[eyes.start : eyes.end] = boxes + _box(b"free", bytes(room - 8))


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content
