"""Can the journal of an output folder be used, and what is done where it is damaged?

A damaged journal is renamed, never removed, and another is begun; what was made is then read from the receipts. One
that is locked, not readable, or of a newer program is left alone: the run is refused.

The whole file is read through only after a run that did not end by itself. Damage met later ends that run, which leaves
a mark for the next one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

from pyprocessor.errors import JournalDamaged
from pyprocessor.journal.database import COMPANIONS, FILE_NAME, is_sound, is_there
from pyprocessor.journal.journal import Journal
from pyprocessor.models import display
from pyprocessor.models.os_errors import unwritable
from pyprocessor.publish.durable import sync_folder
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.system.processes import kill_group

_MARK = b"journal.is-damaged"


def open_journal(folder: StateFolder, *, wal: bool) -> tuple[Journal, str | None]:
    """Return the journal, and a sentence where another one had to be begun; call it with the run lock held.

    Raises OutputUnwritable or JournalError.
    """
    mark = os.path.join(folder.path, _MARK)
    if not os.path.lexists(mark):
        with contextlib.suppress(JournalDamaged):
            return _sound_journal(folder, wal=wal), None
    _end_leftovers(folder, wal=wal)
    aside = set_aside(os.path.join(folder.path, FILE_NAME), time.time()) if is_there(folder.path) else None
    try:
        if os.path.lexists(mark):
            os.unlink(mark)
            sync_folder(folder.path)
    except OSError as error:
        raise unwritable(error, mark, "could not be removed") from error
    journal = Journal.open(folder.path, wal=wal)
    if aside is None:
        return journal, None
    return (
        journal,
        f"The journal of earlier runs is damaged; it was set aside as {display(aside)} and another was begun.",
    )


@contextlib.contextmanager
def marking_damage(folder: StateFolder) -> Iterator[None]:
    """Where the journal proves damaged inside the context, have the next run set it aside."""
    try:
        yield
    except JournalDamaged:
        with contextlib.suppress(OSError):
            os.close(os.open(os.path.join(folder.path, _MARK), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            sync_folder(folder.path)
        raise


def set_aside(path: bytes, now: float) -> bytes:
    """Rename a journal and its companions to `<path>.damaged-<UTC time>`; returns the new path.

    The journal itself goes last: a kill on the way leaves it to be set aside again. Raises OutputUnwritable.
    """
    aside = first = path + b".damaged-" + f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}".encode("ascii")
    numbers = count(2)
    try:
        while os.path.lexists(aside):
            aside = b"%s-%d" % (first, next(numbers))
        for ending in (*COMPANIONS, b""):
            if os.path.lexists(path + ending):
                os.rename(path + ending, aside + ending)
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise unwritable(error, path, "is damaged and could not be set aside") from error
    return aside


def _sound_journal(folder: StateFolder, *, wal: bool) -> Journal:
    journal = Journal.open(folder.path, wal=wal)
    try:
        last = journal.last_run()
        if last is not None and last.ended_at is None and not is_sound(folder.path):
            raise JournalDamaged("A page of it is not what was written.")
    except BaseException:
        journal.close()
        raise
    return journal


def _end_leftovers(folder: StateFolder, *, wal: bool) -> None:
    """End what a killed run left running, as far as a damaged journal still names it."""
    with contextlib.suppress(JournalDamaged), Journal.open(folder.path, wal=wal) as journal:
        for batch in journal.open_batches():
            kill_group(batch.worker)
