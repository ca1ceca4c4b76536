"""A folder of this process's own among the system's temporary files, which later runs remove if it could not itself.

Only what this module made is ever removed: folders with its prefix, of this user, with its lock in them, which nobody
holds any more. The lock, and not a pid, tells, so that runs in containers with a common /tmp leave each other alone.

The folder also says which processes its owner started. They end when their pipes close; but one that was stopped does
not notice, and where it holds the forkserver's pipe open, neither does that.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from pyprocessor.models import ProcessIdentity

PREFIX = "pyprocessor-sockets-"
_LOCK = "lock"
_PROCESS = "process-"
"""Before a pid, the name of a file that holds the start time of the process."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folder, and the descriptor that holds its lock for as long as this process lives."""

    path: str
    descriptor: int

    def remove(self) -> None:
        """Remove the folder with all that lies directly in it."""
        _remove(self.path)
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def make_scratch() -> Scratch:
    """Make the folder (mode 0700). Raises OSError where the system's temporary folder takes none."""
    while True:
        path = tempfile.mkdtemp(prefix=PREFIX)
        lock = os.path.join(path, _LOCK)
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(FileNotFoundError):
            if _lock(descriptor) and os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return Scratch(path, descriptor)
        os.close(descriptor)  # somebody swept it in the moment before it was locked


def note_process(folder: str, process: ProcessIdentity) -> None:
    """Write down in a scratch folder that its owner has started a process. Raises OSError."""
    with open(os.path.join(folder, f"{_PROCESS}{process.pid}"), "w", encoding="ascii") as note:
        note.write(repr(process.start_time))


def forget_process(folder: str, process: ProcessIdentity) -> None:
    """Remove the note about a process that has ended. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, f"{_PROCESS}{process.pid}"))


def sweep_scratch(end: Callable[[ProcessIdentity], object]) -> int:
    """Remove the folders of processes that are gone, and have what they started ended; returns how many folders."""
    if sys.platform == "win32":
        return 0
    removed = 0
    above = tempfile.gettempdir()
    with contextlib.suppress(OSError):
        for name in os.listdir(above):
            if name.startswith(PREFIX):
                removed += _sweep(os.path.join(above, name), end)
    return removed


def _sweep(path: str, end: Callable[[ProcessIdentity], object]) -> bool:
    try:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        descriptor = os.open(os.path.join(path, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not _lock(descriptor):
            return False
        for process in _noted(path):
            end(process)
        _remove(path)
        return True
    finally:
        os.close(descriptor)


def _noted(path: str) -> list[ProcessIdentity]:
    """The processes that a folder tells of."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(path):
            pid = name.removeprefix(_PROCESS)
            if pid == name or not pid.isdecimal():
                continue
            with contextlib.suppress(OSError, ValueError), open(os.path.join(path, name), encoding="ascii") as note:
                found.append(ProcessIdentity(int(pid), float(note.read())))
    return found


def _lock(descriptor: int) -> bool:
    """Take the lock; False where somebody has it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(path):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(path, name))
        os.rmdir(path)
