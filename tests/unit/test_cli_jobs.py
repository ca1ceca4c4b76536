"""`jobs list`, `show`, `cancel` and `retry` where no run is on."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.cli import jobs as room
from pyprocessor.cli.main import main
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState, Outcome, OutcomeKind, Usage, submitted_id
from pyprocessor.state.journal_opening import change_without_run, hold_lock
from pyprocessor.state.state_folder import prepare_state_folder
from tests.integration.journal_jobs import ENGINE, FACTS, WORKER, a_job, begin, plan
from tests.integration.worked import example_tasks

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")

Captured = pytest.CaptureFixture[str]
Asked = Callable[..., str]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output whose last run did a file and a job, failed one, and left two that wait."""
    folder = prepare_state_folder(bytes(tmp_path)).path
    with Journal.open(folder, wal=True) as journal:
        journal.begin_run("--input in", ENGINE)
        film = replace(a_job(b"film.mov", companions=True), output_is_folder=True)
        plan(journal, film)
        attempt = begin(journal, film)
        journal.grant(film.id, attempt, FACTS)
        journal.succeed(film.id, attempt, FACTS, Usage(12.0, 34.0, 100 << 20))
        documents: list[dict[str, Any]] = [
            {"key": "bad", "metadata": {"who": "me"}, "params": {"x": 1}},
            {"key": "next", "after": ["bad"], "deadline": 2_000_000_000},
            {"key": "free", "inputs": [{"job": "made", "role": "srt"}]},
            {"key": "made", "params": {"x": 1}},
        ]
        journal.submit(submissions([{"task": "ask", **given} for given in documents], queue="q"))
        for key, result in (("made", '{"score":0.5}'), ("bad", None)):
            job_id = submitted_id("q", key)
            journal.assign([job_id], 1)
            attempt = journal.start(job_id, WORKER, 1, None) or 0
            if result is not None:
                journal.complete(job_id, attempt, result, Usage(1.0, 1.0, 1))
            else:
                failed = Outcome(OutcomeKind.FAILED, "It is\nodd.", FailureKind.BAD_INPUT)
                journal.finish(job_id, attempt, failed, Usage(1.0, 1.0, 1))
            journal.follow(job_id)
        journal.end_run(1)
    return tmp_path


@pytest.fixture
def asked(output: Path, capsys: Captured) -> Asked:
    """Call a command on the output, which is to succeed; returns what it prints."""

    def ask(*words: str) -> str:
        assert main(["jobs", *words, "--output", str(output)]) == ExitCode.OK
        return capsys.readouterr().out

    return ask


def states(output: Path) -> dict[str, JobState]:
    """The state of each job by its name."""
    with JournalReader.read_only(bytes(output / ".pyprocessor")) as journal:
        return {row.name: row.state for row in journal.jobs()}


def test_one_tenant_sees_its_own_jobs_alone(output: Path, asked: Asked, capsys: Captured) -> None:
    """Two have a job of one name: each command finds the one of the tenant that it is told, and no other's."""
    with change_without_run(bytes(output), print) as journal:
        documents = [{"task": "ask", "key": "same", "tenant": tenant} for tenant in ("press", "studio")]
        journal.submit(submissions(documents, queue="q"))
    press, studio = (submitted_id("q", "same", tenant) for tenant in ("press", "studio"))
    assert asked("list", "--tenant", "press").split()[0] == press[:12]
    assert json.loads(asked("show", "same", "--tenant", "studio", "--json"))["id"] == studio
    for words in (["same"], [studio, "--tenant", "press"], ["free", "--tenant", "press"]):
        assert main(["jobs", "cancel", *words, "--output", str(output)]) == ExitCode.USAGE
        capsys.readouterr()
    assert asked("cancel", "same", "--tenant", "press").startswith("1 of 1 job cancelled.")
    assert asked("retry", press[:8], "--tenant", "press").startswith("1 of 1 job will be done again")
    asked("cancel", "same", "--tenant", "studio")
    with JournalReader.read_only(bytes(output / ".pyprocessor")) as journal:
        states = [row.state for row in (journal.job(press), journal.job(studio)) if row is not None]
    assert states == [JobState.PENDING, JobState.CANCELLED]


