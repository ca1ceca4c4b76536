"""The audit trail: who, what, when, which settings and result; what is pruned stays; records are proved."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.cli.main import main
from pyprocessor.engine.recovery import begin_run
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Outcome, OutcomeKind, OutputFacts, ProcessIdentity, Product, Profile, Source, Usage
from pyprocessor.models.run import RunRequest
from pyprocessor.publish.receipts import Receipt, ReceiptWriter
from pyprocessor.publish.seals import seal_at
from pyprocessor.state.state_folder import prepare_state_folder
from pyprocessor.system.own_process import user_name
from tests.integration.journal_jobs import WORKER, a_job, begin, plan

ARGUMENTS = "--input in --output out"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output with one file that was made, one that failed, and one that was cancelled."""
    folder = prepare_state_folder(bytes(tmp_path))
    made = tmp_path / "film.mp4"
    made.write_bytes(b"a film")
    seal = seal_at(bytes(made))
    assert seal is not None
    facts, job = OutputFacts(*seal), replace(a_job(b"film.mov", output=b"film.mp4"), tenant="studio", inputs=())
    with Journal.open(folder.path, wal=True) as journal:
        begin_run(journal, folder, RunRequest((), bytes(tmp_path), Profile("test", "f"), "ffmpeg", ARGUMENTS))
        plan(journal, job)
        attempt = begin(journal, job)
        journal.grant(job.id, attempt, facts)
        journal.succeed(job.id, attempt, facts, Usage(2.0, 3.5, 100 << 20))
        bad = replace(a_job(b"bad.mov"), tenant="press")
        plan(journal, bad)
        journal.assign([bad.id], 1)
        number = journal.start(bad.id, WORKER, 1, None) or 0
        journal.finish(bad.id, number, Outcome(OutcomeKind.FAILED, "=It is odd.", FailureKind.BAD_INPUT), None)
        late = replace(a_job(b"late.mov"), tenant="\t=a\r1")
        plan(journal, late)
        journal.cancel(late.id)
        journal.add_event("info", "A sentence.", late.id)
        journal.end_run(1)
    writer = ReceiptWriter(folder.receipts, 1)
    writer.append(Receipt(((Product(b"film.mp4"), seal),), (job.source,), "profile-1", "transcode", "ab"))
    writer.close()
    return tmp_path


def exported(output: Path, capsys: Captured, *words: str) -> list[dict[str, Any]]:
    """What `audit` prints."""
    assert main(["audit", "--output", str(output), *words]) == ExitCode.OK
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_trail_says_who_what_when_and_what_came_of_it(output: Path, capsys: Captured) -> None:
    """A record for the run, each attempt, each job that ended without one and each event, in the order of time."""
    records = exported(output, capsys)
    assert sorted(one["record"] for one in records) == ["attempt", "attempt", "event", "event", "job", "run"]
    assert [one["at"] for one in records] == sorted(one["at"] for one in records)
    for one in records:
        assert (one["user"], one["program"]) == (user_name(), ARGUMENTS)
    film, bad = (one for one in records if one["record"] == "attempt")
    assert (film["tenant"], film["name"], film["settings"]) == ("studio", "film.mov", "profile-1")
    assert (film["outcome"], film["cpu_seconds"]) == ("succeeded", 3.5)
    assert [(one["name"], one["bytes"]) for one in film["products"]] == [("film.mp4", 6)]
    assert (bad["outcome"], bad["kind"], bad["products"]) == ("failed", "bad_input", [])
    (late,) = (one for one in records if one["record"] == "job")
    assert (late["name"], late["outcome"]) == ("late.mov", "cancelled")
    assert exported(output, capsys, "--since", "2999-01-01") == []
    assert len(exported(output, capsys, "--since", "1d")) == len(records)
    assert main(["audit", "--output", str(output), "--since", "soon"]) == ExitCode.USAGE
    assert "30d" in capsys.readouterr().err


def test_what_is_about_one_tenant(output: Path, capsys: Captured) -> None:
    """Its jobs, their attempts and what events say of them; nothing of other tenants, of runs, or of no job."""
    with Journal.open(bytes(output / ".pyprocessor"), wal=True) as journal:
        begin_run(
            journal, prepare_state_folder(bytes(output)), RunRequest((), bytes(output), Profile("test", "f"), "ffmpeg")
        )
        for row in list(journal.jobs()):
            journal.add_event("info", f"About {row.name}.", row.id)
        journal.end_run(0)
    records = exported(output, capsys, "--tenant", "press")
    assert [one["record"] for one in records] == ["attempt", "event"]
    assert {one.get("name", one["text"]) for one in records} == {"bad.mov", "About bad.mov."}
    assert len(exported(output, capsys, "--tenant", "press", "--tenant", "studio")) == 4
    assert main(["audit", "--prove", "--output", str(output), "--tenant", "press"]) == ExitCode.USAGE
    assert "--since and --tenant" in capsys.readouterr().err


