"""Opening the journal of an output folder, and another one in its place where it is damaged.

A damaged journal is set aside under a name of its own, never removed, and what it knew of outputs is taken from the
receipts (`recovery`). One that is merely locked, not readable, or of a newer program is left alone: the run is refused.

The whole file is read through only after a run that did not end by itself. Damage elsewhere shows when its page is
read: that run ends, having left a mark, and the next one acts on it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from pyprocessor.errors import JournalDamaged, OutputUnwritable
from pyprocessor.journal.database import COMPANIONS, FILE_NAME, is_sound, is_there
from pyprocessor.journal.journal import Journal
from pyprocessor.models import display
from pyprocessor.publish.durable import write_file
from pyprocessor.state.set_aside import forget, set_aside
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.system import kill_group

_MARK = b"journal.is-damaged"


def open_journal(folder: StateFolder, *, wal: bool) -> tuple[Journal, str | None]:
    """The journal, and where another one had to be begun, a sentence about that. To be called by who holds the folder.

    Raises OutputUnwritable or JournalError.
    """
    if not os.path.lexists(os.path.join(folder.path, _MARK)):
        with contextlib.suppress(JournalDamaged):
            return _sound_journal(folder, wal=wal), None
    path = os.path.join(folder.path, FILE_NAME)
    _end_leftovers(folder, wal=wal)
    aside = set_aside(path, COMPANIONS, time.time()) if is_there(folder.path) else None
    forget(os.path.join(folder.path, _MARK))
    journal = Journal.open(folder.path, wal=wal)
    if aside is None:
        return journal, None
    return (
        journal,
        f"The journal of earlier runs is damaged; it was set aside as {display(aside)} and another was begun.",
    )


@contextlib.contextmanager
def marking_damage(folder: StateFolder) -> Iterator[None]:
    """Where the journal turns out to be damaged within the context, have the next run set it aside, whatever it looks
    like then."""
    try:
        yield
    except JournalDamaged:
        with contextlib.suppress(OutputUnwritable):
            write_file(os.path.join(folder.path, _MARK), b"", mode=0o600)
        raise


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
    """End what a killed run left running, as far as a damaged journal still tells of it."""
    with contextlib.suppress(JournalDamaged), Journal.open(folder.path, wal=wal) as journal:
        for batch in journal.open_batches():
            kill_group(batch.worker)
