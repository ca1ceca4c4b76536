"""`jobs list --dead` and `retry --dead` where no run is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyprocessor.cli.main import main
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState, Outcome, OutcomeKind, submitted_id
from pyprocessor.state.state_folder import prepare_state_folder
from tests.integration.journal_jobs import ENGINE
from tests.integration.worked import example_tasks

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")

Captured = pytest.CaptureFixture[str]
FAILED = {
    "broken": (OutcomeKind.FAILED, FailureKind.BAD_INPUT, "studio"),
    "away": (OutcomeKind.FAILED, FailureKind.UNAVAILABLE, "press"),
    "deadly": (OutcomeKind.QUARANTINED, FailureKind.CRASH, "press"),
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output with three jobs that failed, one that waited for one of them, and one that was cancelled."""
    with Journal.open(prepare_state_folder(bytes(tmp_path)).path, wal=True) as journal:
        journal.begin_run("--output out", ENGINE)
        documents = [{"task": "ask", "key": key, "tenant": tenant} for key, (_, _, tenant) in FAILED.items()]
        more = [
            {"task": "ask", "key": "next", "after": ["away"], "tenant": "press"},
            {"task": "ask", "key": "unwanted"},
        ]
        journal.submit(submissions([*documents, *more], queue="q"))
        for key, (ended, kind, tenant) in FAILED.items():
            journal.finish(submitted_id("q", key, tenant), None, Outcome(ended, f"{key} it is.", kind))
            journal.follow(submitted_id("q", key, tenant))
        journal.cancel(submitted_id("q", "unwanted"))
        journal.end_run(1)
    return tmp_path


def names(output: Path, state: JobState) -> set[str]:
    """Those that are in a state now."""
    with JournalReader.read_only(bytes(output / ".pyprocessor")) as journal:
        return {row.name for row in journal.jobs(state)}


def test_all_that_failed_is_done_again(output: Path, capsys: Captured) -> None:
    """With the reasons; what was cancelled for want of one waits again, and what a user cancelled stays so."""
    assert main(["jobs", "list", "--dead", "--output", str(output)]) == ExitCode.OK
    listed = capsys.readouterr().out
    assert main(["retry", "--dead", "--output", str(output)]) == ExitCode.OK
    *lines, said = capsys.readouterr().out.splitlines()
    assert lines == listed.splitlines()
    assert [line.split(maxsplit=3)[3] for line in lines] == [f"{key}: {key} it is." for key in FAILED]
    begun, _, kinds = said.partition(" Their failures: ")
    assert begun == "3 of 3 jobs will be done again, by the next run."
    assert sorted(kinds.rstrip(".").split(", ")) == ["1 bad input", "1 crash", "1 unavailable"]
    assert names(output, JobState.PENDING) == set(FAILED)
    assert names(output, JobState.WAITING) == {"next"}
    assert names(output, JobState.CANCELLED) == {"unwanted"}
    assert main(["retry", "--dead", "--output", str(output)]) == ExitCode.OK
    assert capsys.readouterr().out == "No such job failed for good.\n"


@pytest.mark.parametrize(
    ("words", "which"),
    [
        (["--tenant", "press"], {"away", "deadly"}),
        (["--kind", "crash"], {"deadly"}),
        (["--kind", "bad_input", "--kind", "unavailable"], {"broken", "away"}),
        (["--tenant", "press", "--kind", "bad_input"], set()),
        (["--task", "other"], set()),
    ],
)
def test_some_of_them(output: Path, words: list[str], which: set[str]) -> None:
    """By tenant, task and kind of failure, each of which may be given several times."""
    assert main(["retry", "--dead", "--output", str(output), *words]) == ExitCode.OK
    assert names(output, JobState.PENDING) == which


def test_all_has_to_be_said(output: Path, capsys: Captured) -> None:
    """Without --dead nothing is done, and the message says how single jobs are."""
    assert main(["retry", "--output", str(output)]) == ExitCode.USAGE
    assert "jobs retry ID" in capsys.readouterr().err
    assert names(output, JobState.PENDING) == set()
