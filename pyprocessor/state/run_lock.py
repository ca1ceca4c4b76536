"""Does another run work on this output folder? A lock that the kernel drops with the process, whatever ended it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from filelock import FileLock, Timeout

from pyprocessor.errors import OutputBusy, OutputUnwritable
from pyprocessor.journal.database import is_there
from pyprocessor.models import display
from pyprocessor.models.os_errors import unwritable


@dataclass(frozen=True, slots=True)
class RunLock:
    """The state folder as it was when it was locked.

    Where only the lock's file is removed, the journal still names the run that lives (`recovery.refuse_if_busy`).
    """

    folder: bytes
    device: int
    inode: int

    def lost(self) -> str | None:
        """Return a sentence where the folder or the journal was taken away from the run."""
        try:
            found = os.stat(self.folder)
            moved = (found.st_dev, found.st_ino) != (self.device, self.inode)
        except FileNotFoundError:
            moved = True
        except OSError:
            return None  # it cannot be said now
        if moved:
            return f"The folder {display(self.folder)} was removed while the run was working."
        with contextlib.suppress(OutputUnwritable):
            if not is_there(self.folder):
                return f"The journal in {display(self.folder)} was removed while the run was working."
        return None


@contextlib.contextmanager
def hold(state_folder: bytes, output: bytes) -> Iterator[RunLock]:
    """Hold the lock for the time of the context. Raises OutputBusy, or OutputUnwritable where it cannot be taken."""
    path = os.path.join(state_folder, b"run.lock")
    lock = FileLock(os.fsdecode(path), mode=0o600)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputBusy(
            f"Another run is working on {display(output)}; wait until it has ended, or give another --output."
        ) from None
    except OSError as error:
        raise unwritable(error, path, "cannot be locked") from error
    try:
        found = os.stat(state_folder)
        yield RunLock(state_folder, found.st_dev, found.st_ino)
    finally:
        lock.release()
