"""What is charged to a job goes on from run to run, until it is forgiven."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.engine.recovery import recover, set_aside
from pyprocessor.engine.system import is_alive, process_identity
from pyprocessor.errors import FailureKind
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow, Planned
from pyprocessor.models import (
    Batch,
    Cost,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    OutputFacts,
    ProcessIdentity,
    Source,
    job_id,
)
from pyprocessor.publish.state_folder import StateFolder, prepare_state_folder

ENGINE = ProcessIdentity(100, 1000.0)
WORKER = ProcessIdentity(200, 2000.0)
FACTS = OutputFacts(500, 600, 1.5, 1, 1, 0, 25)
JOB = Job(job_id(b"/in/a", "transcode"), "transcode", Source(b"/in/a", b"a", 1, 2), b"a.mp4", "p", Cost(1.0, 2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """A state folder."""
    return prepare_state_folder(os.fsencode(tmp_path / "out"))


@pytest.fixture
def journal(folder: StateFolder) -> Iterator[Journal]:
    """A journal in which a run has begun."""
    with Journal.open(folder.path, wal=True) as opened:
        opened.begin_run("", ENGINE)
        yield opened


def plan(journal: Journal, *, again: bool = True, forgive: bool = False, job: Job = JOB) -> JobRow:
    """Plans the job as a run does."""
    planned = journal.plan(job, media_seconds=1.0, again=again, forgive=forgive)
    assert isinstance(planned, Planned)
    return planned.row


def begin(journal: Journal) -> int:
    """Plans and starts the job; returns the attempt."""
    plan(journal)
    journal.assign([JOB.id], 1)
    attempt = journal.start(JOB.id, WORKER)
    assert attempt is not None
    return attempt


def row(journal: Journal) -> JobRow:
    """The job as it is."""
    found = journal.job(JOB.id)
    assert found is not None
    return found


def fail(journal: Journal) -> None:
    """An attempt that ends the job as failed."""
    attempt = begin(journal)
    assert journal.finish(JOB.id, attempt, Outcome(OutcomeKind.FAILED, "It failed.", FailureKind.UNAVAILABLE))


def test_runs_that_failed_are_counted_until_something_changes(journal: Journal) -> None:
    """With and without an attempt; a success, another source and forgiveness start over."""
    fail(journal)
    fail(journal)
    plan(journal)
    assert journal.finish(JOB.id, None, Outcome(OutcomeKind.FAILED, "It stalled.", FailureKind.STALL))
    assert row(journal).failed_runs == 3
    assert plan(journal).failed_runs == 3
    assert plan(journal, forgive=True).failed_runs == 0
    fail(journal)
    other = Job(JOB.id, JOB.task, Source(b"/in/a", b"a", 1, 3), JOB.output, "p", JOB.cost)
    assert plan(journal, job=other).failed_runs == 0
    fail(journal)
    attempt = begin(journal)
    journal.grant(JOB.id, attempt, FACTS)
    journal.succeed(JOB.id, attempt, FACTS, None)
    assert row(journal).failed_runs == 0


def test_a_job_that_waits_keeps_what_is_charged_to_it_unless_forgiven(journal: Journal) -> None:
    """A crash in the last run counts in this one; --retry-failed starts over."""
    attempt = begin(journal)
    journal.requeue(JOB.id, attempt, Outcome(OutcomeKind.FAILED, "It died.", FailureKind.CRASH), charge=True)
    attempt = begin(journal)
    journal.requeue(JOB.id, attempt, Outcome(OutcomeKind.SHED, "Memory."), charge=False)
    kept = plan(journal)
    assert (kept.crashes, kept.retries_charged, kept.sheds) == (1, 1, 1)
    kept = plan(journal, forgive=True)
    assert (kept.crashes, kept.retries_charged, kept.sheds) == (0, 0, 0)


def test_killed_runs_are_counted_in_a_row(journal: Journal) -> None:
    """For what was running alone; an attempt that ends in any way breaks the row, an interruption by the user too."""
    begin(journal)
    journal.abandon_open()
    begin(journal)
    journal.abandon_open()
    assert row(journal).killed_runs == 2
    journal.assign([JOB.id], 1)
    journal.abandon_open()
    assert row(journal).killed_runs == 2, "it was only about to run"
    assert row(journal).retries_charged == 0
    attempt = begin(journal)
    journal.requeue(JOB.id, attempt, Outcome(OutcomeKind.INTERRUPTED, "Stopped."), charge=False)
    assert row(journal).killed_runs == 0


def test_what_was_there_whenever_runs_were_killed_is_set_aside(journal: Journal, folder: StateFolder) -> None:
    """At the third death in a row where three are allowed, with a sentence."""
    for deaths in range(1, 4):
        begin(journal)
        recover(journal, folder, os.path.dirname(folder.path), behind=False)
        told = set_aside(journal, 3)
        assert bool(told) == (deaths == 3)
    assert (row(journal).state, row(journal).failure) == (JobState.QUARANTINED, FailureKind.CRASH)
    assert "3 runs in a row were killed" in row(journal).reason
    assert plan(journal, forgive=True).killed_runs == 0


def test_only_what_an_earlier_run_started_is_ended(journal: Journal, folder: StateFolder) -> None:
    """A pid that now belongs to another process, which its start time tells, is left alone."""
    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        identity = process_identity(sleeper.pid)
        assert identity is not None
        journal.begin_batch(Batch(1, (), 1, 1, 1), ProcessIdentity(identity.pid, identity.start_time - 50.0))
        assert recover(journal, folder, os.path.dirname(folder.path), behind=False) == []
        assert is_alive(identity)
        journal.begin_batch(Batch(2, (), 1, 1, 1), identity)
        began = time.monotonic()
        (note,) = recover(journal, folder, os.path.dirname(folder.path), behind=False)
        assert str(identity.pid) in note.text
        assert not is_alive(identity), "it is waited for"
        assert time.monotonic() - began < 60
    finally:
        sleeper.kill()
        sleeper.wait()
