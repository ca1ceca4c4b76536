"""The first picture of a film: rotation and HDR side data come only with it, and it shows whether anything decodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
import av.error

if TYPE_CHECKING:
    from av.stream import Stream

FIRST_PICTURE_BYTES = 64_000_000
FIRST_PICTURE_PACKETS = 3000
"""How far to look for the first picture, all streams counted; long-GOP television stays far below both."""


@dataclass(frozen=True, slots=True)
class FirstPicture:
    """What only decoding shows. `frames` is 0 where the whole track was read and no picture in it decodes."""

    frame: av.VideoFrame | None = None
    frames: int | None = None
    note: str | None = None
    decoder: str | None = None


class FirstPictureSearch:
    """Decodes the packets of one film until they make a picture."""

    def __init__(self, stream: av.VideoStream) -> None:
        # A track under a name that libavformat does not map to a codec (`dav1`) has no decoder context: try AV1.
        own = video_context(stream)
        self.context = own if own is not None else _named_decoder("libdav1d")
        self._decoder = "libdav1d" if own is None else None
        if self.context is not None:
            self.context.thread_count = 1
        self._tried = 0
        self._problem: str | None = None
        self._found: FirstPicture | None = FirstPicture() if self.context is None else None

    @property
    def settled(self) -> bool:
        """Whether there is nothing more to look for."""
        return self._found is not None

    def offer(self, packet: av.Packet[Stream]) -> None:
        """Decode the next packet of the film; an empty one without a time ends the track."""
        if self._found is not None or self.context is None:
            return
        if not packet.size and packet.dts is not None:
            return  # a dropped picture of an AVI
        self._tried += bool(packet.size)
        try:
            frames = self.context.decode(packet if packet.size else None)
        except (MemoryError, av.error.EOFError) as error:
            if isinstance(error, MemoryError):  # the limit on what inspecting may take, not damage
                raise
        except av.error.FFmpegError as error:
            self._problem = error.strerror
        else:
            if frames:
                self._found = FirstPicture(frame=frames[0], decoder=self._decoder)

    def give_up(self) -> None:
        """No more is read for it."""
        if self._found is None:
            self._found = FirstPicture(note="No picture could be decoded near its start.")

    def result(self) -> FirstPicture:
        """What was found, once the whole track was offered or the search is settled."""
        if self._found is not None:
            return self._found
        if self._decoder is not None:
            return FirstPicture()
        if self._tried == 0:
            return FirstPicture(frames=0, note="Its video track holds no pictures.")
        reason = f" ({self._problem})" if self._problem else ""
        return FirstPicture(frames=0, note=f"None of the pictures in its video track can be decoded{reason}.")


def context_of(stream: Stream) -> av.CodecContext | None:
    """The stream's decoder context; PyAV's own types do not admit that it may be None."""
    return cast("av.CodecContext | None", stream.codec_context)


def video_context(stream: av.VideoStream) -> av.VideoCodecContext | None:
    context = context_of(stream)
    return context if isinstance(context, av.VideoCodecContext) else None


def _named_decoder(name: str) -> av.VideoCodecContext | None:
    try:
        context = av.CodecContext.create(name, "r")
    except ValueError:  # this build of PyAV lacks it
        return None
    return context if isinstance(context, av.VideoCodecContext) else None
