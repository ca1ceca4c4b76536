"""Readings of the machine and of our processes: the only reader of psutil, /proc, control groups and pressure (PSI).

Memory limits come from the machine and from every level of the control groups we are in (version 1, 2 or both); the
one with the least room left decides. macOS and Windows have no control groups, no PSI and no out-of-memory count: there
the readings come from psutil alone.

What this does not cover: a file system that hangs. `statvfs` on the output folder then hangs with it, as does the
journal that lives there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from pyprocessor.models import ProcessIdentity, Reading

_NETWORK_FILE_SYSTEMS = """
    9p acfs afp afpfs afs beegfs ceph cifs coda davfs fuse.ceph fuse.davfs2 fuse.gcsfuse fuse.glusterfs fuse.goofys
    fuse.rclone fuse.s3fs fuse.smbnetfs fuse.sshfs gfs gfs2 glusterfs gpfs lustre mfs ncpfs nfs nfs3 nfs4 ocfs2 orangefs
    panfs pvfs2 smb smb2 smb3 smbfs vboxsf virtiofs vmhgfs webdav
"""
NETWORK_FILE_SYSTEMS = frozenset(_NETWORK_FILE_SYSTEMS.split())
"""Types on which SQLite's shared memory file, and with it its write-ahead log, cannot be relied on."""

_V1_NO_LIMIT = 1 << 60
"""Version 1 says "no limit" as the largest multiple of the page size in 63 bits."""

_START_TIME_TOLERANCE = 1.0
"""Seconds two readings of one start time may differ by, where the wall clock was stepped between them."""


# ---------------------------------------------------------------- processes


