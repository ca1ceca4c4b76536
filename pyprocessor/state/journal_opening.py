"""May a run use an output's journal: does another run work on it, and what is done where it is damaged?

A damaged one is renamed and another begun. One that is locked, unreadable or of a newer program is left alone. It is
read through only after a run that did not end by itself; damage met later ends that run and marks it for the next.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count

from filelock import FileLock, Timeout

from pyprocessor.errors import JournalDamaged, JournalOutdated, OutputBusy, OutputUnwritable
from pyprocessor.journal.audit import CHANGED
from pyprocessor.journal.database import COMPANIONS, FILE_NAME, is_sound, is_there
from pyprocessor.journal.journal import Journal
from pyprocessor.models import display
from pyprocessor.models.os_errors import unwritable
from pyprocessor.publish.durable import sync_folder
from pyprocessor.publish.partials import Anchor
from pyprocessor.state.state_folder import StateFolder, make_private, prepare_state_folder, refuse_planted
from pyprocessor.system.filesystems import shares_memory
from pyprocessor.system.own_process import user_name
from pyprocessor.system.processes import is_alive, kill_group

_MARK = b"journal.is-damaged"


@contextlib.contextmanager
def hold_lock(state_folder: bytes, output: bytes) -> Iterator[Anchor]:
    """Hold the run lock, which the kernel drops with the process. Raises OutputBusy or OutputUnwritable."""
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
        yield Anchor.of(state_folder)
    finally:
        lock.release()


def lost(locked: Anchor) -> str | None:
    """Return a sentence where the state folder or the journal was taken away from the run that locked it."""
    try:
        moved = Anchor.of(locked.path) != locked
    except FileNotFoundError:
        moved = True
    except OSError:
        return None  # it cannot be known now
    if moved:
        return f"The folder {display(locked.path)} was removed while the run was working."
    with contextlib.suppress(OutputUnwritable):
        if not is_there(locked.path):
            return f"The journal in {display(locked.path)} was removed while the run was working."
    return None


def open_journal(folder: StateFolder, *, wal: bool) -> tuple[Journal, str | None]:
    """Return the locked journal, and a sentence where it was begun anew. Raises OutputUnwritable or JournalError."""
    mark, how = os.path.join(folder.path, _MARK), "is damaged"
    if not os.path.lexists(mark):
        try:
            with contextlib.ExitStack() as closing:
                journal = closing.enter_context(Journal.open(folder.path, wal=wal))
                last = journal.last_run()
                if last is None or last.ended_at is not None or is_sound(folder.path):
                    closing.pop_all()
                    return journal, None
        except JournalOutdated:
            how = "was written by an older pyprocessor"
        except JournalDamaged:
            pass
    # End what a killed run left running, as far as a damaged journal still names it.
    with contextlib.suppress(JournalDamaged), Journal.open(folder.path, wal=wal) as journal:
        for worker in journal.open_workers():
            kill_group(worker)
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
    return journal, f"The journal of earlier runs {how}; it was set aside as {display(aside)} and another was begun."


def refuse_if_busy(journal: Journal, output_root: bytes) -> None:
    """Raise `OutputBusy` where another run in the journal is alive, though its lock was removed."""
    for run in journal.open_runs():
        if run.engine.pid != os.getpid() and is_alive(run.engine):
            raise OutputBusy(
                f"Another run (process {run.engine.pid}) is working on {display(output_root)}, though its lock was "
                "removed; wait until it has ended, or give another --output."
            )


@contextlib.contextmanager
def change_without_run(output: bytes, notify: Callable[[str], None]) -> Iterator[Journal]:
    """Open the journal of an output, made where there is none, to change it while no run is on and none can begin.

    `notify` is given sentences for the user. Raises OutputBusy, OutputUnwritable or JournalError.
    """
    folder = prepare_state_folder(output)
    for sentence in make_private(folder):
        notify(sentence)
    refuse_planted(folder)
    with hold_lock(folder.path, output):
        journal, rebuilt = open_journal(folder, wal=shares_memory(folder.path))
        if rebuilt is not None:
            notify(rebuilt)
        with marking_damage(folder), journal:
            refuse_if_busy(journal, output)
            journal.begin_without_run()
            journal.add_event(CHANGED, f"{user_name()} changed the journal between runs, by {shlex.join(sys.argv)}")
            yield journal


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
    """Rename a journal to `<path>.damaged-<UTC time>`, its companions first; returns that. Raises OutputUnwritable."""
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
