"""Folders for sockets: removed by the process that made them, or by whoever comes after it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pyprocessor.models import ProcessIdentity
from pyprocessor.state.scratch import PREFIX, forget_process, make_scratch, note_process, sweep_scratch
from pyprocessor.system.processes import is_alive, process_identity
from tests.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="only POSIX has a forkserver")
PROGRAM = """
import sys
from multiprocessing import util
from pyprocessor.workers.process import context, warm_up
context("forkserver")
warm_up()
print(util.get_temp_dir(), flush=True)
sys.stdin.read()
"""

WITH_AN_INSPECTOR = """
import sys
from multiprocessing import forkserver, resource_tracker
from pyprocessor.workers.process import Child, context
from pyprocessor.intake.inspector import inspector_main
from pyprocessor.intake.messages import ScanPlan
from pyprocessor.profiles import load
plan = ScanPlan((), b"/nowhere", load("fast", environment={}).profile, ages_from_ns=0, lists=False)
child = Child(context(sys.argv[1]), inspector_main, plan, "pyprocessor-inspector")
others = (forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid)
print(child.pid, *(pid for pid in others if pid), flush=True)
if sys.argv[2] == "end":
    child.kill()
    assert child.join(60)
else:
    sys.stdin.read()
"""


@pytest.fixture
def above(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that nobody else uses; its path is short, since sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as path:
        monkeypatch.setenv("TMPDIR", path)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(path)


def never(process: ProcessIdentity) -> None:
    """For a sweep that is to find no process."""
    raise AssertionError(process)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_processes_that_stand_still_do_not_outlive_a_killed_engine(method: str, above: Path) -> None:
    """One that runs notices that its pipe is closed. One that was stopped cannot, and keeps others from noticing; the
    next run ends it."""

    def start(then: str) -> tuple[subprocess.Popen[str], list[ProcessIdentity]]:
        program = subprocess.Popen(
            [sys.executable, "-c", WITH_AN_INSPECTOR, method, then],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        found = [process_identity(int(pid)) for pid in program.stdout.readline().split()]
        assert found
        return program, [identity for identity in found if identity is not None]

    killed, left = start("wait")
    try:
        assert len(left) == (3 if method == "forkserver" else 2)
        until(lambda: os.getpgid(left[0].pid) == left[0].pid, "the inspector to lead its group")
        for process in left:
            os.kill(process.pid, signal.SIGSTOP)
        until(lambda: all(psutil.Process(p.pid).status() == "stopped" for p in left), "them to stand still")
        killed.kill()
        killed.wait(DEADLINE_SECONDS)
        killed.stdin.close()  # type: ignore[union-attr]
        killed.stdout.close()  # type: ignore[union-attr] - those that stand still hold its other end
        # The kernel may have ended an inspector whose group the death orphaned, but no other.
        assert any(map(is_alive, left))
        following, own = start("end")
        following.communicate("")
        assert following.returncode == 0
        until(lambda: not any(map(is_alive, (*left, *own))), "all of them to be gone")
        assert os.listdir(above) == []
    finally:
        for process in left:
            if is_alive(process):
                os.kill(process.pid, signal.SIGKILL)


def test_only_those_that_were_not_seen_to_end_are_ended(above: Path) -> None:
    """Of a folder without an owner; a note that was torn as it was written says nothing."""
    held = make_scratch()
    kept, gone = ProcessIdentity(4711, 1234.5), ProcessIdentity(4712, 1234.5)
    note_process(held.path, kept)
    note_process(held.path, gone)
    forget_process(held.path, gone)
    forget_process(held.path, gone)
    (Path(held.path) / "process-4713").write_text("")
    found: list[ProcessIdentity] = []
    assert sweep_scratch(found.append) == 0
    os.close(held.descriptor)
    assert sweep_scratch(found.append) == 1
    assert found == [kept]


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
    assert sweep_scratch(never) == 0
    assert sorted(os.listdir(foreign)) == ["lock"]
    os.close(held.descriptor)
    assert sweep_scratch(never) == 1
    assert not os.path.exists(held.path)
    assert sweep_scratch(never) == 0
