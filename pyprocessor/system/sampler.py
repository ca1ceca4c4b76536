"""How much memory, CPU, disk and pressure is there now? Full readings, and quick ones while memory may grow fast.

On two busy cores a full reading of 6 ffmpegs took 0.9 ms of CPU, a quick one 0.4 ms (`tests/benchmarks/sampler.py`
measures it).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace

import psutil

from pyprocessor.models import Reading
from pyprocessor.system.cgroups import MemoryLimit, cores, find_levels, membership, memory_limits, oom_kill_files
from pyprocessor.system.filesystems import free_disk_bytes
from pyprocessor.system.kernel import average_of_10_seconds, entry, read
from pyprocessor.system.process_trees import ProcessCpu, ProcessTrees

_SHORTEST_SPAN_SECONDS = 0.1
"""CPU time is counted in hundredths of a second: over less than ten of them a rate is meaningless."""
_IN_MEMORY = ("loop", "ram", "zram")
"""Names of devices that are no disks: their bytes are memory, or count for the disk that a file lies on."""


class Sampler:
    """Takes readings. `output_folder`, whose free space is read, may not exist; `proc` and `sysfs` are for tests."""

    def __init__(self, output_folder: bytes, *, proc: str = "/proc", sysfs: str = "/sys") -> None:
        self._output = output_folder
        self._proc = proc
        self.trees = ProcessTrees(proc)
        self._disks = Disks(sysfs)
        self._spending = ProcessCpu()
        self._membership = membership(proc)
        self._levels = find_levels(proc)
        self._limits: tuple[MemoryLimit, ...] = ()
        self._kills_path: str | None = None
        self._rates: tuple[float, float, float] | None = None
        self._rates_since = 0.0
        self._last: Reading | None = None
        psutil.cpu_percent()  # the next call tells the load since this one

    def read(self, groups: Iterable[int], now: float) -> Reading:
        """Return a full reading; `groups` are the leaders of our process groups, `now` monotonic seconds.

        Rates are over the time since the full reading before; those of the first are 0.
        """
        self._follow_moves()
        self._limits = tuple(memory_limits(self._levels))
        total, used, _ = self._memory()
        may_use = cores(self._levels)
        memory, pids = self.trees.memory(groups)
        cpu_percent, our_cpu_percent, disk_rate = self._rates_at(now, pids, may_use)
        full, waiting = self._pressure()
        self._last = Reading(
            monotonic_seconds=now,
            cores=may_use,
            total_memory_bytes=total,
            used_memory_bytes=used,
            our_memory_bytes=memory,
            cpu_percent=cpu_percent,
            free_disk_bytes=free_disk_bytes(self._output),
            memory_pressure_full=full,
            oom_kills=self._oom_kills(),
            our_cpu_percent=our_cpu_percent,
            disk_bytes_per_second=disk_rate,
            waiting_percent=waiting,
        )
        return self._last

    def fast(self, groups: Iterable[int], now: float) -> Reading:
        """Return the last full reading with memory and kills as they are now; a full one where a group is gone."""
        groups = tuple(groups)
        total, used, complete = self._memory()
        if self._last is None or not complete:
            return self.read(groups, now)
        kills = None if self._kills_path is None else entry(read(self._kills_path), b"oom_kill", -1)
        return replace(
            self._last,
            monotonic_seconds=now,
            total_memory_bytes=total,
            used_memory_bytes=used,
            our_memory_bytes=self.trees.memory(groups)[0],
            oom_kills=self._last.oom_kills if kills == -1 else kills,
        )

    def _follow_moves(self) -> None:
        """Find our control groups again when we were moved, or ours were removed."""
        current = membership(self._proc)
        own = (*self._levels.unified[:1], *self._levels.memory_v1[:1])
        if current != self._membership or not all(map(os.path.isdir, own)):
            self._membership = current
            self._levels = find_levels(self._proc)

    def _memory(self) -> tuple[int, int, bool]:
        """Return the tightest limit, what the fullest level leaves of it as used, and whether all were read."""
        meminfo = read(f"{self._proc}/meminfo")
        whole, available = (1024 * entry(meminfo, key) for key in (b"MemTotal:", b"MemAvailable:"))
        if not (whole and available):
            machine = psutil.virtual_memory()
            whole, available = machine.total, machine.available
        found = [limit.room() for limit in self._limits]
        rooms = [(whole, whole - available), *(room for room in found if room is not None)]
        total = min(limit for limit, _ in rooms)
        return total, max(0, total - min(limit - used for limit, used in rooms)), None not in found

    def _rates_at(self, now: float, pids: list[int], may_use: float) -> tuple[float, float, float]:
        """Return CPU of all and of ours in percent, and disk bytes a second, since the last full reading."""
        span = now - self._rates_since
        if self._rates is not None and 0 <= span < _SHORTEST_SPAN_SECONDS:
            return self._rates
        spent, moved = self._spending.since_last(self.trees.times(pids)), self._disks.since_last()
        machine, self._rates_since = psutil.cpu_percent(), now
        if self._rates is None:
            self._rates = machine, 0.0, 0.0
        elif span > 0:
            self._rates = machine, min(100.0, 100 * spent / (span * may_use)), moved / span
        return self._rates

    def _pressure(self) -> tuple[float | None, float | None]:
        """Return memory's `full avg10` and the highest `some avg10`, the higher one of the machine and our group."""
        full, some = [], []
        for resource in ("cpu", "io", "memory"):
            own = [f"{folder}/{resource}.pressure" for folder in self._levels.unified[:1]]
            for text in map(read, [f"{self._proc}/pressure/{resource}", *own]):
                some.append(average_of_10_seconds(text, b"some"))
                if resource == "memory":
                    full.append(average_of_10_seconds(text, b"full"))
        highest = [max((value for value in values if value is not None), default=None) for values in (full, some)]
        return highest[0], highest[1]

    def _oom_kills(self) -> int | None:
        """Return the count of out-of-memory kills in our control group, or where there is none, of the machine."""
        for path in oom_kill_files(self._levels, self._proc):
            value = entry(read(path), b"oom_kill", -1)
            if value >= 0:
                self._kills_path = path
                return value
        self._kills_path = None
        return None


class Disks:
    """Counts bytes by disk, without partitions and what is made of other disks (RAID, LVM, encryption)."""

    def __init__(self, sysfs: str) -> None:
        self._sysfs = sysfs
        self._is_disk: dict[str, bool] = {}
        self._last: dict[str, int] = {}

    def since_last(self) -> int:
        """Return bytes read and written since the previous call; 0 at the first."""
        try:
            disks = psutil.disk_io_counters(perdisk=True, nowrap=False)
        except (OSError, RuntimeError, ValueError, psutil.Error):  # of a system that psutil does not know
            disks = {}
        totals = {name: disk.read_bytes + disk.write_bytes for name, disk in disks.items() if self._counts(name)}
        last, self._last = self._last, totals
        # A disk that is new has no share before; one whose count went back was taken out and put in again.
        return sum(max(0, total - last.get(name, total)) for name, total in totals.items())

    def _counts(self, name: str) -> bool:
        if sys.platform != "linux":
            return True
        if name not in self._is_disk:
            # A partition has no folder of its own here, and what is made of other disks lists them as its slaves.
            folder = f"{self._sysfs}/block/{name.replace('/', '!')}"
            made_of_others = os.path.isdir(f"{folder}/slaves") and bool(os.listdir(f"{folder}/slaves"))
            in_memory = name.rstrip("0123456789") in _IN_MEMORY
            self._is_disk[name] = os.path.isdir(folder) and not made_of_others and not in_memory
        return self._is_disk[name]
