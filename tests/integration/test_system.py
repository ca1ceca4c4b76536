"""Readings: real ones of this machine, and made-up /proc and control group trees for all the kinds there are."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pyprocessor.engine.system import (
    Sampler,
    core_count,
    is_alive,
    kill_group,
    network_filesystem,
    process_identity,
)
from pyprocessor.models import ProcessIdentity, Reading

GIB = 1 << 30
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and control groups, which only Linux has")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")


class Machine:
    """A made-up machine of 16 GiB, 12 GiB of them available; control groups are added to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        self.groups: list[str] = []
        self.mounts: list[str] = ["20 1 8:1 / / rw - ext4 /dev/sda rw"]
        self.write("proc/meminfo", f"MemTotal: {16 << 20} kB\nMemFree: 1 kB\nMemAvailable: {12 << 20} kB\n")
        self.membership()

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def membership(self) -> None:
        self.write("proc/self/cgroup", "".join(f"{line}\n" for line in self.groups))
        self.write("proc/self/mountinfo", "".join(f"{line}\n" for line in self.mounts))

    def v2(self, own: str, mount_root: str = "/") -> None:
        self.groups.append(f"0::{own}")
        self.mounts.append(f"31 20 0:41 {mount_root} {self.root}/unified rw shared:4 - cgroup2 cgroup2 rw,nsdelegate")
        (self.root / "unified").mkdir(exist_ok=True)
        self.membership()

    def v1(self, controller: str, own: str, mount_root: str = "/") -> None:
        self.groups.append(f"{len(self.groups) + 4}:{controller}:{own}")
        mounted = f"{self.root}/{controller}".replace(" ", "\\040")
        self.mounts.append(f"32 20 0:35 {mount_root} {mounted} rw - cgroup cgroup rw,{controller}")
        (self.root / controller).mkdir(exist_ok=True)
        self.membership()

    def v2_level(self, path: str, limit: str, used: int, inactive: int = 0, high: str = "max") -> None:
        self.write(f"unified/{path}/memory.max", f"{limit}\n")
        self.write(f"unified/{path}/memory.high", f"{high}\n")
        self.write(f"unified/{path}/memory.current", f"{used}\n")
        self.write(f"unified/{path}/memory.stat", f"anon 1\ninactive_file {inactive}\nactive_file 9\n")

    def v1_level(self, path: str, limit: int, used: int, inactive: int = 0) -> None:
        self.write(f"memory/{path}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"memory/{path}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"memory/{path}/memory.stat", f"inactive_file 3\ntotal_inactive_file {inactive}\n")

    def sampler(self) -> Sampler:
        return Sampler(os.fsencode(self.root), proc=str(self.proc))

    def read(self) -> Reading:
        return self.sampler().read((), 1.0)


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
    assert core_count() >= 1


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
    sleeper.wait(timeout=60)
    child.wait(timeout=60)
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
    sleeper.wait(timeout=60)
    assert kill_group(leader)
    child.wait(timeout=60)


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


# ---------------------------------------------------------------- made-up machines


@linux_only
def test_without_control_groups_the_machine_is_the_limit(machine: Machine) -> None:
    """Total and used are those of /proc/meminfo, and what the kernel lacks is None."""
    reading = machine.read()
    assert (reading.total_memory_bytes, reading.used_memory_bytes) == (16 * GIB, 4 * GIB)
    assert reading.memory_pressure_full is None
    assert reading.oom_kills is None
    assert reading.cores == len(os.sched_getaffinity(0))


