"""What do the pictures of a film show that its header does not say? Decoded in a few places."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
from av.sidedata.sidedata import Type

from pyprocessor.inspect.colour import side_data
from pyprocessor.inspect.reader import Packet, decode, video_context
from pyprocessor.models import PacketFacts, PictureShape

DTS_ONLY = frozenset(("avi",))
"""Demuxers whose packets have a DTS only; libavformat guesses the PTS, ffmpeg does not."""
_FIELD_CODECS = ("h264", "mpeg2video", "vc1", "wmv3", "hevc", "dvvideo", "dnxhd", "prores", "mjpeg", "ffv1")
"""They may change between fields and pictures, so keyframes are decoded at places spread over the file."""
_PLACES, _MOST_DECODED = 16, 96
"""How many such places there are; keyframes that are decoded at most, however often a film's parameters change."""
_CAPTIONED = ("mpeg2video", "h264", "hevc", "av1")
"""Codecs whose packets `captions_in` can read."""
_MARK = b"GA94\x03"
"""Before the triplets in the user data of MPEG-2 and in the messages of H.264, HEVC and AV1 (ATSC A/53 part 4)."""
_PROCESSED, _COUNT = 0x40, 0x1F
_VALID, _KIND, _CEA_708 = 0x04, 0x03, 0x02

# The unit that holds size and shape of the pictures, after a start code: (mask, value) of its first byte.
_UNITS = {
    "h264": (0x1F, 7),
    "hevc": (0x7E, 33 << 1),
    "mpeg1video": (0xFF, 0xB3),
    "mpeg2video": (0xFF, 0xB3),
    "mpeg4": (0xF0, 0x20),
    "vc1": (0xFF, 0x0F),
}
_KEYFRAME_HEADERS = {"vp8": slice(3, 10), "vp9": slice(0, 12), "av1": slice(0, 20)}


