"""Where does a container begin that has other bytes in front of it, and was a file read as a raw stream only?"""

from __future__ import annotations

import re

from pyprocessor.models import MediaNote

SEARCHED_BYTES = 65_536
"""How much of a file's start is searched for a container."""
RAW_STREAMS = frozenset(
    (
        "mpegvideo h261 h263 h264 hevc vvc evc apv m4v mjpeg mjpeg_2000 obu av1 vc1 dirac dnxhd cavsvideo avs2 avs3 "
        "mp3 aac loas ac3 ac4 eac3 dts dtshd truehd mlp flac"
    ).split()
)
"""Demuxers that find one stream of pictures or sound wherever it begins."""
_CONTAINER = re.compile(
    rb"(?P<avi>RIFF.{4}AVI )|(?P<matroska>\x1aE\xdf\xa3(?:.{,52}matroska|.{,56}webm))|(?P<flv>FLV\x01.\0\0\0\x09)"
    rb"|(?P<ogg>OggS\0\x02)|(?P<asf>\x30\x26\xb2\x75\x8e\x66\xcf\x11)",
    re.DOTALL,
)
"""The start of those that can be read from where they begin; an MP4 has places counted from the file's start."""
_SEVERAL_TRACKS = frozenset(b"avi divx mkv webm mp4 mov 3gp flv f4v wmv asf ogv ogm mxf".split())
"""Extensions of files that usually hold pictures and sound."""


def misplaced_container(head: bytes) -> tuple[int, str] | None:
    """Return where the first container begins in `head` behind other bytes, and its demuxer, or None."""
    found = _CONTAINER.search(head, 1)
    return (found.start(), found.lastgroup or "") if found else None


def notes_on_start(container: str, path: bytes, skipped_bytes: int) -> tuple[MediaNote, ...]:
    """Return notes on bytes in front of a container, or on tracks lost because only a raw stream can be read."""
    if skipped_bytes:
        text = f"Its first {skipped_bytes:,} bytes are not part of its container ({container}) and were skipped."
        return (MediaNote(text),)
    if container in RAW_STREAMS and path.rpartition(b".")[2].lower() in _SEVERAL_TRACKS:
        text = f"Only a raw stream ({container}) could be read of it: sound or other tracks beside it are lost."
        return (MediaNote(text, "read as a raw stream: other tracks are lost"),)
    return ()
