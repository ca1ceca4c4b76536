"""What each error number of the operating system means: kind of failure, why, what to do. The only such table."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from pyprocessor.errors import FailureKind


@dataclass(frozen=True, slots=True)
class Meaning:
    """`why` and `advice` are parts of a sentence: "FILE could not be written: WHY; ADVICE."."""

    kind: FailureKind
    why: str
    advice: str


_UNREACHABLE = """
    ENOTCONN ESTALE ENODEV ENXIO EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH ETIMEDOUT ECONNABORTED ECONNREFUSED
    ECONNRESET ESHUTDOWN
"""
UNREACHABLE = frozenset(getattr(errno, name) for name in _UNREACHABLE.split())
"""The server of a file system, or the program that provides it, is gone; a damaged disk answers otherwise."""
WRITE_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Only writing fails so: these are about the output, whatever file the error names."""
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})

_FULL = "free some space and run the same command again"
_SHORT = "close other programs or raise the limit"
MEANINGS: dict[int, Meaning] = {
    errno.ENOSPC: Meaning(FailureKind.DISK, "the disk is full", _FULL),
    errno.EDQUOT: Meaning(FailureKind.DISK, "the disk quota is used up", _FULL),
    errno.EFBIG: Meaning(
        FailureKind.DISK, "the file is too large", "raise the limit of the file system or of the process"
    ),
    errno.EROFS: Meaning(FailureKind.DISK, "the file system is read-only", "make it writable or choose another output"),
    errno.EIO: Meaning(FailureKind.DISK, "the disk reports an input/output error", "check the disk"),
    **dict.fromkeys(
        UNREACHABLE,
        Meaning(FailureKind.DISK, "its file system cannot be reached", "see that it is mounted and its server is up"),
    ),
    errno.ENOMEM: Meaning(FailureKind.RESOURCE, "memory ran out", _SHORT),
    errno.EAGAIN: Meaning(FailureKind.RESOURCE, "the system has no process or memory left for it", _SHORT),
    errno.EMFILE: Meaning(FailureKind.RESOURCE, "too many files are open", _SHORT),
    errno.ENFILE: Meaning(FailureKind.RESOURCE, "too many files are open in the system", _SHORT),
    errno.EACCES: Meaning(FailureKind.PERMISSION, "permission is denied", "check the folder's owner and mode"),
    errno.EPERM: Meaning(FailureKind.PERMISSION, "the system does not permit it", "check the folder's owner and flags"),
    errno.ENOTDIR: Meaning(FailureKind.PERMISSION, "a file stands where a folder is needed", "move that file away"),
    errno.EISDIR: Meaning(FailureKind.PERMISSION, "a folder of that name lies there", "move it away"),
    errno.ENOTEMPTY: Meaning(
        FailureKind.PERMISSION, "a folder of that name lies there and is not empty", "move it away"
    ),
    errno.EEXIST: Meaning(FailureKind.PERMISSION, "something of that name lies there", "move it away"),
    errno.ELOOP: Meaning(
        FailureKind.PERMISSION,
        "a symbolic link lies there that is not followed, or links lead in a circle",
        "remove it",
    ),
    errno.ENAMETOOLONG: Meaning(
        FailureKind.UNSUPPORTED,
        "the name or the path is longer than the file system allows",
        "rename the source or choose a shorter output",
    ),
}
