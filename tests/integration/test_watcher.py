"""The watcher as a process of its own over real folders: what it tells, when, and what it costs to look again."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from pyprocessor.intake import file_events as wakeups
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.intake.messages import Found, Looked, PassedOver, Remark, ScanPlan, Vanished
from pyprocessor.intake.watcher import watcher_main
from pyprocessor.models import WatchSettings
from pyprocessor.profiles import load
from pyprocessor.system.filesystems import open_for_writing
from pyprocessor.workers.messages import Report
from pyprocessor.workers.process import Child, context
from tests.waiting import DEADLINE_SECONDS, until


class Looks:
    """The engine's end of one watcher, and all it has said."""

    def __init__(self, root: Path, *, min_age: float, poll: float) -> None:
        profile = load("fast", environment={}).profile
        scan = replace(profile.scan, min_age_seconds=min_age)
        profile = replace(profile, scan=scan, watch=WatchSettings(poll))
        plan = ScanPlan(inputs_of([os.fsencode(root)]), os.fsencode(root.parent / "out"), profile, time.time_ns())
        self.child = Child(context(), watcher_main, plan, "pyprocessor-watcher")
        self.names: list[str] = []
        self.looks = 0
        self.presence: list[str] = []
        self.remarks: list[str] = []

    @property
    def connection(self) -> Connection:
        return self.child.connection

    def until(self, done: Callable[[], bool]) -> None:
        """Listen until this holds."""

        def heard() -> bool:
            while not done() and self.connection.poll():
                match self.connection.recv():
                    case Found(entries):
                        for entry in entries:
                            if isinstance(entry, Remark):
                                self.remarks.append(entry.text)
                            else:
                                path = entry.relative if isinstance(entry, PassedOver) else entry.source.relative
                                self.names.append(os.fsdecode(path))
                    case Looked():
                        self.looks += 1
                    case Vanished(reason):
                        self.presence.append(reason)
                    case Report.REAPPEARED:
                        self.presence.append("there")
            return done()

        until(heard, lambda: (self.names, self.looks, self.presence))

    def more_looks(self, count: int) -> None:
        """Listen through so many more looks."""
        upto = self.looks + count
        self.until(lambda: self.looks >= upto)


@pytest.fixture
def watch() -> Iterator[Callable[..., Looks]]:
    """Starts watchers and ends them."""
    begun: list[Looks] = []

    def start(root: Path, *, min_age: float = 0.5, poll: float = 0.5) -> Looks:
        begun.append(Looks(root, min_age=min_age, poll=poll))
        return begun[-1]

    yield start
    for outlook in begun:
        outlook.child.kill()
        outlook.child.join(5.0)


