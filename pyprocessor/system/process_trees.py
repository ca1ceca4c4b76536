"""What memory and CPU time do our process trees take? From /proc, or where there is none, psutil."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import psutil

from pyprocessor.models import ProcessReading
from pyprocessor.system.kernel import read

_GONE = (b"Z", b"X", b"x")
"""States of a process that has ended and was not waited for."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """CPU seconds of one process, and of its children that have ended; `started` (any unit) tells reused pids apart."""

    parent: int
    started: float
    own_seconds: float
    reaped_seconds: float

    @property
    def total_seconds(self) -> float:
        return self.own_seconds + self.reaped_seconds


class ProcessCpu:
    """Adds up what a changing set of processes takes.

    The kernel adds all that an ended process took to its parent's time; what was seen of it before is subtracted, so
    that one that lived between two readings counts, too.
    """

    def __init__(self) -> None:
        self._last: Mapping[int, ProcessTimes] = {}
        self._awaited = 0.0

    def since_last(self, current: Mapping[int, ProcessTimes]) -> float:
        """Return CPU seconds since the previous call, of a new process all it took; parents must be read first."""
        last = self._last
        same = {pid for pid, now in current.items() if pid in last and last[pid].started == now.started}
        ended = sum(last[pid].total_seconds for pid in last.keys() - same if self._has_living_ancestor(pid, same))
        spent = sum(now.total_seconds for now in current.values()) - sum(last[pid].total_seconds for pid in same)
        reaped = sum(current[pid].reaped_seconds - last[pid].reaped_seconds for pid in same)
        # A child's time may show in the parent only at the next reading, but not later.
        repeated = min(reaped, self._awaited + ended)
        self._awaited = ended - max(0.0, repeated - self._awaited)
        self._last = dict(current)
        return max(0.0, spent - repeated)

    def _has_living_ancestor(self, pid: int, same: set[int]) -> bool:
        """Return whether an ancestor still runs, to which the kernel has added the ended process's time."""
        for _ in range(len(self._last)):
            if pid in same or pid not in self._last:
                break
            pid = self._last[pid].parent
        return pid in same


class ProcessTrees:
    """Reads this process and the trees below the leaders of our groups."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._has_proc = os.path.isdir(proc)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._tick_seconds = 1 / os.sysconf("SC_CLK_TCK")

    def memory(self, groups: Iterable[int]) -> tuple[int, list[int]]:
        """Return memory in bytes (private of all, largest shared part) and the pids that have it, parents first."""
        if not self._has_proc:
            return _memory_by_psutil(groups)
        own = os.getpid()
        private, shared = 0, 0
        pending = [own, *groups]
        pids: dict[int, None] = {}
        while pending:
            pid = pending.pop()
            fields = (read(f"{self._proc}/{pid}/statm") or b"").split(None, 3)
            if pid in pids or len(fields) < 3:
                continue  # counted already, or just ended
            pids[pid] = None
            resident, common = int(fields[1]), int(fields[2])
            private += resident - common
            shared = max(shared, common)
            if pid != own:
                # Our processes spawn from their main thread alone, so its list of children is the whole one.
                children = read(f"{self._proc}/{pid}/task/{pid}/children") or b""
                pending.extend(int(child) for child in children.split())
        return (private + shared) * self._page, list(pids)

    def times(self, pids: Iterable[int]) -> dict[int, ProcessTimes]:
        """Return the CPU time of each that still runs, read in the order given."""
        if not self._has_proc:
            return _by_psutil(pids, _times)
        found = {}
        for pid in pids:
            if fields := self._stat(pid):
                own, reaped = (sum(map(int, fields[at : at + 2])) * self._tick_seconds for at in (11, 13))
                found[pid] = ProcessTimes(int(fields[1]), int(fields[19]), own, reaped)
        return found

    def processes(self, pids: Iterable[int]) -> dict[int, ProcessReading]:
        """Return those that run or are stopped."""
        if not self._has_proc:
            return _by_psutil(pids, _reading)
        found = {}
        for pid in pids:
            fields = self._stat(pid)
            if fields and fields[0] not in _GONE:
                seconds = (int(fields[11]) + int(fields[12])) * self._tick_seconds
                found[pid] = ProcessReading(pid, int(fields[21]) * self._page, seconds)
        return found

    def _stat(self, pid: int) -> list[bytes]:
        """Return the fields of /proc/PID/stat from the third, the state, on; see proc_pid_stat(5)."""
        # The program's name, in parentheses, may hold anything.
        return (read(f"{self._proc}/{pid}/stat") or b"").rpartition(b")")[2].split()


# ---------------------------------------------------------------- without /proc


def _memory_by_psutil(groups: Iterable[int]) -> tuple[int, list[int]]:
    members = [os.getpid()]
    for processes in _by_psutil(groups, lambda leader: [leader, *leader.children(recursive=True)]).values():
        members += [process.pid for process in processes]
    memory = _by_psutil(dict.fromkeys(members), lambda process: process.memory_info().rss)
    return sum(memory.values()), list(memory)


def _times(process: psutil.Process) -> ProcessTimes:
    times = process.cpu_times()
    reaped = times.children_user + times.children_system
    return ProcessTimes(process.ppid(), process.create_time(), times.user + times.system, reaped)


def _reading(process: psutil.Process) -> ProcessReading | None:
    """Return a reading; None where the process has ended."""
    if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return None
    times = process.cpu_times()
    return ProcessReading(process.pid, process.memory_info().rss, times.user + times.system)


def _by_psutil(pids: Iterable[int], read_one: Callable[[psutil.Process], Found | None]) -> dict[int, Found]:
    """Return what is read of each process that has not ended."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            one = read_one(psutil.Process(pid))
            if one is not None:
                found[pid] = one
    return found
