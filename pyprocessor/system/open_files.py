"""Does any process write to a file?"""

from __future__ import annotations

import contextlib
import os
import sys


def open_for_writing(path: bytes) -> bool:
    """Return whether any process of this machine has the file open for writing; False where the kernel does not say.

    Linux refuses a read lease on such a file (fcntl(2), F_SETLEASE), for our own user's files on local file systems.
    The process must ignore SIGIO, which is sent when the file is opened while the lease is held.
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
