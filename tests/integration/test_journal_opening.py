"""The journal's file: opening, reading beside a writer, damage, full disks, kills."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import FailureKind, JournalError, OutputUnwritable
from pyprocessor.journal import database
from pyprocessor.journal.database import FILE_NAME, SCHEMA_VERSION, open_for_reading
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import CachedMedia
from pyprocessor.journal.writer import PRUNE_EVERY
from pyprocessor.models import MediaInfo, ProcessIdentity, Reading, Source, StreamInfo, StreamKind, VideoInfo
from tests.process.skips import disk_or_skip

ENGINE = ProcessIdentity(100, 1000.0)
MEDIA = MediaInfo("mov", 1.0, False, 10, None, (StreamInfo(0, StreamKind.VIDEO, "h264", video=VideoInfo(160, 90)),))
NAME = FILE_NAME.decode()


def fill(journal: Journal) -> None:
    """Writes more in one transaction than a small disk holds."""
    with journal.transaction():
        for _ in range(5000):
            journal.add_event("long", "x" * 1000)


def reading(used: int) -> Reading:
    """A Reading told apart by its used memory."""
    return Reading(1.0, 2.0, 100, used, 5, 50.0, 1000)


@pytest.mark.parametrize(("wal", "mode"), [(True, "wal"), (False, "truncate")])
def test_a_journal_is_private_and_in_the_asked_mode(tmp_path: Path, wal: bool, mode: str) -> None:
    """Nobody else may read it, whatever the umask; network file systems get no write-ahead log."""
    old = os.umask(0)
    try:
        with Journal.open(bytes(tmp_path), wal=wal) as journal:
            journal.begin_run("x", ENGINE)
            for path in tmp_path.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with closing(sqlite3.connect(tmp_path / NAME)) as raw:
                kept = raw.execute("PRAGMA journal_mode").fetchone()[0]
                assert kept == (
                    "wal" if wal else "delete"
                )  # TRUNCATE is a way of one connection, DELETE what others see
    finally:
        os.umask(old)
    assert mode in ("wal", "truncate")


def test_runs_are_remembered(tmp_path: Path) -> None:
    """A run has its beginning, its end and its exit code; one that was killed has no end."""
    with Journal.open(bytes(tmp_path), wal=True, clock=lambda: 12.0) as journal:
        assert journal.last_run() is None
        journal.begin_run("pyprocessor --input \udcff", ENGINE)
        journal.end_run(130)
    with Journal.open(bytes(tmp_path), wal=True, clock=lambda: 13.0) as journal:
        run = journal.last_run()
        assert run is not None
        assert (run.arguments, run.engine, run.exit_code) == ("pyprocessor --input \\udcff", ENGINE, 130)
        assert (run.started_at, run.ended_at) == (12.0, 12.0)
        journal.begin_run("again", ENGINE)
        run = journal.last_run()
        assert run is not None
        assert (run.id, run.ended_at) == (2, None)


def test_media_is_remembered_for_exactly_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another size or mtime, or records with other fields, and it has to be inspected again."""
    path = b"/in/\xff\n.mov"
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        assert journal.media(path, 1, 2) is None
        journal.remember_media(Source(path, b"x", 1, 2), CachedMedia(MEDIA))
        assert journal.media(path, 1, 2) == CachedMedia(MEDIA)
        assert journal.media(path, 1, 3) is None
        assert journal.media(path, 2, 2) is None
        failed = CachedMedia(None, FailureKind.BAD_INPUT, "It is text \udcff.")
        journal.remember_media(Source(path, b"x", 1, 3), failed)
        assert journal.media(path, 1, 2) is None
        assert journal.media(path, 1, 3) == CachedMedia(None, FailureKind.BAD_INPUT, "It is text \\udcff.")
        monkeypatch.setattr("pyprocessor.journal.reader.media_shape", lambda: "another")
        assert journal.media(path, 1, 3) is None


def test_events_cannot_be_changed(tmp_path: Path) -> None:
    """They carry the reading a decision was taken on, and are append-only even for somebody with sqlite3."""
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        journal.begin_run("x", ENGINE)
        journal.add_event("shed", "One file was put back \udcff.", "job", reading(7))
        journal.add_event("note", "Nothing more.")
        shed, note = journal.events(run_id=journal.run_id)
        assert (shed.kind, shed.job_id, shed.reading) == ("shed", "job", reading(7))
        assert (note.text, note.reading) == ("Nothing more.", None)
    with closing(sqlite3.connect(tmp_path / NAME)) as raw:
        for statement in ("UPDATE events SET text = ''", "DELETE FROM events"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)


