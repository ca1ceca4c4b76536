"""What a file's own structure says of its end: the cheap sign of a download or copy that was cut off.

MP4, Matroska and AVI say how many bytes each part holds, ASF and MXF how long the whole is; MPEG-TS and many program
streams come in packets of one size, Ogg marks its last page, GIF and PNG their end, and FLV repeats each tag's size
behind it. A file that ends before its structure does was cut off. Only headers are read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from pyprocessor.containers.boxes import Box, boxes, outermost, within
from pyprocessor.containers.content import TS_LAYOUTS

_TS_SYNC = 0x47
_PACK_START = b"\x00\x00\x01\xba"
_PROGRAM_END = b"\x00\x00\x01\xb9"
_PACK_BYTES = 2048
_OGG_TAIL_BYTES = 65536
_PADDING_BYTES = 16_000_000
"""Of zeros at the end of a file, as many as are looked at."""
_PADDING_STEP_BYTES = 65536
_END_MARKS = {"gif": b";", "apng": b"IEND\xaeB`\x82"}
_EBML_SEGMENT = 0x18538067
_MOST_ELEMENTS = 200_000
_MOST_CHUNKS = 1000
"""Before the pictures of an AVI, where only headers are."""
_MOST_INDEX_BYTES = 4_000_000
_AVI_SLACK_BYTES = 64
"""Careless writers get the size of the whole wrong by a header or two."""
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d010201")

_SHORTEST_ALIAS_BYTES = 138
"""Of a Macintosh alias record with names in it, as ffmpeg sees it."""

_MAYBE = "so it may have been cut off; all that is there was used."


@dataclass(frozen=True, slots=True)
class Tail:
    """`missing_bytes`: how far the structure reaches beyond the file's end. `note`: another sign, as a sentence;
    `cut_off` says that it is a sure one."""

    missing_bytes: int = 0
    note: str | None = None
    cut_off: bool = False


def examine(file: BinaryIO, container: str, size_bytes: int) -> Tail:
    """Look at the structure of an open file whose demuxer is `container` (PyAV's name for it).

    Raises OSError where the file cannot be read.
    """
    file.seek(0)
    head = file.read(4096)
    declared = 0
    if container.startswith("mov,"):
        declared = _end_of_boxes(file, size_bytes)
    elif container.startswith("matroska"):
        declared = _end_of_segment(file, size_bytes)
    elif container == "avi":
        return _end_of_riff(file, size_bytes)
    elif container == "asf":
        declared = _size_in_asf(head)
    elif container == "mxf":
        declared = _footer_of_mxf(head)
    elif container == "mpegts" and not _ts_is_whole(file, head, size_bytes):
        return Tail(note=f"It ends inside a transport packet, {_MAYBE}")
    elif container == "mpeg":
        return Tail(note=_end_of_program_stream(file, head, size_bytes))
    elif container == "ogg" and not _ogg_is_ended(file, size_bytes):
        return Tail(note=f"Its last page does not mark an end, {_MAYBE}")
    elif container == "flv" and not _flv_is_whole(file, size_bytes):
        return Tail(note="It is cut off: it ends inside a tag.", cut_off=True)
    elif container in _END_MARKS and not _is_marked(file, size_bytes, _END_MARKS[container]):
        return Tail(note=f"It has no end mark, {_MAYBE}")
    return Tail(missing_bytes=max(0, declared - size_bytes))


def is_mp4(file: BinaryIO) -> bool:
    """Whether it begins with a box as MP4 and QuickTime files do."""
    file.seek(4)
    return file.read(4) in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def ends_in_fragment_header(file: BinaryIO, size_bytes: int) -> bool:
    """Whether an MP4 has its index at the start and ends inside a `moof`, as a recording may that was cut off."""
    indexed = False
    for kind, start, length in outermost(file, size_bytes):
        if kind == b"moof" and start + length > size_bytes:
            return indexed
        indexed |= kind == b"moov"
    return False


def index_of_mp4(file: BinaryIO, size_bytes: int) -> bytes | None:
    """The start of an MP4's index (its `moov` box), where its tracks are listed; None where there is none."""
    for kind, start, length in outermost(file, size_bytes):
        if kind == b"moov":
            file.seek(start)
            return file.read(min(length, _MOST_INDEX_BYTES))
        if not kind.isalnum():
            return None
    return None


def refers_to_other_files(index: bytes) -> bool:
    """Whether a film or sound track in this index of an MP4 or MOV has all its data in other files ("reference movie").

    Such a file is an alias: nothing in it can be played, and the other files are not for it to choose.
    """
    for track in within(index, Box(b"", 0, 0, len(index)), b"moov", b"trak"):
        for media in within(index, track, b"mdia"):
            handler = next(within(index, media, b"hdlr"), None)
            if handler is None or index[handler.body + 8 : handler.body + 12] not in (b"vide", b"soun"):
                continue
            for table in within(index, media, b"minf", b"dinf", b"dref"):
                entries = list(boxes(index, table.body + 8, table.end))
                if entries and all(_leads_elsewhere(entry.kind, index[entry.body : entry.end]) for entry in entries):
                    return True
    return False


def _leads_elsewhere(kind: bytes, entry: bytes) -> bool:
    """Whether a data reference names another file. Careless writers leave the mark "in this very file" out; then the
    name is empty, or the alias record too short to hold one."""
    flags, location = entry[:4], entry[4:]
    if flags[3:] and flags[3] & 1:
        return False
    return len(location) > _SHORTEST_ALIAS_BYTES if kind == b"alis" else bool(location.strip(b"\0"))


# Each of these returns where the structure says the file ends, or 0 where it does not say.


def _end_of_boxes(file: BinaryIO, size_bytes: int) -> int:
    position = 0
    for kind, start, length in outermost(file, size_bytes):
        if not kind.isalnum():  # junk
            return 0
        position = start + length
    return position


def _end_of_riff(file: BinaryIO, size_bytes: int) -> Tail:
    """What lacks of an AVI: pictures and sound, or only the index behind them, which players and ffmpeg do without."""
    position = 0
    while True:
        kind, length = _riff_header(file, position)
        if kind != b"RIFF" or length == 0:  # a recorder that crashed leaves no length
            return Tail()
        end = position + 8 + length
        if end - _AVI_SLACK_BYTES > size_bytes:
            break
        position = end + end % 2
    end_of_media = _end_of_movi(file, position + 12, size_bytes)
    if end_of_media is None:
        return Tail(missing_bytes=end - _AVI_SLACK_BYTES - size_bytes)
    if end_of_media > size_bytes:
        return Tail(missing_bytes=end_of_media - size_bytes)
    return Tail(note="The index at its end is missing; its pictures and sound are there.")


def _end_of_movi(file: BinaryIO, position: int, size_bytes: int) -> int | None:
    """Where the list of an AVI's pictures and sound ends, looked for from `position`; None where there is none."""
    for _ in range(_MOST_CHUNKS):
        kind, length = _riff_header(file, position)
        if kind == b"LIST" and file.read(4) == b"movi":
            return position + 8 + length if length > 4 else None
        position += 8 + length + length % 2
        if position >= size_bytes:
            return None
    return None


def _riff_header(file: BinaryIO, position: int) -> tuple[bytes, int]:
    file.seek(position)
    head = file.read(8)
    return head[:4], int.from_bytes(head[4:8], "little")


def _end_of_segment(file: BinaryIO, size_bytes: int) -> int:
    """The segment's end; where its size is unknown (a live recording), the end of its last cluster."""
    position = 0
    for _ in range(_MOST_ELEMENTS):
        if position >= size_bytes:
            break
        file.seek(position)
        head = file.read(16)
        identity, used = _ebml_number(head, 0, keep_marker=True)
        length, used = _ebml_number(head, used, keep_marker=False)
        if identity is None or used == 0:
            return 0
        if length is None:
            if identity != _EBML_SEGMENT:
                return 0
            position += used  # go on with what is inside it
            continue
        position += used + length
        if identity == _EBML_SEGMENT:
            break
    return position


def _ebml_number(data: bytes, position: int, *, keep_marker: bool) -> tuple[int | None, int]:
    """An EBML variable-length number and where it ends; None where it is cut off, malformed or says "unknown"."""
    if position >= len(data) or data[position] == 0:
        return None, position
    width = 9 - data[position].bit_length()
    raw = data[position : position + width]
    if len(raw) < width:
        return None, position
    value = int.from_bytes(raw, "big")
    if not keep_marker:
        value &= (1 << 7 * width) - 1
        if value == (1 << 7 * width) - 1:
            return None, position + width
    return value, position + width


def _size_in_asf(head: bytes) -> int:
    """The file size in the File Properties object, unless it is marked as a broadcast, where it means nothing."""
    at = head.find(_ASF_FILE_PROPERTIES)
    if at < 0 or at + 92 > len(head) or head[at + 88] & 1:
        return 0
    return int.from_bytes(head[at + 40 : at + 48], "little")


def _footer_of_mxf(head: bytes) -> int:
    """Where the footer partition starts, as the header partition says: something must follow it."""
    at = head.find(_MXF_PARTITION)
    length = head[at + 16] if at >= 0 and at + 17 <= len(head) else 0
    start = at + 17 + (length & 0x7F if length & 0x80 else 0)
    if at < 0 or start + 32 > len(head):
        return 0
    footer = int.from_bytes(head[start + 24 : start + 32], "big")
    return at + footer + 1 if footer else 0


# ---------------------------------------------------------------- weaker signs


def _end_without_padding(file: BinaryIO, size_bytes: int) -> int:
    """Where the zero bytes begin with which a file ends: recorders that allocate space ahead leave some."""
    end = size_bytes
    while end > max(0, size_bytes - _PADDING_BYTES):
        start = max(0, end - _PADDING_STEP_BYTES)
        file.seek(start)
        held = file.read(end - start).rstrip(b"\0")
        if held:
            return start + len(held)
        end = start
    return end


def _ts_is_whole(file: BinaryIO, head: bytes, size_bytes: int) -> bool:
    for first, packet in TS_LAYOUTS:
        places = range(first, min(len(head), 8 * packet), packet)
        if all(head[place] == _TS_SYNC for place in places):
            over = size_bytes % packet
            return over == 0 or _end_without_padding(file, size_bytes) <= size_bytes - over
    return True  # it starts in the middle of something; nothing can be said of its end


def _end_of_program_stream(file: BinaryIO, head: bytes, size_bytes: int) -> str | None:
    file.seek(max(0, size_bytes - 4))
    if file.read(4) == _PROGRAM_END:
        return None
    if size_bytes % _PACK_BYTES and all(head[place : place + 4] == _PACK_START for place in (0, _PACK_BYTES)):
        return f"It ends inside a pack, {_MAYBE}"
    return "It has no end mark, so a missing end would not show."


def _ogg_is_ended(file: BinaryIO, size_bytes: int) -> bool:
    file.seek(max(0, _end_without_padding(file, size_bytes) - _OGG_TAIL_BYTES), os.SEEK_SET)
    tail = file.read(_OGG_TAIL_BYTES)
    page = tail.rfind(b"OggS")
    return page >= 0 and len(tail) > page + 5 and bool(tail[page + 5] & 0x04)


def _is_marked(file: BinaryIO, size_bytes: int, mark: bytes) -> bool:
    """Whether it ends with `mark`, but for padding."""
    end = _end_without_padding(file, size_bytes)
    file.seek(max(0, end - len(mark)))
    return file.read(len(mark)) == mark


def _flv_is_whole(file: BinaryIO, size_bytes: int) -> bool:
    """Whether it ends behind a tag, but for padding, of which zeros at the end of the tag's size cannot be told."""
    end = _end_without_padding(file, size_bytes)
    return any(_ends_with_tag(file, place) for place in range(end, min(size_bytes, end + 3) + 1))


def _ends_with_tag(file: BinaryIO, end: int) -> bool:
    """Whether an FLV tag ends at `end`, with its size behind it."""
    file.seek(max(0, end - 4))
    length = int.from_bytes(file.read(4), "big")
    if not 11 <= length <= end - 4:
        return False
    file.seek(end - 4 - length)
    return int.from_bytes(file.read(4)[1:], "big") == length - 11
