"""Do a file's first bytes show that it is no video, or that it is one, and where does its container begin?"""

from __future__ import annotations

import codecs
import re

from pyprocessor.models import MediaNote

HEAD_BYTES = 4096
"""How much of the start of a file `refusal` and `seems_video` look at."""

_TEXTS = {  # in lower case, after white space
    "an HLS or M3U playlist": (b"#extm3u",),
    "a concat script": (b"ffconcat",),
    "a playlist": (b"[playlist]", b"[reference]", b"<asx", b"<smil"),
    "a DASH manifest": (b"<mpd",),
    "a Smooth Streaming manifest": (b"<smoothstreamingmedia",),
    "a web page": (b"<!doctype html", b"<html"),
    "a drawing (SVG)": (b"<svg",),
    "an XML document": (b"<?xml",),
    "a script": (b"#!",),
    "a PDF document": (b"%pdf",),
    "a text document (RTF)": (b"{\\rtf",),
}
_SIGNATURES = {
    "a picture (TIFF)": (b"II*\x00", b"MM\x00*"),
    "a picture (Photoshop)": (b"8BPS",),
    "a ZIP archive": (b"PK\x03\x04",),
    "an empty ZIP archive": (b"PK\x05\x06",),
    "a RAR archive": (b"Rar!\x1a\x07",),
    "a 7-Zip archive": (b"7z\xbc\xaf\x27\x1c",),
    "a gzip archive": (b"\x1f\x8b\x08",),
    "a bzip2 archive": (b"BZh",),
    "an XZ archive": (b"\xfd7zXZ\x00",),
    "a Zstandard archive": (b"\x28\xb5\x2f\xfd",),
    "a program (ELF)": (b"\x7fELF",),
    "a program (Mach-O)": (b"\xcf\xfa\xed\xfe",),
    "a program (Java or Mach-O)": (b"\xca\xfe\xba\xbe",),
    "a database (SQLite)": (b"SQLite format 3\x00",),
    "an Office document": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
}


def refusal(head: bytes, name: str, size_bytes: int) -> str | None:
    """Return what a file is that is plainly no video ("a ZIP archive"), or None where it may be one.

    `head` is its first `HEAD_BYTES` bytes; of `name` only the extension matters.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:32].lower()
    for begins, table in ((start, _TEXTS), (head, _SIGNATURES)):
        for what, prefixes in table.items():
            if begins.startswith(prefixes):
                return what
    extension = name.rpartition(".")[2].lower()
    if head.startswith(b"\xff\xd8\xff") and extension not in ("mjpeg", "mjpg"):
        return "a picture (JPEG)"
    if head[:2] == b"BM" and int.from_bytes(head[2:6], "little") == size_bytes:
        return "a picture (BMP)"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"):
        return "a picture (HEIF or AVIF)"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[:2] == b"MZ" and b"This program" in head[:256]:
        return "a program (Windows)"
    if not head.strip(b"\x00") and len(head) == min(size_bytes, HEAD_BYTES):
        return "nothing but zero bytes at its start"
    return "text" if _is_text(head) else None


TS_LAYOUTS = ((0, 188), (4, 192), (0, 204))
"""Place of the first sync byte and packet size of plain, time-stamped (AVCHD) and error-corrected transport streams."""
_MATROSKA = rb"\x1aE\xdf\xa3(?:.{,52}matroska|.{,56}webm)"
_VIDEO = re.compile(
    rb"FLV\x01|DHAV|DKIF|\.RMF|YUV4MPEG2 |nut/multimedia container\0|\0\0\x01\xba[\x44\x21]"
    rb"|.{4}(?:moov|mdat|ftyp(?!heic|heix|heim|heis|mif1|avif|M4A |M4B |M4P |jp2 |jpx |crx ))"
    rb"|" + _MATROSKA + rb"|RIFF.{4}(?:AVI |CDXA)|OggS.{,53}\x80theora"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|\xb7\xd8\0\x20\x37\x49\xda\x11"  # ASF, WTV
    rb"|\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",  # MXF
    re.DOTALL,
)


def seems_video(head: bytes) -> bool:
    """Return whether a file that begins with `head` is most probably video; a few kinds are missed."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"acTL" in head.partition(b"IDAT")[0]
    return _VIDEO.match(head) is not None or any(
        all(head[place : place + 1] == b"G" for place in range(first, first + 8 * packet, packet))
        for first, packet in TS_LAYOUTS
    )


def _is_text(head: bytes) -> bool:
    """Return whether a file that begins with `head` is UTF-8 or UTF-16 text."""
    utf_16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:  # as part of a longer text, since the head may end inside a character
        text = codecs.getincrementaldecoder("utf-16" if utf_16 else "utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    if utf_16:
        return all(c.isprintable() or c in "\t\r\n" for c in text)
    return not any(ord(c) < 32 and c not in "\t\n\v\f\r\x1b" for c in text) and "\x7f" not in text


SEARCHED_BYTES = 65_536
"""How much of a file's start is searched for a container."""
RAW_STREAMS = (
    "mpegvideo h261 h263 h264 hevc vvc evc apv m4v mjpeg mjpeg_2000 obu av1 vc1 dirac dnxhd cavsvideo avs2 avs3 mp3 "
    "aac loas ac3 ac4 eac3 dts dtshd truehd mlp flac"
).split()
"""Demuxers that find one stream of pictures or sound wherever it begins."""
_CONTAINER = re.compile(
    rb"(?P<avi>RIFF.{4}AVI )|(?P<matroska>" + _MATROSKA + rb")|(?P<flv>FLV\x01.\0\0\0\x09)"
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
