"""How is a file renamed without replacing another?

Linux has renameat2(2) for it, which Python does not wrap, so it is called in the C library. File systems may refuse its
flag (NFS, some FUSE).
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
_NO_SUCH_CALL = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def rename_exclusive(old: bytes, new: bytes) -> None:
    """Rename a file to a name that must be free. Raises OSError, FileExistsError where the name is taken.

    Without renameat2 and hard links (FAT, some network shares) the name is checked first and then taken: another
    program may slip in between, another run may not.
    """
    if _renamed_by_system(old, new):
        return
    if sys.platform == "win32":
        os.rename(old, new)  # refuses an existing name by itself there
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


def _renamed_by_system(old: bytes, new: bytes) -> bool:
    """Return False where there is no such call or the file system does not know the flag."""
    call = _system_call()
    if call is None:
        return False
    if call(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) == 0:
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