@linux_only
def test_v2_tightest_ancestor_wins_and_inactive_file_does_not_count(machine: Machine) -> None:
    """`max` is no limit, the parent's limit is found, and page cache is taken off."""
    machine.v2("/user/app")
    machine.v2_level("user/app", "max", GIB)
    machine.v2_level("user", str(2 * GIB), GIB, inactive=GIB // 4)
    machine.write("unified/user/app/memory.events", "low 0\noom 3\noom_kill 2\n")
    machine.write("unified/user/app/memory.pressure", "some avg10=9.00 avg60=0 avg300=0 total=1\nfull avg10=1.50 a=0\n")
    machine.write("proc/pressure/memory", "some avg10=0.00 total=1\nfull avg10=0.25 avg60=0.00 total=1\n")
    reading = machine.read()
    assert (reading.total_memory_bytes, reading.used_memory_bytes) == (2 * GIB, 3 * GIB // 4)
    assert reading.oom_kills == 2
    assert reading.memory_pressure_full == 1.5


@linux_only
def test_v2_memory_high_is_a_limit(machine: Machine) -> None:
    """Above `memory.high` the kernel throttles, so it counts as the limit."""
    machine.v2("/app")
    machine.v2_level("app", str(4 * GIB), 0, high=str(GIB))
    assert machine.read().total_memory_bytes == GIB


@linux_only
def test_the_level_with_least_room_decides(machine: Machine) -> None:
    """A parent nearly filled by others leaves no more room than it has, although its limit is the larger one."""
    machine.v2("/slice/app")
    machine.v2_level("slice/app", str(4 * GIB), GIB)
    machine.v2_level("slice", str(8 * GIB), 15 * GIB // 2)
    reading = machine.read()
    assert reading.total_memory_bytes == 4 * GIB
    assert reading.total_memory_bytes - reading.used_memory_bytes == GIB // 2


@linux_only
def test_v1_limits_and_quota(machine: Machine) -> None:
    """Version 1: its own file names, its own way to say that there is no limit."""
    machine.v1("memory", "/a/b")
    machine.v1("cpu", "/a")
    machine.v1_level("a/b", 3 * GIB, GIB, inactive=GIB // 2)
    machine.v1_level("a", 9223372036854771712, GIB)
    machine.write("memory/a/b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    machine.write("cpu/a/cpu.cfs_quota_us", "50000\n")
    machine.write("cpu/a/cpu.cfs_period_us", "100000\n")
    machine.write("cpu/cpu.cfs_quota_us", "-1\n")
    machine.write("cpu/cpu.cfs_period_us", "100000\n")
    reading = machine.read()
    assert (reading.total_memory_bytes, reading.used_memory_bytes) == (3 * GIB, GIB // 2)
    assert reading.oom_kills == 5
    assert reading.cores == 0.5


@linux_only
def test_v2_quota_of_an_ancestor(machine: Machine) -> None:
    """The tightest CPU quota on the way up counts."""
    machine.v2("/a/b")
    machine.write("unified/a/b/cpu.max", "max 100000\n")
    machine.write("unified/a/cpu.max", "25000 100000\n")
    assert machine.read().cores == 0.25


@linux_only
def test_hybrid_finds_the_version_one_memory_controller(machine: Machine) -> None:
    """`0::/` without a memory controller there does not hide the limit of version 1."""
    machine.v2("/")
    machine.v1("memory", "/box")
    machine.write("unified/cgroup.controllers", "hugetlb\n")
    machine.v1_level("box", GIB, GIB // 4)
    reading = machine.read()
    assert (reading.total_memory_bytes, reading.used_memory_bytes) == (GIB, GIB // 4)


@linux_only
@pytest.mark.parametrize("own", ["/docker/abc", "/", "/../.."])
def test_container_mounts(machine: Machine, own: str) -> None:
    """In a container the mount point itself is our group, whichever way the kernel names it."""
    machine.v2(own, mount_root="/docker/abc" if own.startswith("/docker") else "/")
    machine.v2_level(".", str(GIB), 0)
    assert machine.read().total_memory_bytes == GIB


@linux_only
def test_control_group_that_vanishes(machine: Machine) -> None:
    """Files that go away are no limit any more; where we were moved to is found again."""
    machine.v2("/old")
    machine.v2_level("old", str(GIB), 0)
    sampler = machine.sampler()
    assert sampler.read((), 0.0).total_memory_bytes == GIB
    (machine.root / "unified/old/memory.max").unlink()
    assert sampler.read((), 0.0).total_memory_bytes == 16 * GIB
    for file in (machine.root / "unified/old").iterdir():
        file.unlink()
    (machine.root / "unified/old").rmdir()
    machine.v2_level("new", str(2 * GIB), 0)
    machine.write("proc/self/cgroup", "0::/new\n")
    assert sampler.read((), 0.0).total_memory_bytes == 2 * GIB


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
