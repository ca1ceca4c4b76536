"""Does a process or thread still run, and how are its group and its own priority changed?"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

import psutil

from pyprocessor.models import ProcessIdentity
from pyprocessor.system.kernel import read
from pyprocessor.system.own_process import bounded_data

_GONE_POLL_SECONDS = 0.005
_START_TIME_TOLERANCE = 1.0
"""Seconds by which two readings of one start time may differ, where the wall clock was stepped."""


def process_identity(pid: int) -> ProcessIdentity | None:
    """Return the pid with its start time, or None when there is no such process."""
    try:
        return ProcessIdentity(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def be_polite(nice: int, *, io_idle: bool) -> None:
    """Add to this process's niceness (0 to 19) and give it idle disk priority, where the system allows it."""
    if nice > 0:
        with contextlib.suppress(OSError):
            os.nice(nice)
    if io_idle and sys.platform == "linux":
        with contextlib.suppress(OSError, psutil.Error):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)


def bounded_memory(more_bytes: int) -> contextlib.AbstractContextManager[None]:
    """Context that limits what more memory is allocated (Linux); encoders reserve too much for that."""
    sizes = read("/proc/self/statm")
    return bounded_data(None if sizes is None else int(sizes.split()[5]) * os.sysconf("SC_PAGE_SIZE") + more_bytes)


def is_alive(identity: ProcessIdentity) -> bool:
    """Return whether that very process still runs; a zombie does not."""
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.start_time) <= _START_TIME_TOLERANCE
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def wait_gone(identity: ProcessIdentity, seconds: float) -> bool:
    """Wait until that very process has ended; False where it still runs, as one that hangs in a call to a disk does."""
    until = time.monotonic() + seconds
    while is_alive(identity):
        if time.monotonic() >= until:
            return False
        time.sleep(_GONE_POLL_SECONDS)
    return True


def kill_group(leader: ProcessIdentity) -> bool:
    """Kill every process of the group that `leader` leads or led; False when there was none.

    Members whose leader is gone are reached, as the pid is not reused while a group has it. A pid of another process,
    or from before the machine was started, is left alone.
    """
    current = process_identity(leader.pid)
    if current is None and leader.start_time < psutil.boot_time() - _START_TIME_TOLERANCE:
        return False
    if current is not None and abs(current.start_time - leader.start_time) > _START_TIME_TOLERANCE:
        return False
    try:
        if current is not None and os.getpgid(leader.pid) != leader.pid:
            # It has not made a group of its own yet: the group it is in is another's.
            os.kill(leader.pid, signal.SIGKILL)
        else:
            os.killpg(leader.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def thread_seconds(thread: threading.Thread) -> float:
    """Return the CPU time that a living thread has taken; 0 where the system does not say."""
    if thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def waits_for_disk(thread: threading.Thread) -> bool:
    """Return whether it is in an uninterruptible wait, as for a disk (not FUSE); True where the system does not say."""
    status = read(f"/proc/self/task/{thread.native_id}/stat")
    return status is None or status.rpartition(b")")[2].split()[0] == b"D"
