"""The three ways one name becomes another in a single step, and what to do where the system lacks them.

Linux offers the first two through renameat2(2), which Python does not wrap, so it is called in the C library. Its file
systems may still refuse the flags (NFS, some FUSE): they answer EINVAL.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_NO_SUCH_CALL = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def rename_exclusive(old: bytes, new: bytes) -> None:
    """Renames a file or folder to a name that must be free; raises FileExistsError where it is not.

    Where the file system has neither renameat2 nor hard links (FAT, some network shares), and for folders where it
    has no renameat2, the name is looked at first and then taken: a stranger may slip in between, another run may not,
    since one run holds the output.
    """
    if _renameat2(old, new, _RENAME_NOREPLACE):
        return
    if sys.platform == "win32":
        os.rename(old, new)  # refuses an existing name by itself there
        return
    if not os.path.isdir(old):
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
    """Swaps two names in one step; False, with nothing done, where the system cannot."""
    return _renameat2(one, other, _RENAME_EXCHANGE)


def _renameat2(old: bytes, new: bytes, flags: int) -> bool:
    """False where there is no such call or the file system does not know the flag; raises OSError for the rest."""
    call = _system_call()
    if call is None:
        return False
    if call(_AT_FDCWD, old, _AT_FDCWD, new, flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_SUCH_CALL:
        return False
    raise OSError(number, os.strerror(number), old, None, new)


@cache
def _system_call() -> Callable[[int, bytes, int, bytes, int], int] | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    try:
        call = library.renameat2
    except AttributeError:  # musl before 1.2.6, glibc before 2.28
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    return call