def aged(path: Path, content: bytes = b"x") -> Path:
    """A file that is there before watching begins. Its ctime is now, so it is young all the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("poll", [0.5, 600.0], ids=["polling", "woken"])
def test_files_are_told_of_once_as_they_come(poll: float, watch: Callable[..., Looks], tmp_path: Path) -> None:
    """Those there at first, one that comes later, a whole tree that is moved in, and one that changes, again."""
    if poll > DEADLINE_SECONDS:
        pytest.importorskip("watchfiles", reason="nothing wakes the watcher without it")
    root = tmp_path / "in"
    aged(root / "first.mp4")
    outlook = watch(root, poll=poll)
    outlook.until(lambda: outlook.names == ["first.mp4"])
    aged(root / "later.mp4")
    outlook.until(lambda: outlook.names[1:] == ["later.mp4"])
    aged(tmp_path / "tree" / "deep" / "moved.mp4")
    (tmp_path / "tree").rename(root / "tree")
    outlook.until(lambda: outlook.names[2:] == ["tree/deep/moved.mp4"])
    aged(root / "first.mp4", b"changed")
    outlook.until(lambda: outlook.names[3:] == ["first.mp4"])


def test_a_file_that_grows_is_left_alone_until_it_stands_still(watch: Callable[..., Looks], tmp_path: Path) -> None:
    """A slow copy through many looks; its writer closes and opens the file for every piece, so only growth tells."""
    root = tmp_path / "in"
    root.mkdir()
    outlook = watch(root, min_age=2.0, poll=0.5)
    for size in range(1, 9):
        with open(root / "slow.mp4", "ab") as file:
            file.write(b"x" * 1000 * size)
        written = time.monotonic()
        outlook.more_looks(1)
        if time.monotonic() - written < 2.0:  # else it did stand still, for this machine was too busy to look
            assert outlook.names == []
    outlook.until(lambda: outlook.names == ["slow.mp4"])
    assert time.monotonic() - written >= 2.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a file open")
def test_a_file_held_open_for_writing_is_left_alone(watch: Callable[..., Looks], tmp_path: Path) -> None:
    """However long it stands still; it is taken when its writer is done. Readers do not matter."""
    root = tmp_path / "in"
    path = aged(root / "held.mp4")
    with open(path, "ab"):
        if not open_for_writing(os.fsencode(path)):
            pytest.skip("this file system does not tell of writers")
        outlook = watch(root, min_age=0.5, poll=0.5)
        outlook.more_looks(4)
        assert outlook.names == []
    with open(path, "rb"):
        outlook.until(lambda: outlook.names == ["held.mp4"])


@pytest.mark.parametrize("poll", [0.5, 600.0], ids=["polling", "woken"])
def test_a_folder_that_is_removed_and_made_again_is_watched_on(
    poll: float, watch: Callable[..., Looks], tmp_path: Path
) -> None:
    """It is told once that it is gone, once that it is back, and what comes then is seen, with or without wake-ups."""
    if poll > DEADLINE_SECONDS:
        pytest.importorskip("watchfiles", reason="nothing wakes the watcher without it")
    root = tmp_path / "in"
    aged(root / "a.mp4")
    outlook = watch(root, poll=poll)
    outlook.until(lambda: outlook.names == ["a.mp4"])
    shutil.rmtree(root)
    outlook.until(lambda: outlook.presence == ["does not exist"])
    outlook.more_looks(2)
    aged(root / "b.mp4")
    outlook.until(lambda: outlook.names == ["a.mp4", "b.mp4"])
    aged(root / "c.mp4")
    outlook.until(lambda: outlook.names == ["a.mp4", "b.mp4", "c.mp4"])
    assert outlook.presence == ["does not exist", "there"]


def test_looking_again_at_thousands_of_known_files_says_and_keeps_nothing(
    watch: Callable[..., Looks], tmp_path: Path
) -> None:
    """5,000 files are sent once; further looks send nothing, and memory does not grow."""
    root = tmp_path / "in"
    for number in range(5000):
        aged(root / f"{number % 20:02d}" / f"{number:05d}.mp4")
    outlook = watch(root, min_age=0.0)
    outlook.until(lambda: len(outlook.names) == 5000)
    outlook.more_looks(1)
    outlook.more_looks(1)
    process = psutil.Process(outlook.child.pid)
    before = process.memory_info().rss
    for _ in range(4):  # each with a deadline of its own: a busy machine walks slowly
        outlook.more_looks(1)
    assert len(outlook.names) == 5000
    assert process.memory_info().rss - before < 2 << 20


def test_without_watchfiles_it_says_so_once_and_polls(
    watch: Callable[..., Looks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is not there costs a sentence and some seconds, nothing else."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "watchfiles.py").write_text("raise ImportError('hidden by the test')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "hidden"))  # which processes of ours inherit
    root = tmp_path / "in"
    root.mkdir()
    outlook = watch(root)
    outlook.more_looks(1)
    aged(root / "a.mp4")
    outlook.until(lambda: outlook.names == ["a.mp4"])
    outlook.more_looks(2)
    assert len(outlook.remarks) == 1
    assert "watchfiles is not installed" in outlook.remarks[0]
    assert "looked at every 0.5 s" in outlook.remarks[0]


def test_a_network_file_system_is_not_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never tells of what other machines do; so it is said, once, that it is looked at regularly instead."""
    monkeypatch.setattr(wakeups, "network_filesystem", lambda path: True)
    listener = wakeups.FileEvents(os.fsencode(tmp_path), os.fsencode(tmp_path / "out"))
    for _ in range(2):
        listener.listen(os.stat(tmp_path))
    assert ["on a network file system" in problem for problem in listener.problems()] == [True]
    assert list(listener.problems()) == []
    listener.stop()


def test_it_ends_when_nobody_listens(watch: Callable[..., Looks], tmp_path: Path) -> None:
    """Its pipe is its life: where the engine is gone the process is gone too."""
    root = tmp_path / "in"
    root.mkdir()
    left = watch(root, poll=600.0)
    left.more_looks(1)
    left.connection.close()
    assert left.child.join(DEADLINE_SECONDS)
