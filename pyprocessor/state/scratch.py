"""Which sockets and processes did a killed run leave behind? Each run has a folder among the system's temporary files.

Only folders with our prefix, of this user, whose lock nobody holds are removed: containers may share /tmp, not pids.
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
"""Begins the name of a file, before a pid, that holds the start time of the process."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folder, and the descriptor that holds its lock as long as this process lives."""

    path: str
    descriptor: int

    def remove(self) -> None:
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
        os.close(descriptor)  # swept in the moment before it was locked


def note_process(folder: str, process: ProcessIdentity) -> None:
    """Note in a scratch folder that its owner has started a process. Raises OSError."""
    with open(os.path.join(folder, f"{_PROCESS}{process.pid}"), "w", encoding="ascii") as note:
        note.write(repr(process.start_time))


def forget_process(folder: str, process: ProcessIdentity) -> None:
    """Remove the note about a process that has ended. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, f"{_PROCESS}{process.pid}"))


def sweep_scratch(end: Callable[[ProcessIdentity], object]) -> int:
    """Remove folders whose owner is gone, after calling `end` on what it started; returns how many."""
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
