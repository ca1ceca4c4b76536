"""Opening files with PyAV, in the one way for users' files and the one way for ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import av

from pyprocessor.ffmpeg.invocation import Trust, demuxer_options, whitelists

if TYPE_CHECKING:
    from av.container import InputContainer

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


def open_source(path: bytes, *, deep: bool = False, forward: bool = False) -> InputContainer:
    """Open a user's file: only local files, only the demuxers allowed for untrusted input, bounded probing, which goes
    further where `deep`, and never looks ahead where `forward`.

    Raises av.error.FFmpegError, of which the missing file and the forbidden file are also OSErrors.
    """
    bounds = {"probesize": str(PROBE_BYTES), "max_streams": str(MOST_STREAMS)}
    # Options for another demuxer than the file's are passed over.
    own = dict(demuxer_options("mpegts", deep=deep, forward=forward))
    return _open(path, dict(whitelists(Trust.UNTRUSTED)) | bounds | own)


def open_output(path: bytes) -> InputContainer:
    """Open a file that our own ffmpeg wrote. Raises av.error.FFmpegError."""
    return _open(path, dict(whitelists(Trust.OWN)))


def _open(path: bytes, options: dict[str, str]) -> InputContainer:
    # The prefix keeps a name such as `concat:x` or `-` from being read as a protocol or an option.
    opened = av.open("file:" + os.fsdecode(path), mode="r", options=options, **_BEFORE_19)
    return cast("InputContainer", opened)
