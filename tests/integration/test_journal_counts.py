"""What is charged to a job goes on from run to run, until it is forgiven."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.engine.recovery import recover, set_aside
from pyprocessor.errors import FailureKind
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import (
    Batch,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    ProcessIdentity,
    Profile,
)
from pyprocessor.models.run import RunRequest
from pyprocessor.state.state_folder import StateFolder, prepare_state_folder
from pyprocessor.system.processes import is_alive, process_identity
from tests.integration.journal_jobs import ENGINE, FACTS, a_job, begin, plan, row_of

JOB = a_job()


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


def plan_again(journal: Journal, job: Job = JOB, *, forgive: bool = False) -> JobRow:
    """Plans the job as a run does that does it again."""
    return plan(journal, job, forgive=forgive)


def plan_and_begin(journal: Journal) -> int:
    """Plans and starts the job; returns the attempt."""
    plan_again(journal)
    return begin(journal, JOB)


def fail(journal: Journal) -> None:
    """An attempt that ends the job as failed."""
    attempt = plan_and_begin(journal)
    assert journal.finish(JOB.id, attempt, Outcome(OutcomeKind.FAILED, "It failed.", FailureKind.UNAVAILABLE))


def test_runs_that_failed_are_counted_until_something_changes(journal: Journal) -> None:
    """With and without an attempt; a success, another source and forgiveness start over."""
    fail(journal)
    fail(journal)
    plan_again(journal)
    assert journal.finish(JOB.id, None, Outcome(OutcomeKind.FAILED, "It stalled.", FailureKind.STALL))
    assert row_of(journal, JOB).failed_runs == 3
    assert plan_again(journal).failed_runs == 3
    assert plan_again(journal, forgive=True).failed_runs == 0
    fail(journal)
    other = replace(JOB, source=replace(JOB.source, mtime_ns=JOB.source.mtime_ns + 1))
    assert plan_again(journal, other).failed_runs == 0
    fail(journal)
    attempt = plan_and_begin(journal)
    journal.grant(JOB.id, attempt, FACTS)
    journal.succeed(JOB.id, attempt, FACTS, None)
    assert row_of(journal, JOB).failed_runs == 0


def test_a_job_that_waits_keeps_what_is_charged_to_it_unless_forgiven(journal: Journal) -> None:
    """A crash in the last run counts in this one; --retry-failed starts over."""
    attempt = plan_and_begin(journal)
    journal.requeue(JOB.id, attempt, Outcome(OutcomeKind.FAILED, "It died.", FailureKind.CRASH), charge=True)
    attempt = plan_and_begin(journal)
    journal.requeue(JOB.id, attempt, Outcome(OutcomeKind.SHED, "Memory."), charge=False)
    kept = plan_again(journal)
    assert (kept.crashes, kept.retries_charged, kept.sheds) == (1, 1, 1)
    kept = plan_again(journal, forgive=True)
    assert (kept.crashes, kept.retries_charged, kept.sheds) == (0, 0, 0)


def test_killed_runs_are_counted_in_a_row(journal: Journal) -> None:
    """For what was running alone; an attempt that ends in any way breaks the row, an interruption by the user too."""
    plan_and_begin(journal)
    journal.abandon_open()
    plan_and_begin(journal)
    journal.abandon_open()
    assert row_of(journal, JOB).killed_runs == 2
    journal.assign([JOB.id], 1)
    journal.abandon_open()
    assert row_of(journal, JOB).killed_runs == 2, "it was only about to run"
    assert row_of(journal, JOB).retries_charged == 0
    attempt = plan_and_begin(journal)
    journal.requeue(JOB.id, attempt, Outcome(OutcomeKind.INTERRUPTED, "Stopped."), charge=False)
    assert row_of(journal, JOB).killed_runs == 0


def _request(folder: StateFolder) -> RunRequest:
    return RunRequest((), os.path.dirname(folder.path), Profile("test", "f"), "")


def test_what_was_there_whenever_runs_were_killed_is_set_aside(journal: Journal, folder: StateFolder) -> None:
    """At the third death in a row where three are allowed, with a sentence."""
    for deaths in range(1, 4):
        plan_and_begin(journal)
        recover(journal, folder, _request(folder), behind=False)
        told = set_aside(journal, 3)
        assert bool(told) == (deaths == 3)
    assert (row_of(journal, JOB).state, row_of(journal, JOB).failure) == (JobState.QUARANTINED, FailureKind.CRASH)
    assert "3 runs in a row were killed" in row_of(journal, JOB).reason
    assert plan_again(journal, forgive=True).killed_runs == 0


def test_only_what_an_earlier_run_started_is_ended(journal: Journal, folder: StateFolder) -> None:
    """A pid that now belongs to another process, which its start time tells, is left alone."""
    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        identity = process_identity(sleeper.pid)
        assert identity is not None
        journal.begin_batch(Batch(1, (), 1, 1, 1), ProcessIdentity(identity.pid, identity.start_time - 50.0))
        assert recover(journal, folder, _request(folder), behind=False) == []
        assert is_alive(identity)
        journal.begin_batch(Batch(2, (), 1, 1, 1), identity)
        began = time.monotonic()
        (note,) = recover(journal, folder, _request(folder), behind=False)
        assert str(identity.pid) in note[1]
        assert not is_alive(identity), "it is waited for"
        assert time.monotonic() - began < 60
    finally:
        sleeper.kill()
        sleeper.wait()
