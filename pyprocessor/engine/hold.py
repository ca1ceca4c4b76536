"""One run per output folder: a lock that the kernel drops with the process, whatever ended it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from filelock import FileLock, Timeout

from pyprocessor.errors import OutputBusy
from pyprocessor.models import display


@contextlib.contextmanager
def hold(state_folder: bytes, output: bytes) -> Iterator[None]:
    """Hold the output folder for the time of the context; raises `OutputBusy` when another run has it."""
    lock = FileLock(os.fsdecode(os.path.join(state_folder, b"run.lock")))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputBusy(
            f"Another run is working on {display(output)}; wait until it has ended, or give another --output."
        ) from None
    try:
        yield
    finally:
        lock.release()
