"""The first picture of a film: rotation and HDR side data come only with it, and it tells whether anything decodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
import av.error

if TYPE_CHECKING:
    from av.container import InputContainer
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


def first_picture(container: InputContainer, stream: av.VideoStream) -> FirstPicture:
    """Decode the first picture of `stream`, reading `container` from where it stands, within bounds."""
    # A track under a name that libavformat does not map to a codec (`dav1`) has no decoder context: try AV1.
    own = video_context(stream)
    context = own if own is not None else _named_decoder("libdav1d")
    decoder = "libdav1d" if own is None else None
    if context is None:
        return FirstPicture()
    context.thread_count = 1
    bytes_read = pictures_tried = 0
    problem = None
    for number, packet in enumerate(container.demux()):
        bytes_read += packet.size
        if packet.stream_index == stream.index:
            if not packet.size and packet.dts is not None:
                continue  # a dropped picture of an AVI; the end of the track is an empty packet without a time
            pictures_tried += bool(packet.size)
            try:
                frames = context.decode(packet if packet.size else None)
            except av.error.EOFError:
                break
            except MemoryError:  # the limit on what inspecting may take, not damage
                raise
            except av.error.FFmpegError as error:
                problem = error.strerror
            else:
                if frames:
                    return FirstPicture(frame=frames[0], decoder=decoder)
        if number >= FIRST_PICTURE_PACKETS or bytes_read >= FIRST_PICTURE_BYTES:
            return FirstPicture(note="No picture could be decoded near its start.")
    if decoder is not None:
        return FirstPicture()
    if pictures_tried == 0:
        return FirstPicture(frames=0, note="Its video track holds no pictures.")
    reason = f" ({problem})" if problem else ""
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
