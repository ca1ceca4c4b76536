"""A child process: starting it, and what the operating system tells of it, on Linux from /proc, elsewhere through
psutil."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import ProcessIdentity, display

ON_LINUX = sys.platform == "linux"

_OOM_SCORE_RAISE = 500
"""On the kernel's scale of 0 to 1000: enough that an ffmpeg is chosen before the process that runs the batch."""


def spawn(
    argv: Sequence[bytes | str], cwd: bytes | str | None, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    """Start a child with pipes for what it says and nothing to read; raises JobError where it cannot be started."""
    try:
        # Without preexec_fn, and so by vfork: a fork of a large parent would copy its page tables.
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
    except OSError as error:
        scarce = error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
        kind = FailureKind.RESOURCE if scarce else FailureKind.INFRASTRUCTURE
        what = display(os.fsencode(error.filename or argv[0]))
        raise JobError(kind, f"ffmpeg could not be started: {error.strerror} ({what}).") from error


def pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none to give."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def process_identity(pid: int) -> ProcessIdentity:
    """The pid with its start time as psutil's `create_time()` gives it, without importing psutil on Linux."""
    if not ON_LINUX:
        import psutil

        return ProcessIdentity(pid, psutil.Process(pid).create_time())
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The program's name, in parentheses, may hold anything; the start time is the 20th field after it.
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    with open("/proc/stat", "rb") as file:
        booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime"))
    return ProcessIdentity(pid, booted + ticks / os.sysconf("SC_CLK_TCK"))


def descendants(pid: int) -> list[ProcessIdentity]:
    """All processes below this one, parents before their children: none below ffmpeg itself, but where a script stands
    in for it and stays, the real one. Off Linux through psutil."""
    if not ON_LINUX:
        import psutil

        try:
            return [ProcessIdentity(child.pid, child.create_time()) for child in psutil.Process(pid).children(True)]
        except psutil.Error:
            return []
    found: list[ProcessIdentity] = []
    pending = [pid]
    while pending:
        for child in _children(pending.pop()):
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
                found.append(process_identity(child))
                pending.append(child)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    return found


def signal_process(identity: ProcessIdentity, number: int) -> None:
    """Signal that very process, unless it has ended."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        if process_identity(identity.pid).start_time == identity.start_time:
            os.kill(identity.pid, number)


def prefer_as_oom_victim(pid: int) -> None:
    """If the kernel must kill for memory, have it take this process rather than its parent; only a preference."""
    # Not allowed in some containers, and absent off Linux; memory is watched in any case.
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/oom_score_adj", "rb") as file:
            own = int(file.read())
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as file:
            file.write(str(min(1000, own + _OOM_SCORE_RAISE)).encode())


def high_water_bytes(pid: int) -> int:
    """The process's peak resident memory, 0 if it has ended; off Linux its resident memory now."""
    if not ON_LINUX:
        import psutil

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"VmHWM")), 0)
    except OSError:
        return 0


def written_bytes(pid: int) -> int:
    """All bytes the process passed to write calls, pipes included; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"wchar")), 0)
    except OSError:
        return 0
