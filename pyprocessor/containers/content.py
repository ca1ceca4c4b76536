"""Do a file's first bytes show that it is no video, or that it is one? What is not recognised is left to demuxers."""

from __future__ import annotations

import codecs

HEAD_BYTES = 4096
"""How much of the start of a file `refusal` and `seems_video` look at."""

_TEXTS = {  # in lower case, after white space
    b"#extm3u": "an HLS or M3U playlist",
    b"ffconcat": "a concat script",
    b"[playlist]": "a playlist",
    b"[reference]": "a playlist",
    b"<asx": "a playlist",
    b"<smil": "a playlist",
    b"<mpd": "a DASH manifest",
    b"<smoothstreamingmedia": "a Smooth Streaming manifest",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "a drawing (SVG)",
    b"<?xml": "an XML document",
    b"#!": "a script",
    b"%pdf": "a PDF document",
    b"{\\rtf": "a text document (RTF)",
}
_SIGNATURES = {
    b"II*\x00": "a picture (TIFF)",
    b"MM\x00*": "a picture (TIFF)",
    b"8BPS": "a picture (Photoshop)",
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an XZ archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"\x7fELF": "a program (ELF)",
    b"\xcf\xfa\xed\xfe": "a program (Mach-O)",
    b"\xca\xfe\xba\xbe": "a program (Java or Mach-O)",
    b"SQLite format 3\x00": "a database (SQLite)",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Office document",
}
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")
_TEXT_CONTROLS = "\t\n\v\f\r\x1b"


def refusal(head: bytes, name: str, size_bytes: int) -> str | None:
    """Return what a file is that is plainly no video ("a ZIP archive"), or None where it may be one.

    `head` is its first `HEAD_BYTES` bytes; of `name` only the extension matters.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:32].lower()
    for begins, table in ((start, _TEXTS), (head, _SIGNATURES)):
        for prefix, what in table.items():
            if begins.startswith(prefix):
                return what
    extension = name.rpartition(".")[2].lower()
    if head.startswith(b"\xff\xd8\xff") and extension not in ("mjpeg", "mjpg"):
        return "a picture (JPEG)"
    if head[:2] == b"BM" and int.from_bytes(head[2:6], "little") == size_bytes:
        return "a picture (BMP)"
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
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
_OTHER_BRANDS = (b"M4A ", b"M4B ", b"M4P ", b"jp2 ", b"jpx ", b"crx ")
"""Brands of MP4 files that hold sound or pictures."""
_VIDEO_SIGNATURES = (
    b"FLV\x01",
    b"DHAV",
    b"DKIF",
    b".RMF",
    b"YUV4MPEG2 ",
    b"nut/multimedia container\x00",
    b"\x00\x00\x01\xba\x44",  # program streams of MPEG-2 and MPEG-1
    b"\x00\x00\x01\xba\x21",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"\xb7\xd8\x00\x20\x37\x49\xda\x11",  # WTV
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",  # MXF
)


def seems_video(head: bytes) -> bool:
    """Return whether a file that begins with `head` is most probably video; a few kinds are missed."""
    if head.startswith(_VIDEO_SIGNATURES):
        return True
    if head[4:8] in (b"moov", b"mdat", b"ftyp"):
        return head[4:8] != b"ftyp" or head[8:12] not in (*_PICTURE_BRANDS, *_OTHER_BRANDS)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return b"matroska" in head[:64] or b"webm" in head[:64]
    if head[:4] == b"RIFF":
        return head[8:12] in (b"AVI ", b"CDXA")
    if head[:4] == b"OggS":
        return b"\x80theora" in head[:64]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"acTL" in head.partition(b"IDAT")[0]
    return any(
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
    return not any(ord(c) < 32 and c not in _TEXT_CONTROLS for c in text) and "\x7f" not in text