def process_identity(pid: int) -> ProcessIdentity | None:
    """The pid with its start time, or None when there is no such process."""
    try:
        return ProcessIdentity(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def be_polite(nice: int, *, io_idle: bool) -> None:
    """Add to this process's niceness, and have its disk access served only when nobody else wants the disk.

    What it spawns inherits both. A system without one of them does without it.
    """
    if nice > 0 and hasattr(os, "nice"):
        os.nice(nice)
    process = psutil.Process()
    if io_idle and sys.platform == "linux":
        process.ionice(psutil.IOPRIO_CLASS_IDLE)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs; one that has ended but was not waited for does not."""
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.start_time) <= _START_TIME_TOLERANCE
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill_group(leader: ProcessIdentity, signal_number: int | None = None) -> bool:
    """Kill (or signal) every process of the group that `leader` leads or led; False when there was none to signal.

    A pid is not given out again while a group bears it, so a leader that is gone may have left members behind, and they
    are reached. A pid that has since been given to another process, or comes from before the machine was started, is
    left alone. On Windows, which has no such groups, the leader and its children are ended.
    """
    if sys.platform == "win32":
        return _end_tree(leader)
    number = signal.SIGKILL if signal_number is None else signal_number
    current = process_identity(leader.pid)
    if current is None and leader.start_time < psutil.boot_time() - _START_TIME_TOLERANCE:
        return False
    if current is not None and abs(current.start_time - leader.start_time) > _START_TIME_TOLERANCE:
        return False
    try:
        if current is not None and os.getpgid(leader.pid) != leader.pid:
            # It was caught before it could make a group of its own: the group it is in is somebody else's.
            os.kill(leader.pid, number)
        else:
            os.killpg(leader.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _end_tree(leader: ProcessIdentity) -> bool:
    if not is_alive(leader):
        return False
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(leader.pid)
        for member in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                member.kill()
    return True


# ---------------------------------------------------------------- file systems


def network_filesystem(path: bytes, *, proc: str = "/proc") -> bool:
    """Whether the folder lies on a file system reached over a network (or shared into a virtual machine)."""
    real = os.path.realpath(path)
    if sys.platform == "win32":
        return os.fsdecode(real).startswith("\\\\")
    return _file_system_type(real, proc).lower() in NETWORK_FILE_SYSTEMS


def _file_system_type(path: bytes, proc: str) -> str:
    mounts = [(m.point, m.kind) for m in _mounts(proc)]
    if not mounts:
        mounts = [(os.fsencode(p.mountpoint), p.fstype) for p in psutil.disk_partitions(all=True)]
    best, kind = -1, ""
    for point, mount_kind in mounts:
        prefix = point.rstrip(b"/")
        # Of two mounts on one point the later one covers the other, so equal lengths win too.
        if len(prefix) >= best and (path == prefix or path.startswith(prefix + b"/")):
            best, kind = len(prefix), mount_kind
    return kind


class _Mount(NamedTuple):
    root: bytes
    point: bytes
    kind: str
    options: tuple[bytes, ...]


def _mounts(proc: str) -> Iterator[_Mount]:
    """The lines of /proc/self/mountinfo, see proc_pid_mountinfo(5)."""
    for line in (_read(f"{proc}/self/mountinfo") or b"").splitlines():
        fields = line.split(b" ")
        if b"-" not in fields[6:]:
            continue
        dash = fields.index(b"-", 6)
        root, point = (_unescaped(f) for f in fields[3:5])
        yield _Mount(root, point, os.fsdecode(fields[dash + 1]), tuple(fields[dash + 3].split(b",")))


def _unescaped(field: bytes) -> bytes:
    """Octal escapes stand for space, tab, newline and backslash."""
    head, *rest = field.split(b"\\")
    return head + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)


# ---------------------------------------------------------------- control groups


@dataclass(frozen=True, slots=True)
class _Levels:
    """Folders of our own control group and its ancestors, innermost first, as far as they can be seen."""

    memory_v1: tuple[str, ...] = ()
    cpu_v1: tuple[str, ...] = ()
    unified: tuple[str, ...] = ()


def _levels(proc: str) -> _Levels:
    """Where the control groups of this process are mounted."""
    own: dict[bytes, bytes] = {}
    for line in (_read(f"{proc}/self/cgroup") or b"").splitlines():
        _, controllers, path = line.split(b":", 2)
        for controller in controllers.split(b","):
            own[controller] = path
    folders: dict[bytes, tuple[str, ...]] = {}
    for mount in _mounts(proc):
        if mount.kind == "cgroup2":
            wanted = [b""]
        elif mount.kind == "cgroup":
            wanted = [c for c in (b"memory", b"cpu") if c in mount.options]
        else:
            continue
        for controller in wanted:
            if controller in own and controller not in folders:
                folders[controller] = tuple(_ancestry(mount, own[controller]))
    return _Levels(folders.get(b"memory", ()), folders.get(b"cpu", ()), folders.get(b"", ()))


def _ancestry(mount: _Mount, own: bytes) -> Iterator[str]:
    """From our own group up to the mount point. In a container the mount may show only a part of the tree."""
    root = mount.root.rstrip(b"/")
    if own == root or own.startswith(root + b"/"):
        own = own[len(root) :]
    parts = [p for p in own.split(b"/") if p]
    for depth in range(len(parts), -1, -1):
        folder = os.path.join(mount.point, *parts[:depth])
        if b".." not in parts and os.path.isdir(folder):
            yield os.fsdecode(folder)
    if b".." in parts:
        yield os.fsdecode(mount.point)


class _Room(NamedTuple):
    limit: int
    used: int


def _rooms(levels: _Levels) -> Iterator[_Room]:
    """Limit and usage of every level that has a limit; usage without what the kernel would drop at once."""
    for folder in levels.unified:
        limits = [_number(f"{folder}/{name}") for name in ("memory.max", "memory.high")]
        limit = min((n for n in limits if n is not None), default=None)
        used = _number(f"{folder}/memory.current")
        if limit is not None and used is not None:
            yield _Room(limit, max(0, used - _entry(f"{folder}/memory.stat", b"inactive_file")))
    for folder in levels.memory_v1:
        limit = _number(f"{folder}/memory.limit_in_bytes")
        used = _number(f"{folder}/memory.usage_in_bytes")
        if limit is not None and limit < _V1_NO_LIMIT and used is not None:
            yield _Room(limit, max(0, used - _entry(f"{folder}/memory.stat", b"total_inactive_file")))


def _cpu_quotas(levels: _Levels) -> Iterator[float]:
    for folder in levels.unified:
        fields = (_read(f"{folder}/cpu.max") or b"max").split()
        if len(fields) == 2 and fields[0] != b"max":
            yield int(fields[0]) / int(fields[1])
    for folder in levels.cpu_v1:
        quota = _number(f"{folder}/cpu.cfs_quota_us")
        period = _number(f"{folder}/cpu.cfs_period_us")
        if quota is not None and period is not None and quota > 0 and period > 0:
            yield quota / period


def _cores(levels: _Levels) -> float:
    if sys.platform == "linux":
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    return min((float(available), *_cpu_quotas(levels)))


def core_count() -> int:
    """Cores this process may use, at least 1: affinity and control group quota taken into account, rounded."""
    return max(1, int(_cores(_levels("/proc")) + 0.5))


# ---------------------------------------------------------------- the sampler


class Sampler:
    """Takes readings. `output_folder` is where free disk space is looked at; it may not exist yet.

    `proc` is where the kernel's process files are, and given by tests only.
    """

    def __init__(self, output_folder: bytes, *, proc: str = "/proc") -> None:
        self._output = output_folder
        self._proc = proc
        self._page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self._levels = _levels(proc)
        psutil.cpu_percent()  # the next call tells the load since this one

    def read(self, groups: Iterable[int], now: float) -> Reading:
        """One sample. `groups` are the pids that lead our process groups, `now` is monotonic time in seconds."""
        if any(not os.path.isdir(f[0]) for f in (self._levels.unified, self._levels.memory_v1) if f):
            self._levels = _levels(self._proc)  # we were moved to another control group
        total, used = self._memory()
        return Reading(
            monotonic_seconds=now,
            cores=_cores(self._levels),
            total_memory_bytes=total,
            used_memory_bytes=used,
            our_memory_bytes=self._our_memory(groups),
            cpu_percent=psutil.cpu_percent(),
            free_disk_bytes=self._free_disk(),
            memory_pressure_full=self._pressure(),
            oom_kills=self._oom_kills(),
        )

    def _memory(self) -> tuple[int, int]:
        """Total and used. The total is the tightest limit; used leaves the room that the fullest level has left."""
        kilobytes = [_entry(f"{self._proc}/meminfo", key) for key in (b"MemTotal:", b"MemAvailable:")]
        if all(kilobytes):
            whole, available = (1024 * value for value in kilobytes)
        else:
            machine = psutil.virtual_memory()
            whole, available = machine.total, machine.available
        rooms = [_Room(whole, whole - available), *_rooms(self._levels)]
        total = min(room.limit for room in rooms)
        return total, max(0, total - min(room.limit - room.used for room in rooms))

    def _our_memory(self, groups: Iterable[int]) -> int:
        """Private memory of this process and of the trees below the groups' leaders, and their largest shared part.

        The shared part is program text and libraries, which many ffmpegs have in common.
        """
        if not os.path.isdir(self._proc):
            return sum(_resident(pid) for pid in {os.getpid(), *groups})
        private, shared = 0, 0
        pending = [os.getpid(), *groups]
        own = pending[0]
        seen: set[int] = set()
        while pending:
            pid = pending.pop()
            if pid in seen:
                continue
            seen.add(pid)
            fields = (_read(f"{self._proc}/{pid}/statm") or b"").split()
            if len(fields) < 3:
                continue  # it has just ended
            resident, common = int(fields[1]), int(fields[2])
            private += resident - common
            shared = max(shared, common)
            if pid != own:
                # Our processes spawn from their main thread alone, so its list of children is the whole one.
                children = _read(f"{self._proc}/{pid}/task/{pid}/children") or b""
                pending.extend(int(child) for child in children.split())
        return (private + shared) * self._page

    def _free_disk(self) -> int:
        folder = self._output
        while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
            folder = os.path.dirname(folder)
        return shutil.disk_usage(folder or b".").free

    def _pressure(self) -> float | None:
        """`full avg10` of the machine or of our own control group, whichever is higher."""
        paths = [f"{self._proc}/pressure/memory", *(f"{f}/memory.pressure" for f in self._levels.unified[:1])]
        values = [v for v in map(_full_avg10, paths) if v is not None]
        return max(values, default=None)

    def _oom_kills(self) -> int | None:
        """How often the kernel has killed for want of memory in our control group, or where there is none, at all."""
        sources = [(f"{f}/memory.events", b"oom_kill") for f in self._levels.unified[:1]]
        sources += [(f"{f}/memory.oom_control", b"oom_kill") for f in self._levels.memory_v1[:1]]
        for path, key in (*sources, (f"{self._proc}/vmstat", b"oom_kill")):
            value = _entry(path, key, -1)
            if value >= 0:
                return value
        return None


def _resident(pid: int) -> int:
    """Resident memory of a process and all below it, where there is no /proc."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *(process.children(recursive=True) if pid != os.getpid() else ())):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return total


# ---------------------------------------------------------------- kernel files


def _read(path: str) -> bytes | None:
    """A kernel file as a whole; None where there is none, or it has just gone with its process or control group."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _number(path: str) -> int | None:
    """A file that holds one number; None where it is missing or says `max`."""
    text = (_read(path) or b"").strip()
    return int(text) if text.lstrip(b"-").isdigit() else None


def _entry(path: str, key: bytes, missing: int = 0) -> int:
    """The number behind `key` in a file of lines "key number"."""
    for line in (_read(path) or b"").splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0] == key:
            return int(fields[1])
    return missing


def _full_avg10(path: str) -> float | None:
    """`full avg10=0.00 avg60=...` in a pressure file, percent of the time."""
    for line in (_read(path) or b"").splitlines():
        if line.startswith(b"full avg10="):
            return float(line.split()[1].removeprefix(b"avg10="))
    return None
