"""Where a container begins that has other bytes in front of it, and which files can hold more than a raw stream.

Zeros, or what a server or a camera wrote first, make demuxers pass a container by: a file then opens as the raw stream
that its pictures are, and its sound would be gone.
"""

from __future__ import annotations

from dataclasses import dataclass

SEARCHED_BYTES = 65_536
"""Of a file's start, in which a container is looked for."""
RAW_STREAMS = frozenset(
    (
        "mpegvideo h261 h263 h264 hevc vvc evc apv m4v mjpeg mjpeg_2000 obu av1 vc1 dirac dnxhd cavsvideo avs2 avs3 "
        "mp3 aac loas ac3 ac4 eac3 dts dtshd truehd mlp flac"
    ).split()
)
"""Demuxers that find one track of pictures or sound wherever it begins."""
_SIGNATURES = (
    (b"RIFF", "avi"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"OggS\x00\x02", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
)
"""First bytes of containers that can be read from where they begin; those of an MP4 count from the file's start."""
_HOLD_SEVERAL = frozenset("avi divx mkv webm mp4 mov 3gp flv f4v wmv asf ogv ogm mxf".split())
"""Extensions of files that usually hold pictures and sound."""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A container that begins `skipped_bytes` into a file; `demuxer` is ffmpeg's name of what reads it."""

    demuxer: str
    skipped_bytes: int


def misplaced_container(head: bytes) -> Misplaced | None:
    """The first container that begins within `head`, but not at its start; None where there is none."""
    places = []
    for signature, demuxer in _SIGNATURES:
        at = head.find(signature, 1)
        while at > 0:
            if _begins(head[at : at + 64], demuxer):
                places.append(Misplaced(demuxer, at))
                break
            at = head.find(signature, at + 1)
    return min(places, key=lambda place: place.skipped_bytes, default=None)


def _begins(head: bytes, demuxer: str) -> bool:
    """Whether more than four bytes say so."""
    if demuxer == "avi":
        return head[8:12] == b"AVI "
    if demuxer == "matroska":
        return b"matroska" in head or b"webm" in head
    return demuxer != "flv" or head[5:9] == b"\0\0\0\x09"


def holds_several(name: str) -> bool:
    """Whether files of this name's extension usually hold pictures and sound."""
    return name.rpartition(".")[2].lower() in _HOLD_SEVERAL
