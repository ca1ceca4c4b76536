"""How does a verified file get its final name?

    partial (sealed) --one rename--> final                      on the same file system
    partial --note, copy, fsync--> hidden name beside final --one rename--> final     on another one

Whenever the process dies, the final name is free, or has its old content, or has all of the new.
"""

from __future__ import annotations

import errno
import os

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.os_errors import refusal
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import copy_file, make_folders, sync_folder, temporary_beside
from pyprocessor.publish.partials import OutputSeal, discard, note_copy
from pyprocessor.publish.renames import rename_exclusive

_WISH = "could not be given its name"


def publish(partial: bytes, final: bytes, *, seal: OutputSeal, replace: bool, bounds: Bounds) -> OutputSeal:
    """Give a verified and sealed file its final name; returns size and mtime under that name.

    Without `replace` a name that is taken is refused, a name outside `bounds` always. A copy to another file system may
    keep its times less exactly than `seal` has them.

    Raises PublishError. The partial is then still there and the final name is as it was, unless the last step failed,
    bringing the new name to the disk.
    """
    try:
        _check(partial, seal)
        folder = os.path.dirname(final)
        bounds.check(final)
        make_folders(folder)
        try:
            _rename(partial, final, replace=replace)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_across(partial, final, replace=replace)
        sync_folder(folder)
        found = os.lstat(final)
    except FileExistsError as error:
        raise PublishError(FailureKind.PERMISSION, f"{display(final)} {_WISH}: {_what_lies_at(final)}.") from error
    except OSError as error:
        raise refusal(error, final, _WISH) from error
    return OutputSeal(found.st_size, found.st_mtime_ns)


def _check(partial: bytes, seal: OutputSeal) -> None:
    """Refuse a partial that was written to after it was verified."""
    found = os.lstat(partial)
    if (found.st_size, found.st_mtime_ns) != (seal.size_bytes, seal.mtime_ns):
        raise PublishError(
            FailureKind.INFRASTRUCTURE, f"{display(partial)} changed after it was verified; it is not published."
        )


def _rename(old: bytes, final: bytes, *, replace: bool) -> None:
    if replace:
        os.replace(old, final)
    else:
        rename_exclusive(old, final)


def _copy_across(partial: bytes, final: bytes, *, replace: bool) -> None:
    temporary = temporary_beside(final)
    note = note_copy(partial, temporary)
    try:
        copy_file(partial, temporary)
        _rename(temporary, final, replace=replace)
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
