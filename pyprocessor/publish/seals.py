"""What identifies a finished file or folder, so that it is known again after a kill and a rename?"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.products import Seal
from pyprocessor.publish.durable import sync_file


def seal_at(path: bytes) -> Seal | None:
    """Return the identity of what lies there, a link counting as itself; None for nothing. Raises OSError.

    Sizes and times of folders are left out: they differ between file systems and say no more than the names in them.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISDIR(found.st_mode):
        return found.st_size, found.st_mtime_ns
    total, digest = 0, hashlib.sha256()
    for relative, held in entries(path):
        size, mtime_ns = (0, 0) if stat.S_ISDIR(held.st_mode) else (held.st_size, held.st_mtime_ns)
        digest.update(b"%s\0%o %d %d\0" % (relative, stat.S_IFMT(held.st_mode), size, mtime_ns))
        total += size
    return total, int.from_bytes(digest.digest()[:8], "big") >> 1


def entries(folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield relative path and lstat of all that a folder holds, each folder before what is in it. Raises OSError."""
    for name in sorted(os.listdir(folder)):
        found = os.lstat(os.path.join(folder, name))
        yield name, found
        if stat.S_ISDIR(found.st_mode):
            for relative, held in entries(os.path.join(folder, name)):
                yield os.path.join(name, relative), held


def sync_entries(folder: bytes) -> None:
    """Bring all that a folder holds to the disk. Raises OSError, or PublishError for a link or special file in it."""
    for relative, held in entries(folder):
        path = os.path.join(folder, relative)
        if not stat.S_ISREG(held.st_mode) and not stat.S_ISDIR(held.st_mode):
            raise PublishError(
                FailureKind.UNSUPPORTED,
                f"{display(path)} is a link or a special file; a folder that is published may hold files and folders "
                "only.",
            )
        sync_file(path)
