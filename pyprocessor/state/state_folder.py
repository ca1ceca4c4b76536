"""The folder `.pyprocessor` in the output, for all that is not output."""

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
from pyprocessor.state.foreign_files import own_ids, refuse_foreign, refuse_link, refuse_strangers

NAME = b".pyprocessor"
_BLOCK_BYTES = 4096
"""A single byte may find room beside the name of its file, where there is none for anything else."""
CONTROL_SOCKET = b"control.sock"
"""In the state folder, as long as a run has it: see `control/server`."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Where things lie. `path` is `OUTPUT/.pyprocessor`; the others are folders in it."""

    path: bytes
    partials: bytes
    receipts: bytes
    logs: bytes

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every folder."""
        return self.path, self.partials, self.receipts, self.logs


def state_folder(output_root: bytes) -> StateFolder:
    """The paths for this output; nothing is made or looked at."""
    path = os.path.join(output_root, NAME)
    return StateFolder(
        path=path,
        partials=os.path.join(path, b"partial"),
        receipts=os.path.join(path, b"receipts"),
        logs=os.path.join(path, b"logs"),
    )


def prepare_state_folder(output_root: bytes) -> StateFolder:
    """Makes the output folder, those above it and the state folder in it (for its owner alone), and tries a write.

    Raises OutputUnwritable: a file stands in the way, or a link, or a folder of another user (see `strangers`), no
    permission, read-only, disk full.
    """
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
        # Some file systems give all files to one user, whoever makes them: who that is, a file made there tells.
        maker = try_a_write(folder.partials)
        refuse_foreign(folder.all, own_ids() | {maker})
    except OSError as error:
        raise unwritable(error, output_root, "cannot be used as output") from error
    return folder


def make_private(folder: StateFolder) -> tuple[str, ...]:
    """Takes everybody else's rights to the state folder away; returns what the user should know of it, as sentences.

    File names and what ffmpeg said of them are nobody else's business, and who can write there can make a run believe
    anything. Windows has no such rights.
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
    """Refuses what lies in a prepared state folder and is not ours (see `strangers`). To be called once it is private.

    Raises OutputUnwritable.
    """
    try:
        # The folders' own owners have passed `prepare_state_folder`.
        trusted = own_ids().union(os.stat(path).st_uid for path in folder.all)
        refuse_strangers(folder.all, trusted, frozenset({CONTROL_SOCKET}))
    except OSError as error:
        raise unwritable(error, folder.path, "could not be looked through") from error


def opened_privately(path: str | bytes, flags: int) -> int:
    """An opener for `open`: what it makes is for its owner alone, and no link is followed."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def write_refused(folder: bytes) -> str | None:
    """Why nothing can be written into a folder now, as a sentence; None where it can."""
    try:
        try_a_write(folder)
    except OSError as error:
        return str(unwritable(error, folder, "takes no more files"))
    return None


def try_a_write(folder: bytes) -> int:
    """Writes a block and removes it again; returns the id of the user whom the file system gave it to. Raises OSError
    where that cannot be done.

    Asking for permission is not enough: root, network shares and full disks answer yes and refuse later.
    """
    probe = temporary_beside(os.path.join(folder, b"probe"))
    try:
        with open(probe, "xb") as writing:
            writing.write(bytes(_BLOCK_BYTES))
            writing.flush()
            os.fsync(writing.fileno())  # a share tells only now that it is full
            return os.fstat(writing.fileno()).st_uid
    finally:
        if os.path.lexists(probe):
            os.unlink(probe)


def remove_socket(folder: int, *, inode: int | None = None) -> None:
    """Removes the control socket from the opened state folder, if there is one; with `inode`, only that very one.

    Raises OSError, FileExistsError where something else has its name.
    """
    try:
        found = os.stat(CONTROL_SOCKET, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "something else has its name, control.sock")
    if inode is None or found.st_ino == inode:
        os.unlink(CONTROL_SOCKET, dir_fd=folder)
