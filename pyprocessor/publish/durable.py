"""How do files, folders and their names get onto the disk, so that a power cut takes none of them?"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from typing import TextIO

from pyprocessor.errors import UsageError
from pyprocessor.models import display
from pyprocessor.models.os_errors import unwritable
from pyprocessor.publish.renames import rename_exclusive

TEMPORARY_PREFIX = b".pyprocessor-"
"""Of files we write beside a final name: hidden, so that no scan takes them for sources."""


def temporary_beside(path: bytes) -> bytes:
    """Return a short hidden name in the same folder that no other process uses."""
    return os.path.join(os.path.dirname(path), TEMPORARY_PREFIX + secrets.token_hex(8).encode("ascii"))


def sync_file(path: bytes) -> os.stat_result:
    """Bring a file's content to the disk; returns its stat. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: bytes) -> None:
    """Bring a folder's names to the disk. Raises OSError."""
    descriptor = os.open(path or b".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: bytes, *, mode: int = 0o777) -> None:
    """Make a folder and those above it, and sync each new name. Raises OSError; `mode` is subject to the umask."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        parent = os.path.dirname(path)
        if parent == path or not parent:
            break
        path = parent
    for folder in reversed(missing):
        try:
            os.mkdir(folder, mode)
        except FileExistsError:
            if not os.path.isdir(folder):  # else another process was first
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None
        sync_folder(os.path.dirname(folder))


@contextlib.contextmanager
def new_file(path: bytes) -> Iterator[TextIO]:
    """Write a text that has this name once the block is left, and no name where an exception leaves it.

    Raises OutputUnwritable, and UsageError where the name is taken: nothing is ever replaced.
    """
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        rename_exclusive(temporary, path)
        sync_folder(os.path.dirname(path))
    except FileExistsError:
        raise UsageError(f"{display(path)} exists already; name a file that does not.") from None
    except OSError as error:
        raise unwritable(error, path, "cannot be written") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
