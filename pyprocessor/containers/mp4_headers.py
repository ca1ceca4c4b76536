"""How are headers of a finished MP4 or MOV corrected, in place, that ffmpeg's muxer has no options for?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from pyprocessor.containers.boxes import Box, boxes, outermost, within
from pyprocessor.models.os_errors import publish_error

_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_MOST_INDEX_BYTES = 64_000_000
"""An index larger than this is left as it is: a film of a day has one of 30 MB."""
_TEXT_HANDLERS = (b"sbtl", b"text", b"subt", b"clcp")
_PICTURE_ENTRY_BYTES = 78
"""Of fixed fields in a video track's sample entry, before its boxes."""
_ENABLED = 1


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Corrections to an MP4's or MOV's headers that ffmpeg's muxer has no options for."""

    recorded: datetime | None = None
    default_subtitles: tuple[bool, ...] = ()
    """Whether each subtitle track is shown unasked: where none is, ffmpeg has the first one shown."""
    stereo: int = 0
    """The layout of a stereo film's pictures: 1 is top and bottom, 2 side by side, 0 any other."""


def edit_headers(path: bytes, edits: HeaderEdits) -> None:
    """Apply `edits` to the file at `path`. Raises JobError where it cannot be written."""
    try:
        with open(path, "r+b") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            for kind, start, length in outermost(file, size_bytes):
                if kind != b"moov" or length > _MOST_INDEX_BYTES:
                    continue
                file.seek(start)
                data = bytearray(file.read(length))
                for index in boxes(data, 0, len(data)):
                    _edit(data, index, edits)
                file.seek(start)
                file.write(data)
                return
    except OSError as error:
        raise publish_error(error, path, "could not be written") from error


def _edit(data: bytearray, index: Box, edits: HeaderEdits) -> None:
    if edits.recorded is not None:
        seconds = int((edits.recorded - _EPOCH).total_seconds())
        paths = ((b"mvhd",), (b"trak", b"tkhd"), (b"trak", b"mdia", b"mdhd"))
        for header in (found for path in paths for found in within(data, index, *path)):
            _set_dates(data, header, seconds)
    defaults = iter(edits.default_subtitles)
    for track in within(data, index, b"trak"):
        handler = next(within(data, track, b"mdia", b"hdlr"), None)
        kind = bytes(data[handler.body + 8 : handler.body + 12]) if handler is not None else b""
        if kind in _TEXT_HANDLERS and not next(defaults, True):
            for header in within(data, track, b"tkhd"):
                data[header.body + 3] &= ~_ENABLED
        if kind == b"vide" and edits.stereo:
            for table in within(data, track, b"mdia", b"minf", b"stbl", b"stsd"):
                for entry in boxes(data, table.body + 8, table.end):
                    _name_stereo(data, entry, edits.stereo)


def _set_dates(data: bytearray, header: Box, seconds: int) -> None:
    """Write the dates of creation and change, which come first in all three headers."""
    width = 8 if data[header.body] == 1 else 4
    if 0 < seconds < 1 << 8 * width:
        data[header.body + 4 : header.body + 4 + 2 * width] = 2 * seconds.to_bytes(width, "big")


def _name_stereo(data: bytearray, entry: Box, layout: int) -> None:
    """State the layout of stereo pictures in a `st3d` box; ffmpeg's `vexu` box says only that there are two."""
    known = {box.kind: box for box in boxes(data, entry.body + _PICTURE_ENTRY_BYTES, entry.end)}
    eyes = known.get(b"vexu")
    if eyes is None:
        return
    kept = b"".join(bytes(data[box.start : box.end]) for box in boxes(data, eyes.body, eyes.end) if box.kind != b"eyes")
    written = b"" if b"st3d" in known else _box(b"st3d", bytes(4) + bytes((layout,)))
    if kept and b"sv3d" not in known:
        written += _box(b"vexu", kept)
    room = eyes.end - eyes.start - len(written)
    if room >= 8:
        data[eyes.start : eyes.end] = written + _box(b"free", bytes(room - 8))


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content
