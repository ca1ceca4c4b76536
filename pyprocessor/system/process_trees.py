"""What memory and CPU time do our process trees take? From /proc, or where there is none, psutil."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import psutil

from pyprocessor.models import ProcessReading
from pyprocessor.system.kernel import entry, read

_GONE = (b"Z", b"X", b"x")
"""States of a process that has ended and was not waited for."""
_STOPPED = b"T"

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
        """Return whether an ancestor still runs: the time of what ended below it is now in its own."""
        for _ in range(len(self._last)):
            if pid in same or pid not in self._last:
                break
            pid = self._last[pid].parent
        return pid in same


class ProcessTrees:
    """Reads this process and the trees below the leaders of our groups."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._has_proc = os.path.isdir(proc)
        self._peaks: dict[int, tuple[float, int]] = {}
        sysconf = os.sysconf if hasattr(os, "sysconf") else {"SC_PAGE_SIZE": 4096, "SC_CLK_TCK": 100}.__getitem__
        self._page = sysconf("SC_PAGE_SIZE")
        self._tick_seconds = 1 / sysconf("SC_CLK_TCK")

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

    def processes(self, pids: Iterable[int], *, peaks: bool) -> dict[int, ProcessReading]:
        """Return those that run or are stopped. Without `peaks` each peak is the highest that was read so far."""
        if not self._has_proc:
            return _by_psutil(pids, _reading)
        found = {}
        known: dict[int, tuple[float, int]] = {}
        for pid in pids:
            fields = self._stat(pid)
            if not fields or fields[0] in _GONE:
                continue
            memory, started = int(fields[21]) * self._page, int(fields[19])
            earlier = self._peaks.get(pid, (started, 0))
            peak = max(memory, earlier[1] if earlier[0] == started else 0)
            if peaks:
                peak = max(peak, 1024 * entry(read(f"{self._proc}/{pid}/status"), b"VmHWM:"))
            known[pid] = (started, peak)
            seconds = (int(fields[11]) + int(fields[12])) * self._tick_seconds
            found[pid] = ProcessReading(pid, memory, peak, seconds, suspended=fields[0] == _STOPPED)
        self._peaks = known
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
    """Return a reading whose peak, but on Windows, is what the process takes now."""
    status, memory, times = process.status(), process.memory_info(), process.cpu_times()
    if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return None
    peak, stopped = getattr(memory, "peak_wset", memory.rss), status == psutil.STATUS_STOPPED
    return ProcessReading(process.pid, memory.rss, peak, times.user + times.system, suspended=stopped)


def _by_psutil(pids: Iterable[int], read_one: Callable[[psutil.Process], Found | None]) -> dict[int, Found]:
    """Return what is read of each process that has not ended."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            one = read_one(psutil.Process(pid))
            if one is not None:
                found[pid] = one
    return found