def test_the_list(asked: Asked) -> None:
    """A line a job, in the order in which they came, also for programs; by state, task and number."""
    lines = asked("list").splitlines()
    named = [tuple(line.split()[1:4]) for line in lines]
    assert named[0] == ("succeeded", "transcode", "film.mov")
    assert sorted(named[1:]) == [
        ("cancelled", "ask", "next:"),
        ("failed", "ask", "bad:"),
        ("pending", "ask", "free"),
        ("succeeded", "ask", "made"),
    ]
    bad = next(line for line in lines if "bad:" in line)
    assert bad == f"{submitted_id('q', 'bad')[:12]}  failed       ask           bad: It is\\nodd."
    objects = [json.loads(line) for line in asked("list", "--json").splitlines()]
    assert [found["id"][:12] for found in objects] == [line.split()[0] for line in lines]
    assert {found["version"] for found in objects} == {1}
    assert len(asked("list", "--limit", "2").splitlines()) == 2
    assert "bad" in asked("list", "--state", "failed")
    assert len(asked("list", "--state", "failed", "--state", "succeeded").splitlines()) == 3
    assert asked("list", "--task", "none") == ""


def test_one_job(asked: Asked) -> None:
    """By id, its beginning or its name: what it is, what is around it, and how it went."""
    bad = submitted_id("q", "bad")
    said = asked("show", "bad")
    assert said == asked("show", bad) == asked("show", bad[:20])
    for part in ("failed, bad input", "Reason", "It is\\nodd.", "who: me", '{"x":1}', "Needed by"):
        assert part in said
    film = asked("show", "film.mov")
    assert "film.mov.mp4 (main)" in film
    assert "took 12 s, 34 s of CPU time and 100 MiB" in " ".join(film.split())
    products = json.loads(asked("show", "film.mov", "--json"))["products"]
    assert {made["role"]: made["folder"] for made in products} == {"main": True, "text": False, "all": True}
    free = json.loads(asked("show", "free", "--json"))
    made = submitted_id("q", "made")
    assert free["state"] == "pending"
    assert free["input"] is None
    assert free["other_inputs"] == [{"job": made, "role": "srt"}]
    assert free["waits_for"] == [{"id": made, "name": "made", "state": "succeeded"}]
    document = json.loads(asked("show", made, "--json"))
    assert (document["result"], document["params"]) == ({"score": 0.5}, {"x": 1})
    assert [one["outcome"] for one in document["tries"]] == ["succeeded"]
    assert [one["name"] for one in document["needed_by"]] == ["free"]
    late = json.loads(asked("show", "next", "--json"))
    assert late["deadline"] == "2033-05-18T03:33:20Z"
    assert late["cancelled_for"] == bad


def test_a_name_of_several_jobs(output: Path, capsys: Captured) -> None:
    """They are listed, so that one can be named by its id; of very many the first ones."""
    with Journal.open(bytes(output / ".pyprocessor"), wal=True) as journal:
        journal.begin_run("", ENGINE)
        for number in range(room.MOST_NAMED + 2):
            job = a_job(b"%d/twin" % number)
            plan(journal, replace(job, source=replace(job.source, relative=b"twin")))
    assert main(["jobs", "show", "twin", "--output", str(output)]) == ExitCode.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("Several jobs are called twin; name one of them by its id:")
    assert len(lines) == room.MOST_NAMED + 2
    assert lines[-1].endswith("... and more")
    for given in ("nobody", ""):
        assert main(["jobs", "cancel", "free", given, "--output", str(output)]) == ExitCode.USAGE
        assert "There is no job" in capsys.readouterr().err
    assert states(output)["free"] is JobState.PENDING, "nothing is done where a word names nothing"


def test_a_name_that_begins_an_id(asked: Asked, output: Path) -> None:
    """It is the name that is meant; the beginning of an id is what is left, and may be given longer."""
    bad = submitted_id("q", "bad")
    with Journal.open(bytes(output / ".pyprocessor"), wal=True) as journal:
        journal.begin_run("", ENGINE)
        job = a_job(b"by chance")
        plan(journal, replace(job, source=replace(job.source, relative=bad[:6].encode())))
    assert json.loads(asked("show", bad[:6], "--json"))["id"] == job.id
    assert json.loads(asked("show", bad[:7], "--json"))["id"] == bad