def test_readings_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old readings make room for new ones."""
    monkeypatch.setattr("pyprocessor.journal.writer.READINGS_KEPT", 100)
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        journal.begin_run("x", ENGINE)
        with journal.transaction():
            for number in range(2 * PRUNE_EVERY):
                journal.add_reading(reading(number))
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as connection:
        kept = [json.loads(text)["used_memory_bytes"] for (text,) in connection.execute("SELECT reading FROM readings")]
    assert kept == list(range(2 * PRUNE_EVERY - 100, 2 * PRUNE_EVERY))


def test_a_transaction_stands_or_falls_as_a_whole(tmp_path: Path) -> None:
    """An exception takes back all of the block, inner blocks included; the journal works on."""
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        journal.begin_run("x", ENGINE)

        def interrupted() -> None:
            with journal.transaction():
                journal.add_event("a", "A.")
                with journal.transaction():
                    journal.add_event("b", "B.")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert list(journal.events()) == []
        journal.add_event("c", "C.")
        assert [event.kind for event in journal.events()] == ["c"]


@pytest.mark.parametrize("wal", [True, False])
def test_reading_beside_a_writer(tmp_path: Path, wal: bool) -> None:
    """A reader sees what was committed, cannot write, and does not stop the writer."""
    with Journal.open(bytes(tmp_path), wal=wal) as journal:
        journal.begin_run("x", ENGINE)
        journal.add_event("a", "A.")
        with JournalReader.read_only(bytes(tmp_path)) as reader:
            assert [event.kind for event in reader.events()] == ["a"]
            journal.add_event("b", "B.")
            assert [event.kind for event in reader.events()] == ["a", "b"]
            with closing(open_for_reading(bytes(tmp_path))) as below, pytest.raises(OutputUnwritable, match="readonly"):
                below.write("end_run", dict.fromkeys(("run_id", "exit_code", "now", "done_before", "failed_before"), 0))
            with journal.transaction():
                journal.add_event("c", "C.")
                if wal:
                    assert len(list(reader.events())) == 2


@pytest.mark.parametrize("wal", [True, False])
def test_reading_when_nobody_writes(tmp_path: Path, wal: bool) -> None:
    """A finished run can be read, and continued after."""
    with Journal.open(bytes(tmp_path), wal=wal) as journal:
        journal.begin_run("x", ENGINE)
    with JournalReader.read_only(bytes(tmp_path)) as reader:
        assert reader.last_run() is not None
    with Journal.open(bytes(tmp_path), wal=wal) as journal:
        assert journal.begin_run("y", ENGINE) == 2


def test_odd_folder_names(tmp_path: Path) -> None:
    """A folder's name may hold what means something in an address, and bytes that are no text."""
    folder = os.path.join(bytes(tmp_path), b"50%25 ?mode=ro #\xff\n")
    os.mkdir(folder)
    with Journal.open(folder, wal=True) as journal:
        journal.begin_run("x", ENGINE)
    assert FILE_NAME in os.listdir(folder)
    with JournalReader.read_only(folder) as reader:
        assert reader.last_run() is not None


