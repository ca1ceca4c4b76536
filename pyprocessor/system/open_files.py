"""Whether somebody writes to a file."""

from __future__ import annotations

import contextlib
import os
import sys


def open_for_writing(path: bytes) -> bool:
    """Whether any process of this machine has the file open for writing, as far as the kernel tells (Linux).

    It refuses a read lease on such a file (fcntl(2), F_SETLEASE): one system call, where looking through every
    process's open files takes as many as there are. It answers only for files of our own user, or all for root, and
    only on local file systems; elsewhere this is False. A lease is held for a moment, and who opens the file in it
    waits that long; the signal that tells us of it (SIGIO) must be ignored by the process.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
