"""Which limits on memory and cores do control groups (version 1, 2 or both) set us, and what use do they count?

Every level from our own group up to the outermost visible one counts; version 1 also tells the tightest limit of all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pyprocessor.system.filesystems import Mount, mounts
from pyprocessor.system.kernel import entry, number, read

_V1_NO_LIMIT = 1 << 60
"""Version 1 says "no limit" as the largest multiple of the page size in 63 bits."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Folders of our own control group and its visible ancestors, innermost first."""

    memory_v1: tuple[str, ...] = ()
    cpu_v1: tuple[str, ...] = ()
    unified: tuple[str, ...] = ()


def membership(proc: str) -> bytes:
    """Return the kernel's list of the groups we are in; it changes when we are moved."""
    return read(f"{proc}/self/cgroup") or b""


def find_levels(proc: str) -> Levels:
    """Return where the control groups of this process are mounted."""
    own: dict[bytes, bytes] = {}
    for line in membership(proc).splitlines():
        _, controllers, path = line.split(b":", 2)
        own |= dict.fromkeys(controllers.split(b","), path)
    folders: dict[bytes, tuple[str, ...]] = {}
    for mount in mounts(proc):
        controllers_there = {"cgroup2": (b"",), "cgroup": mount.options}.get(mount.kind, ())
        for controller in {b"", b"memory", b"cpu"}.intersection(own, controllers_there) - folders.keys():
            folders[controller] = tuple(_ancestry(mount, own[controller]))
    return Levels(*(folders.get(controller, ()) for controller in (b"memory", b"cpu", b"")))


def _ancestry(mount: Mount, own: bytes) -> Iterator[str]:
    """Yield folders from our own group up to the mount point, which in a container may show only a part of the tree."""
    root = mount.root.rstrip(b"/")
    if own == root or own.startswith(root + b"/"):
        own = own[len(root) :]
    parts = [p for p in own.split(b"/") if p]
    if b".." in parts:
        parts = []
    for depth in range(len(parts), -1, -1):
        folder = os.path.join(mount.point, *parts[:depth])
        if os.path.isdir(folder):
            yield os.fsdecode(folder)


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The limit of one level, and the usage that the kernel compares with it.

    The sum in `memory.stat`, which the documentation of version 1 calls more exact, leaves out the kernel's own memory.
    """

    limit: int
    usage_path: str
    stat_path: str
    prefix: bytes
    """What precedes the names in `memory.stat` that count the groups below, too."""

    def room(self) -> tuple[int, int] | None:
        """Return limit and usage, less page cache that the kernel drops before it kills; None where the group is gone.

        That is the cache of files, but for what programs have mapped. Active cache is included, because reading an
        output to verify it makes its pages active. (In a group of 600 MB with 315 MB of active cache a process grew to
        525 MB without a kill.)
        """
        used = number(self.usage_path)
        if used is None:
            return None
        stat = read(self.stat_path)
        inactive, active, mapped = (
            entry(stat, self.prefix + name) for name in (b"inactive_file", b"active_file", b"file_mapped")
        )
        return self.limit, max(0, used - inactive - max(0, active - mapped))


def memory_limits(levels: Levels) -> Iterator[MemoryLimit]:
    """Yield the levels that have a limit. Swap does not count: a run should not need any."""
    for folder in levels.unified:
        limits = [number(f"{folder}/{name}") for name in ("memory.max", "memory.high")]
        limit = min((n for n in limits if n is not None), default=None)
        if limit is not None:
            yield MemoryLimit(limit, f"{folder}/memory.current", f"{folder}/memory.stat", b"")
    for depth, folder in enumerate(levels.memory_v1):
        if depth > 0 and number(f"{folder}/memory.use_hierarchy") == 0:
            break  # such a group, of older kernels, does not count what the groups below it take
        limit, stat_path = number(f"{folder}/memory.limit_in_bytes"), f"{folder}/memory.stat"
        if limit is None:
            continue
        # The tightest limit of this group and all above it, those included that a container does not show.
        limit = min(limit, entry(read(stat_path), b"hierarchical_memory_limit", limit))
        if limit < _V1_NO_LIMIT:
            yield MemoryLimit(limit, f"{folder}/memory.usage_in_bytes", stat_path, b"total_")


def oom_kill_files(levels: Levels, proc: str) -> Iterator[str]:
    """Yield files with a count of out-of-memory kills: of our group, else of the machine."""
    yield from (f"{folder}/memory.events" for folder in levels.unified[:1])
    yield from (f"{folder}/memory.oom_control" for folder in levels.memory_v1[:1])
    yield f"{proc}/vmstat"


def _cpu_quotas(levels: Levels) -> Iterator[float]:
    for folder in levels.unified:
        fields = (read(f"{folder}/cpu.max") or b"max").split()
        if len(fields) == 2 and fields[0] != b"max":
            yield int(fields[0]) / int(fields[1])
    for folder in levels.cpu_v1:
        quota, period = number(f"{folder}/cpu.cfs_quota_us") or 0, number(f"{folder}/cpu.cfs_period_us") or 0
        if quota > 0 and period > 0:
            yield quota / period


def cores(levels: Levels) -> float:
    """Return the cores this process may use; a quota may leave it a fraction of one."""
    available = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min((float(available), *_cpu_quotas(levels)))
