"""How does a verified file get its final name, on its own file system or on another?

    partial (sealed) --one rename--> final                      on the same file system
    partial --note, copy, fsync--> hidden name beside final --one rename--> final     on another one

Whenever the process dies, the final name is free, or has its old content, or has all of the new.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.os_errors import publish_error
from pyprocessor.models.products import Seal
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import TEMPORARY_PREFIX, make_folders, sync_folder
from pyprocessor.publish.partials import AWAY_SUFFIX, discard, note_copy
from pyprocessor.publish.renames import rename_exclusive
from pyprocessor.publish.seals import entries, seal_at

_WISH = "could not be given its name"


def publish(partial: bytes, final: bytes, *, seal: Seal, replace: bool, bounds: Bounds) -> Seal:
    """Give a verified and sealed file its final name; returns size and mtime under that name.

    Without `replace` a name that is taken is refused, a name outside `bounds` always. A copy to another file system may
    keep its times less exactly than `seal` has them.

    Raises PublishError. The partial is then still there and the final name is as it was, unless the last step failed,
    bringing the new name to the disk.
    """
    rename = os.replace if replace else rename_exclusive
    with naming(final):
        prepare(partial, final, seal=seal, bounds=bounds)
        try:
            rename(partial, final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            try:
                rename(copy_across(partial, final, seal), final)
            except OSError:
                discard_copy(partial, final, seal)
                raise
            discard(partial)
            discard(partial + AWAY_SUFFIX)
        sync_folder(os.path.dirname(final))
        found = os.lstat(final)
    return found.st_size, found.st_mtime_ns


def prepare(partial: bytes, final: bytes, *, seal: Seal, bounds: Bounds) -> None:
    """Check that the partial is as it was sealed and may go there; make the folders. Raises PublishError, OSError."""
    if seal_at(partial) != seal:
        raise PublishError(
            FailureKind.INFRASTRUCTURE, f"{display(partial)} changed after it was verified; it is not published."
        )
    bounds.check(final)
    make_folders(os.path.dirname(final))


@contextlib.contextmanager
def naming(final: bytes, wish: str = _WISH) -> Iterator[None]:
    """Raise what the system refuses as a PublishError about this name."""
    try:
        yield
    except FileExistsError as error:
        raise PublishError(FailureKind.PERMISSION, f"{display(final)} {wish}: {_what_lies_at(final)}.") from error
    except OSError as error:
        raise publish_error(error, final, wish) from error


def copy_of(partial: bytes, final: bytes, seal: Seal) -> bytes:
    """Return the hidden name beside `final` that a partial is copied to, the same one whenever that is tried."""
    identity = b"%s\0%s\0%d\0%d" % (os.path.basename(partial), os.path.basename(final), *seal)
    name = TEMPORARY_PREFIX + hashlib.sha256(identity).hexdigest()[:16].encode("ascii")
    return os.path.join(os.path.dirname(final), name)


def copy_across(partial: bytes, final: bytes, seal: Seal) -> bytes:
    """Copy a file or folder to another file system and bring it to the disk; returns the copy. Raises OSError.

    Where the copy fails, note and copy stay; `discard_copy` removes them.
    """
    copy = copy_of(partial, final, seal)
    note_copy(partial, copy)
    discard(copy)  # one that a kill cut off
    if not os.path.isdir(partial):
        _copy_file(partial, copy)
        return copy
    os.mkdir(copy)
    for relative, held in entries(partial):
        if stat.S_ISDIR(held.st_mode):
            os.mkdir(os.path.join(copy, relative))
        else:
            _copy_file(os.path.join(partial, relative), os.path.join(copy, relative))
    for relative, held in entries(copy):
        if stat.S_ISDIR(held.st_mode):
            sync_folder(os.path.join(copy, relative))
    sync_folder(copy)
    return copy


def _copy_file(old: bytes, new: bytes) -> None:
    with open(old, "rb") as reading, open(new, "xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        found = os.fstat(reading.fileno())
        os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(writing.fileno())


def discard_copy(partial: bytes, final: bytes, seal: Seal) -> None:
    """Remove the copy that was begun, and then its note. Raises PublishError."""
    discard(copy_of(partial, final, seal))
    discard(partial + AWAY_SUFFIX)


def _what_lies_at(final: bytes) -> str:
    try:
        found = os.lstat(final)
    except OSError:
        return "something of that name came and went; run the same command again"
    if os.path.isdir(final):
        return "a folder of that name lies there; move it away"
    return f"a file of {found.st_size} bytes that is not ours lies there; move it away or allow it to be replaced"
