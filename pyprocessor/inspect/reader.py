"""How are files opened with PyAV, and what are their streams?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import av

from pyprocessor.containers.content import RAW_STREAMS, SEARCHED_BYTES, misplaced_container
from pyprocessor.containers.structure import ends_in_fragment_header
from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.ffmpeg.invocation import demuxer_options, whitelists
from pyprocessor.models import MediaInfo, StreamKind

Container: TypeAlias = "av.container.InputContainer"
Stream: TypeAlias = "av.stream.Stream"
Packet: TypeAlias = "av.Packet[av.stream.Stream]"

_BEFORE_19: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""PyAV 18 raises UnicodeDecodeError on tags that are not UTF-8 without this option; 19 has no such option."""
_PROBE_BYTES = 5_000_000
"""What a demuxer may read to find the streams: ffmpeg's own default, so that both see the same streams."""
_MOST_STREAMS = 10_000
"""Above ffmpeg's own limit of 1,000, so that a file with too many can be refused with a sentence."""
READ_AGAIN_BYTES = 64_000_000
"""How much of a file is read to find out whether it can be read at all."""


def is_away(path: bytes) -> bool:
    """Return whether the file cannot be read; demuxers also call a file that ends too soon an input/output error."""
    try:
        with open(path, "rb", buffering=0) as file:
            while file.tell() < READ_AGAIN_BYTES and file.read(1 << 20):
                pass
    except OSError:
        return True
    return False


def open_source(
    path: bytes, *, deep: bool = False, forward: bool = False, skipped_bytes: int = 0, demuxer: str | None = None
) -> Container:
    """Open a user's file: local files only, the demuxers for untrusted input only, bounded probing.

    `deep` reads more before the streams are known, `forward` never seeks; `demuxer` is named where the container begins
    after `skipped_bytes`. Raises av.error.FFmpegError; for a missing or forbidden file that is also an OSError.
    """
    bounds = {"probesize": str(_PROBE_BYTES), "max_streams": str(_MOST_STREAMS)}
    # Demuxers ignore options of other demuxers.
    own = dict(demuxer_options("mpegts", deep=deep, forward=forward, skipped_bytes=skipped_bytes))
    return _open(path, dict(whitelists()) | bounds | own, demuxer)


class Opened(NamedTuple):
    """A user's file, how it was opened: without seeking (`forward`), behind so many bytes."""

    container: Container
    forward: bool = False
    skipped_bytes: int = 0


def open_unknown(path: bytes, file: BinaryIO, size_bytes: int, *, deep: bool) -> Opened:
    """Open a user's file in whichever way it can be read. Raises as `open_source` does."""
    try:
        container = open_source(path, deep=deep)
    except av.error.InvalidDataError:
        if ends_in_fragment_header(file, size_bytes):
            return Opened(open_source(path, deep=deep, forward=True), forward=True)
        behind = _behind_other_bytes(path, file, deep=deep)
        if behind is None:
            raise
        return behind
    behind = _behind_other_bytes(path, file, deep=deep) if container.format.name in RAW_STREAMS else None
    if behind is None:
        return Opened(container)
    container.close()
    return behind


def _behind_other_bytes(path: bytes, file: BinaryIO, *, deep: bool) -> Opened | None:
    file.seek(0)
    found = misplaced_container(file.read(SEARCHED_BYTES))
    if found is None:
        return None
    skipped, demuxer = found
    try:
        container = open_source(path, deep=deep, skipped_bytes=skipped, demuxer=demuxer)
    except av.error.InvalidDataError:
        return None
    return Opened(container, skipped_bytes=skipped)


def open_again(path: bytes, media: MediaInfo) -> Container:
    """Open a user's file as it was opened when `media` was found. Raises as `open_source` does."""
    demuxer = media.demuxer if media.skipped_bytes else None
    return open_source(path, deep=media.deep, forward=media.forward, skipped_bytes=media.skipped_bytes, demuxer=demuxer)


def open_output(path: bytes) -> Container:
    """Open a file that our own ffmpeg wrote. Raises av.error.FFmpegError."""
    return _open(path, dict(whitelists(own=True)))


def _open(path: bytes, options: dict[str, str], demuxer: str | None = None) -> Container:
    # The prefix keeps a name such as `concat:x` or `-` from being read as a protocol or an option.
    opened = av.open("file:" + os.fsdecode(path), mode="r", format=demuxer, options=options, **_BEFORE_19)
    return cast("Container", opened)


def context_of(stream: Stream) -> av.CodecContext | None:
    """Return the stream's decoder, which may be None although PyAV's types say otherwise."""
    return cast("av.CodecContext | None", stream.codec_context)


def video_context(stream: av.VideoStream) -> av.VideoCodecContext | None:
    """Return the decoder of a film, if there is one."""
    context = context_of(stream)
    return context if isinstance(context, av.VideoCodecContext) else None


def is_attached(stream: av.VideoStream) -> bool:
    """Return whether a video stream is a picture beside a film: a cover, or thumbnails."""
    flags = stream.disposition
    return bool(flags & type(flags).attached_pic or flags & type(flags).timed_thumbnails)


def decode(context: av.AudioCodecContext | av.VideoCodecContext, *packets: Any) -> tuple[list[Any], str]:
    """Return what decodes of these packets (None: the end), and what the decoder says otherwise. Raises MemoryError."""
    try:
        return [frame for packet in packets for frame in context.decode(packet)], ""
    except MemoryError:  # the limit on what inspecting may take; PyAV's is an FFmpegError as well
        raise
    except av.error.FFmpegError as error:
        return [], "" if isinstance(error, av.error.EOFError) else error.strerror or ""


def kind_of(stream: Stream) -> StreamKind:
    """Return the kind of a stream; one that players ignore is data."""
    return next((kind for kind in StreamKind if kind == stream.type), StreamKind.DATA)


class Cover(NamedTuple):
    """The content of a picture file, and its name in the source, or an empty one."""

    content: bytes
    file_name: str


def read_covers(source: bytes, media: MediaInfo, indexes: Sequence[int]) -> list[Cover]:
    """Return the covers in these streams of `source` (`media`), in this order. Raises InspectError."""
    found: dict[int, bytes] = {}
    try:
        with closing(open_again(source, media)) as container:
            names = {stream.index: stream.metadata.get("filename", "") for stream in container.streams}
            for number, packet in enumerate(container.demux()):
                if packet.stream_index in indexes and packet.size:
                    found.setdefault(packet.stream_index, bytes(packet))
                if len(found) == len(indexes) or number >= 3000:  # attached ones come first
                    break
    except av.error.FFmpegError as error:
        raise InspectError(FailureKind.BAD_INPUT, f"Its cover cannot be read: {error.strerror}.") from error
    missing = [index for index in indexes if index not in found]
    if missing:
        raise InspectError(FailureKind.BAD_INPUT, f"Its cover (stream {missing[0]}) holds no picture.")
    return [Cover(found[index], names[index].replace("\0", "")) for index in indexes]
