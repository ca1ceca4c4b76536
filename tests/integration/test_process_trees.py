"""Our process trees: real processes that work, stop, end, and come and go between two readings."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from pyprocessor.system.sampler import Sampler
from tests.process.skips import group_or_skip

MIB = 1 << 20
BURNT_SECONDS = 0.3
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and control groups, which only Linux has")

LEADER = """
import subprocess, sys, time
burn = "import time\\nend = time.process_time() + {seconds}\\nwhile time.process_time() < end: pass"
for line in sys.stdin:
    word = line.strip()
    if word == "burn":
        end = time.process_time() + {seconds}
        while time.process_time() < end: pass
    elif word == "child":
        subprocess.run([sys.executable, "-S", "-c", burn], check=True)
    print(word, flush=True)
""".replace("{seconds}", str(BURNT_SECONDS))

INSIDE = """
import os, sys
from pyprocessor.system.sampler import Sampler
sampler = Sampler(b"/")
for number, line in enumerate(sys.stdin):
    take = sampler.fast if line.strip() == "fast" else sampler.read
    print(take((), float(number)).total_memory_bytes, flush=True)
"""


class Talker:
    """A process that does what it is told, and says so when it has."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        self.pid = self.process.pid

    def tell(self, word: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


@pytest.fixture
def leader() -> Iterator[Talker]:
    """A process that leads a group and works when told to."""
    talker = Talker([sys.executable, "-S", "-c", LEADER])
    try:
        assert talker.tell("hello") == "hello"
        yield talker
    finally:
        talker.end()


@pytest.fixture(params=["/proc", "/nowhere"])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    """One that reads /proc, where there is one, and one that has to do without."""
    return Sampler(b"/", proc=request.param)


def cpu_seconds(reading_percent: float, cores: float, span: float) -> float:
    """CPU seconds that a reading's share of all cores stands for."""
    return reading_percent / 100 * cores * span


@pytest.mark.parametrize("work", ["burn", "child"])
def test_cpu_of_our_trees_is_counted(sampler: Sampler, leader: Talker, work: str) -> None:
    """What a process takes, and what a child of its took that started and ended between two readings."""
    if sys.platform == "darwin" and work == "child":
        pytest.skip("macOS does not tell what the children of another process took")
    before = sampler.read((leader.pid,), 0.0)
    assert before.our_cpu_percent == 0.0
    assert leader.tell(work) == work
    reading = sampler.read((leader.pid,), 100.0)
    spent = cpu_seconds(reading.our_cpu_percent, reading.cores, 100.0)
    assert BURNT_SECONDS * 0.9 <= spent <= 20


def test_cpu_of_a_leader_that_ended_is_not_counted_again(sampler: Sampler, leader: Talker) -> None:
    """Waited for by this process, it is found in this process's time, of which its earlier time is taken off."""
    leader.tell("burn")
    sampler.read((leader.pid,), 0.0)
    own = sum(psutil.Process().cpu_times()[:2])
    leader.end()
    reading = sampler.read((leader.pid,), 100.0)
    spent = cpu_seconds(reading.our_cpu_percent, reading.cores, 100.0)
    assert 0 <= spent < sum(psutil.Process().cpu_times()[:2]) - own + BURNT_SECONDS * 0.9


def test_share_of_cpu_is_at_most_all_of_it(sampler: Sampler, leader: Talker) -> None:
    """A process that is new to us and old in years does not make more than 100 %."""
    sampler.read((), 0.0)
    leader.tell("burn")
    assert sampler.read((leader.pid,), 0.1).our_cpu_percent <= 100.0


def test_a_process_is_read(sampler: Sampler, leader: Talker) -> None:
    """Memory and CPU time of a process; no such process is absent."""
    leader.tell("burn")
    reading = sampler.trees.processes([leader.pid, 2**22 + 1])[leader.pid]
    assert list(sampler.trees.processes([2**22 + 1])) == []
    assert reading.pid == leader.pid
    assert reading.memory_bytes > MIB
    assert reading.cpu_seconds >= BURNT_SECONDS * 0.9


@linux_only
def test_a_process_that_ended_is_absent(sampler: Sampler, leader: Talker) -> None:
    """As a zombie and afterwards; its memory is no more counted either."""
    sampler.read((leader.pid,), 0.0)
    assert leader.pid in sampler.trees.processes([leader.pid])
    os.kill(leader.pid, signal.SIGKILL)
    os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
    assert sampler.trees.processes([leader.pid]) == {}
    assert sampler.fast((leader.pid,), 0.1).our_memory_bytes > MIB
    leader.end()
    assert sampler.trees.processes([leader.pid]) == {}
    assert sampler.read((leader.pid,), 1.0).our_memory_bytes > MIB


def test_quick_and_full_readings_see_the_same_memory(sampler: Sampler, leader: Talker) -> None:
    """They count the same processes, as far as two moments can be compared."""
    full = sampler.read((leader.pid,), 0.0)
    quick = sampler.fast((leader.pid,), 0.05)
    assert abs(quick.our_memory_bytes - full.our_memory_bytes) < 32 * MIB
    assert abs(quick.our_memory_bytes - sampler.fast((), 0.1).our_memory_bytes) > MIB


@linux_only
def test_a_real_group_that_we_leave_and_that_is_removed() -> None:
    """Its limit counts while we are inside; once it is gone, a quick reading finds that of the group we are in now."""
    small, large = 300 * MIB, 400 * MIB
    with group_or_skip(large) as other, group_or_skip(small) as group:
        talker = Talker(group.command([sys.executable, "-c", INSIDE]))
        try:
            assert int(talker.tell("read")) == small
            assert int(talker.tell("fast")) == small
            (other.folder / "cgroup.procs").write_text(str(talker.pid))
            assert int(talker.tell("read")) == large
            (group.folder / "cgroup.procs").write_text(str(talker.pid))
            assert int(talker.tell("read")) == small
            (other.folder / "cgroup.procs").write_text(str(talker.pid))
            group.folder.rmdir()
            assert int(talker.tell("fast")) == large
            group.folder.mkdir()  # for the one who made it to remove
        finally:
            talker.end()
