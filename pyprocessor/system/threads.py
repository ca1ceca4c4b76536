"""Does another thread of this process work, or wait for a disk? It must live while it is asked about."""

from __future__ import annotations

import threading
import time

from pyprocessor.system import kernel


def thread_seconds(thread: threading.Thread) -> float:
    """Return the CPU time that it has taken; 0 where the system does not say."""
    if thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def waits_for_disk(thread: threading.Thread) -> bool:
    """Return whether it is in an uninterruptible wait, as for a disk (not FUSE); True where the system does not say."""
    status = kernel.read(f"/proc/self/task/{thread.native_id}/stat")
    return status is None or status.rpartition(b")")[2].split()[0] == b"D"
