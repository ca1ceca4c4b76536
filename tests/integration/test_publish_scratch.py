"""The temporary folder of a process: its own while it lives, removed by the next when it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pyprocessor.publish import scratch
from pyprocessor.publish.scratch import remove_scratch, scratch_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks and no forkserver")
OWNER = (
    "import sys; from pyprocessor.publish.scratch import scratch_folder; print(scratch_folder(), flush=True); input()"
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the system's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def owner(temporary: Path) -> tuple[subprocess.Popen[str], str]:
    """Another process that has a folder until its standard input closes or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_what_a_kill_left_is_removed_and_what_lives_is_not(temporary: Path) -> None:
    """The lock goes with the process; files of others are not looked at."""
    (temporary / "somebody's").mkdir()
    process, theirs = owner(temporary)
    with process:
        Path(theirs, "listener").touch()
        first = scratch_folder()
        assert {entry.name for entry in temporary.iterdir()} == {"somebody's", Path(theirs).name, Path(first).name}
        process.kill()
        process.wait()
        second = scratch_folder()
        assert {entry.name for entry in temporary.iterdir()} == {"somebody's", Path(first).name, Path(second).name}
    for path in (first, second):
        assert Path(path).stat().st_mode & 0o777 == 0o700
        remove_scratch(path)
    assert [entry.name for entry in temporary.iterdir()] == ["somebody's"]


def test_a_system_without_locks_is_no_hindrance(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a folder all the same, and none is taken for a leftover."""
    monkeypatch.setattr(scratch, "_lock", lambda path: None)
    first = scratch_folder()
    second = scratch_folder()
    assert {entry.name for entry in temporary.iterdir()} == {Path(first).name, Path(second).name}
