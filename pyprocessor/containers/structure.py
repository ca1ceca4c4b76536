"""Does the structure of a file reach beyond its end, as after a download or copy that was cut off?"""

from __future__ import annotations

from typing import BinaryIO

from pyprocessor.containers.boxes import Box, boxes, outermost, within
from pyprocessor.containers.content import HEAD_BYTES, TS_LAYOUTS
from pyprocessor.models import END_MISSING, MediaNote

_PACK_BYTES = 2048
_MOST_PADDING_BYTES = 16_000_000
"""Zeros at the end of a file that are skipped at most."""
_EBML_SEGMENT = 0x8538067
"""Without the bit that marks the length of the number."""
_MOST_INDEX_BYTES = 4_000_000
_AVI_SLACK_BYTES = 64
"""Some writers state a size of the whole that is wrong by a header or two."""
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d010201")
_SHORTEST_ALIAS_BYTES = 138
"""Of a Macintosh alias record with names in it, as ffmpeg sees it."""
_MOST_ELEMENTS = 200_000
"""Of a Matroska file without a size of the whole."""
_TS_SYNC = 0x47
_MAYBE = "so it may have been cut off; all that is there was used."


def examine(file: BinaryIO, container: str, size_bytes: int) -> int | MediaNote:
    """Return how many bytes are missing at the end of a file by its headers, or a note on another sign of that.

    `container` is PyAV's name of its demuxer. Raises OSError where the file cannot be read.
    """
    head = _read(file, 0, HEAD_BYTES)
    declared = 0
    match container.partition(",")[0]:
        case "mov":
            declared = _end_of_boxes(file, size_bytes)
        case "matroska":
            declared = _end_of_segment(file, size_bytes)
        case "asf":
            declared = _size_in_asf(head)
        case "mxf":
            declared = _footer_of_mxf(head)
        case "avi":
            return _end_of_riff(file, size_bytes)
        case "mpeg" if _read_last(file, size_bytes, 4) != b"\x00\x00\x01\xb9":
            inside = size_bytes % _PACK_BYTES and all(head[at:].startswith(b"\0\0\1\xba") for at in (0, _PACK_BYTES))
            unmarked = "It has no end mark, so a missing end would not show."
            return MediaNote(f"It ends inside a pack, {_MAYBE}" if inside else unmarked)
        case "mpegts" if not _ts_is_whole(file, head, size_bytes):
            return MediaNote(f"It ends inside a transport packet, {_MAYBE}")
        case "ogg" if not _ogg_is_ended(file, size_bytes):
            return MediaNote(f"Its last page does not mark an end, {_MAYBE}")
        case "flv" if not _flv_is_whole(file, size_bytes):
            return MediaNote("It is cut off: it ends inside a tag.", END_MISSING)
        case "gif" | "apng":
            mark = b";" if container == "gif" else b"IEND\xaeB`\x82"
            if _read_last(file, _end_without_padding(file, size_bytes), len(mark)) != mark:
                return MediaNote(f"It has no end mark, {_MAYBE}")
    return max(0, declared - size_bytes)


def is_mp4(file: BinaryIO) -> bool:
    """Return whether a file begins with a box as MP4 and QuickTime files do."""
    return _read(file, 4, 4) in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def ends_in_fragment_header(file: BinaryIO, size_bytes: int) -> bool:
    """Return whether an MP4 has its index at the start and ends inside a `moof`."""
    indexed = False
    for kind, start, length in outermost(file, size_bytes):
        if kind == b"moof" and start + length > size_bytes:
            return indexed
        indexed |= kind == b"moov"
    return False


def index_of_mp4(file: BinaryIO, size_bytes: int) -> bytes | None:
    """Return the start of an MP4's index (`moov` box), where its tracks are listed, or None without one."""
    for kind, start, length in outermost(file, size_bytes):
        if kind == b"moov":
            return _read(file, start, min(length, _MOST_INDEX_BYTES))
        if not kind.isalnum():
            return None
    return None


def refers_to_other_files(file: BinaryIO, size_bytes: int) -> bool:
    """Return whether a film or sound track of an MP4 has all its data in other files ("reference movie")."""
    index = index_of_mp4(file, size_bytes) or b""
    for media in within(index, Box(b"", 0, 0, len(index)), b"moov", b"trak", b"mdia"):
        handler = next(within(index, media, b"hdlr"), None)
        if handler is None or index[handler.body + 8 : handler.body + 12] not in (b"vide", b"soun"):
            continue
        for table in within(index, media, b"minf", b"dinf", b"dref"):
            entries = list(boxes(index, table.body + 8, table.end))
            if entries and all(_names_a_file(entry.kind, index[entry.body : entry.end]) for entry in entries):
                return True
    return False


def _names_a_file(kind: bytes, entry: bytes) -> bool:
    """Return whether a data reference names another file; some writers leave out the flag "in this file"."""
    flags, location = entry[:4], entry[4:]
    if flags[3:] and flags[3] & 1:
        return False
    return len(location) > _SHORTEST_ALIAS_BYTES if kind == b"alis" else bool(location.strip(b"\0"))


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _read_last(file: BinaryIO, end: int, count: int) -> bytes:
    return _read(file, max(0, end - count), count)


