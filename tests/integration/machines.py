"""A made-up machine: /proc, /sys and control group trees in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from pyprocessor.models import Reading
from pyprocessor.system.sampler import Sampler

GIB = 1 << 30


class Machine:
    """A made-up machine of 16 GiB, 12 GiB of them available; control groups are added to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        self.groups: list[str] = []
        self.mounts: list[str] = ["20 1 8:1 / / rw - ext4 /dev/sda rw"]
        self.write("proc/meminfo", f"MemTotal: {16 << 20} kB\nMemFree: 1 kB\nMemAvailable: {12 << 20} kB\n")
        self.write("proc/stat", "cpu  10 0 10 100 0 0 0 0 0 0\n")
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

    def v2_level(
        self, path: str, limit: str, used: int, inactive: int = 0, high: str = "max", active: int = 0, mapped: int = 0
    ) -> None:
        self.write(f"unified/{path}/memory.max", f"{limit}\n")
        self.write(f"unified/{path}/memory.high", f"{high}\n")
        self.write(f"unified/{path}/memory.current", f"{used}\n")
        text = f"anon 1\nfile_mapped {mapped}\ninactive_file {inactive}\nactive_file {active}\n"
        self.write(f"unified/{path}/memory.stat", text)

    def v1_level(self, path: str, limit: int, used: int, inactive: int = 0) -> None:
        self.write(f"memory/{path}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"memory/{path}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"memory/{path}/memory.stat", f"inactive_file 3\ntotal_inactive_file {inactive}\n")

    def disk(self, name: str, *, made_of: str | None = None) -> None:
        (self.root / "sys/block" / name / "slaves" / (made_of or "")).mkdir(parents=True)

    def disk_sectors(self, **read_and_written: tuple[int, int]) -> None:
        """Fill diskstats by the devices' names; a dash in a name is written as an underscore."""
        lines = [
            f" 254 {number} {name.replace('_', '-')} 5 0 {read} 7 9 0 {written} 11 0 13 15\n"
            for number, (name, (read, written)) in enumerate(read_and_written.items())
        ]
        self.write("proc/diskstats", "".join(lines))

    def sampler(self) -> Sampler:
        return Sampler(os.fsencode(self.root), proc=str(self.proc), sysfs=str(self.root / "sys"))

    def read(self) -> Reading:
        return self.sampler().read((), 1.0)
