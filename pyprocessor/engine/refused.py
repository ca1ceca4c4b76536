"""What kind of failure an error of the operating system is, told from its number and the file it is about; pure."""

from __future__ import annotations

import errno
import os

from pyprocessor.errors import FailureKind
from pyprocessor.publish.refusals import UNREACHABLE

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_SHORT = frozenset({errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})


def refused(error: OSError, source: bytes) -> tuple[FailureKind, str]:
    """The kind and the sentence. What concerns the source may pass, what concerns anything else concerns the output."""
    sentence = f"The operating system refused: {error}."
    of_the_source = isinstance(error.filename, (str, bytes)) and _path(error.filename) == source
    if error.errno in _FULL:
        return FailureKind.DISK, sentence
    if error.errno in _SHORT:
        return FailureKind.RESOURCE, sentence
    if error.errno in _FORBIDDEN:
        return FailureKind.PERMISSION, sentence
    if of_the_source:
        return FailureKind.UNAVAILABLE, sentence
    if error.errno == errno.EIO or error.errno in UNREACHABLE:
        return FailureKind.DISK, sentence
    return FailureKind.INFRASTRUCTURE, sentence


def _path(name: str | bytes) -> bytes:
    """The path as the system has it; readers of media put the protocol before it."""
    return os.fsencode(name).removeprefix(b"file:")