def test_a_table_for_spreadsheets(output: Path, capsys: Captured) -> None:
    """The same as CSV, in which nothing begins as a formula does."""
    assert main(["audit", "--output", str(output), "--format", "csv"]) == ExitCode.OK
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert len(rows) == 6
    (bad,) = (row for row in rows if row["outcome"] == "failed")
    assert bad["text"] == "'=It is odd."
    assert {row["tenant"] for row in rows if row["outcome"] == "cancelled"} == {"'\t=a\r1"}


def test_what_is_pruned_stays_in_the_trail(output: Path, capsys: Captured) -> None:
    """With run, user and result; events say who pruned."""
    before = {one["attempt"]: one for one in exported(output, capsys) if one.get("tenant") == "studio"}
    assert main(["prune", "--output", str(output), "--export", str(output / "pruned")]) == ExitCode.OK
    capsys.readouterr()
    records = exported(output, capsys)
    (film,) = (one for one in records if one.get("tenant") == "studio")
    assert film.pop("pruned_at")
    same = ("user", "program", "job", "name", "started_at", "outcome", "products", "settings", "cpu_seconds")
    assert {name: film[name] for name in same} == {name: before[1][name] for name in same}
    assert any(one.get("kind") == "changed" and user_name() in one["text"] for one in records)


def test_all_that_agrees_is_proved(output: Path, capsys: Captured) -> None:
    """Journal, receipts and files."""
    assert main(["audit", "--prove", "--output", str(output)]) == ExitCode.OK
    assert capsys.readouterr().out == "Journal, receipts and files agree, of 1 job that succeeded.\n"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("gone", "film.mp4: it is not there any more."),
        ("longer", "film.mp4: it has 12 bytes, where 6 were made."),
        ("touched", "film.mp4: it was changed since it was made."),
        ("no receipt", "film.mp4: there is no receipt of it."),
        ("another receipt", "film.mp4: its receipt is of something else than the journal's record."),
        ("no record", "other.mp4: it lies there with a receipt, and the journal has no record of it."),
        ("damaged", "have 1 damaged line(s)"),
        ("size", "film.mp4: the journal has two sizes or times for it."),
        ("settings", "film.mp4: the journal names other settings for it than for film.mov."),
    ],
)
def test_what_does_not_agree_is_named(output: Path, capsys: Captured, wrong: str, words: str) -> None:
    """A line for each, and exit code 1."""
    made, receipts = output / "film.mp4", prepare_state_folder(bytes(output)).receipts
    (receipt,) = Path(os.fsdecode(receipts)).iterdir()
    match wrong:
        case "gone":
            made.unlink()
        case "longer":
            made.write_bytes(b"another film")
        case "touched":
            os.utime(made, ns=(1, 1))
        case "no receipt":
            receipt.write_text("")
        case "another receipt":
            receipt.write_text(receipt.read_text().replace('"size":6', '"size":7', 1))
        case "size" | "settings":
            column = "size = 7" if wrong == "size" else "params_fingerprint = 'forged'"
            table = "outputs" if wrong == "size" else "jobs"
            with closing(sqlite3.connect(output / ".pyprocessor" / "journal.sqlite3")) as connection, connection:
                connection.execute(f"UPDATE {table} SET {column}")
        case "damaged":
            receipt.write_text(receipt.read_text() + "{\n")
        case _:
            other = output / "other.mp4"
            other.write_bytes(b"other")
            seal = seal_at(bytes(other))
            assert seal is not None
            writer = ReceiptWriter(receipts, 2)
            writer.append(Receipt(((Product(b"other.mp4"), seal),), (Source(b"/a", b"a", 1, 1),), "p", "transcode"))
            writer.close()
    assert main(["audit", "--prove", "--output", str(output)]) == ExitCode.SOME_FAILED
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert words in lines[0]
    assert lines[1] == "1 job succeeded; these disagreements were found: 1."


def test_what_a_killed_run_left_is_the_next_ones(output: Path, capsys: Captured) -> None:
    """A product that was published just before is no forgery."""
    folder = prepare_state_folder(bytes(output))
    with Journal.open(folder.path, wal=True) as journal:
        journal.begin_run("again", ProcessIdentity(4711, 1000.0))
    other = output / "other.mp4"
    other.write_bytes(b"other")
    seal = seal_at(bytes(other))
    assert seal is not None
    writer = ReceiptWriter(folder.receipts, 2)
    writer.append(Receipt(((Product(b"other.mp4"), seal),), (Source(b"/a", b"a", 1, 1),), "p", "transcode"))
    writer.close()
    assert main(["audit", "--prove", "--output", str(output)]) == ExitCode.SOME_FAILED
    assert "no record of it; the last run was killed, and the next one enters it." in capsys.readouterr().out
    assert main(["audit", "--prove", "--since", "3d", "--output", str(output)]) == ExitCode.USAGE
