"""Readings of made-up machines: the limits of all kinds of control groups, disks, pressure, and clocks that jump."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.integration.machines import GIB, Machine

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and control groups, which only Linux has")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without control groups."""
    made_up = Machine(tmp_path)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(made_up.proc))
    return made_up


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
def test_active_page_cache_is_room_but_not_what_is_mapped(machine: Machine) -> None:
    """Cache that was used twice goes before anything is killed; program text would be wanted back at once."""
    machine.v2("/app")
    machine.v2_level("app", str(4 * GIB), 3 * GIB, inactive=GIB // 2, active=GIB, mapped=GIB // 4)
    assert machine.read().used_memory_bytes == 3 * GIB - GIB // 2 - 3 * GIB // 4
    machine.v2_level("app", str(4 * GIB), 3 * GIB, active=GIB // 4, mapped=GIB)
    assert machine.read().used_memory_bytes == 3 * GIB


@linux_only
def test_v1_group_that_does_not_count_its_children(machine: Machine) -> None:
    """Without `use_hierarchy` the groups above have no say."""
    machine.v1("memory", "/a/b")
    machine.v1_level("a/b", 3 * GIB, 0)
    machine.v1_level("a", GIB, 0)
    assert machine.read().total_memory_bytes == GIB
    machine.write("memory/a/memory.use_hierarchy", "0\n")
    assert machine.read().total_memory_bytes == 3 * GIB


@linux_only
def test_v1_limit_around_a_container_is_known(machine: Machine) -> None:
    """The tightest limit of all that version 1 tells counts where its group cannot be seen."""
    machine.v1("memory", "/docker/abc", mount_root="/docker/abc")
    machine.v1_level(".", 9223372036854771712, GIB)
    machine.write("memory/memory.stat", f"hierarchical_memory_limit {2 * GIB}\ntotal_inactive_file {GIB // 2}\n")
    reading = machine.read()
    assert (reading.total_memory_bytes, reading.used_memory_bytes) == (2 * GIB, GIB // 2)


# ---------------------------------------------------------------- quick readings


@linux_only
def test_a_quick_reading_sees_memory_and_kills_and_keeps_the_rest(machine: Machine) -> None:
    """What grows fast is read again; the machine's pressure is that of the last full reading."""
    machine.v2("/app")
    machine.v2_level("app", str(2 * GIB), GIB)
    machine.write("unified/app/memory.events", "oom_kill 0\n")
    machine.write("proc/pressure/cpu", "some avg10=7.00 avg60=0\n")
    sampler = machine.sampler()
    sampler.read((), 1.0)
    machine.v2_level("app", str(2 * GIB), 3 * GIB // 2, inactive=GIB // 4)
    machine.write("unified/app/memory.events", "oom_kill 1\n")
    machine.write("proc/pressure/cpu", "some avg10=99.00 avg60=0\n")
    quick = sampler.fast((), 1.05)
    assert (quick.monotonic_seconds, quick.total_memory_bytes, quick.used_memory_bytes) == (1.05, 2 * GIB, 5 * GIB // 4)
    assert (quick.oom_kills, quick.waiting_percent) == (1, 7.0)
    full = sampler.read((), 1.5)
    assert (full.used_memory_bytes, full.waiting_percent) == (5 * GIB // 4, 99.0)


@linux_only
def test_the_first_quick_reading_is_a_full_one(machine: Machine) -> None:
    """There is nothing yet to take the rest from."""
    machine.write("proc/pressure/io", "some avg10=3.50 avg60=0\n")
    assert machine.sampler().fast((), 1.0).waiting_percent == 3.5


# ---------------------------------------------------------------- pressure, disks and clocks


@linux_only
def test_waiting_is_the_highest_pressure_of_all(machine: Machine) -> None:
    """Of cpu, io and memory, of the machine and our group; `full` is of memory alone."""
    machine.v2("/app")
    machine.v2_level("app", "max", 0)
    machine.write("proc/pressure/cpu", "some avg10=10.00 avg60=0\nfull avg10=0.00\n")
    machine.write("proc/pressure/io", "some avg10=20.00 avg60=0\nfull avg10=15.00\n")
    machine.write("proc/pressure/memory", "some avg10=5.00 avg60=0\nfull avg10=2.00\n")
    reading = machine.read()
    assert (reading.waiting_percent, reading.memory_pressure_full) == (20.0, 2.0)
    machine.write("unified/app/cpu.pressure", "some avg10=30.25 avg60=0\n")
    assert machine.read().waiting_percent == 30.25


@linux_only
def test_disks_count_once(machine: Machine) -> None:
    """Neither a partition, nor what is made of other disks, nor memory that looks like a disk counts again."""
    for name in ("vda", "loop0", "zram0"):
        machine.disk(name)
    machine.disk("dm-0", made_of="vda")
    machine.disk_sectors(vda=(0, 0), vda1=(0, 0), dm_0=(0, 0), loop0=(0, 0), zram0=(0, 0))
    sampler = machine.sampler()
    assert sampler.read((), 1.0).disk_bytes_per_second == 0.0
    machine.disk_sectors(vda=(100, 300), vda1=(100, 300), dm_0=(100, 300), loop0=(50, 50), zram0=(9, 9))
    assert sampler.read((), 3.0).disk_bytes_per_second == 400 * 512 / 2


@linux_only
def test_a_disk_that_is_taken_out_and_put_in_again(machine: Machine) -> None:
    """Counts that go back, or begin high, are no throughput."""
    machine.disk("sda")
    machine.disk("sdb")
    machine.disk_sectors(sda=(1000, 0))
    sampler = machine.sampler()
    sampler.read((), 1.0)
    machine.disk_sectors(sda=(10, 0), sdb=(5000, 0))
    assert sampler.read((), 2.0).disk_bytes_per_second == 0.0


@linux_only
def test_a_clock_that_stands_still_or_jumps_makes_no_nonsense(machine: Machine) -> None:
    """The last rate stays, and what came meanwhile is counted as soon as time goes on, but not across a jump back."""
    machine.disk("vda")
    machine.disk_sectors(vda=(0, 0))
    sampler = machine.sampler()
    sampler.read((), 100.0)
    machine.disk_sectors(vda=(1000, 0))
    assert sampler.read((), 101.0).disk_bytes_per_second == 512_000
    machine.disk_sectors(vda=(2000, 0))
    assert sampler.read((), 101.0).disk_bytes_per_second == 512_000
    assert sampler.read((), 101.05).disk_bytes_per_second == 512_000
    assert sampler.read((), 103.0).disk_bytes_per_second == 256_000
    machine.disk_sectors(vda=(9000, 0))
    assert sampler.read((), 50.0).disk_bytes_per_second == 256_000
    machine.disk_sectors(vda=(10_000, 0))
    assert sampler.read((), 54.0).disk_bytes_per_second == 128_000
    assert sampler.read((), 1e9).disk_bytes_per_second == 0.0
