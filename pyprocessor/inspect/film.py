"""What do the pictures of a film show that its header does not say? Decoded in a few places.

The first picture alone carries rotation and HDR side data, and shows whether anything decodes. After it, keyframes are
decoded where the parameters that precede them change, and at places spread evenly over the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import av

from pyprocessor.containers.headers import picture_header
from pyprocessor.inspect.captions import CODECS as CAPTIONED
from pyprocessor.inspect.captions import captions_in, has_captions
from pyprocessor.inspect.reader import Packet, video_context
from pyprocessor.models import PacketFacts, PictureShape

SAMPLES = 16
"""Places spread over a file at which a keyframe is decoded, where a codec may change between fields and pictures."""
MOST_DECODED = 96
"""Keyframes of a film that are decoded, however often its parameters change."""
DTS_ONLY = frozenset(("avi",))
"""Demuxers whose packets have a DTS only; libavformat guesses the PTS, ffmpeg does not."""
_PTS_MAY_BE_DTS = frozenset(("mxf",))
"""Demuxers that give the DTS as PTS where the file has no index of the other."""
_FIELD_CODECS = frozenset(("h264", "mpeg2video", "vc1", "wmv3", "hevc", "dvvideo", "dnxhd", "prores", "mjpeg", "ffv1"))
_USUAL_ASPECTS = (Fraction(1, 10), Fraction(10))


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What was found of one film; `frames` is 0 where all of it was read and no picture decodes."""

    frame: av.VideoFrame | None
    """Its first picture."""
    frames: int | None
    note: str | None
    decoder: str | None
    """The decoder that made `frame`, where libavformat names none."""
    shapes: tuple[PictureShape, ...]
    """Of each picture that was decoded, by the time of its packet."""
    interlaced: bool
    """Whether one of these holds two fields."""
    captions: bool
    """Whether closed captions were seen in its pictures."""
    packets: PacketFacts | None
    in_decoding_order: bool
    """Whether its packets have a DTS only, though its pictures are shown in another order."""


class FilmSampler:
    """Decodes the first picture of one film and, where `whole`, keyframes that may look different."""

    def __init__(self, stream: av.VideoStream, size_bytes: int, *, whole: bool) -> None:
        own = video_context(stream)
        self._context = own
        self._decoder: str | None = None
        if own is None:  # libavformat maps some tags (`dav1`) to no codec: try AV1
            self._decoder = "libdav1d"
            with suppress(ValueError):  # this build of PyAV lacks it
                self._context = cast("av.VideoCodecContext", av.CodecContext.create(self._decoder, "r"))
        if self._context is not None:
            self._context.thread_count = 1
        self.settled = self._context is None
        """Whether the first picture was found or is no longer looked for."""
        self._frame: av.VideoFrame | None = None
        self._note: str | None = None
        self._problem: str | None = None
        self._tried = self._shown = 0
        self._codec = own.codec.canonical_name if own is not None else ""
        self._whole = whole
        self._header = b""
        self._step = size_bytes // SAMPLES if self._codec in _FIELD_CODECS else size_bytes
        self._next_place = 0
        self._shapes: list[tuple[PictureShape, int]] = []
        """With the number of the picture's packet."""
        self._interlaced = self._captions = self._has_pts = False
        self._container = stream.container.format.name

    def take(self, packet: Packet) -> None:
        """Look at the next packet of the film; an empty one without a time ends it."""
        self._shown += bool(packet.size and not packet.is_discard)
        self._has_pts = self._has_pts or packet.pts != packet.dts
        if not self._captions and self._codec in CAPTIONED and packet.size:
            self._captions = captions_in(memoryview(packet))
        is_key = self._whole and bool(packet.size) and packet.is_keyframe
        frame = None
        if not self.settled:
            if is_key and not self._header:
                self._header = picture_header(self._codec, memoryview(packet))
                self._next_place = (packet.pos or 0) + self._step
            frame = self._frame = self._first(packet)
            self.settled = frame is not None
        elif is_key and len(self._shapes) < MOST_DECODED and self._is_due(packet):
            frame = self._alone(packet)
        if frame is not None and self._whole and self._context is not None:
            self._captions = self._captions or has_captions(frame)
            self._interlaced = self._interlaced or bool(frame.interlaced_frame)
            ticks = packet.pts if packet.pts is not None else packet.dts
            at = float((ticks or 0) * (packet.time_base or 0))
            # A frame may be larger than its picture where cropping it would misalign memory.
            width, height = self._context.width, self._context.height
            shape = PictureShape(at, width, height, usual_aspect(self._context.sample_aspect_ratio))
            self._shapes.append((shape, max(0, self._shown - 1)))

    def give_up(self) -> None:
        """Look for the first picture no longer."""
        if not self.settled:
            self.settled, self._note = True, "No picture could be decoded near its start."

    def facts(self, corrections: Sequence[float] | None, packets: PacketFacts | None) -> FilmFacts:
        """Return what was found; `corrections` is what was added to the times of its packets to correct its clock."""
        frames, note = None, self._note
        if not self.settled and self._decoder is None:
            reason = f" ({self._problem})" if self._problem else ""
            tried = f"None of the pictures in its video track can be decoded{reason}."
            frames, note = 0, tried if self._tried else "Its video track holds no pictures."
        shapes = [shape for shape, _ in self._shapes]
        if corrections is not None:
            shapes = [replace(s, at=s.at + corrections[min(place, len(corrections) - 1)]) for s, place in self._shapes]
        decoder = self._decoder if self._frame is not None else None
        dts_only = self._container in DTS_ONLY or (self._container in _PTS_MAY_BE_DTS and not self._has_pts)
        reordered = self._whole and self._context is not None and self._context.has_b_frames
        return FilmFacts(
            *(self._frame, frames, note, decoder, tuple(shapes), self._interlaced, self._captions, packets),
            in_decoding_order=dts_only and reordered,
        )

    def _first(self, packet: Packet) -> av.VideoFrame | None:
        """Return the first picture, if this packet completes it."""
        if self._context is None or (not packet.size and packet.dts is not None):  # a dropped picture of an AVI
            return None
        self._tried += bool(packet.size)
        try:
            frames = self._context.decode(packet if packet.size else None)
        except MemoryError:  # the limit on what inspecting may take; PyAV's is an FFmpegError as well
            raise
        except av.error.FFmpegError as error:
            if not isinstance(error, av.error.EOFError):
                self._problem = error.strerror
            return None
        return frames[0] if frames else None

    def _is_due(self, packet: Packet) -> bool:
        """Return whether a keyframe has other parameters than the last one, or lies far enough behind it."""
        header = picture_header(self._codec, memoryview(packet))
        changed = bool(header) and header != self._header
        if not changed and (packet.pos is None or packet.pos < self._next_place):
            return False
        self._header = header or self._header
        self._next_place = max(self._next_place, packet.pos or 0) + self._step
        return True

    def _alone(self, packet: Packet) -> av.VideoFrame | None:
        """Return the picture of a keyframe, decoded without any other; None where it does not decode."""
        if self._context is None:
            return None
        try:
            self._context.flush_buffers()
            frames = [*self._context.decode(packet), *self._context.decode(None)]
            self._context.flush_buffers()
        except MemoryError:
            raise
        except av.error.FFmpegError:
            return None
        return frames[0] if frames else None


def usual_aspect(aspect: Fraction | None) -> Fraction:
    """Return the shape of a pixel as the file states it; square where it states none, or nonsense."""
    return aspect if aspect and _USUAL_ASPECTS[0] <= aspect <= _USUAL_ASPECTS[1] else Fraction(1)
