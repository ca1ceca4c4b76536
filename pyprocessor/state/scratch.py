"""Which sockets and processes did a killed run leave behind? Each run has a folder among the system's temporary files.

Only folders with our prefix, of this user, whose lock nobody holds are removed: containers may share /tmp, not pids.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
        shutil.rmtree(self.path, ignore_errors=True)
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
    Path(folder, f"{_PROCESS}{process.pid}").write_text(repr(process.start_time), "ascii")


def forget_process(folder: str, process: ProcessIdentity) -> None:
    """Remove the note about a process that has ended. Raises OSError."""
    Path(folder, f"{_PROCESS}{process.pid}").unlink(missing_ok=True)


def sweep_scratch(end: Callable[[ProcessIdentity], object]) -> int:
    """Remove folders whose owner is gone, after calling `end` on what it started; returns how many."""
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
        shutil.rmtree(path, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def _noted(path: str) -> list[ProcessIdentity]:
    found = []
    for note in Path(path).glob(f"{_PROCESS}*"):
        with contextlib.suppress(OSError, ValueError):
            found.append(ProcessIdentity(int(note.name.removeprefix(_PROCESS)), float(note.read_text("ascii"))))
    return found


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
