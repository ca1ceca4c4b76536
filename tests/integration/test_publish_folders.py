"""Giving a whole folder its final name, and the folder for what is not output."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.errors import OutputUnwritable, PublishError
from pyprocessor.publish import folders, renames
from pyprocessor.publish.folders import exchange_folder
from pyprocessor.state.state_folder import prepare_state_folder, state_folder
from tests.process.skips import disk_or_skip

NEW = {b"master.m3u8": b"new", b"720/seg \xff 1.m4s": b"segment"}
OLD = {b"master.m3u8": b"old", b"1080/seg.m4s": b"old segment"}


def write_tree(folder: bytes, files: dict[bytes, bytes]) -> bytes:
    """A folder with these files."""
    for name, held in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as writing:
            writing.write(held)
    return folder


def read_tree(folder: bytes) -> dict[bytes, bytes]:
    """The files of a folder."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb") as reading:
                found[os.path.relpath(os.path.join(place, name), folder)] = reading.read()
    return found


@pytest.fixture(params=["exchange", "two steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Swapping in one step, and what is done where the system cannot."""
    if request.param != "exchange":
        monkeypatch.setattr(renames, "_system_call", lambda: None)
    return str(request.param)


@pytest.fixture(params=["same", "another"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bytes]:
    """Where the final folder lies: on the partials' file system or on another one."""
    if request.param == "same":
        yield bytes(tmp_path / "out")
        return
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield os.path.join(os.fsencode(folder), b"out")


@pytest.fixture
def staged(tmp_path: Path) -> bytes:
    """A finished folder among the partials."""
    return write_tree(os.path.join(bytes(tmp_path), b"partial", b"staged"), NEW)


def test_a_folder_takes_a_free_name(way: str, root: bytes, staged: bytes) -> None:
    """With the folders above it made, and nothing left among the partials."""
    final = os.path.join(root, b"deep", b"film")
    exchange_folder(staged, final)
    assert read_tree(final) == NEW
    assert os.listdir(os.path.dirname(staged)) == []
    assert os.listdir(os.path.dirname(final)) == [b"film"]


def test_a_folder_takes_the_place_of_another(way: str, root: bytes, staged: bytes) -> None:
    """Nothing of the old content is mixed in or left anywhere."""
    final = write_tree(os.path.join(root, b"film"), OLD)
    exchange_folder(staged, final)
    assert read_tree(final) == NEW
    assert os.listdir(os.path.dirname(staged)) == []
    assert os.listdir(root) == [b"film"]


def test_a_file_is_no_folder(way: str, root: bytes, staged: bytes) -> None:
    """A file under the final name is never touched, and the staged folder stays."""
    write_tree(root, {b"film": b"a file"})
    with pytest.raises(PublishError, match="a file of that name lies there"):
        exchange_folder(staged, os.path.join(root, b"film"))
    assert read_tree(root) == {b"film": b"a file"}
    assert read_tree(staged) == NEW


def test_the_old_folder_comes_back(tmp_path: Path, staged: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the second of the two steps fails, the first is undone."""
    monkeypatch.setattr(renames, "_system_call", lambda: None)
    final = write_tree(os.path.join(bytes(tmp_path), b"film"), OLD)
    real = os.rename

    def failing(old: bytes, new: bytes) -> None:
        if old == staged:
            raise OSError(5, "Input/output error")
        real(old, new)

    monkeypatch.setattr(folders.os, "rename", failing)
    with pytest.raises(PublishError, match="input/output error"):
        exchange_folder(staged, final)
    assert read_tree(final) == OLD
    assert read_tree(staged) == NEW


# ---------------------------------------------------------------- the state folder


def test_the_state_folder_is_private(tmp_path: Path) -> None:
    """It is made with all it needs, and the output above it with the user's own permissions."""
    output = os.path.join(bytes(tmp_path), b"new", b"out \xff")
    old = os.umask(0o022)
    try:
        folder = prepare_state_folder(output)
    finally:
        os.umask(old)
    assert folder == state_folder(output) == prepare_state_folder(output)
    assert folder.path == os.path.join(output, b".pyprocessor")
    for path in (folder.path, folder.partials, folder.receipts, folder.logs):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(output).st_mode) == 0o755
    assert os.listdir(folder.partials) == []


@pytest.mark.parametrize(
    ("blocked", "sentence"),
    [
        (b"out", "is not a folder"),
        (b"out/.pyprocessor", "a file stands where a folder is needed"),
        (b"out/.pyprocessor/logs", "a file stands where a folder is needed"),
        (b"", "a file stands where a folder is needed"),
    ],
)
def test_a_file_in_the_way(tmp_path: Path, blocked: bytes, sentence: str) -> None:
    """Wherever it stands, the sentence says so."""
    root = os.path.join(bytes(tmp_path), b"root")
    blocker = os.path.join(root, blocked).rstrip(b"/")
    os.makedirs(os.path.dirname(blocker), exist_ok=True)
    with open(blocker, "wb"):
        pass
    with pytest.raises(OutputUnwritable, match=sentence):
        prepare_state_folder(os.path.join(root, b"out"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission(tmp_path: Path) -> None:
    """The sentence says permission."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputUnwritable, match="permission is denied"):
            prepare_state_folder(bytes(tmp_path))
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(("option", "sentence"), [("ro", "read-only"), ("full", "the disk is full")])
def test_an_output_on_a_disk_that_takes_nothing(tmp_path: Path, option: str, sentence: str) -> None:
    """Read-only and full disks are found out before any work is begun."""
    with disk_or_skip(tmp_path / "disk", 64 << 10) as disk:
        if option == "ro":
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        else:
            with pytest.raises(OSError, match="No space"):
                (disk / "full").write_bytes(bytes(1 << 20))
        with pytest.raises(OutputUnwritable, match=sentence):
            prepare_state_folder(bytes(disk))
