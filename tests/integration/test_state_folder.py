"""The state folder is for its owner alone, whatever it was before."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyprocessor.errors import OutputUnwritable
from pyprocessor.models import display
from pyprocessor.state.state_folder import make_private, prepare_state_folder, state_folder
from tests.process.runs import Recorder, request, run
from tests.process.skips import disk_or_skip

if sys.platform == "win32":
    pytest.skip("Windows has no such rights", allow_module_level=True)


def bits(path: bytes | Path) -> int:
    """The rights as octal digits say them."""
    return os.stat(path).st_mode & 0o777


def test_a_new_one_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """Folder and folders in it."""
    before = os.umask(0)
    try:
        folder = prepare_state_folder(bytes(tmp_path / "out"))
    finally:
        os.umask(before)
    assert {bits(path) for path in (folder.path, folder.partials, folder.receipts, folder.logs)} == {0o700}
    assert make_private(folder) == ()


def test_one_that_others_could_read_is_mended_and_told(tmp_path: Path) -> None:
    """Once."""
    folder = prepare_state_folder(bytes(tmp_path / "out"))
    os.chmod(folder.path, 0o755)
    os.chmod(folder.logs, 0o777)
    (told,) = make_private(folder)
    assert display(folder.path) in told
    assert "for its owner alone again" in told
    assert (bits(folder.path), bits(folder.logs)) == (0o700, 0o700)
    assert make_private(folder) == ()


def test_one_that_belongs_to_another_is_told(tmp_path: Path) -> None:
    """It cannot be mended, and cannot be trusted."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = prepare_state_folder(bytes(tmp_path / "out"))
    os.chmod(folder.path, 0o777)
    os.chown(folder.path, 12345, 12345)
    (told,) = make_private(folder)
    assert "belongs to another user" in told
    os.chown(folder.path, 0, 0)


def test_what_a_run_leaves_there_is_private(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """A run mends the folder and says so; journal, lock, receipts and logs are for the owner alone by themselves."""
    make_clip(tmp_path / "in" / "a.mp4")
    (tmp_path / "in" / "bad.mp4").write_text("words")
    state = tmp_path / "out" / ".pyprocessor"
    state.mkdir(parents=True, mode=0o755)
    recorder = Recorder()
    run(request(tmp_path / "in", tmp_path / "out"), recorder)
    assert any("for its owner alone again" in text for _, text in recorder.notices)
    assert bits(state) == 0o700
    loose = {path.name: oct(bits(path)) for path in state.rglob("*") if path.is_file() and bits(path) & 0o077}
    assert loose == {}


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
