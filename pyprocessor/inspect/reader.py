"""Opening files with PyAV, in the one way for users' files and the one way for ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import av
import av.error

from pyprocessor.containers import structure
from pyprocessor.containers.misplaced import RAW_STREAMS, SEARCHED_BYTES, holds_several, misplaced_container
from pyprocessor.ffmpeg.invocation import Trust, demuxer_options, whitelists
from pyprocessor.models import MediaNote

if TYPE_CHECKING:
    from av.container import InputContainer

    from pyprocessor.models import MediaInfo

PROBE_BYTES = 5_000_000
"""What a demuxer may read to find the streams: ffmpeg's own default, so that both see the same streams."""

MOST_STREAMS = 10_000
"""Streams that a demuxer makes before it gives up (by itself at 1,000), so that too many can be told as what it is."""

_BEFORE_19: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""PyAV 18 raises UnicodeDecodeError on tags that are not UTF-8 unless told otherwise; 19 has no such option."""


READ_AGAIN_BYTES = 64_000_000
"""How much of a file is read to find out whether it can be read at all."""
_READ_BYTES = 1 << 20


def is_away(path: bytes) -> bool:
    """Whether the file cannot be read: moved away, or its disk or share does not answer.

    Only reading it tells: what demuxers call an input/output error is, more often than not, a file that ends too soon.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            left = READ_AGAIN_BYTES
            while left > 0 and (data := file.read(_READ_BYTES)):
                left -= len(data)
    except OSError:
        return True
    return False


def open_source(
    path: bytes, *, deep: bool = False, forward: bool = False, skipped_bytes: int = 0, demuxer: str | None = None
) -> InputContainer:
    """Open a user's file: only local files, only the demuxers allowed for untrusted input, bounded probing, which goes
    further where `deep`, and never looks ahead where `forward`. A `demuxer` is named where the container begins only
    after `skipped_bytes`.

    Raises av.error.FFmpegError, of which the missing file and the forbidden file are also OSErrors.
    """
    bounds = {"probesize": str(PROBE_BYTES), "max_streams": str(MOST_STREAMS)}
    # Options for another demuxer than the file's are passed over.
    own = dict(demuxer_options("mpegts", deep=deep, forward=forward, skipped_bytes=skipped_bytes))
    return _open(path, dict(whitelists(Trust.UNTRUSTED)) | bounds | own, demuxer)


def open_unknown(path: bytes, file: BinaryIO, size_bytes: int, *, deep: bool) -> tuple[InputContainer, bool, int]:
    """Open a user's file of which nothing is known: the container, whether that took doing without a look ahead, since
    the file ends inside the header of a fragment, and how many bytes in front of the container are none of it.

    Raises as `open_source` does.
    """
    try:
        container = open_source(path, deep=deep)
        if container.format.name not in RAW_STREAMS:
            return container, False, 0
    except av.error.InvalidDataError:
        if structure.ends_in_fragment_header(file, size_bytes):
            return open_source(path, deep=deep, forward=True), True, 0
        behind = _behind_other_bytes(path, file, deep=deep)
        if behind is None:
            raise
        return behind
    behind = _behind_other_bytes(path, file, deep=deep)
    if behind is None:
        return container, False, 0
    container.close()
    return behind


def _behind_other_bytes(path: bytes, file: BinaryIO, *, deep: bool) -> tuple[InputContainer, bool, int] | None:
    """The container that begins behind other bytes; None where there is none that can be read."""
    file.seek(0)
    found = misplaced_container(file.read(SEARCHED_BYTES))
    if found is None:
        return None
    skipped = found.skipped_bytes
    try:
        return open_source(path, deep=deep, skipped_bytes=skipped, demuxer=found.demuxer), False, skipped
    except av.error.InvalidDataError:
        return None


def notes_on_start(media: MediaInfo, name: str, skipped: int) -> list[MediaNote]:
    """What is to be said of the start of the file `name`, of which the first `skipped` bytes were skipped."""
    if skipped:
        container = media.container.partition(",")[0]
        return [MediaNote(f"Its first {skipped:,} bytes are not part of its container ({container}) and were skipped.")]
    if media.container in RAW_STREAMS and holds_several(name):
        text = f"Only a raw stream ({media.container}) could be read of it: sound or other tracks beside it are lost."
        return [MediaNote(text, "read as a raw stream: other tracks are lost")]
    return []


def open_again(path: bytes, media: MediaInfo) -> InputContainer:
    """Open a user's file in the way in which it was opened when `media` was found. Raises as `open_source` does."""
    demuxer = media.container.partition(",")[0] if media.skipped_bytes else None
    return open_source(path, deep=media.deep, forward=media.forward, skipped_bytes=media.skipped_bytes, demuxer=demuxer)


def open_output(path: bytes) -> InputContainer:
    """Open a file that our own ffmpeg wrote. Raises av.error.FFmpegError."""
    return _open(path, dict(whitelists(Trust.OWN)))


def _open(path: bytes, options: dict[str, str], demuxer: str | None = None) -> InputContainer:
    # The prefix keeps a name such as `concat:x` or `-` from being read as a protocol or an option.
    opened = av.open("file:" + os.fsdecode(path), mode="r", format=demuxer, options=options, **_BEFORE_19)
    return cast("InputContainer", opened)
