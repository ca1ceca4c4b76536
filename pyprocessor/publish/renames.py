"""How does a file or folder take a name that must be free, or change places with what has it? In one step if it can."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache

_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCHANGE = -100, 1, 2
_NO_SUCH_CALL = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def rename_exclusive(old: bytes, new: bytes) -> None:
    """Rename a file or folder to a name that must be free. Raises OSError, FileExistsError where the name is taken.

    Linux has renameat2(2) for it, whose flag file systems may refuse (NFS, some FUSE). Without it and hard links
    (folders, FAT, some network shares) the name is checked first and then taken: another program may slip in between,
    another run may not.
    """
    if _rename(old, new, _RENAME_NOREPLACE):
        return
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
    else:
        os.unlink(old)
        return
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), old, None, new)
    os.rename(old, new)


def exchange(one: bytes, other: bytes) -> bool:
    """Let two names change places; False where the system or the file system has no such call. Raises OSError."""
    return _rename(one, other, _RENAME_EXCHANGE)


def _rename(old: bytes, new: bytes, flag: int) -> bool:
    call = _renameat2()
    if call is None:
        return False
    if call(_AT_FDCWD, old, _AT_FDCWD, new, flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_SUCH_CALL:
        return False
    raise OSError(number, os.strerror(number), old, None, new)


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Return the function of the C library, which Python does not wrap."""
    if sys.platform != "linux":
        return None
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # musl before 1.2.6, glibc before 2.28
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    return call
