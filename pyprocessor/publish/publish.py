"""How does a verified file get its final name?

    partial (sealed) --one rename--> final                      on the same file system
    partial --note, copy, fsync--> hidden name beside final --one rename--> final     on another one

Whenever the process dies, the final name is free, or has its old content, or has all of the new.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.os_errors import publish_error
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import make_folders, sync_folder, temporary_beside
from pyprocessor.publish.partials import Seal, discard, note_copy

_WISH = "could not be given its name"
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
_NO_SUCH_CALL = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def publish(partial: bytes, final: bytes, *, seal: Seal, replace: bool, bounds: Bounds) -> Seal:
    """Give a verified and sealed file its final name; returns size and mtime under that name.

    Without `replace` a name that is taken is refused, a name outside `bounds` always. A copy to another file system may
    keep its times less exactly than `seal` has them.

    Raises PublishError. The partial is then still there and the final name is as it was, unless the last step failed,
    bringing the new name to the disk.
    """
    rename = os.replace if replace else rename_exclusive
    try:
        found = os.lstat(partial)
        if (found.st_size, found.st_mtime_ns) != seal:
            raise PublishError(
                FailureKind.INFRASTRUCTURE, f"{display(partial)} changed after it was verified; it is not published."
            )
        folder = os.path.dirname(final)
        bounds.check(final)
        make_folders(folder)
        try:
            rename(partial, final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_across(partial, final, rename)
        sync_folder(folder)
        found = os.lstat(final)
    except FileExistsError as error:
        raise PublishError(FailureKind.PERMISSION, f"{display(final)} {_WISH}: {_what_lies_at(final)}.") from error
    except OSError as error:
        raise publish_error(error, final, _WISH) from error
    return found.st_size, found.st_mtime_ns


def _copy_across(partial: bytes, final: bytes, rename: Callable[[bytes, bytes], None]) -> None:
    temporary = temporary_beside(final)
    note = note_copy(partial, temporary)
    try:
        with open(partial, "rb") as reading, open(temporary, "xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            found = os.fstat(reading.fileno())
            os.utime(temporary, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(writing.fileno())
        rename(temporary, final)
    except OSError:
        discard(temporary)
        discard(note)
        raise
    discard(partial)
    discard(note)


def _what_lies_at(final: bytes) -> str:
    try:
        found = os.lstat(final)
    except OSError:
        return "something of that name came and went; run the same command again"
    if os.path.isdir(final):
        return "a folder of that name lies there; move it away"
    return f"a file of {found.st_size} bytes that is not ours lies there; move it away or allow it to be replaced"


def rename_exclusive(old: bytes, new: bytes) -> None:
    """Rename a file to a name that must be free. Raises OSError, FileExistsError where the name is taken.

    Linux has renameat2(2) for it, whose flag file systems may refuse (NFS, some FUSE). Without it and hard links (FAT,
    some network shares) the name is checked first and then taken: another program may slip in between, another run may
    not.
    """
    call = _renameat2()
    if call is not None:
        if call(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NO_SUCH_CALL:
            raise OSError(number, os.strerror(number), old, None, new)
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
