"""What does this very process take, what may it take, and which processes become its children? Imports little."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator

from pyprocessor.system.kernel import entry

_RESET_PEAK = b"5"
"""See proc_pid_clear_refs(5): the peak of resident memory is set back to what is resident now."""
_PR_SET_CHILD_SUBREAPER = 36


def user_name() -> str:
    """The user that this process acts as: the name, or where the system has none the number."""
    import pwd  # only runs ask, and only systems with users have it

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class OwnPeak:
    """The peak of this process's resident memory since `reset`; off Linux since its start."""

    def __init__(self) -> None:
        self._clear = self._status = -1
        with contextlib.suppress(OSError):
            self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)

    def reset(self) -> None:
        """Begin anew."""
        if self._clear >= 0:
            with contextlib.suppress(OSError):
                os.write(self._clear, _RESET_PEAK)

    def bytes(self) -> int:
        """Return the peak in bytes."""
        if self._status >= 0:
            with contextlib.suppress(OSError):
                return entry(os.pread(self._status, 4096, 0), b"VmHWM:") * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * 1024 if sys.platform == "linux" else peak


def give_back_memory() -> None:
    """Return to the system what nobody needs, but Python or malloc (glibc) keeps."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def own_cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextlib.contextmanager
def bounded_data(most_bytes: int | None) -> Iterator[None]:
    """Context in which this process gets a MemoryError where it would hold more than that (Linux)."""
    if most_bytes is None or sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = min(limit for limit in (most_bytes, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def adopt_orphans() -> None:
    """Have processes below this one become its children when their parents end (Linux), whatever group they are in."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
