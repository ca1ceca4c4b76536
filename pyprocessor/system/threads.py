"""What another thread of this process is at. It must live while it is asked about."""

from __future__ import annotations

import threading
import time

from pyprocessor.system import kernel


def thread_seconds(thread: threading.Thread) -> float:
    """CPU time that it has taken up to now; 0 where the system does not tell."""
    if thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def waits_for_disk(thread: threading.Thread) -> bool:
    """Whether it is in a wait that nothing interrupts, as one for a disk is; True where the system does not tell.

    File systems that run as programs (FUSE) have others wait like pipes do, and are not recognised.
    """
    told = kernel.read(f"/proc/self/task/{thread.native_id}/stat")
    return told is None or told.rpartition(b")")[2].split()[0] == b"D"
