"""A damaged journal is set aside and another begun; one that is only out of reach, or of a newer program, is not."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode, JournalDamaged, JournalError, OutputUnwritable
from pyprocessor.journal import database
from pyprocessor.journal.database import FILE_NAME, SCHEMA_VERSION, is_sound
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import CachedMedia
from pyprocessor.models import Cost, Job, MediaInfo, ProcessIdentity, Source
from pyprocessor.state.journal_opening import marking_damage, open_journal, set_aside
from pyprocessor.state.state_folder import StateFolder, prepare_state_folder

ENGINE = ProcessIdentity(100, 1000.0)
NAME = FILE_NAME.decode()
PAGE = 4096


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """A state folder."""
    return prepare_state_folder(os.path.join(bytes(tmp_path), b"out"))


def journal_file(folder: StateFolder) -> Path:
    """The journal's path."""
    return Path(os.fsdecode(folder.path)) / NAME


def fill(folder: StateFolder, *, ended: bool = True, jobs: int = 400) -> None:
    """A journal with some hundred jobs, of a run that ended or was killed."""
    with Journal.open(folder.path, wal=True) as journal:
        journal.begin_run("x", ENGINE)
        with journal.transaction():
            for number in range(jobs):
                name = b"%06d.mp4" % number
                source = Source(b"/in/" + name, name, 1, 1)
                job = Job(f"{number:032x}", "transcode", source, name, "f" * 16, Cost(1.0, 1, 1))
                journal.plan(job, media_seconds=1.0)
                journal.remember_media(source, CachedMedia(MediaInfo("mov", 1.0, False, 10, None, ())))
        if ended:
            journal.end_run(0)


def overwrite(path: Path, offset: int, held: bytes) -> None:
    """Put these bytes into the file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(held)


def aside(folder: StateFolder) -> list[str]:
    """Names of what was set aside."""
    return sorted(name for name in os.listdir(os.fsdecode(folder.path)) if ".damaged-" in name)


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def header(path: Path) -> None:
    overwrite(path, 0, os.urandom(100))


def version(path: Path) -> None:
    overwrite(path, 60, bytes(4))


def other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 2}")


def page(path: Path) -> None:
    overwrite(path, path.stat().st_size // PAGE // 2 * PAGE, os.urandom(PAGE))


def schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TABLE outputs")


@pytest.mark.parametrize("damage", [random_bytes, half, header, version, other_version, page, schema])
def test_a_damaged_journal_is_set_aside(folder: StateFolder, damage: Callable[[Path], None]) -> None:
    """It stays beside the new one, as it was; the sentence names it."""
    fill(folder, ended=False)
    path = journal_file(folder)
    damage(path)
    held = path.read_bytes()
    journal, told = open_journal(folder, wal=True)
    with journal:
        assert journal.last_run() is None
    assert told is not None
    assert "damaged" in told
    (name,) = [name for name in aside(folder) if not name.endswith(("-wal", "-shm"))]
    assert name in told
    assert (path.parent / name).read_bytes() == held
    journal, told = open_journal(folder, wal=True)
    journal.close()
    assert told is None


def test_a_sound_journal_stays(folder: StateFolder) -> None:
    """Also after a run that was killed."""
    for ended in (True, False):
        fill(folder, ended=ended)
        journal, told = open_journal(folder, wal=True)
        journal.close()
        assert told is None
    assert aside(folder) == []


def test_its_log_goes_along(folder: StateFolder) -> None:
    """What SQLite keeps beside the file belongs to it: a new journal must not take it in."""
    path = journal_file(folder)
    for ending, held in (("", b"no database"), ("-wal", b"log"), ("-shm", b"index")):
        path.with_name(path.name + ending).write_bytes(held)
    new = os.fsdecode(set_aside(bytes(path), 0.0))
    assert new == f"{path}.damaged-19700101-000000"
    assert [Path(new + ending).read_bytes() for ending in ("", "-wal", "-shm")] == [b"no database", b"log", b"index"]
    path.write_bytes(b"again")
    assert os.fsdecode(set_aside(bytes(path), 0.0)) == new + "-2"


def test_damage_that_shows_late_is_marked(folder: StateFolder) -> None:
    """A run that meets it ends; the next one sets the journal aside though its last run ended by itself."""
    fill(folder)
    size = journal_file(folder).stat().st_size
    overwrite(journal_file(folder), size // 2, os.urandom(size - size // 2))
    journal, told = open_journal(folder, wal=True)
    assert told is None

    def meet_it() -> None:
        with marking_damage(folder), journal:
            list(journal.jobs())
            for number in range(200):
                journal.media(b"/in/%06d.mp4" % number, 1, 1)

    with pytest.raises(JournalDamaged, match="The next run sets"):
        meet_it()
    journal, told = open_journal(folder, wal=True)
    with journal:
        assert journal.last_run() is None
    assert told is not None
    assert len(aside(folder)) >= 1
    journal, told = open_journal(folder, wal=True)
    journal.close()
    assert told is None


@pytest.mark.parametrize(("table", "column"), [("media", "media"), ("jobs", "state"), ("jobs", "inputs")])
def test_a_row_that_means_nothing_is_damage(folder: StateFolder, table: str, column: str) -> None:
    """Flipped bits within a row are found by no check of pages; they end in the same sentence, not in a traceback."""
    fill(folder, jobs=1)
    with closing(sqlite3.connect(journal_file(folder))) as raw:
        raw.execute("DROP TRIGGER jobs_move_by_the_table")
        raw.execute(f"UPDATE {table} SET {column} = CAST(x'7bff' AS TEXT)")
        raw.commit()
    with JournalReader.read_only(folder.path) as reader:

        def read_all() -> None:
            reader.last_run()
            list(reader.jobs())
            reader.media(b"/in/000000.mp4", 1, 1)

        with pytest.raises(JournalDamaged, match="damaged"):
            read_all()


def test_a_newer_journal_is_left_alone(folder: StateFolder) -> None:
    """It is not damaged: the user has to update, or to choose another output."""
    fill(folder)
    with closing(sqlite3.connect(journal_file(folder))) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    held = journal_file(folder).read_bytes()
    with pytest.raises(JournalError, match="newer pyprocessor") as caught:
        open_journal(folder, wal=True)
    assert not isinstance(caught.value, JournalDamaged)
    assert journal_file(folder).read_bytes() == held
    assert aside(folder) == []


def test_a_locked_journal_is_left_alone(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program works with it."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    fill(folder)
    with closing(sqlite3.connect(journal_file(folder), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalError, match="in use by another program"):
            open_journal(folder, wal=True)
    assert aside(folder) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_journal_without_permission_is_left_alone(folder: StateFolder) -> None:
    """What cannot be read is not known to be damaged."""
    fill(folder)
    journal_file(folder).chmod(0)
    with pytest.raises(OutputUnwritable):
        open_journal(folder, wal=True)
    assert aside(folder) == []


def test_the_check_reads_pages_that_opening_does_not(folder: StateFolder) -> None:
    """Opening succeeds, the check says no."""
    fill(folder)
    assert is_sound(folder.path)
    page(journal_file(folder))
    Journal.open(folder.path, wal=True).close()
    assert not is_sound(folder.path)
    assert JournalDamaged.exit_code is ExitCode.OUTPUT_UNWRITABLE
