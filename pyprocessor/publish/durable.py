"""Bringing files, folders and their names to the disk."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys

from pyprocessor.models.os_errors import unwritable

TEMPORARY_PREFIX = b".pyprocessor-"
"""Of files we write beside a final name: hidden, so that no scan takes them for a source."""


def temporary_beside(path: bytes) -> bytes:
    """A short hidden name in the same folder that no other process uses."""
    return os.path.join(os.path.dirname(path), TEMPORARY_PREFIX + secrets.token_hex(8).encode("ascii"))


def sync_file(path: bytes) -> os.stat_result:
    """Brings a file's content to the disk; returns its stat after that. Raises OSError."""
    # Windows syncs only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: bytes) -> None:
    """Brings a folder's names to the disk. Windows cannot, and keeps the order of renames by itself. Raises OSError."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path or b".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: bytes) -> None:
    """Brings all files and names below a folder to the disk, and its own. Symbolic links are names. Raises OSError."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                sync_tree(entry.path)
            elif entry.is_file(follow_symlinks=False):
                sync_file(entry.path)
    sync_folder(path)


def make_folders(path: bytes, *, mode: int = 0o777) -> None:
    """Makes a folder and those above it, and brings each new name to the disk; the umask takes from `mode`.

    Raises OSError, NotADirectoryError where a file stands in the way.
    """
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


def copy_file(source: bytes, target: bytes, *, mode: int = 0o666) -> None:
    """Copies a file's content and mtime to a new name and brings it to the disk; the umask takes from `mode`.

    Raises OSError, FileExistsError where the name is taken; what was begun is then left to the caller.
    """
    with (
        open(source, "rb") as reading,
        open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode), "wb") as writing,
    ):
        found = os.fstat(reading.fileno())
        while block := reading.read(1 << 20):
            writing.write(block)
        writing.flush()
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(writing.fileno())


def copy_tree(source: bytes, target: bytes) -> None:
    """Copies a folder of plain files and folders to a new name and brings it to the disk.

    Raises OSError, also for anything that is neither file nor folder: nothing we stage holds one.
    """
    os.mkdir(target)
    with os.scandir(source) as entries:
        for entry in entries:
            below = os.path.join(target, entry.name)
            if entry.is_dir(follow_symlinks=False):
                copy_tree(entry.path, below)
            else:
                copy_file(entry.path, below, mode=stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode))
    sync_folder(target)


def write_file(path: bytes, data: bytes, *, mode: int = 0o666) -> None:
    """Gives a file new content in one step: whoever reads it finds the old or the new, whenever the power fails.

    The umask takes from `mode`. The folder must exist. Raises OutputUnwritable.
    """
    temporary = temporary_beside(path)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            with open(os.open(temporary, flags, mode), "wb") as writing:
                writing.write(data)
                writing.flush()
                os.fsync(writing.fileno())
            os.replace(temporary, path)
        except BaseException:
            if os.path.lexists(temporary):
                os.unlink(temporary)
            raise
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise unwritable(error, path, "could not be written") from error
