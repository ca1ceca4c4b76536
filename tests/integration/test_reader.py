"""Whether a file can be read at all, which what demuxers say of it does not tell."""

from __future__ import annotations

import os
from pathlib import Path

from pyprocessor.inspect import reader
from pyprocessor.inspect.reader import is_away


def test_a_damaged_file_is_there(tmp_path: Path) -> None:
    """However little of it makes sense."""
    path = tmp_path / "a.mp4"
    path.write_bytes(os.urandom(3_000_000))
    assert not is_away(os.fsencode(path))


def test_a_file_that_cannot_be_read_is_away(tmp_path: Path) -> None:
    """One that is gone, and one whose reading fails: memory of a process that nothing is mapped to gives EIO."""
    assert is_away(os.fsencode(tmp_path / "gone.mp4"))
    if os.path.exists("/proc/self/mem"):
        assert is_away(b"/proc/self/mem")


def test_only_so_much_is_read(tmp_path: Path) -> None:
    """A file of a terabyte, which is mostly holes, takes no longer than a smaller one."""
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.truncate(min(1 << 40, reader.READ_AGAIN_BYTES * 1000))
    assert not is_away(os.fsencode(path))
