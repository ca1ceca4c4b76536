"""Containers are found behind what is not theirs, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from pyprocessor.containers.content import misplaced_container, notes_on_start

AVI = b"RIFF\x10\x27\0\0AVI LIST"
MKV = b"\x1aE\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska"


@pytest.mark.parametrize(("head", "demuxer"), [(AVI, "avi"), (MKV, "matroska"), (b"FLV\x01\x05\0\0\0\x09", "flv")])
@pytest.mark.parametrize("before", [bytes(1000), b"HTTP/1.1 200 OK\r\n\r\n", b"RIFF RIFF "])
def test_a_container_behind_other_bytes_is_found(head: bytes, demuxer: str, before: bytes) -> None:
    """Whatever these are."""
    assert misplaced_container(before + head + bytes(100)) == (len(before), demuxer)


@pytest.mark.parametrize(
    "head", [b"", AVI, bytes(1000), bytes(10) + b"RIFF\0\0\0\0WAVE", bytes(10) + b"\x1aE\xdf\xa3\xa3"]
)
def test_nothing_else_is_taken_for_one(head: bytes) -> None:
    """Neither a container at the file's start, nor what only begins like one."""
    assert misplaced_container(head) is None


def test_a_raw_stream_under_the_name_of_a_container_has_a_note() -> None:
    """The extension tells, in upper or lower case."""
    assert [note.loss for note in notes_on_start("h264", b"a.AVI", 0)] == [
        "read as a raw stream: other tracks are lost"
    ]
    assert notes_on_start("h264", b"a.h264", 0) == ()
    assert notes_on_start("avi", b"a.avi", 0) == ()
