"""A temporary folder of a process's own, which the next process removes where a kill left it behind.

Its owner holds a lock on it that the kernel drops with the process, whatever ended it. A number in its name would not
do: programs in two containers may share the folder for temporary files and have the same number.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

PREFIX = "pyprocessor-scratch-"
LOCK_TRIES = 3


def scratch_folder() -> str:
    """Makes a folder for this process alone and takes away those whose owners are gone; raises OSError.

    It is locked until this process ends, which is to remove it.
    """
    _sweep()
    for _ in range(LOCK_TRIES):
        path = tempfile.mkdtemp(prefix=PREFIX)
        if _lock(path) is not None and os.path.isdir(path):
            return path
        # Another process took it for a leftover in the moment before it was locked, or there are no locks here.
        remove_scratch(path)
    return tempfile.mkdtemp(prefix=PREFIX)


def remove_scratch(path: str) -> None:
    """Removes it with all it holds, as far as possible."""
    shutil.rmtree(path, ignore_errors=True)


def _sweep() -> None:
    folder = tempfile.gettempdir()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(PREFIX) and _is_ours(path):
            descriptor = _lock(path)
            if descriptor is not None:
                remove_scratch(path)
                os.close(descriptor)


def _is_ours(path: str) -> bool:
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False


def _lock(path: str) -> int | None:
    """A descriptor that holds the lock as long as it is open; None where somebody has it, or the folder is gone."""
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        return None
    return descriptor
