"""Where does a run keep what is not output? In the folder `.pyprocessor` of the output, private to its user.

A run trusts what it finds there, so all of it has to be real files and folders of the user or root. Only the folder
itself may be a link of theirs, to one that is empty or has been a state folder.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from pyprocessor.errors import OutputUnwritable
from pyprocessor.models import display
from pyprocessor.models.os_errors import unwritable
from pyprocessor.publish.durable import make_folders, temporary_beside

NAME = b".pyprocessor"
_BLOCK_BYTES = 4096
"""A single byte may still find room where nothing else does."""
CONTROL_SOCKET = b"control.sock"
"""In the state folder, as long as a run works: see `control/server`."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """`path` is `OUTPUT/.pyprocessor`; the others are folders in it."""

    path: bytes
    partials: bytes
    receipts: bytes
    logs: bytes

    @property
    def all(self) -> tuple[bytes, ...]:
        return self.path, self.partials, self.receipts, self.logs


def state_folder(output_root: bytes) -> StateFolder:
    """Return the paths for this output; nothing is made or looked at."""
    path = os.path.join(output_root, NAME)
    return StateFolder(path, *(os.path.join(path, name) for name in (b"partial", b"receipts", b"logs")))


def prepare_state_folder(output_root: bytes) -> StateFolder:
    """Make the output folder, those above it and the state folder, and try a write. Raises OutputUnwritable."""
    if os.path.lexists(output_root) and not os.path.isdir(output_root):
        raise OutputUnwritable(
            f"The output {display(output_root)} is not a folder. Choose another output, or move that file away."
        )
    folder = state_folder(output_root)
    try:
        make_folders(output_root)
        for path in folder.all:
            _refuse_link(path, os.path.basename(folder.partials) if path == folder.path else None)
            make_folders(path, mode=0o700)
        # Some file systems give all files to one user, whoever makes them.
        trusted = _own_ids() | {try_a_write(folder.partials)}
        for path in folder.all:
            _refuse_another(path, os.stat(path).st_uid, trusted)
    except OSError as error:
        raise unwritable(error, output_root, "cannot be used as output") from error
    return folder


def make_private(folder: StateFolder) -> tuple[str, ...]:
    """Take everybody else's rights to the state folder away; returns sentences."""
    notes = []
    for path in folder.all:
        try:
            found = os.stat(path)
            if not found.st_mode & 0o077:
                continue
            if found.st_uid == os.geteuid():
                os.chmod(path, 0o700)
                found = os.stat(path)
        except OSError as error:
            notes.append(f"The rights to {display(path)} could not be looked at: {error.strerror}.")
            continue
        if found.st_mode & 0o077:
            notes.append(
                f"Others can read or write {display(path)}, and that could not be changed: it belongs to another user, "
                "or its file system knows no such rights. Do not trust an output folder that others can write to."
            )
        elif path == folder.path:
            notes.append(f"Others could read {display(path)}; it is for its owner alone again.")
    return tuple(notes)


def refuse_planted(folder: StateFolder) -> None:
    """Refuse what lies in a private state folder and is not ours. Raises OutputUnwritable."""
    try:
        # The folders' own owners have passed `prepare_state_folder`.
        trusted = _own_ids().union(os.stat(path).st_uid for path in folder.all)
        for path in folder.all:
            with os.scandir(path) as entries:
                for entry in entries:
                    _refuse_entry(entry, trusted)
    except OSError as error:
        raise unwritable(error, folder.path, "could not be looked through") from error


def _refuse_entry(entry: os.DirEntry[bytes], trusted: frozenset[int]) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # processes of an earlier run may still be ending
    _refuse_link(entry.path)
    is_socket = stat.S_ISSOCK(found.st_mode) and entry.name == CONTROL_SOCKET
    if not (is_socket or stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise OutputUnwritable(
            f"{display(entry.path)} is neither a file nor a folder, and nothing that a run would put there; remove it "
            "and run the same command again."
        )
    _refuse_another(entry.path, found.st_uid, trusted)


def _refuse_link(path: bytes, inside: bytes | None = None) -> None:
    """Refuse a link, unless it is our own, to a folder that is empty or has the name `inside`, where that is given."""
    if not os.path.islink(path):
        return
    where = display(os.readlink(path))
    if inside is None:
        how = f"to {where}"
    elif os.lstat(path).st_uid not in _own_ids():
        how = "that another user made"
    elif not os.path.isdir(path):
        how = f"to {where}, which is no folder"
    elif (names := os.listdir(path)) and inside not in names:
        how = f"to {where}, which holds other things than a state folder"
    else:
        return
    raise OutputUnwritable(
        f"{display(path)} is a symbolic link {how}: whoever put it there could have a run write anywhere. If it is "
        "not yours, do not trust this output; remove it and run the same command again."
    )


def _own_ids() -> frozenset[int]:
    """Return the user ids whose files are trusted: root and ours."""
    return frozenset({0, os.geteuid()})


def _refuse_another(path: bytes, owner: int, trusted: frozenset[int]) -> None:
    if owner not in trusted:
        raise OutputUnwritable(
            f"{display(path)} belongs to another user ({owner}), who can change what a run reads and writes. Run "
            "the command as that user, or choose another output; if you trust what lies there, make it yours (chown) "
            "first."
        )


def opened_privately(path: str | bytes, flags: int) -> int:
    """An opener for `open`: the file is for its owner alone, and no link is followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def write_refused(*folders: bytes) -> str | None:
    """Return a sentence about the first of the folders into which nothing can be written now."""
    for folder in folders:
        try:
            try_a_write(folder)
        except OSError as error:
            return str(unwritable(error, folder, "takes no more files"))
    return None


def try_a_write(folder: bytes) -> int:
    """Write a block and remove it again; returns the id of the user it belongs to. Raises OSError.

    Asking for permission is not enough: root, network shares and full disks answer yes and refuse later.
    """
    probe = temporary_beside(os.path.join(folder, b"probe"))
    try:
        with open(probe, "xb") as writing:
            writing.write(bytes(_BLOCK_BYTES))
            writing.flush()
            os.fsync(writing.fileno())  # a share says only now that it is full
            return os.fstat(writing.fileno()).st_uid
    finally:
        if os.path.lexists(probe):
            os.unlink(probe)


def remove_socket(folder: int, *, inode: int | None = None) -> None:
    """Remove the control socket from the opened state folder, with `inode` only that very one. Raises OSError."""
    try:
        found = os.stat(CONTROL_SOCKET, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "something else has its name, control.sock")
    if inode is None or found.st_ino == inode:
        os.unlink(CONTROL_SOCKET, dir_fd=folder)
