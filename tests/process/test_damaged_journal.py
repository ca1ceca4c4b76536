"""Whole runs over an output whose journal was damaged: told loudly, rebuilt from receipts, nothing made twice."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ExitCode, JournalDamaged
from pyprocessor.models import Chunking, JobState
from pyprocessor.profiles import load
from tests.acceptance.command import assert_plain, call
from tests.long import long_after
from tests.process.runs import Recorder, partials, published, request, rows, run, states
from tests.process.steered import slow_ffmpeg


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Three small clips, one with an odd name."""
    for name in ("a.mp4", "b.mp4", "sub/c\n%d.mp4"):
        make_clip(tmp_path / "in" / name)
    return tmp_path / "in"


def journal_of(output: Path) -> Path:
    """The journal's path."""
    return output / ".pyprocessor" / "journal.sqlite3"


def stamps(output: Path) -> dict[str, int]:
    """When each output was made."""
    return {name: (output / name).stat().st_mtime_ns for name in published(output)}


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def nothing_left(path: Path) -> None:
    os.truncate(path, 0)


def header(path: Path) -> None:
    path.write_bytes(os.urandom(100) + path.read_bytes()[100:])


@long_after(1, "damage", [random_bytes, half, header, nothing_left])
def test_a_damaged_journal_is_rebuilt(inputs: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Nothing verified is done again; what is new is done; the damage is told as an error, whatever is quiet."""
    output = tmp_path / "out"
    assert run(request(inputs, output)).exit_code == ExitCode.OK
    made = stamps(output)
    damage(journal_of(output))
    shutil.copy(inputs / "a.mp4", inputs / "new.mp4")
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK
    assert recorder.starts == ["new.mp4"]
    assert {name: at for name, at in stamps(output).items() if name in made} == made
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    told = [text for level, text in recorder.notices if level in ("error", "warning")]
    assert any("receipts" in text and "3 output(s)" in text for text in told)
    if damage is not nothing_left:
        assert any("was set aside as" in text for level, text in recorder.notices if level == "error")
        assert [name for name in os.listdir(journal_of(output).parent) if ".damaged-" in name]
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK
    assert (recorder.starts, recorder.notices) == ([], [])


def test_an_older_journal_is_rebuilt_from_its_receipts(inputs: Path, tmp_path: Path) -> None:
    """Receipts of the first version are read; nothing is made again, and the old file is named."""
    output = tmp_path / "out"
    run(request(inputs, output), Recorder())
    made = stamps(output)
    state = output / ".pyprocessor"
    for path in (state / "receipts").iterdir():
        receipts = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(f"{json.dumps(of_version_1(receipt))}\n" for receipt in receipts))
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite3")) as journal:
        journal.executescript("PRAGMA user_version = 2; ALTER TABLE jobs DROP COLUMN companions;")
    listener = Recorder()
    run(request(inputs, output), listener)
    assert any("was written by an older pyprocessor" in text for _, text in listener.notices)
    assert stamps(output) == made
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert list(state.glob("journal.sqlite3.damaged-*"))


def of_version_1(receipt: dict[str, Any]) -> dict[str, Any]:
    """The same receipt as the first version wrote it."""
    (product,), (source,) = receipt["products"], receipt["inputs"]
    return {
        "output": product["name"],
        "size": product["size"],
        "mtime_ns": product["mtime_ns"],
        "source": source["path"],
        "source_relative": source["relative"],
        "source_size": source["size"],
        "source_mtime_ns": source["mtime_ns"],
        "profile": receipt["params"],
        "task": receipt["task"],
        "time": receipt["time"],
    }


def test_it_is_told_everywhere(inputs: Path, tmp_path: Path) -> None:
    """On the screen even with --quiet, in the log, the summary and the JSON document; --plan and report say so."""
    output = tmp_path / "out"
    job = ("--input", inputs, "--output", output, "--profile", "fast")
    assert_plain(call(*job), 0)
    random_bytes(journal_of(output))
    assert_plain(call("report", "--output", output), 74, "is damaged", "The next run sets that file aside")
    assert_plain(call(*job, "--plan"), 0, "is damaged", "done already")
    quiet = call(*job, "--quiet", "--json")
    assert quiet.returncode == 0, quiet.stderr
    assert "was set aside as" in quiet.stderr
    assert any("was set aside as" in trouble["text"] for trouble in json.loads(quiet.stdout)["troubles"])
    logs = "".join(path.read_text() for path in (output / ".pyprocessor" / "logs").glob("run-*.log"))
    assert "was set aside as" in logs
    assert "was set aside as" in " ".join(call("report", "--output", output).stdout.split())


@pytest.mark.long
def test_damage_in_the_midst_of_a_run(inputs: Path, tmp_path: Path, ffmpeg_path: str, make_clip) -> None:  # type: ignore[no-untyped-def]
    """That run ends with a sentence and leaves nothing running; the next sets the journal aside and does the rest."""
    output = tmp_path / "out"
    run(request(inputs, output))
    made = stamps(output)
    for number in range(4):
        make_clip(inputs / f"new-{number}.mp4")
    # What SQLite has in its memory it does not read again: the run is to last until it comes to what it has not.
    make_clip(inputs / "long.mp4", seconds=6.0, audio=None)
    slow = slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.5)

    def damage(_: str) -> None:
        random_bytes(journal_of(output))
        for ending in ("-wal", "-shm"):
            beside = Path(str(journal_of(output)) + ending)
            if beside.exists():
                random_bytes(beside)

    recorder = Recorder(on_started=damage)
    whole = replace(load("fast", environment={}).profile, chunking=Chunking.OFF)  # divided, it may not come to begin
    with pytest.raises(JournalDamaged, match="The next run sets"):
        run(request(inputs, output, profile=whole, tool_path=slow), recorder)
    assert "long.mp4" in recorder.starts
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK
    assert any("was set aside as" in text for level, text in recorder.notices if level == "error")
    assert len(published(output)) == 8
    assert {name: at for name, at in stamps(output).items() if name in made} == made
    assert partials(output) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.process.runs import Recorder, request, run

class Killed(Recorder):
    def finished(self, job_id, outcome, *, name="", will_retry=False):
        super().finished(job_id, outcome, name=name, will_retry=will_retry)
        if len(self.outcomes) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

run(request(Path(sys.argv[1]), Path(sys.argv[2])), Killed())
"""


@long_after(1, "lost", ["log", "half of the log", "all but an older journal"])
def test_a_journal_that_is_behind_learns_from_receipts(inputs: Path, tmp_path: Path, lost: str) -> None:
    """The last commits are gone, as after a power cut or with a damaged log: outputs made since are known again."""
    output = tmp_path / "out"
    hidden = tmp_path / "hidden"
    (inputs / "sub").rename(hidden)
    run(request(inputs, output))
    older = journal_of(output).read_bytes()
    hidden.rename(inputs / "sub")
    for name in ("d.mp4", "e.mp4", "f.mp4"):
        shutil.copy(inputs / "a.mp4", inputs / name)
    # Its batch processes hold the pipe open: with its end they are gone, too, and rename nothing any more.
    killed = [sys.executable, "-c", KILLED, str(inputs), str(output)]
    done = subprocess.run(killed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout
    made = stamps(output)
    assert len(made) >= 3
    log = Path(str(journal_of(output)) + "-wal")
    assert log.stat().st_size > 0
    if lost == "half of the log":
        half(log)
    else:
        log.unlink()
    if lost == "all but an older journal":
        journal_of(output).write_bytes(older)
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK, recorder.notices
    assert {name: at for name, at in stamps(output).items() if name in made} == made
    assert len(published(output)) == 6
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert partials(output) == []
    if lost != "half of the log":
        assert any("known again from their receipts" in text for _, text in recorder.notices)


def test_damaged_receipts_are_told(inputs: Path, tmp_path: Path) -> None:
    """Unreadable lines are skipped and counted; the outputs that only they named are never replaced."""
    output = tmp_path / "out"
    run(request(inputs, output))
    made = stamps(output)
    files = sorted((output / ".pyprocessor" / "receipts").iterdir())
    lines = b"".join(path.read_bytes() for path in files).splitlines(keepends=True)
    (lost,) = [line for line in lines if b'"name":"a.mp4"' in line]
    kept = [line for line in lines if line != lost]
    files[0].write_bytes(lost[: len(lost) // 2] + b"\n" + b"".join(kept) + b"\0" * 100 + b"\n" + b'{"output":1}\n')
    for path in files[1:]:
        path.unlink()
    journal_of(output).unlink()
    recorder = Recorder()
    run(request(inputs, output), recorder)
    assert recorder.starts == []
    assert stamps(output) == made
    assert any(level == "warning" and text.startswith("3 line(s) of the receipts") for level, text in recorder.notices)
    assert rows(output)[b"a.mp4"].state is JobState.SKIPPED
    assert rows(output)[b"b.mp4"].state is JobState.SUCCEEDED


def test_a_receipt_whose_rename_never_came_hides_no_other(inputs: Path, tmp_path: Path) -> None:
    """A kill between the two left the output as an earlier receipt tells it: it is ours, and made anew."""
    output = tmp_path / "out"
    run(request(inputs, output))
    files = (output / ".pyprocessor" / "receipts").iterdir()
    lines = [line for path in files for line in path.read_text().splitlines()]
    (receipt,) = [json.loads(line) for line in lines if '"name":"a.mp4"' in line]
    shutil.copy(inputs / "b.mp4", inputs / "a.mp4")
    source = (inputs / "a.mp4").stat()
    receipt["products"][0]["size"] += 1
    receipt["inputs"][0]["mtime_ns"] = source.st_mtime_ns
    receipt["time"] += 1
    (output / ".pyprocessor" / "receipts" / "2-1.jsonl").write_text(json.dumps(receipt) + "\n")
    random_bytes(journal_of(output))
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK
    assert recorder.starts == ["a.mp4"]
    assert set(states(output).values()) == {JobState.SUCCEEDED}


def test_an_output_that_somebody_replaced_is_not_ours(inputs: Path, tmp_path: Path) -> None:
    """Receipts are older than it: it is neither counted as done nor replaced."""
    output = tmp_path / "out"
    run(request(inputs, output))
    (output / "b.mp4").write_bytes(b"edited by hand")
    random_bytes(journal_of(output))
    recorder = Recorder()
    run(request(inputs, output), recorder)
    assert (output / "b.mp4").read_bytes() == b"edited by hand"
    assert recorder.starts == []
    assert states(output)[b"b.mp4"] is JobState.SKIPPED
    assert states(output)[b"a.mp4"] is JobState.SUCCEEDED
    assert any("changed after it was made" in outcome.reason for _, outcome, _ in recorder.outcomes)
