"""How is anything written to the journal: statements, transactions, events, readings?"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from operator import attrgetter
from typing import Any

from pyprocessor.journal.database import Database
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.records import encode
from pyprocessor.models import HookSettings, Profile, Reading

READINGS_KEPT = 20_000
"""Older readings are dropped: at two a second this is nearly three hours."""
PRUNE_EVERY = 256


class JournalWriter(JournalReader):
    """A journal open for writing; what is written belongs to the run that has begun."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        super().__init__(database)
        self._clock = clock
        self._run_id: int | None = None

    def transaction(self) -> AbstractContextManager[None]:
        """Group writes: all are committed at the end of the block, or none where an exception leaves it."""
        return self._database.transaction()

    @property
    def run_id(self) -> int:
        """The run that `begin_run` began."""
        assert self._run_id is not None, "begin_run comes before anything that belongs to a run"
        return self._run_id

    # ------------------------------------------------------------ readings and events

    def add_reading(self, reading: Reading) -> None:
        """Keep a Reading, and drop the oldest once there are over `READINGS_KEPT`."""
        last_id = self._write("insert_reading", reading=encode(reading)).lastrowid
        assert last_id is not None
        if last_id % PRUNE_EVERY == 0:
            self._write("prune_readings", kept=READINGS_KEPT)

    def add_event(self, kind: str, text: str, job_id: str | None = None, reading: Reading | None = None) -> None:
        """Add an event: `kind` for programs, `text` a sentence, and the Reading that a decision was taken on."""
        read = None if reading is None else encode(reading)
        self._write("insert_event", kind=kind, text=text, job_id=job_id, reading=read)

    def note_settings(self, profile: Profile) -> None:
        """Keep the profile under which the run begins, without its hooks, so that the run can be replayed."""
        self.add_event("settings", encode(replace(profile, hooks=HookSettings())))

    # ------------------------------------------------------------ statements

    def _hit(self, statement: str, **values: object) -> bool:
        """Run a statement for one row, perhaps guarded; returns whether the row was in an expected state."""
        return self._write(statement, **values).rowcount == 1

    def _write(self, statement: str, **values: object) -> sqlite3.Cursor:
        """Run a statement, which may also take `run_id` and `now`."""
        values["run_id"], values["now"] = self._run_id, self._clock()
        try:
            return self._database.write(statement, values)
        except UnicodeEncodeError:  # SQLite takes no lone surrogates, which odd file names hold
            return self._database.write(statement, {name: _storable(value) for name, value in values.items()})


def _storable(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def values_of(record: object) -> dict[str, object]:
    """The fields of a record of `models`, by their names; `dataclasses.asdict` would copy what they hold, too."""
    kind: Any = type(record)
    names, values = _fields(kind)
    return dict(zip(names, values(record), strict=True))


@cache
def _fields(kind: Any) -> tuple[tuple[str, ...], Callable[[object], tuple[object, ...]]]:
    return kind.__match_args__, attrgetter(*kind.__match_args__)
