"""Is there anything in a state folder that another user, or an archive, put there?

A run believes what it finds there, and writes there under names that can be foreseen. So all of it has to be real files
and folders of the user who runs or of root. Only the state folder itself may be a link that one of them made, to a
folder on another disk that is empty or has been a state folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from pyprocessor.errors import OutputUnwritable
from pyprocessor.models import display

_ROOT = 0


def own_ids() -> frozenset[int]:
    """Return the user ids whose files are trusted; Windows says 0 of all files."""
    return frozenset({_ROOT, os.geteuid()}) if hasattr(os, "geteuid") else frozenset({_ROOT})


def refuse_link(path: bytes, *, from_another_disk: frozenset[bytes] = frozenset()) -> None:
    """Refuse a link under the name of one of our folders. Raises OutputUnwritable or OSError.

    With `from_another_disk`, names in a state folder, a link of our own passes to a folder that is empty or has these.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISLNK(found.st_mode):
        return
    how = _how_it_leads_astray(path, found.st_uid, from_another_disk)
    if how is not None:
        raise OutputUnwritable(
            f"{display(path)} is a symbolic link {how}: whoever put it there could have a run write anywhere. If it is "
            "not yours, do not trust this output; remove it and run the same command again."
        )


def _how_it_leads_astray(path: bytes, owner: int, known: frozenset[bytes]) -> str | None:
    if not known:
        return f"to {display(os.readlink(path))}"
    if owner not in own_ids():
        return "that another user made"
    try:
        names = os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return f"to {display(os.readlink(path))}, which is no folder"
    if names and known.isdisjoint(names):
        return f"to {display(os.readlink(path))}, which holds other things than a state folder"
    return None


def refuse_foreign(folders: Iterable[bytes], trusted: frozenset[int]) -> None:
    """Refuse folders that belong to others. Raises OutputUnwritable or OSError."""
    for path in folders:
        owner = os.stat(path).st_uid
        if owner not in trusted:
            raise _of_another(path, owner)


def refuse_foreign_entries(folders: Iterable[bytes], trusted: frozenset[int], sockets: frozenset[bytes]) -> None:
    """Refuse what lies directly in these folders and is no file, folder or one of `sockets`, or is another's.

    Raises OutputUnwritable or OSError.
    """
    for path in folders:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # processes of an earlier run may still be ending
                kind = stat.S_IFMT(found.st_mode)
                if kind == stat.S_IFLNK:
                    refuse_link(entry.path)
                if kind not in (stat.S_IFREG, stat.S_IFDIR) and not (kind == stat.S_IFSOCK and entry.name in sockets):
                    raise OutputUnwritable(
                        f"{display(entry.path)} is neither a file nor a folder, and nothing that a run would put "
                        "there; remove it and run the same command again."
                    )
                if found.st_uid not in trusted:
                    raise _of_another(entry.path, found.st_uid)


def _of_another(path: bytes, owner: int) -> OutputUnwritable:
    return OutputUnwritable(
        f"{display(path)} belongs to another user ({owner}), who can change what a run believes and writes. Run the "
        "command as that user, or choose another output; if you trust what lies there, make it yours (chown) first."
    )
