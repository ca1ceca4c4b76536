"""A look at a file's first bytes: what is plainly not video is refused before any demuxer sees it.

Names lie (`holiday.mp4` may be a web page) and a playlist can make a demuxer reach for other files: this comes first.
It costs one read. What it does not recognise goes on to the demuxers, which have the last word.
"""

from __future__ import annotations

HEAD_BYTES = 4096
"""How much of the file's start `refusal` wants to see."""

_PLAYLISTS: tuple[tuple[bytes, str], ...] = (
    (b"#extm3u", "an HLS or M3U playlist"),
    (b"ffconcat", "a concat script"),
    (b"[playlist]", "a playlist"),
    (b"[reference]", "a playlist"),
    (b"<asx", "a playlist"),
    (b"<smil", "a playlist"),
    (b"<mpd", "a DASH manifest"),
    (b"<smoothstreamingmedia", "a Smooth Streaming manifest"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "a drawing (SVG)"),
    (b"<?xml", "an XML document"),
    (b"#!", "a script"),
    (b"%pdf", "a PDF document"),
    (b"{\\rtf", "a text document (RTF)"),
)

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"II*\x00", "a picture (TIFF)"),
    (b"MM\x00*", "a picture (TIFF)"),
    (b"8BPS", "a picture (Photoshop)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an XZ archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x7fELF", "a program (ELF)"),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a program (Java or Mach-O)"),
    (b"SQLite format 3\x00", "a database (SQLite)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
)

_PICTURE_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"))

_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r\x1b")


def refusal(head: bytes, name: str, size_bytes: int) -> str | None:
    """What the file is, where it is plainly no video ("a ZIP archive", "text"), or None where it may be one.

    `head` is the first `HEAD_BYTES` bytes (all there is of a shorter file), `name` the file's name, of which only the
    extension matters.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:32].lower()
    for words, what in _PLAYLISTS:
        if start.startswith(words):
            return what
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
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


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            text = head[: len(head) & ~1].decode("utf-16")
        except UnicodeDecodeError:
            return False
        return all(c.isprintable() or c in "\t\r\n" for c in text)
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head) or 127 in head:
        return False
    for cut in range(4):  # the head may end inside a character
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return True
    return False
