"""Which charset is the text of subtitles in, and does it state where it was recorded, as that of drones does?"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import av
from av.stream import Discard

from pyprocessor.containers.charsets import LAST_RESORT, charset_of, iconv_name
from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect.reader import Container, Packet, context_of, open_source
from pyprocessor.models import StreamInfo

_CODECS = frozenset(("subrip", "ass", "webvtt", "text", "subviewer", "microdvd", "mov_text"))
_MOST_TEXT_BYTES = 4_000_000
"""Of all tracks together; those of a long film have 100 kB each."""
_PLACE = re.compile(rb"(?:latitude|longitude|GPS)[\s:=(]{1,4}[+-]?\d", re.IGNORECASE)


class SubtitleText:
    """Collects the lines of a file's subtitles from its packets, up to a limit."""

    def __init__(self, container: Container) -> None:
        found = ((s.index, c.codec.canonical_name) for s in container.streams.subtitles if (c := context_of(s)))
        self._codecs = {index: codec for index, codec in found if codec in _CODECS}
        self.lines: dict[int, list[bytes]] = {index: [] for index in self._codecs}
        self._left = _MOST_TEXT_BYTES

    def take(self, packet: Packet) -> None:
        """Look at the next packet of the file."""
        codec = self._codecs.get(packet.stream_index)
        if codec is not None and packet.size and self._left > 0:
            self._left -= packet.size
            self.lines[packet.stream_index].append(_text(bytes(packet), codec))


class Line(NamedTuple):
    """A subtitle: when it is shown, in seconds after the file's first packet, and its bytes."""

    start: float
    end: float
    text: bytes


def read_lines(source: bytes, index: int) -> list[Line]:
    """Return the lines of a subtitle track of an MP4, up to a limit. Raises InspectError."""
    found, left = [], _MOST_TEXT_BYTES
    try:
        with closing(open_source(source)) as container:
            began = (container.start_time or 0) / av.time_base
            for stream in container.streams:
                if stream.index != index:
                    stream.discard = Discard.all
            for packet in container.demux():
                left -= packet.size
                if packet.stream_index == index and packet.pts is not None and packet.time_base is not None:
                    start = float(packet.pts * packet.time_base) - began
                    end = start + float((packet.duration or 0) * packet.time_base)
                    found.append(Line(start, end, _text(bytes(packet), "mov_text")))
                if left <= 0:
                    break
    except av.error.FFmpegError as error:
        raise InspectError(FailureKind.BAD_INPUT, f"Its subtitles cannot be read: {error.strerror}.") from error
    return found


def _text(packet: bytes, codec: str) -> bytes:
    if codec == "mov_text":  # its length, the text, boxes for its style
        return packet[2 : 2 + int.from_bytes(packet[:2], "big")]
    return packet.split(b",", 8)[-1] if codec == "ass" else packet


def with_charset(stream: StreamInfo, lines: Iterable[bytes]) -> StreamInfo:
    """Return `stream` with the charset of these lines of it, and whether they state where it was recorded."""
    foreign, proper, place = [], 0, False
    for line in lines:
        place = place or _PLACE.search(line) is not None
        try:
            proper += not line.decode("utf-8").isascii()
        except UnicodeDecodeError:
            foreign.append(line)
    stream = replace(stream, has_location=place)
    if not foreign:
        return stream
    if proper > len(foreign):
        return replace(stream, charset_sure=False)
    if all(line.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)) for line in foreign):  # as MP4 may have it
        return replace(stream, charset="UTF-16")
    charset = charset_of(b"\n".join(foreign), stream.language)
    return replace(stream, charset=iconv_name(charset or LAST_RESORT), charset_sure=charset is not None)