def test_a_missing_journal_is_said_so(tmp_path: Path) -> None:
    """Reading never makes a journal."""
    with pytest.raises(JournalError, match="nothing has been run"):
        JournalReader.read_only(bytes(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    """An older program neither reads nor changes what a newer one wrote."""
    Journal.open(bytes(tmp_path), wal=True).close()
    with closing(sqlite3.connect(tmp_path / NAME)) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(JournalError, match="newer pyprocessor"):
        Journal.open(bytes(tmp_path), wal=True)
    with pytest.raises(JournalError, match="newer pyprocessor"):
        JournalReader.read_only(bytes(tmp_path))


def test_a_strangers_database_is_refused(tmp_path: Path) -> None:
    """Somebody else's tables are not mixed with ours."""
    with closing(sqlite3.connect(tmp_path / NAME)) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    with pytest.raises(JournalError, match="not a journal"):
        Journal.open(bytes(tmp_path), wal=True)


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    """A kill between making the file and the schema leaves one; a reader says there is nothing yet."""
    (tmp_path / NAME).touch()
    with pytest.raises(JournalError, match="no journal yet"):
        JournalReader.read_only(bytes(tmp_path))
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        assert journal.begin_run("x", ENGINE) == 1


def test_a_damaged_journal_is_said_so(tmp_path: Path) -> None:
    """The sentence names the file and says what to do, whether the head or the middle is damaged."""
    (tmp_path / NAME).write_bytes(b"This is no database." * 100)
    for opener in (lambda: Journal.open(bytes(tmp_path), wal=True), lambda: JournalReader.read_only(bytes(tmp_path))):
        with pytest.raises(JournalError, match=r"journal\.sqlite3 is damaged .* The next run sets"):
            opener()
    (tmp_path / NAME).unlink()
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        journal.begin_run("x", ENGINE)
        for number in range(50):
            journal.add_event("n", "x" * 1000 + str(number))
    with (tmp_path / NAME).open("r+b") as raw:
        size = raw.seek(0, os.SEEK_END)
        raw.seek(4096)
        raw.write(os.urandom(size - 4096))
    with pytest.raises(JournalError, match="damaged"), JournalReader.read_only(bytes(tmp_path)) as reader:
        list(reader.events())


def test_a_full_disk_ends_with_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's "database or disk is full" is an unwritable output; what was committed stays readable."""
    connections: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connected(*args: Any, **settings: Any) -> sqlite3.Connection:
        connections.append(connect(*args, **settings))
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", connected)
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        journal.begin_run("x", ENGINE)
        connection = connections[-1]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OutputUnwritable, match="disk is full"):
            fill(journal)
        connection.execute("PRAGMA max_page_count = 100000")
        assert list(journal.events()) == []
        journal.add_event("short", "It goes on.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    """The sentence says permission."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputUnwritable, match="Permission denied"):
            Journal.open(bytes(tmp_path), wal=True)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The state folder is made by its own room; without it the journal cannot be made."""
    with pytest.raises(OutputUnwritable, match="cannot be made"):
        Journal.open(bytes(tmp_path / "no"), wal=True)


def test_a_locked_journal_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that holds the database does not hang us for ever."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    with Journal.open(bytes(tmp_path), wal=True) as journal, closing(sqlite3.connect(tmp_path / NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="in use by another program"):
            journal.begin_run("x", ENGINE)


WRITER = """
import sys
from pyprocessor.journal.journal import Journal
from pyprocessor.models import ProcessIdentity

journal = Journal.open(sys.argv[1].encode(), wal=sys.argv[2] == "True")
journal.begin_run("x", ProcessIdentity(100, 1000.0))
number = 0
while True:
    with journal.transaction():
        journal.add_event("one", str(number))
        journal.add_event("two", str(number))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("wal", [True, False])
def test_a_kill_loses_nothing_that_was_committed(tmp_path: Path, wal: bool) -> None:
    """After SIGKILL in the midst of writing, every told pair is whole, and both doors still open."""
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(wal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = -1
        while told < 20:
            told = int(child.stdout.readline())
        child.kill()
    with JournalReader.read_only(bytes(tmp_path)) as reader:
        events = list(reader.events())
        pairs = [(event.kind, int(event.text)) for event in events]
        assert pairs == [(kind, number) for number in range(len(pairs) // 2) for kind in ("one", "two")]
        assert len(pairs) >= 2 * told
        run = reader.last_run()
        assert run is not None
        assert run.ended_at is None
    with Journal.open(bytes(tmp_path), wal=wal) as journal:
        assert journal.begin_run("y", ENGINE) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte that can be made read-only."""
    with disk_or_skip(tmp_path / "disk", 1 << 20) as disk:
        yield disk


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """No page is left on the file system: the same error, and after clearing the journal goes on."""
    with Journal.open(bytes(small_disk), wal=True) as journal:
        journal.begin_run("x", ENGINE)
        with pytest.raises(OutputUnwritable):
            fill(journal)
        assert list(journal.events()) == []


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
def test_reading_on_a_read_only_disk(small_disk: Path, tmp_path: Path, killed: bool) -> None:
    """A finished journal is read as it lies, and so is one that a killed run left with its log."""
    with Journal.open(bytes(small_disk), wal=True) as journal:
        journal.begin_run("x", ENGINE)
        if killed:
            shutil.copytree(small_disk, tmp_path / "copy")
    if killed:
        shutil.copytree(tmp_path / "copy", small_disk, dirs_exist_ok=True)
        assert (small_disk / (NAME + "-wal")).stat().st_size > 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with JournalReader.read_only(bytes(small_disk)) as reader:
        run = reader.last_run()
        assert run is not None
        assert run.arguments == "x"
    with pytest.raises(OutputUnwritable):
        Journal.open(bytes(small_disk), wal=True)
