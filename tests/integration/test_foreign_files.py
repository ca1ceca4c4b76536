"""An output folder in which somebody else, or an archive, has laid something where a run keeps its state."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode, JournalError, OutputUnwritable, PublishError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.publish.receipts import read_receipts
from pyprocessor.state import state_folder
from pyprocessor.state.state_folder import opened_privately, prepare_state_folder
from tests.process.runs import Recorder, published, request, run

if sys.platform == "win32":
    pytest.skip("Windows lets no ordinary user make links", allow_module_level=True)

FOLDERS = ["", "partial", "receipts", "logs"]
FILES = [
    "journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm", "journal.sqlite3-journal", "journal.is-damaged",
    "run.lock", "control.sock", "logs/hooks.log", "logs/run-20260101-000000-1.log", "receipts/1-1.jsonl",
]  # fmt: skip
SOMEBODY = 12345
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder with a file that a run has no business with."""
    folder = tmp_path / "victim"
    folder.mkdir(mode=0o755)
    (folder / "precious").write_text("precious")
    return folder


def looks(folder: Path) -> list[tuple[str, int, bytes]]:
    """Names, modes and contents of all there."""
    return [
        (str(path), stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else b"")
        for path in (folder, *sorted(folder.rglob("*")))
    ]


def refused(tmp_path: Path, make_clip) -> str:  # type: ignore[no-untyped-def]
    """What a run says that refuses this output."""
    make_clip(tmp_path / "in" / "a.mp4")
    with pytest.raises(OutputUnwritable) as caught:
        run(request(tmp_path / "in", tmp_path / "out"))
    assert published(tmp_path / "out") == set()
    return str(caught.value)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_link_for_a_folder_is_not_followed(name: str, tmp_path: Path, victim: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Not even one that is our own, as those of an archive are that we unpacked, where it leads to other things."""
    place = tmp_path / "out" / ".pyprocessor" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(victim)
    before = looks(victim)
    told = refused(tmp_path, make_clip)
    assert str(place) in told
    assert "symbolic link" in told
    assert "remove it" in told
    assert looks(victim) == before


@pytest.mark.parametrize("name", FILES)
def test_a_link_for_a_file_is_not_followed(name: str, tmp_path: Path, victim: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Nothing is read through it, written, cut short or locked."""
    place = tmp_path / "out" / ".pyprocessor" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(victim / "precious")
    before = looks(victim)
    told = refused(tmp_path, make_clip)
    assert str(place) in told
    assert "symbolic link" in told
    assert looks(victim) == before


@pytest.mark.parametrize("name", ["journal.sqlite3", "run.lock", "logs/hooks.log"])
def test_what_is_no_file_holds_up_no_run(name: str, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Whoever opens a pipe waits for its other end."""
    place = tmp_path / "out" / ".pyprocessor" / name
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    told = refused(tmp_path, make_clip)
    assert str(place) in told
    assert "neither a file nor a folder" in told


@only_root
@pytest.mark.parametrize("name", ["", "partial", "logs", "journal.sqlite3", "run.lock", "receipts/1-1.jsonl"])
def test_what_belongs_to_another_user_is_not_used(name: str, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Its owner could change it under the run; whose it is and what to do is told."""
    place = tmp_path / "out" / ".pyprocessor" / name
    prepare_state_folder(bytes(tmp_path / "out"))
    if not place.exists():
        place.touch()
    os.chown(place, SOMEBODY, SOMEBODY)
    told = refused(tmp_path, make_clip)
    assert str(place) in told
    assert f"belongs to another user ({SOMEBODY})" in told
    os.chown(place, 0, 0)


@only_root
def test_a_file_system_that_gives_all_files_to_one_user(
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As shares are mounted: whose a file is that the run makes there tells whose the others may be."""
    make_clip(tmp_path / "in" / "a.mp4")
    folder = prepare_state_folder(bytes(tmp_path / "out"))
    for path in folder.all:
        os.chown(path, SOMEBODY, SOMEBODY)
    monkeypatch.setattr(state_folder, "try_a_write", lambda _: SOMEBODY)
    assert run(request(tmp_path / "in", tmp_path / "out")).exit_code == ExitCode.OK


@only_root
def test_a_link_of_another_user_is_not_followed(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Wherever it leads."""
    (tmp_path / "out").mkdir()
    (tmp_path / "empty").mkdir()
    place = tmp_path / "out" / ".pyprocessor"
    place.symlink_to(tmp_path / "empty")
    os.chown(place, SOMEBODY, SOMEBODY, follow_symlinks=False)
    assert "that another user made" in refused(tmp_path, make_clip)
    assert os.listdir(tmp_path / "empty") == []


def test_the_state_folder_may_be_put_on_another_disk(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """By a link of our own to a folder that is empty, and from then on is a state folder."""
    make_clip(tmp_path / "in" / "a.mp4")
    (tmp_path / "out").mkdir()
    (tmp_path / "fast").mkdir()
    (tmp_path / "out" / ".pyprocessor").symlink_to(tmp_path / "fast")
    for _ in range(2):
        recorder = Recorder()
        assert run(request(tmp_path / "in", tmp_path / "out"), recorder).exit_code == ExitCode.OK
    assert recorder.starts == []
    assert published(tmp_path / "out") == {"a.mp4"}
    assert (tmp_path / "fast" / "journal.sqlite3").is_file()


def test_a_socket_that_a_killed_run_left_is_no_obstacle(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """It is the one thing in the state folder that is neither file nor folder."""
    make_clip(tmp_path / "in" / "a.mp4")
    folder = prepare_state_folder(bytes(tmp_path / "out"))
    opened = os.open(folder.path, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(f"/proc/self/fd/{opened}/control.sock" if sys.platform == "linux" else folder.path + b"/control.sock")
    os.close(opened)
    assert run(request(tmp_path / "in", tmp_path / "out")).exit_code == ExitCode.OK


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
def test_a_journal_that_leads_elsewhere_is_not_read_either(ending: str, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """SQLite mends what it opens by what lies beside it, even for somebody who only wants to read."""
    make_clip(tmp_path / "in" / "a.mp4")
    run(request(tmp_path / "in", tmp_path / "out"))
    folder = tmp_path / "out" / ".pyprocessor"
    place = folder / f"journal.sqlite3{ending}"
    elsewhere = tmp_path / "elsewhere"
    if place.exists():
        place.rename(elsewhere)
    else:
        with sqlite3.connect(elsewhere) as made:
            made.execute("CREATE TABLE precious (words)")
        made.close()
    before = elsewhere.read_bytes()
    place.symlink_to(elsewhere)
    with pytest.raises(JournalError, match="is a link") as caught:
        JournalReader.read_only(bytes(folder))
    assert str(place) in str(caught.value)
    assert elsewhere.read_bytes() == before


def test_logs_are_not_written_through_links(tmp_path: Path, victim: Path) -> None:
    """Also where one came to be there after the run began."""
    (tmp_path / "log").symlink_to(victim / "precious")
    with pytest.raises(OSError, match="symbolic links"), open(tmp_path / "log", "a", opener=opened_privately):
        pass
    assert (victim / "precious").read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_receipts_among_the_sources_are_read_from_files_only(kind: str, tmp_path: Path, victim: Path) -> None:
    """An input may hold outputs of others, with whatever lies in them."""
    place = tmp_path / "1-1.jsonl"
    if kind == "link":
        place.symlink_to(victim / "precious")
    else:
        os.mkfifo(place)
    with pytest.raises(PublishError, match="could not be read"):
        list(read_receipts(bytes(tmp_path)))


def test_what_goes_while_it_is_looked_at_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed run left running may remove its own files until it has ended."""
    folder = prepare_state_folder(bytes(tmp_path / "out"))
    leftover = tmp_path / "out" / ".pyprocessor" / "partial" / "leftover"
    leftover.touch()
    listed = os.scandir

    @contextlib.contextmanager
    def scandir(path: bytes) -> Iterator[list[os.DirEntry[bytes]]]:
        with listed(path) as entries:
            found = list(entries)
        if path == folder.partials:
            leftover.unlink()
        yield found

    monkeypatch.setattr(state_folder.os, "scandir", scandir)
    state_folder.refuse_planted(folder)
    assert not leftover.exists()
