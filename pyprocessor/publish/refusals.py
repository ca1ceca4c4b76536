"""What the operating system refuses, as sentences."""

from __future__ import annotations

import errno
import os

from pyprocessor.errors import FailureKind, OutputUnwritable, PublishError
from pyprocessor.models import display

UNREACHABLE = (errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ESHUTDOWN)
"""What a file system answers whose server, or the program that stands for it, is lost."""
_FULL = "free some space and run the same command again"
_KINDS = {
    errno.ENOSPC: (FailureKind.DISK, "the disk is full", _FULL),
    errno.EDQUOT: (FailureKind.DISK, "the disk quota is used up", _FULL),
    errno.EFBIG: (FailureKind.DISK, "the file is too large", "raise the limit of the file system or of the process"),
    errno.EROFS: (FailureKind.DISK, "the file system is read-only", "make it writable or choose another output"),
    errno.EIO: (FailureKind.DISK, "the disk reports an input/output error", "check the disk"),
    **dict.fromkeys(
        UNREACHABLE,
        (FailureKind.DISK, "its file system cannot be reached", "see that it is mounted and its server is up"),
    ),
    errno.EACCES: (FailureKind.PERMISSION, "permission is denied", "check the folder's owner and mode"),
    errno.EPERM: (FailureKind.PERMISSION, "the system does not permit it", "check the folder's owner and flags"),
    errno.ENOTDIR: (FailureKind.PERMISSION, "a file stands where a folder is needed", "move that file away"),
    errno.EISDIR: (FailureKind.PERMISSION, "a folder of that name lies there", "move it away"),
    errno.ENOTEMPTY: (FailureKind.PERMISSION, "a folder of that name lies there and is not empty", "move it away"),
    errno.EEXIST: (FailureKind.PERMISSION, "something of that name lies there", "move it away"),
    errno.ELOOP: (
        FailureKind.PERMISSION,
        "a symbolic link lies there that is not followed, or links lead in a circle",
        "remove it",
    ),
    errno.ENAMETOOLONG: (
        FailureKind.UNSUPPORTED,
        "the name or the path is longer than the file system allows",
        "rename the source or choose a shorter output",
    ),
}


def refusal(error: OSError, path: bytes, wish: str) -> PublishError:
    """The error of one file. `wish` is what was tried, as in "could not be given its name"."""
    kind, sentence = _sentence(error, path, wish)
    return PublishError(kind, sentence)


def unwritable(error: OSError, path: bytes, wish: str) -> OutputUnwritable:
    """The error of the output as a whole."""
    return OutputUnwritable(_sentence(error, path, wish)[1])


def _sentence(error: OSError, path: bytes, wish: str) -> tuple[FailureKind, str]:
    subject = f"{display(path)} {wish}"
    if error.errno not in _KINDS:
        return FailureKind.INFRASTRUCTURE, f"{subject}: the operating system says {error.strerror or error}."
    kind, why, advice = _KINDS[error.errno]
    return kind, f"{subject}: {why}{_culprit(error, path)}; {advice}."


def _culprit(error: OSError, path: bytes) -> str:
    """The folder above `path` that the error is about, where it is one."""
    if not isinstance(error.filename, (str, bytes)):
        return ""
    name = os.fsencode(error.filename)
    return f" ({display(name)})" if path.startswith(name + os.sep.encode()) else ""
