"""Finished jobs leave the journal once they are in a file; what others need stays, and nothing is made twice."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.cli.main import main
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.audit import CHANGED, PRUNED
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import Made
from pyprocessor.models import JobState, Outcome, OutcomeKind, Usage, submitted_id
from pyprocessor.state.journal_opening import hold_lock
from pyprocessor.state.state_folder import prepare_state_folder
from tests.clocks import Clock
from tests.integration.journal_jobs import ENGINE, FACTS, WORKER, a_job, begin, plan
from tests.integration.worked import example_tasks

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")

Captured = pytest.CaptureFixture[str]
DAY = 86400.0
USAGE = Usage(1.0, 2.0, 3)


@pytest.fixture
def clock() -> Clock[float]:
    return Clock(time.time() - 100 * DAY)


@pytest.fixture
def journal(tmp_path: Path, clock: Clock[float]) -> Iterator[Journal]:
    """A journal in which a run has begun."""
    with Journal.open(prepare_state_folder(bytes(tmp_path)).path, wal=True, clock=clock) as opened:
        opened.begin_run("--input in", ENGINE)
        yield opened


def submit(journal: Journal, key: str, *after: str, **params: Any) -> None:
    """Take a job in that waits for others."""
    document = [{"task": "ask", "key": key, "after": list(after), "params": params}]
    journal.submit(submissions(document, queue="q"))


def end(journal: Journal, key: str, kind: OutcomeKind = OutcomeKind.SUCCEEDED) -> None:
    """Have a job end."""
    job_id = submitted_id("q", key)
    assert journal.assign([job_id], 1)
    attempt = journal.start(job_id, WORKER, 1, None)
    assert attempt is not None
    if kind is OutcomeKind.SUCCEEDED:
        journal.complete(job_id, attempt, json.dumps({"key": key}), USAGE)
    else:
        journal.finish(job_id, attempt, Outcome(kind, "No.", FailureKind.BAD_INPUT), USAGE)
    journal.follow(job_id)


def names(journal: JournalReader) -> set[str]:
    """The names of all jobs."""
    return {row.name for row in journal.jobs()}


def pruned(journal: Journal, **chosen: Any) -> set[str]:
    """What would go."""
    journal.select_prunable(**({"before": time.time(), "keep": 0} | chosen))
    return {row.name for row in journal.prunable()}


def test_what_others_need_stays(journal: Journal, clock: Clock[float]) -> None:
    """A job for which an unfinished one waits, or that a failed one would need again; not what a success needed."""
    for key, *after in (("a",), ("b", "a"), ("c", "b"), ("x",), ("y", "x"), ("lone",)):
        submit(journal, key, *after)
    for key in ("a", "b", "x", "lone"):
        end(journal, key)
    assert pruned(journal) == {"a", "lone"}, "c and y are to be done"
    clock.now += 1
    end(journal, "y", OutcomeKind.FAILED)
    assert pruned(journal) == {"a", "lone", "x", "y"}
    assert pruned(journal, keep=1) == {"a", "lone"}, "y stays, may be done again, and would need it"
    end(journal, "c")
    assert pruned(journal) == {"a", "b", "c", "lone", "x", "y"}
    journal.prune()
    assert names(journal) == set()
    with pytest.raises(Exception, match="nobody knows"):
        submit(journal, "later", "a")


def test_by_age_and_number(journal: Journal, clock: Clock[float]) -> None:
    """Only what ended long enough ago, and never the last few; what is not finished does not count."""
    for number in range(5):
        submit(journal, str(number))
        end(journal, str(number))
        clock.now += DAY
    submit(journal, "open")
    assert pruned(journal, before=clock.now - 2.5 * DAY) == {"0", "1", "2"}
    assert pruned(journal, keep=3) == {"0", "1"}
    assert pruned(journal, before=clock.now - 3.5 * DAY, keep=4) == {"0"}
    assert pruned(journal, keep=99) == set()


def test_files_of_a_folder(journal: Journal) -> None:
    """Those that were made go; those that are not to be tried again, and those whose output is not known, stay."""
    for name in (b"made", b"other", b"failed", b"skipped", b"todo"):
        plan(journal, a_job(name))
    for name in (b"made", b"other"):
        attempt = begin(journal, a_job(name))
        journal.grant(a_job(name).id, attempt, FACTS)
        journal.succeed(a_job(name).id, attempt, FACTS, USAGE)
    journal.finish(a_job(b"failed").id, None, Outcome(OutcomeKind.FAILED, "No.", FailureKind.BAD_INPUT))
    journal.finish(a_job(b"skipped").id, None, Outcome(OutcomeKind.SKIPPED, "No."))
    assert pruned(journal) == {"made", "other"}
    # The output of one was made anew by somebody else's job since, as far as the journal knows.
    journal.remember_output(
        Made(b"other.mp4", replace(FACTS, mtime_ns=1), a_job(b"x").source, "profile-2", "transcode")
    )
    assert pruned(journal) == {"made"}


def test_what_is_deleted_is_in_the_file(tmp_path: Path, journal: Journal, capsys: Captured) -> None:
    """Each job with its attempts and its params once, all that hung on it, and nothing but that; events stay."""
    for key, x in (("a", 1), ("b", 1), ("c", 2), ("open", 2)):
        submit(journal, key, x=x)
    end(journal, "a")
    end(journal, "b", OutcomeKind.FAILED)
    end(journal, "c")
    submit(journal, "after", "a", "open")
    journal.add_event("info", "hello", submitted_id("q", "b"))
    journal.end_run(0)
    journal.close()
    target = tmp_path / "old.jsonl"
    assert main(["prune", "--output", str(tmp_path), "--export", str(target)]) == ExitCode.OK
    assert "2 jobs written to" in capsys.readouterr().out
    records = [json.loads(line) for line in target.read_text().splitlines()]
    assert {record["version"] for record in records} == {1}
    assert [record["params"] for record in records if record["record"] == "params"] == [{"x": 1}, {"x": 2}]
    jobs = {record["name"]: record for record in records if record["record"] == "job"}
    assert set(jobs) == {"b", "c"}
    assert jobs["c"]["result"] == {"key": "c"}
    assert [one["cpu_seconds"] for one in jobs["b"]["tries"]] == [2.0]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == [".pyprocessor", "old.jsonl"]
    with JournalReader.read_only(bytes(tmp_path / ".pyprocessor")) as left:
        assert names(left) == {"a", "open", "after"}
        assert {attempt.job_id for attempt in left.attempts()} == {submitted_id("q", "a")}
        events = list(left.events())
        assert [event.text for event in events if event.kind not in (CHANGED, PRUNED)] == ["hello"]
        assert {json.loads(event.text)["name"] for event in events if event.kind == PRUNED} == {"b", "c"}
    with closing(sqlite3.connect(tmp_path / ".pyprocessor" / "journal.sqlite3")) as raw:
        assert raw.execute("SELECT count(*) FROM params").fetchone() == (3,)  # of a, open, after
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


def test_what_is_refused_changes_nothing(tmp_path: Path, journal: Journal, capsys: Captured) -> None:
    """A name that is taken, one that cannot be written, a run that is on, and a time that is none."""
    submit(journal, "a")
    end(journal, "a")
    journal.end_run(0)
    journal.close()
    taken = tmp_path / "taken"
    taken.write_text("mine")
    prune = ["prune", "--output", str(tmp_path), "--export"]
    for words, code, said in (
        ([str(taken)], ExitCode.USAGE, "exists already"),
        ([str(tmp_path / "none" / "x.jsonl")], ExitCode.OUTPUT_UNWRITABLE, "cannot be written"),
        ([str(tmp_path / "x"), "--older-than", "soon"], ExitCode.USAGE, "--older-than must be a duration"),
    ):
        assert main([*prune, *words]) == code
        assert said in capsys.readouterr().err
    with hold_lock(bytes(tmp_path / ".pyprocessor"), bytes(tmp_path)):
        assert main([*prune, str(tmp_path / "x")]) == ExitCode.TRY_AGAIN
    assert main([*prune, str(tmp_path / "x"), "--older-than", "200d"]) == ExitCode.OK
    assert capsys.readouterr().out == "No job is to be pruned.\n"
    assert taken.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == [".pyprocessor", "taken"]
    with JournalReader.read_only(bytes(tmp_path / ".pyprocessor")) as left:
        assert names(left) == {"a"}


def test_many_jobs_in_little_time(tmp_path: Path, journal: Journal) -> None:
    """Deleting does not look through the whole table for each job: that would take minutes here."""
    with journal.transaction():
        documents = [{"task": "ask", "key": str(number)} for number in range(10_000)]
        journal.submit(submissions(documents, queue="q"))
        for row in list(journal.jobs()):
            journal.assign([row.id], 1)
            journal.complete(row.id, journal.start(row.id, WORKER, 1, None) or 0, None, USAGE)
    journal.end_run(0)
    journal.close()
    with closing(sqlite3.connect(tmp_path / ".pyprocessor" / "journal.sqlite3")) as raw:
        plan_of = raw.execute("EXPLAIN QUERY PLAN SELECT 1 FROM jobs WHERE attempt_id = 5").fetchall()
        assert "USING" in str(plan_of)
    assert main(["prune", "--output", str(tmp_path), "--export", str(tmp_path / "x"), "--keep", "1"]) == ExitCode.OK
    with JournalReader.read_only(bytes(tmp_path / ".pyprocessor")) as left:
        assert left.counts().total == 1


def test_nothing_is_made_again(tmp_path: Path, make_clip: Callable[..., Path], capsys: Captured) -> None:
    """A folder's file whose job was pruned is known by its output, as it lies there."""
    for name in ("a", "b"):
        make_clip(tmp_path / "in" / f"{name}.mp4", seconds=1.0)
    out = tmp_path / "out"
    run = [str(tmp_path / "in"), str(out), "--profile", "fast", "--quiet"]
    assert main(run) == ExitCode.OK
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("*.mp4")}
    assert set(made) == {"a.mp4", "b.mp4"}
    assert main(["prune", "--output", str(out), "--export", str(tmp_path / "x")]) == ExitCode.OK
    with JournalReader.read_only(bytes(out / ".pyprocessor")) as journal:
        assert journal.counts().total == 0
    capsys.readouterr()
    assert main([*run[:-1], "--json"]) == ExitCode.OK
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert (counts["succeeded"], counts["done_before"]) == (0, 2)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.mp4")} == made
    with JournalReader.read_only(bytes(out / ".pyprocessor")) as journal:
        assert {row.state for row in journal.jobs()} == {JobState.SUCCEEDED}
