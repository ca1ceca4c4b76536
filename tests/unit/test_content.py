"""The look at a file's first bytes: what is plainly no video is named, everything else goes on to the demuxers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.containers.content import HEAD_BYTES, refusal, seems_video


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"#EXTM3U\n#EXTINF:10,\nhttp://example.org/a.ts\n", "playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n", "playlist"),
        (b"ffconcat version 1.0\nfile x\n", "concat"),
        (b"  <MPD xmlns='urn:mpeg:dash'>", "DASH"),
        (b"<?xml version='1.0'?><MPD>", "XML"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"[playlist]\nFile1=a\n", "playlist"),
        (b"#!/bin/sh\nrm -rf x\n", "script"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"\0\0\0\x18ftypheic\0\0", "HEIF"),
        (b"PK\x03\x04\x14\0", "ZIP"),
        (b"Rar!\x1a\x07\0", "RAR"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"%PDF-1.7\n%\xe2", "PDF"),
        ("Grüße, das ist kein Film.\n".encode(), "text"),
        ("Ein Brief".encode("utf-16"), "text"),
        (b"\0" * 5000, "zero bytes"),
    ],
)
def test_what_is_no_video_is_named(head: bytes, what: str) -> None:
    """Each is told by what it is, also when its name ends in .mp4."""
    found = refusal(head[:HEAD_BYTES], "film.mp4", len(head))
    assert found is not None
    assert what in found


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
        b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\xf7\x81",
        b"RIFF\x24\0\0\0AVI LIST",
        b"G@\0\x10\0\0\xb0\r" + b"\xff" * 180,
        b"GIF89a\x10\0",
        b"\x89PNG\r\n\x1a\n\0\0",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"YUV4MPEG2 W16 H16 F25:1\nFRAME\n" + b"\x10" * 200,
        b"YUV4MPEG2 W16 H16 F25:1\nFRAME\n" + b"\x80" * 200,
        b"BM but no bitmap\0",
    ],
)
def test_media_pass(head: bytes) -> None:
    """What may be media is left to the demuxers."""
    assert refusal(head, "film", 1_000_000) is None


def packets(*, first: int, size: int) -> bytes:
    """A transport stream of packets of this size, the first sync byte at `first`."""
    return bytes(first) + (b"G" + bytes(size - 1)) * 40


@pytest.mark.parametrize(
    ("head", "video"),
    [
        (packets(first=0, size=188), True),
        (packets(first=4, size=192), True),
        (packets(first=0, size=204), True),
        (packets(first=0, size=188)[:700], False),
        (packets(first=0, size=190), False),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", True),
        (b"\0\0\0\x20ftypM4A \0\0\x02\0", False),
        (b"\0\0\0\x18ftypheic\0\0", False),
        (b"\0\0\0\x18ftypcrx \0\0", False),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", True),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84other", False),
        (b"RIFF\x24\0\0\0AVI LIST", True),
        (b"RIFF\x24\0\0\0WAVEfmt ", False),
        (b"FLV\x01\x05", True),
        (b"DHAV\xfd", True),
        (b"OggS" + bytes(24) + b"\x80theora", True),
        (b"OggS" + bytes(24) + b"OpusHead", False),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08acTL\0\0IDAT", True),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08IDATacTL", False),
        (b"\xff\xd8\xff\xe0", False),
        (b"G" * 50, False),
        (b"", False),
    ],
)
def test_what_is_plainly_video_is_known_by_its_start(head: bytes, video: bool) -> None:
    """Whatever its name; sound and pictures that begin alike are told from it."""
    assert seems_video(head) is video


def test_a_stream_of_jpegs_passes_by_its_name() -> None:
    """A raw MJPEG film starts as a picture does; its extension tells them apart."""
    assert refusal(b"\xff\xd8\xff\xe0", "film.mjpeg", 100_000) is None


def test_text_cut_inside_a_character_is_still_text() -> None:
    """The head may end anywhere."""
    text = ("x" * (HEAD_BYTES - 1) + "é" * 10).encode()
    assert refusal(text[:HEAD_BYTES], "a.mp4", len(text)) == "text"


@given(st.binary(max_size=400), st.text(max_size=10))
def test_no_bytes_make_it_fail(head: bytes, name: str) -> None:
    """Any bytes at all give an answer."""
    assert seems_video(head) in (True, False)
    assert refusal(head, name, len(head)) is None or refusal(head, name, len(head))
