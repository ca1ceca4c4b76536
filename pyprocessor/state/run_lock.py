"""One run per output folder: a lock that the kernel drops with the process, whatever ended it."""

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
    """The state folder as it was when it was taken.

    Without the lock's file another run is still refused, since the journal tells of the one that lives
    (`recovery.refuse_if_busy`). Without the journal nothing would hold it off.
    """

    folder: bytes
    device: int
    inode: int

    def lost(self) -> str | None:
        """What was taken away from a run that works here, as a sentence; None as long as all is in its place."""
        try:
            found = os.stat(self.folder)
            moved = (found.st_dev, found.st_ino) != (self.device, self.inode)
        except FileNotFoundError:
            moved = True
        except OSError:
            return None  # it cannot be told now
        if moved:
            return f"The folder {display(self.folder)} was removed while the run was working."
        with contextlib.suppress(OutputUnwritable):
            if not is_there(self.folder):
                return f"The journal in {display(self.folder)} was removed while the run was working."
        return None


@contextlib.contextmanager
def hold(state_folder: bytes, output: bytes) -> Iterator[RunLock]:
    """Hold the output folder for the time of the context.

    Raises `OutputBusy` when another run has it, `OutputUnwritable` where it cannot be told.
    """
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