def test_files_of_a_folder_are_done_again_with_it(asked: Asked, output: Path, capsys: Captured) -> None:
    """A run over the output that is given another input, or none, leaves them."""
    with Journal.open(bytes(output / ".pyprocessor"), wal=True) as journal:
        journal.begin_run("", ENGINE)
        for name in (b"one.mov", b"two.mov"):
            plan(journal, job := a_job(name))
            journal.finish(job.id, None, Outcome(OutcomeKind.FAILED, "It is odd.", FailureKind.BAD_INPUT))
        journal.end_run(1)
    said = "1 of 1 job will be done again, by the next run, files of a folder by the next one over it."
    assert asked("retry", "one.mov") == f"{said}\n"
    assert main(["retry", "--dead", "--task", "transcode", "--output", str(output)]) == ExitCode.OK
    assert said in capsys.readouterr().out


def test_cancelling_and_doing_again(asked: Asked, output: Path) -> None:
    """Without a run in the journal itself; what cannot be is said, and what waits follows."""
    said = asked("cancel", "free", "film.mov", "bad")
    assert said.splitlines() == [
        "1 of 3 jobs cancelled.",
        "film.mov has ended already, as succeeded.",
        "bad has ended already, as failed.",
    ]
    assert states(output)["free"] is JobState.CANCELLED
    said = asked("retry", "bad", "free", "made")
    assert said.splitlines() == ["2 of 3 jobs will be done again, by the next run.", "made is succeeded."]
    assert {name: state for name, state in states(output).items() if name in ("bad", "free", "next")} == {
        "bad": JobState.PENDING,
        "free": JobState.PENDING,
        "next": JobState.WAITING,
    }
    asked("cancel", "bad")
    assert states(output)["next"] is JobState.CANCELLED, "it waited for the other"


def test_changes_between_runs_are_of_no_run(asked: Asked, output: Path, capsys: Captured) -> None:
    """The last run stays the one that was, for `status` and `report`."""
    asked("cancel", "free")
    for command in ("status", "report"):
        main([command, "--output", str(output)])
    said = capsys.readouterr().out
    assert "exit code 1: some files failed" in said
    with Journal.open(bytes(output / ".pyprocessor"), wal=True) as journal:
        last = journal.last_run()
        assert last is not None
        assert (last.id, last.arguments) == (1, "--input in")
        assert journal.begin_run("again", ENGINE) == 2


def test_where_a_run_is_on_or_none_was(
    output: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Captured
) -> None:
    """The run lock keeps everybody else out; a folder of no run is a mistake."""
    with hold_lock(bytes(output / ".pyprocessor"), bytes(output)):
        assert main(["jobs", "cancel", "free", "--output", str(output)]) == ExitCode.TRY_AGAIN
    assert "Another run is working" in capsys.readouterr().err
    assert states(output)["free"] is JobState.PENDING
    empty = tmp_path_factory.mktemp("empty")
    for words in (["list"], ["show", "x"], ["cancel", "x"], ["retry", "x"]):
        assert main(["jobs", *words, "--output", str(empty)]) == ExitCode.USAGE
        assert "holds no journal" in capsys.readouterr().err
    assert os.listdir(empty) == []


def test_a_long_list_takes_little_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Rows are written as they are read."""
    with Journal.open(prepare_state_folder(bytes(tmp_path)).path, wal=True) as journal, journal.transaction():
        journal.begin_run("", ENGINE)
        documents = [{"task": "ask", "key": f"{number:05}", "tenant": "x" * 1000} for number in range(4_000)]
        journal.submit(submissions(documents, queue="q"))
    del documents
    with capfd.disabled(), open(os.devnull, "w", encoding="utf-8") as nowhere, pytest.MonkeyPatch.context() as patching:
        patching.setattr("sys.stdout", nowhere)
        main(["jobs", "list", "--limit", "1", "--json", "--output", str(tmp_path)])
        tracemalloc.start()
        try:
            assert main(["jobs", "list", "--json", "--output", str(tmp_path)]) == ExitCode.OK
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 6 << 20, "the rows together hold more"