class FilmSampler:
    """Decodes the first picture of one film and, where `whole`, keyframes that may look different."""

    def __init__(self, stream: av.VideoStream, size_bytes: int, *, whole: bool) -> None:
        own = video_context(stream)
        self._context = own
        self.decoder: str | None = None
        """The decoder that made `frame`, where libavformat names none."""
        if own is None:  # libavformat maps some tags (`dav1`) to no codec: try AV1
            self.decoder = "libdav1d"
            with suppress(ValueError):  # this build of PyAV lacks it
                self._context = cast("av.VideoCodecContext", av.CodecContext.create(self.decoder, "r"))
        if self._context is not None:
            self._context.thread_count = 1
        self.settled = self._context is None
        """Whether the first picture was found or is no longer looked for."""
        self.frame: av.VideoFrame | None = None
        """Its first picture."""
        self.frames: int | None = None
        """0 where all of it was read and no picture decodes."""
        self.note: str | None = None
        self._problem = ""
        self._tried = self._shown = 0
        self._codec = own.codec.canonical_name if own is not None else ""
        self._whole = whole
        self._header = b""
        self._step = size_bytes // _PLACES if self._codec in _FIELD_CODECS else size_bytes
        self._next_place = 0
        self.shapes: list[PictureShape] = []
        """Of each picture that was decoded, by the time of its packet."""
        self._places: list[int] = []
        """The numbers of their packets."""
        self.interlaced = self.captions = False
        """Whether a decoded picture holds two fields, and whether closed captions were seen."""
        self.packets: PacketFacts | None = None
        demuxer = stream.container.format.name
        self.in_decoding_order = demuxer in DTS_ONLY or demuxer == "mxf"
        """Whether its packets have a DTS only, though its pictures are shown in another order."""
        self._may_have_pts = demuxer not in DTS_ONLY
        """MXF gives the DTS as PTS only where the file has no index of the other."""

    def take(self, packet: Packet) -> None:
        """Look at the next packet of the film; an empty one without a time ends it."""
        self._shown += bool(packet.size and not packet.is_discard)
        if self._may_have_pts and packet.pts != packet.dts:
            self.in_decoding_order = False
        if not self.captions and self._codec in _CAPTIONED and packet.size:
            self.captions = captions_in(memoryview(packet))
        is_key = self._whole and bool(packet.size) and packet.is_keyframe
        frame = None
        if not self.settled:
            if is_key and not self._header:
                self._header = picture_header(self._codec, memoryview(packet))
                self._next_place = (packet.pos or 0) + self._step
            frame = self.frame = self._first(packet)
            self.settled = frame is not None
        elif is_key and self._context and len(self.shapes) < _MOST_DECODED and self._is_due(packet):
            self._context.flush_buffers()
            frames, _ = decode(self._context, packet, None)  # by itself
            self._context.flush_buffers()
            frame = frames[0] if frames else None
        if frame is not None and self._whole and self._context is not None:
            self.captions = self.captions or has_captions(frame)
            self.interlaced = self.interlaced or bool(frame.interlaced_frame)
            ticks = packet.pts if packet.pts is not None else packet.dts
            at = float((ticks or 0) * (packet.time_base or 0))
            # A frame may be larger than its picture where cropping it would misalign memory.
            width, height = self._context.width, self._context.height
            self.shapes.append(PictureShape(at, width, height, usual_aspect(self._context.sample_aspect_ratio)))
            self._places.append(max(0, self._shown - 1))

    def give_up(self) -> None:
        """Look for the first picture no longer."""
        if not self.settled:
            self.settled, self.note = True, "No picture could be decoded near its start."

    def finish(self, corrections: Sequence[float] | None, packets: PacketFacts | None) -> None:
        """Complete what was found; `corrections` were added to the times of its packets to correct its clock."""
        self.packets = packets
        if not self.settled and self.decoder is None:
            tried = f"None of the pictures in its video track can be decoded{self._problem}."
            self.frames, self.note = 0, tried if self._tried else "Its video track holds no pictures."
        if corrections is not None:
            places = (corrections[min(place, len(corrections) - 1)] for place in self._places)
            self.shapes = [replace(s, at=s.at + moved) for s, moved in zip(self.shapes, places, strict=True)]
        if self.frame is None:
            self.decoder = None
        reordered = self._whole and self._context is not None and self._context.has_b_frames
        self.in_decoding_order = self.in_decoding_order and bool(reordered)

    def _first(self, packet: Packet) -> av.VideoFrame | None:
        """Return the first picture, if this packet completes it."""
        if self._context is None or (not packet.size and packet.dts is not None):  # a dropped picture of an AVI
            return None
        self._tried += bool(packet.size)
        frames, problem = decode(self._context, packet if packet.size else None)
        self._problem = f" ({problem})" if problem else self._problem
        return frames[0] if frames else None

    def _is_due(self, packet: Packet) -> bool:
        """Return whether a keyframe has other parameters than the last one, or lies far enough behind it."""
        header = picture_header(self._codec, memoryview(packet))
        if header in (b"", self._header) and (packet.pos is None or packet.pos < self._next_place):
            return False
        self._header = header or self._header
        self._next_place = max(self._next_place, packet.pos or 0) + self._step
        return True


def picture_header(codec: str, packet: memoryview) -> bytes:
    """Return the bytes of a keyframe that change with its size or shape, if there are any."""
    if codec in _KEYFRAME_HEADERS:
        return bytes(packet[_KEYFRAME_HEADERS[codec]])
    head = bytes(packet[:512])
    if codec == "mjpeg":
        sizes = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")
        return next((head[at : at + 9] for mark in sizes if (at := head.find(mark)) >= 0), b"")
    mask, value = _UNITS.get(codec, (0, 1))
    units = head.split(b"\0\0\1")[1:]
    return next((unit[:29] for unit in units if unit and unit[0] & mask == value), b"")


def usual_aspect(aspect: Fraction | None) -> Fraction:
    """Return the shape of a pixel as the file states it; square where it states none, or nonsense."""
    return aspect if aspect and Fraction(1, 10) <= aspect <= 10 else Fraction(1)


def has_captions(frame: av.VideoFrame) -> bool:
    """Return whether a decoded picture carries captions with content."""
    data = side_data(frame, Type.A53_CC)
    return data is not None and _have_content(data)


def captions_in(packet: memoryview) -> bool:
    """Return whether a picture's packet carries captions with content, without decoding it."""
    return any(
        message and message[0] & _PROCESSED and _have_content(message[2 : 2 + 3 * (message[0] & _COUNT)])
        for message in bytes(packet[:4096]).split(_MARK)[1:]  # they come before the picture itself
    )


def _have_content(triplets: bytes) -> bool:
    """Return whether one is valid and, of EIA-608, more than the two empty characters of a pause."""
    return any(
        flags & _VALID and (flags & _KIND >= _CEA_708 or first & 0x7F or second & 0x7F)
        for flags, first, second in zip(triplets[0::3], triplets[1::3], triplets[2::3], strict=False)
    )
