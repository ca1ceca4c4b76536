"""Processes by their identity: whether they live, ending their groups, and being polite ourselves."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

import psutil

from pyprocessor.models import ProcessIdentity

_GONE_POLL_SECONDS = 0.005
_START_TIME_TOLERANCE = 1.0
"""Seconds two readings of one start time may differ by, where the wall clock was stepped between them."""


def process_identity(pid: int) -> ProcessIdentity | None:
    """The pid with its start time, or None when there is no such process."""
    try:
        return ProcessIdentity(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def be_polite(nice: int, *, io_idle: bool) -> None:
    """Add to this process's niceness (0 to 19), and have its disk access served when nobody else wants the disk.

    What it spawns inherits both. Where the system has no such thing or refuses it, as some containers do, the process
    goes on without.
    """
    if nice > 0 and hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(nice)
    if io_idle and sys.platform == "linux":
        with contextlib.suppress(OSError, psutil.Error):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)


@contextlib.contextmanager
def bounded_memory(more_bytes: int) -> Iterator[None]:
    """Context in which this process may allocate so much more than it holds, and what asks for more is told there is
    none.

    Linux only: elsewhere the limit does not count what large allocations are made of. For encoders it is no use, since
    some reserve far more than they fill.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = psutil.Process().memory_info().data + more_bytes
    narrower = limit if soft == resource.RLIM_INFINITY else min(limit, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (narrower, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs; one that has ended but was not waited for does not."""
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.start_time) <= _START_TIME_TOLERANCE
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def wait_gone(identity: ProcessIdentity, seconds: float) -> bool:
    """Wait for that very process to have ended; False where it still runs. One that was killed and hangs in a call to
    a disk that does not answer ends only once that returns."""
    until = time.monotonic() + seconds
    while is_alive(identity):
        if time.monotonic() >= until:
            return False
        time.sleep(_GONE_POLL_SECONDS)
    return True


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
