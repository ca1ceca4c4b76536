"""What memory and CPU time do our process trees take? From /proc, or where there is none, psutil."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import psutil

from pyprocessor.models import ProcessReading
from pyprocessor.system.kernel import KernelFiles, descriptors_to_keep, entry, read
from pyprocessor.system.process_cpu import ProcessTimes

_GONE = (b"Z", b"X", b"x")
"""States of a process that has ended and was not waited for."""

_STOPPED = b"T"


class ProcessTrees:
    """Reads this process and the trees below the leaders of our groups."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._has_proc = os.path.isdir(proc)
        self._files = KernelFiles(descriptors_to_keep())
        self._peaks: dict[int, tuple[float, int]] = {}
        self._looked_at: list[int] = []
        sysconf = os.sysconf if hasattr(os, "sysconf") else {"SC_PAGE_SIZE": 4096, "SC_CLK_TCK": 100}.__getitem__
        self._page = sysconf("SC_PAGE_SIZE")
        self._tick_seconds = 1 / sysconf("SC_CLK_TCK")

    def memory(self, groups: Iterable[int]) -> tuple[int, list[int]]:
        """Return memory in bytes and the pids that have it, parents first.

        Memory is the private one of all and the largest shared part: libraries, which many ffmpegs have in common.
        """
        if not self._has_proc:
            return _memory_by_psutil(groups)
        own = os.getpid()
        private, shared = 0, 0
        pending = [own, *groups]
        pids: dict[int, None] = {}
        while pending:
            pid = pending.pop()
            if pid in pids:
                continue
            fields = (self._files.read(f"{self._proc}/{pid}/statm") or b"").split(None, 3)
            if len(fields) < 3:
                continue  # it has just ended
            pids[pid] = None
            resident, common = int(fields[1]), int(fields[2])
            private += resident - common
            shared = max(shared, common)
            if pid != own:
                # Our processes spawn from their main thread alone, so its list of children is the whole one.
                children = self._files.read(f"{self._proc}/{pid}/task/{pid}/children") or b""
                pending.extend(int(child) for child in children.split())
        return (private + shared) * self._page, list(pids)

    def times(self, pids: Iterable[int]) -> dict[int, ProcessTimes]:
        """Return the CPU time of each that still runs, read in the order given."""
        if not self._has_proc:
            return _times_by_psutil(pids)
        found = {}
        for pid in pids:
            fields = self._stat(pid)
            if fields is not None:
                own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
                found[pid] = ProcessTimes(
                    int(fields[1]), int(fields[19]), own * self._tick_seconds, reaped * self._tick_seconds
                )
        return found

    def processes(self, pids: Iterable[int], *, peaks: bool) -> dict[int, ProcessReading]:
        """Return those that run or are stopped. Without `peaks` each peak is the highest that was read so far."""
        if not self._has_proc:
            return _processes_by_psutil(pids)
        found = {}
        known: dict[int, tuple[float, int]] = {}
        for pid in pids:
            fields = self._stat(pid)
            if fields is None or fields[0] in _GONE:
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

    def forget_all_but(self, pids: list[int]) -> None:
        if pids == self._looked_at:
            return
        self._looked_at = pids
        names = ("{0}/{1}/stat", "{0}/{1}/statm", "{0}/{1}/task/{1}/children")
        self._files.close_all_but({name.format(self._proc, pid) for pid in pids for name in names})

    def _stat(self, pid: int) -> list[bytes] | None:
        """Return the fields of /proc/PID/stat from the third, the state, on; see proc_pid_stat(5)."""
        text = self._files.read(f"{self._proc}/{pid}/stat")
        # The program's name, in parentheses, may hold anything.
        return None if not text else text.rpartition(b")")[2].split()


# ---------------------------------------------------------------- without /proc


def _memory_by_psutil(groups: Iterable[int]) -> tuple[int, list[int]]:
    total = 0
    pids: list[int] = []
    for pid in dict.fromkeys((os.getpid(), *groups)):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            for member in (process, *(process.children(recursive=True) if pid != os.getpid() else ())):
                if member.pid not in pids:
                    with contextlib.suppress(psutil.Error):
                        total += member.memory_info().rss
                        pids.append(member.pid)
    return total, pids


def _times_by_psutil(pids: Iterable[int]) -> dict[int, ProcessTimes]:
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            found[pid] = ProcessTimes(
                process.ppid(),
                process.create_time(),
                times.user + times.system,
                times.children_user + times.children_system,
            )
    return found


def _processes_by_psutil(pids: Iterable[int]) -> dict[int, ProcessReading]:
    """Return readings whose peak, but on Windows, is what the process takes now."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            status = process.status()
            if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                continue
            memory, times = process.memory_info(), process.cpu_times()
            found[pid] = ProcessReading(
                pid,
                memory.rss,
                getattr(memory, "peak_wset", memory.rss),
                times.user + times.system,
                suspended=status == psutil.STATUS_STOPPED,
            )
    return found
