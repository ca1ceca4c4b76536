"""How is the journal's file opened and written, and what do SQLite's errors mean to the user?"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import cache
from importlib.resources import files
from typing import TypeVar
from urllib.parse import quote_from_bytes

from pyprocessor.errors import (
    JournalDamaged,
    JournalError,
    JournalOutdated,
    NoJournal,
    OutputUnwritable,
    PyprocessorError,
)
from pyprocessor.journal.rows import Row
from pyprocessor.models import TRANSITIONS, display

SCHEMA_VERSION = 5
FILE_NAME = b"journal.sqlite3"
LOG_NAME = FILE_NAME + b"-wal"
"""What is committed lies here until it is moved to the file; syncing it makes a commit outlast a power cut."""
COMPANIONS = (b"-wal", b"-shm", b"-journal")
"""Endings of what SQLite keeps beside the file, and what the file alone may lack."""
BUSY_SECONDS = 10.0
"""How long a statement waits for a reader or a writer in another process."""
PAGE_ROWS = 500
"""Rows fetched at a time when streaming: bounds memory, and no read stays open while the engine writes."""
_ROOM_NEEDED = 64 << 10
"""Less than this is no room for the files that SQLite opens."""

_NOT_WRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_IN_USE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_TEXT, SCHEMA = (
    files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("queries.sql", "schema.sql")
)
_PARTS = re.split(r"^-- name: (\w+)$", _TEXT, flags=re.MULTILINE)
QUERIES = dict(zip(_PARTS[1::2], map(str.strip, _PARTS[2::2]), strict=True))
"""The statements of `queries.sql` by name."""

Record = TypeVar("Record")
_JOINED = nullcontext()
"""Stands for a transaction within another."""


class Database:
    """A connection that runs the named statements and raises only errors meant for the user."""

    def __init__(self, connection: sqlite3.Connection, path: bytes) -> None:
        self._connection = connection
        self._path = path
        self._in_block = False

    def write(self, name: str, parameters: Mapping[str, object]) -> sqlite3.Cursor:
        """Run one statement that changes something; the cursor has its `rowcount` and `lastrowid`."""
        if self._in_block and not self._connection.in_transaction:
            self._run("BEGIN IMMEDIATE")
        return self._run(QUERIES[name], parameters)

    def rows(self, name: str, parameters: Mapping[str, object]) -> list[Row]:
        """All rows of one statement."""
        try:
            return self._connection.execute(QUERIES[name], parameters).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    def pages(self, name: str, parameters: Mapping[str, object]) -> Iterator[Row]:
        """Stream a statement with `:after` and `:limit`, ordered by its first column; no row is seen twice."""
        after: object = 0
        while rows := self.rows(name, {**parameters, "after": after, "limit": PAGE_ROWS}):
            yield from rows
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1][0]

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all writes within together, or none; nested ones join. It begins with the first write."""
        return _JOINED if self._in_block else self._committed()

    @contextmanager
    def _committed(self) -> Iterator[None]:
        self._in_block = True
        try:
            yield
            if self._connection.in_transaction:
                self._run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # on a full disk SQLite may have rolled back by itself
                self._run("ROLLBACK")
            raise
        finally:
            self._in_block = False

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Undo what the block wrote where an exception leaves it, also where a transaction around it goes on."""
        if not self._in_block:
            with self._committed():
                yield
            return
        if not self._connection.in_transaction:
            self._run("BEGIN IMMEDIATE")
        self._run("SAVEPOINT block")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._run("ROLLBACK TO block")
                self._run("RELEASE block")
            raise
        self._run("RELEASE block")

    def record(self, make: Callable[[Row], Record], row: Row) -> Record:
        """Make a record of a row; raises JournalDamaged where it holds what was never written."""
        try:
            return make(row)
        except (ValueError, TypeError, KeyError, AssertionError, ArithmeticError) as error:
            raise _damaged(self._path, f"a row of it holds what was never written: {error}") from error

    def close(self) -> None:
        """Close the connection; what no transaction committed is lost."""
        with explained(self._path):
            self._connection.close()

    def _run(self, statement: str, parameters: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        try:  # not by `explained`: it takes as long as many a statement
            return self._connection.execute(statement, parameters or {})
        except sqlite3.Error as error:
            raise explain(error, self._path) from error


@contextmanager
def explained(path: bytes) -> Iterator[None]:
    """Raise SQLite's errors as those that `explain` makes of them."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error