def _end_of_boxes(file: BinaryIO, size_bytes: int) -> int:
    position = 0
    for kind, start, length in outermost(file, size_bytes):
        if not kind.isalnum():  # junk
            return 0
        position = start + length
    return position


def _end_of_riff(file: BinaryIO, size_bytes: int) -> int | MediaNote:
    """Return what is missing of an AVI: pictures and sound, or only the index, which nothing needs."""
    position = 0
    while True:
        kind, length = _riff_header(file, position)
        if kind != b"RIFF" or length == 0:  # a recorder that crashed leaves no length
            return 0
        end = position + 8 + length
        if end - _AVI_SLACK_BYTES > size_bytes:
            break
        position = end + end % 2
    end_of_media = _end_of_movi(file, position + 12, size_bytes)
    if end_of_media is None:
        end_of_media = end - _AVI_SLACK_BYTES
    if end_of_media > size_bytes:
        return end_of_media - size_bytes
    return MediaNote("The index at its end is missing; its pictures and sound are there.")


def _end_of_movi(file: BinaryIO, position: int, size_bytes: int) -> int | None:
    """Return where the list of an AVI's pictures and sound behind `position` ends; None without it."""
    for _ in range(1000):  # only headers come before it
        kind, length = _riff_header(file, position)
        if kind == b"LIST" and file.read(4) == b"movi":
            return position + 8 + length if length > 4 else None
        position += 8 + length + length % 2
        if position >= size_bytes:
            return None
    return None


def _riff_header(file: BinaryIO, position: int) -> tuple[bytes, int]:
    head = _read(file, position, 8)
    return head[:4], int.from_bytes(head[4:8], "little")


def _end_of_segment(file: BinaryIO, size_bytes: int) -> int:
    """Return the end of the segment, or of its last cluster where its size is unknown (a live recording)."""
    position = 0
    for _ in range(_MOST_ELEMENTS):
        if position >= size_bytes:
            break
        head = _read(file, position, 16)
        identity, used = _ebml_number(head, 0)
        length, used = _ebml_number(head, used)
        if identity is None or (length is None and identity != _EBML_SEGMENT):
            return 0
        position += used + (length or 0)
        if length is not None and identity == _EBML_SEGMENT:
            break
    return position


def _ebml_number(data: bytes, start: int) -> tuple[int | None, int]:
    """Return an EBML number and where it ends; None where it is cut off, malformed or "unknown"."""
    end = start + 9 - int.from_bytes(data[start : start + 1], "big").bit_length()
    if end > min(start + 8, len(data)):
        return None, start
    unknown = (1 << 7 * (end - start)) - 1
    value = int.from_bytes(data[start:end], "big") & unknown
    return None if value == unknown else value, end


def _size_in_asf(head: bytes) -> int:
    """Return the file size in the File Properties object, or 0 for a broadcast, where it is meaningless."""
    at = head.find(_ASF_FILE_PROPERTIES)
    if at < 0 or at + 92 > len(head) or head[at + 88] & 1:
        return 0
    return int.from_bytes(head[at + 40 : at + 48], "little")


def _footer_of_mxf(head: bytes) -> int:
    """Return the least size of the file: its footer partition starts where the header says."""
    at = head.find(_MXF_PARTITION)
    length = head[at + 16] if at >= 0 and at + 17 <= len(head) else 0
    start = at + 17 + (length & 0x7F if length & 0x80 else 0)
    if at < 0 or start + 32 > len(head):
        return 0
    footer = int.from_bytes(head[start + 24 : start + 32], "big")
    return at + footer + 1 if footer else 0


def _end_without_padding(file: BinaryIO, size_bytes: int) -> int:
    """Return where the zeros begin that end a file; recorders that allocate space ahead leave some."""
    end = size_bytes
    while end > max(0, size_bytes - _MOST_PADDING_BYTES):
        start = max(0, end - 65_536)
        held = _read(file, start, end - start).rstrip(b"\0")
        if held:
            return start + len(held)
        end = start
    return end


def _ts_is_whole(file: BinaryIO, head: bytes, size_bytes: int) -> bool:
    for first, packet in TS_LAYOUTS:
        if all(sync == _TS_SYNC for sync in head[first : 8 * packet : packet]):
            over = size_bytes % packet
            return over == 0 or _end_without_padding(file, size_bytes) <= size_bytes - over
    return True  # it starts inside a packet, so its end shows nothing


def _ogg_is_ended(file: BinaryIO, size_bytes: int) -> bool:
    tail = _read_last(file, _end_without_padding(file, size_bytes), 65_536)
    page = tail.rfind(b"OggS")
    return page >= 0 and len(tail) > page + 5 and bool(tail[page + 5] & 0x04)


def _flv_is_whole(file: BinaryIO, size_bytes: int) -> bool:
    """Return whether a tag ends where the padding begins, or in its first 3 zeros, which may be of the tag's size."""
    padding = _end_without_padding(file, size_bytes)
    for end in range(padding, min(size_bytes, padding + 3) + 1):
        length = int.from_bytes(_read_last(file, end, 4), "big")
        if 11 <= length <= end - 4 and int.from_bytes(_read(file, end - 3 - length, 3), "big") == length - 11:
            return True
    return False
