"""What lies in an output's state folder and is not ours: laid there by another user, or come with an archive.

A run believes what it finds there, and writes there under names that can be foreseen. So all of it has to be real files
and folders, of the user who runs or of root. The state folder alone may be a link, to lie on another disk: one that the
same user or root made, to a folder that is empty or has been a state folder. An archive's links are the user's own once
it is unpacked, but they lead to no such folder where harm could be done.

It is looked at once, when nobody else can write there any more: see `state_folder`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from pyprocessor.errors import OutputUnwritable
from pyprocessor.models import display

_ROOT = 0


def own_ids() -> frozenset[int]:
    """The user ids of those whose files are trusted. Windows has none, and says 0 of all files."""
    return frozenset({_ROOT, os.geteuid()}) if hasattr(os, "geteuid") else frozenset({_ROOT})


def refuse_link(path: bytes, *, from_another_disk: frozenset[bytes] = frozenset()) -> None:
    """Refuse a link under the name of one of our folders. With `from_another_disk`, the names of what a state folder
    holds first, one that is our own is taken where it leads to an empty folder, or to one that holds any of these.

    Raises OutputUnwritable, or OSError where it cannot be looked at.
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


def refuse_strangers(folders: Iterable[bytes], trusted: frozenset[int], sockets: frozenset[bytes]) -> None:
    """Refuse whatever lies directly in these folders and is neither file nor folder, but for `sockets` of these names,
    or belongs to others. Raises OutputUnwritable or OSError."""
    for path in folders:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # what an earlier run left running may still be ending
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