def explain(error: sqlite3.Error, path: bytes) -> PyprocessorError:
    """SQLite's error as a sentence about the journal's file, of the class whose exit code fits."""
    primary, name = getattr(error, "sqlite_errorcode", 0) & 0xFF, display(path)
    if primary in _NOT_WRITABLE | {sqlite3.SQLITE_FULL}:
        if primary == sqlite3.SQLITE_FULL or _is_full(path):
            what = "written: the disk is full. Free some space"
        elif _over_quota(path):
            what = "written: the disk quota is used up. Free some space, or have the quota raised,"
        else:
            what = f"read or written ({error}). Check the disk, its quota and the folder's permissions,"
        return OutputUnwritable(f"The journal {name} cannot be {what} and run the same command again.")
    if primary in _DAMAGED or str(error).startswith("Could not decode"):  # invalid text has no code
        return _damaged(path, str(error))
    if primary in _IN_USE:
        return JournalError(f"The journal {name} is in use by another program ({error}). Close it and try again.")
    return JournalError(f"The journal {name} refused a statement: {error}.")


def _damaged(path: bytes, how: str) -> JournalDamaged:
    return JournalDamaged(
        f"The journal {display(path)} is damaged ({how}). The next run sets that file aside and begins "
        "another. Sources and outputs are not touched by that, and receipts list what was made."
    )


def _is_full(path: bytes) -> bool:
    """Whether SQLite answers "disk I/O error" because it finds no room for its shared memory."""
    try:
        found = os.statvfs(os.path.dirname(path) or b".")
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _ROOM_NEEDED


def _over_quota(path: bytes) -> bool:
    """Whether writing a little fails for the quota, for which SQLite answers "disk I/O error", too."""
    try:
        descriptor = os.open(os.path.dirname(path) or b".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(_ROOM_NEEDED))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.errno == errno.EDQUOT
    return False


def is_sound(state_folder: bytes) -> bool:
    """Whether every page of the journal is what SQLite wrote. Raises OutputUnwritable.

    Measured: 0.2 s for 100,000 jobs with an attempt each. A flipped bit inside of what a row holds is not found.
    """
    path = os.path.join(state_folder, FILE_NAME)
    try:
        with closing(_connect(path, mode="rw")) as connection, explained(path):
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except JournalDamaged:
        return False


def is_there(state_folder: bytes) -> bool:
    """Whether there is a journal in this folder. Raises OutputUnwritable where that cannot be found out."""
    path = os.path.join(state_folder, FILE_NAME)
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OutputUnwritable(
            f"The journal {display(path)} cannot be read: {error.strerror}. Check the folder's permissions."
        ) from error
    return True


def open_for_writing(state_folder: bytes, *, wal: bool) -> Database:
    """Open the journal, making it where there is none. `wal` is False where files cannot be shared memory."""
    path = os.path.join(state_folder, FILE_NAME)
    _refuse_links(path)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise OutputUnwritable(
            f"The journal {display(path)} cannot be made or written: {error.strerror}. "
            f"Check the folder's permissions, or choose another output."
        ) from error
    connection = _connect(path, mode="rw")
    with _closed_on_error(connection), explained(path):
        # In WAL mode NORMAL can lose the last commits at a power cut but never damages the file. What must not be lost
        # is synced by the process that acts on it; another lost commit is a job that is looked at again.
        with_log = ("journal_mode = WAL", "synchronous = NORMAL", f"journal_size_limit = {16 << 20}")
        without = ("journal_mode = TRUNCATE", "synchronous = FULL")
        for setting in (*(with_log if wal else without), "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")
        _prepare_schema(connection, path)
    return Database(connection, path)


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def open_for_reading(state_folder: bytes) -> Database:
    """Open an existing journal to read it, whether or not a run is writing it.

    The connection may touch the lock and recovery files of SQLite (a killed run can have left some) but never a row.
    Where the disk is read-only or full and no run left such files, the file does not change and is read as it lies.
    """
    path = os.path.join(state_folder, FILE_NAME)
    _refuse_links(path)
    if not is_there(state_folder):
        raise NoJournal(f"There is no journal {display(path)}: nothing has been run with this output folder yet.")
    connection = _connect(path, mode="rw")
    try:
        with _closed_on_error(connection):
            _schema_version(connection)
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        writable, log = os.access(state_folder, os.W_OK) and not _is_full(path), path + b"-wal"
        logged = os.path.exists(log) and os.path.getsize(log) > 0
        if primary not in _NOT_WRITABLE | {sqlite3.SQLITE_FULL} or logged or writable:
            raise explain(error, path) from error
        connection = _connect(path, mode="ro&immutable=1")
    with _closed_on_error(connection), explained(path):
        version = _schema_version(connection)
        if version != SCHEMA_VERSION:
            raise _wrong_version(path, version)
        connection.execute("PRAGMA query_only = ON")
    return Database(connection, path)


def _refuse_links(path: bytes) -> None:
    """Refuse a journal that is a link: SQLite would write to what it leads to, even when reading."""
    for ending in (b"", *COMPANIONS):
        try:
            found = os.lstat(path + ending)
        except OSError:
            continue  # there is none, or opening it will give the error
        if not stat.S_ISREG(found.st_mode):
            what = "a link" if stat.S_ISLNK(found.st_mode) else "no file"
            raise JournalError(
                f"The journal's file {display(path + ending)} is {what}, which no run made. Do not trust that output; "
                "remove it and try again."
            )


def _connect(path: bytes, *, mode: str) -> sqlite3.Connection:
    address = f"file:{quote_from_bytes(path)}?mode={mode}"
    with explained(path):
        return sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS)


