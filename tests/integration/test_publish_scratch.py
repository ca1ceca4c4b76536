"""Folders for sockets: removed by the process that made them, or by whoever comes after it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.publish.scratch import PREFIX, make_scratch, sweep_scratch

pytestmark = pytest.mark.skipif(os.name != "posix", reason="only POSIX has a forkserver")
PROGRAM = """
import sys
from multiprocessing import util
from pyprocessor.engine.child import context, warm_up
context("forkserver")
warm_up()
print(util.get_temp_dir(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def above(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that nobody else uses; its path is short, since sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as path:
        monkeypatch.setenv("TMPDIR", path)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(path)


def test_a_killed_process_leaves_a_folder_and_the_next_one_removes_it(above: Path) -> None:
    """One that ends by itself leaves none, and nobody takes the folder of one that lives."""

    def start() -> tuple[subprocess.Popen[str], Path]:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        return program, Path(program.stdout.readline().strip())

    killed, left = start()
    living, used = start()
    assert left.is_dir()
    assert used.parent == left.parent == above
    killed.kill()
    killed.communicate()
    assert left.is_dir()
    third, own = start()
    assert not left.exists()
    assert used.is_dir()
    for program in (living, third):
        program.communicate("")
    assert not used.exists()
    assert not own.exists()
    assert os.listdir(above) == []


def test_only_our_own_folders_are_removed(above: Path) -> None:
    """Not one without a lock, not a link, not one that is held."""
    (above / f"{PREFIX}without").mkdir()
    foreign = above / "foreign"
    foreign.mkdir()
    (foreign / "lock").touch()
    (above / f"{PREFIX}link").symlink_to(foreign)
    held = make_scratch()
    assert sweep_scratch() == 0
    assert sorted(os.listdir(foreign)) == ["lock"]
    os.close(held.descriptor)
    assert sweep_scratch() == 1
    assert not os.path.exists(held.path)
    assert sweep_scratch() == 0
