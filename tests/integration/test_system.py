"""Readings of this machine, processes and their groups, politeness, and file systems."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pyprocessor.models import ProcessIdentity
from pyprocessor.system import kernel
from pyprocessor.system.filesystems import network_filesystem, shares_memory
from pyprocessor.system.processes import be_polite, is_alive, kill_group, process_identity
from pyprocessor.system.sampler import Sampler
from tests.integration.machines import Machine
from tests.waiting import DEADLINE_SECONDS

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and control groups, which only Linux has")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without control groups."""
    return Machine(tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own and has one child in it."""
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, process_group=0)
    assert process.stdout is not None
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


# ---------------------------------------------------------------- this machine


def test_a_reading_of_this_machine_makes_sense(tmp_path: Path) -> None:
    """Totals, usage and counts lie where they must on any machine."""
    reading = Sampler(os.fsencode(tmp_path)).read((), 12.5)
    assert reading.monotonic_seconds == 12.5
    assert 0 < reading.cores <= (os.cpu_count() or 1)
    assert 0 < reading.total_memory_bytes <= psutil.virtual_memory().total
    assert reading.used_memory_bytes >= 0
    assert 1 << 20 < reading.our_memory_bytes < reading.total_memory_bytes
    assert 0 <= reading.cpu_percent <= 100
    assert reading.free_disk_bytes > 0


def test_free_disk_is_known_before_the_output_folder_exists(tmp_path: Path) -> None:
    """The nearest folder that exists is asked."""
    assert Sampler(os.fsencode(tmp_path / "not" / "yet")).read((), 0.0).free_disk_bytes > 0


@posix_only
def test_memory_of_a_tree_is_counted(sleeper: subprocess.Popen[bytes]) -> None:
    """A group's leader and its children add to our memory; a group that is gone adds nothing."""
    assert sleeper.stdout is not None
    sleeper.stdout.readline()
    sampler = Sampler(b"/")
    alone = sampler.read((), 0.0).our_memory_bytes
    together = sampler.read((sleeper.pid, 2**22 + 1), 0.0).our_memory_bytes
    assert together > alone + (2 << 20)


def test_identity_of_a_process() -> None:
    """This process is alive; one with its pid and another start time is not, and no such pid has no identity."""
    identity = process_identity(os.getpid())
    assert identity is not None
    assert is_alive(identity)
    assert not is_alive(ProcessIdentity(identity.pid, identity.start_time - 100))
    assert process_identity(2**22 + 1) is None
    assert not is_alive(ProcessIdentity(2**22 + 1, 0.0))


@posix_only
def test_a_group_is_killed_as_a_whole(sleeper: subprocess.Popen[bytes]) -> None:
    """Leader and child both end; a second call finds nothing."""
    assert sleeper.stdout is not None
    child = psutil.Process(int(sleeper.stdout.readline()))
    leader = process_identity(sleeper.pid)
    assert leader is not None
    assert kill_group(leader)
    sleeper.wait(timeout=DEADLINE_SECONDS)
    child.wait(timeout=DEADLINE_SECONDS)
    assert not is_alive(leader)
    assert not kill_group(leader)


@posix_only
def test_members_outlive_their_leader_but_not_kill_group(sleeper: subprocess.Popen[bytes]) -> None:
    """Where only the leader died, the group can still be ended by it."""
    assert sleeper.stdout is not None
    child = psutil.Process(int(sleeper.stdout.readline()))
    leader = process_identity(sleeper.pid)
    assert leader is not None
    sleeper.kill()
    sleeper.wait(timeout=DEADLINE_SECONDS)
    assert kill_group(leader)
    child.wait(timeout=DEADLINE_SECONDS)


@posix_only
def test_a_reused_pid_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    """A process with the same pid and another start time is not ours to kill."""
    leader = process_identity(sleeper.pid)
    assert leader is not None
    assert not kill_group(ProcessIdentity(leader.pid, leader.start_time - 50))
    assert sleeper.poll() is None


@linux_only
def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    """A process that ended and was not waited for counts as gone."""
    leader = process_identity(sleeper.pid)
    assert leader is not None
    kill_group(leader)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(leader)


# ---------------------------------------------------------------- politeness


def politely(call: str) -> list[str]:
    """Niceness and class of disk access of a process of its own that has made the call."""
    code = (
        "import os, psutil\n"
        "from pyprocessor.system.processes import be_polite\n"
        f"{call}\n"
        "print(os.nice(0), int(psutil.Process().ionice().ioclass))\n"
    )
    return subprocess.check_output([sys.executable, "-c", code], text=True).split()


@linux_only
def test_politeness_is_what_was_asked_for() -> None:
    """Niceness is added to what there was, disk access becomes idle, and nothing is touched unasked."""
    niceness, access = politely("be_polite(0, io_idle=False)")
    assert politely("be_polite(3, io_idle=False)") == [str(min(19, int(niceness) + 3)), access]
    assert politely("be_polite(0, io_idle=True)") == [niceness, str(int(psutil.IOPRIO_CLASS_IDLE))]


@linux_only
@pytest.mark.parametrize(
    "refusal", [PermissionError(1, "not permitted"), OSError(38, "not implemented"), psutil.AccessDenied(1)]
)
def test_a_refusal_to_be_polite_is_no_failure(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    """Both are tried, and both may be refused, as in a container."""
    asked = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise refusal

    monkeypatch.setattr(psutil.Process, "ionice", refuse)
    if isinstance(refusal, OSError):
        monkeypatch.setattr(os, "nice", refuse)
        be_polite(5, io_idle=True)
        assert len(asked) == 2
    else:
        be_polite(0, io_idle=True)
        assert len(asked) == 1


# ---------------------------------------------------------------- file systems


@linux_only
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("9p", True), ("ext4", False), ("tmpfs", False)],
)
def test_network_file_systems(machine: Machine, kind: str, expected: bool) -> None:
    """The mount with the longest matching path decides; its escaped blanks are understood."""
    folder = machine.root / "my films"
    (folder / "out").mkdir(parents=True)
    machine.mounts.append(f"40 20 0:50 / {str(folder).replace(' ', chr(92) + '040')} rw - {kind} server:/x rw")
    machine.membership()
    assert network_filesystem(os.fsencode(folder / "out"), proc=str(machine.proc)) is expected
    assert not network_filesystem(os.fsencode(machine.root), proc=str(machine.proc))
    assert not network_filesystem(os.fsencode(machine.root / "my films 2"), proc=str(machine.proc))


@linux_only
@pytest.mark.parametrize(("kind", "expected"), [("btrfs", False), ("nfs4", False), ("ext4", True), ("xfs", True)])
def test_where_files_are_shared_memory(machine: Machine, kind: str, expected: bool) -> None:
    """Neither over a network nor where every write into a mapped file takes room anew."""
    machine.mounts.append(f"40 20 0:50 / {machine.root} rw - {kind} /dev/sdb rw")
    machine.membership()
    assert shares_memory(os.fsencode(machine.root / "out"), proc=str(machine.proc)) is expected


def test_a_file_of_the_kernel_is_read_to_its_end(tmp_path: Path) -> None:
    """It comes in blocks that may be short in the middle, as /proc/self/mountinfo does with long lines."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def write() -> None:
        with open(fifo, "wb", buffering=0) as file:
            for block in (b"a" * 100, b"b" * 5000, b"c" * 100):
                file.write(block)
                time.sleep(0.05)  # so that each is read by itself; that it is read as one passes as well

    writer = threading.Thread(target=write)
    writer.start()
    assert kernel.read(str(fifo)) == b"a" * 100 + b"b" * 5000 + b"c" * 100
    writer.join()