def _prepare_schema(connection: sqlite3.Connection, path: bytes) -> None:
    version = _schema_version(connection)
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            if _shape_of_ours() <= _shape(connection):
                raise _damaged(path, "its version is gone")
            raise JournalError(
                f"{display(path)} is a database, but not a journal of pyprocessor. Move that file away and try again."
            )
        connection.executescript(f"BEGIN IMMEDIATE;\n{SCHEMA}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")
    elif version != SCHEMA_VERSION:
        raise _wrong_version(path, version)
    missing = _shape_of_ours() - _shape(connection)
    if missing:
        raise _damaged(path, f"it lacks {', '.join(sorted(name for _, name, _ in missing))}")
    _write_transitions(connection)


def _shape(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str | None]]:
    """Kind and name of all that the database holds, and the columns of its tables."""
    columns = "SELECT m.type, m.name, c.name FROM sqlite_master AS m LEFT JOIN pragma_table_info(m.name) AS c"
    return frozenset(connection.execute(columns))


@cache
def _shape_of_ours() -> frozenset[tuple[str, str, str | None]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return _shape(connection)


def _write_transitions(connection: sqlite3.Connection) -> None:
    """Make SQL's table of moves the same as Python's, which a newer program may have extended."""
    wanted = {(old.value, new.value) for old, new in TRANSITIONS}
    if set(connection.execute(QUERIES["transitions"])) == wanted:
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(QUERIES["clear_transitions"])
    moves = [{"old": old, "new": new} for old, new in sorted(wanted)]
    connection.executemany(QUERIES["insert_transition"], moves)
    connection.execute("COMMIT")


def _schema_version(connection: sqlite3.Connection) -> int:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # reads the file, which a PRAGMA may put off
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert isinstance(version, int)
    return version


def _wrong_version(path: bytes, version: int) -> JournalError:
    if version < SCHEMA_VERSION and version != 0:
        return JournalOutdated(
            f"The journal {display(path)} was written by an older pyprocessor (its version is {version}). The next run "
            "sets that file aside and begins another from the receipts, which list what was made."
        )
    if version > SCHEMA_VERSION:
        return JournalError(
            f"The journal {display(path)} was written by a newer pyprocessor (its version is {version}, this one reads "
            f"{SCHEMA_VERSION}). Update pyprocessor, or choose another output."
        )
    return NoJournal(
        f"{display(path)} holds no journal yet (its version is {version}). Run the command that fills this output."
    )
