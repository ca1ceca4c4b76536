"""Where does a run keep what is not output? In the folder `.pyprocessor` of the output, private to its user."""

from __future__ import annotations

import errno
import os
import stat
import sys
from dataclasses import dataclass

from pyprocessor.errors import OutputUnwritable
from pyprocessor.models import display
from pyprocessor.models.os_errors import unwritable
from pyprocessor.publish.durable import make_folders, temporary_beside
from pyprocessor.state.foreign_files import own_ids, refuse_foreign, refuse_foreign_entries, refuse_link

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
    return StateFolder(
        path=path,
        partials=os.path.join(path, b"partial"),
        receipts=os.path.join(path, b"receipts"),
        logs=os.path.join(path, b"logs"),
    )


def prepare_state_folder(output_root: bytes) -> StateFolder:
    """Make the output folder, those above it and the state folder, and try a write. Raises OutputUnwritable."""
    if os.path.lexists(output_root) and not os.path.isdir(output_root):
        raise OutputUnwritable(
            f"The output {display(output_root)} is not a folder. Choose another output, or move that file away."
        )
    folder = state_folder(output_root)
    try:
        make_folders(output_root)
        refuse_link(folder.path, from_another_disk=frozenset({os.path.basename(folder.partials)}))
        for path in folder.all:
            if path != folder.path:
                refuse_link(path)
            make_folders(path, mode=0o700)
        # Some file systems give all files to one user, whoever makes them.
        maker = try_a_write(folder.partials)
        refuse_foreign(folder.all, own_ids() | {maker})
    except OSError as error:
        raise unwritable(error, output_root, "cannot be used as output") from error
    return folder


def make_private(folder: StateFolder) -> tuple[str, ...]:
    """Take everybody else's rights to the state folder away; returns sentences for the user.

    Whoever can write there can make a run believe anything. Windows has no such rights.
    """
    if sys.platform == "win32":
        return ()
    notes = []
    name = display(folder.path)
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
            notes.append(f"Others could read {name}; it is for its owner alone again.")
    return tuple(notes)


def refuse_planted(folder: StateFolder) -> None:
    """Refuse what lies in a private state folder and is not ours, see `foreign_files`. Raises OutputUnwritable."""
    try:
        # The folders' own owners have passed `prepare_state_folder`.
        trusted = own_ids().union(os.stat(path).st_uid for path in folder.all)
        refuse_foreign_entries(folder.all, trusted, frozenset({CONTROL_SOCKET}))
    except OSError as error:
        raise unwritable(error, folder.path, "could not be looked through") from error


def opened_privately(path: str | bytes, flags: int) -> int:
    """An opener for `open`: the file is for its owner alone, and no link is followed."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def write_refused(folder: bytes) -> str | None:
    """Return a sentence where nothing can be written into a folder now."""
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
