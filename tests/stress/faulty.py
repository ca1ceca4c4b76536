"""The command with a fault: its engine kills itself at one write of the journal, as a SIGKILL from outside would.

`STRESS_KILL=grant_job/before/1 python -m tests.stress.faulty ARGUMENTS` runs the command with these arguments. The kill
comes just before what the named statement wrote is committed, or just after that and before anything that follows, at
its first time, second time and so on. What all happens in the product is patched in from here; it holds no code for
tests. With `STRESS_WORKER` set, batch processes have a fault of their own (see `faulty_worker`), with `STRESS_MOMENT`
all who have a part in a grant (see `moments`).
"""

from __future__ import annotations

import os
import signal
import sqlite3
from typing import Any

from pyprocessor.journal import database, writer
from pyprocessor.journal.database import QUERIES, Database
from pyprocessor.journal.journal import Journal
from pyprocessor.workers import process as child
from tests.stress import moments

KILL = "STRESS_KILL"
WORKER = "STRESS_WORKER"
SCHEMA = "schema"
"""Stands for the making of the tables, which is no named statement."""


class Trap:
    """Springs at the `count`th time that `statement` wrote something."""

    def __init__(self, statement: str, moment: str, count: int) -> None:
        self.statement = statement
        self.moment = moment
        self._left = count
        self.due = False

    def wrote(self, statement: str) -> None:
        """Take note of a write; `due` is set when it was the one."""
        if statement == self.statement:
            self._left -= 1
            self.due = self.due or self._left == 0

    def spring(self, moment: str) -> None:
        """Die here, if it is due and this is the moment."""
        if self.due and self.moment == moment:
            os.kill(os.getpid(), signal.SIGKILL)


def set_trap(trap: Trap) -> None:
    """Install the trap in this process's journal."""
    write, run = Database.write, Database._run

    def trapped_write(self: Database, name: str, parameters: Any) -> sqlite3.Cursor:
        if not self._in_block:  # commits by itself
            trap.wrote(name)
            trap.spring("before")
            cursor = write(self, name, parameters)
            trap.spring("after")
            return cursor
        cursor = write(self, name, parameters)
        if cursor.rowcount > 0:
            trap.wrote(name)
        return cursor

    def trapped_run(self: Database, statement: str, *more: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            trap.spring("before")
        cursor = run(self, statement, *more)
        if statement == "COMMIT":
            trap.spring("after")
        return cursor

    Database.write = trapped_write  # type: ignore[method-assign]
    Database._run = trapped_run  # type: ignore[method-assign]
    _trap_the_opening(trap)
    if trap.statement == "prune_readings":
        writer.PRUNE_EVERY, writer.READINGS_KEPT = 1, 0
    if trap.statement == "bound_results":
        keep = Journal.keep_result
        Journal.keep_result = lambda self, key, result, most: keep(self, key, result, min(most, 1))  # type: ignore[method-assign]


class _Connection:
    """A connection whose commits spring the trap, once the statement was among what it executed."""

    def __init__(self, connection: sqlite3.Connection, trap: Trap) -> None:
        self._connection = connection
        self._trap = trap

    def execute(self, statement: str, *more: Any) -> Any:
        if statement == QUERIES["clear_transitions"]:
            self._trap.wrote("clear_transitions")
        if statement == "COMMIT":
            self._trap.spring("before")
        done = self._connection.execute(statement, *more)
        if statement == "COMMIT":
            self._trap.spring("after")
        return done

    def executemany(self, statement: str, *more: Any) -> Any:
        self._trap.wrote("insert_transition")
        return self._connection.executemany(statement, *more)

    def executescript(self, script: str) -> Any:
        self._trap.wrote(SCHEMA)
        self._trap.spring("before")
        done = self._connection.executescript(script)
        self._trap.spring("after")
        return done


def _trap_the_opening(trap: Trap) -> None:
    prepare = database._prepare_schema

    def trapped(connection: Any, path: bytes) -> None:
        prepare(_Connection(connection, trap), path)  # type: ignore[arg-type]

    database._prepare_schema = trapped


def main() -> int:
    """Set the faults that the environment names, then be the command."""
    named = os.environ.get(KILL)
    if named:
        statement, moment, count = named.split("/")
        set_trap(Trap(statement, moment, int(count)))
    if os.environ.get(moments.MOMENT):
        moments.set_in_engine()
    if os.environ.get(WORKER) or os.environ.get(moments.MOMENT):
        child.PRELOADED = (*child.PRELOADED, "tests.stress.faulty_worker")  # type: ignore[assignment]
    from pyprocessor.cli import console  # which holds signals back, and tests import this module

    return console.main()


if __name__ == "__main__":
    raise SystemExit(main())
