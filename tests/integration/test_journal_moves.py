"""Jobs moving through the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count, product
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, JournalError
from pyprocessor.journal.database import FILE_NAME
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.models import (
    TRANSITIONS,
    Batch,
    Cost,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    ProcessIdentity,
    Usage,
)
from tests.integration.journal_jobs import ENGINE, FACTS, WORKER, a_job, begin, plan, row_of

FFMPEG = ProcessIdentity(300, 3000.0)
USAGE = Usage(1.0, 2.0, 3)
CRASH = Outcome(OutcomeKind.FAILED, "It died.", FailureKind.CRASH)
SHED = Outcome(OutcomeKind.SHED, "Memory was short.")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal in which a run has begun; its clock ticks once at every look."""
    ticks = count(1)
    with Journal.open(bytes(tmp_path), wal=True, clock=lambda: float(next(ticks))) as opened:
        opened.begin_run("pyprocessor --input in", ENGINE)
        yield opened


def plan_and_begin(journal: Journal, job: Job) -> int:
    """Plans, assigns and starts a job; returns the attempt."""
    plan(journal, job)
    return begin(journal, job)


def end(journal: Journal, job: Job) -> None:
    """Takes a job all the way to SUCCEEDED."""
    attempt = plan_and_begin(journal, job)
    assert journal.grant(job.id, attempt, FACTS)
    assert journal.succeed(job.id, attempt, FACTS, USAGE)


# ---------------------------------------------------------------- planning


def attempts_of(journal: Journal, job: Job) -> list[AttemptRow]:
    """The attempts at one job, oldest first."""
    return [attempt for attempt in journal.attempts() if attempt.job_id == job.id]


def test_a_new_job_is_pending_and_complete(journal: Journal) -> None:
    """All that a job says is in its row, odd text escaped."""
    job = a_job(b"odd \xff\n%03d.mov", companions=True)
    row = plan(journal, job)
    assert (row.id, row.task, row.source, row.output) == (job.id, job.task, job.source, job.output)
    assert (row.state, row.priority, row.cost, row.media_seconds) == (JobState.PENDING, 3, job.cost, 2.5)
    assert (row.params_fingerprint, row.profile_name, row.tenant) == ("profile-1", "fast", "ten\\udcffant")
    assert (row.inputs, row.companions, row.metadata) == (job.inputs, job.companions, job.metadata)
    assert (row.max_retries, row.timeout_seconds, row.not_before, row.deadline) == (5, 6.5, 7.0, 8.0)
    assert row.job == replace(job, tenant=row.tenant)
    assert (row.granted, row.produced, row.failure, row.run_id) == (None, None, None, journal.run_id)
    assert row == journal.job(job.id)


def test_an_unchanged_final_job_begins_anew(journal: Journal) -> None:
    """It waits again, remembers its old output while the name is the same, and that is an event."""
    job = a_job()
    end(journal, job)
    assert row_of(journal, job).final
    row = plan(journal, job)
    assert (row.state, row.produced) == (JobState.PENDING, FACTS)
    assert [event.kind for event in journal.events() if event.job_id == job.id] == ["reset"]


def test_a_pending_job_takes_the_new_name_and_cost(journal: Journal) -> None:
    """Nothing is published yet, so today's plan counts; what it has been through is kept."""
    job = a_job()
    attempt = plan_and_begin(journal, job)
    journal.requeue(job.id, attempt, CRASH, charge=True)
    row = plan(journal, replace(job, output=b"new.mp4", cost=Cost(1.0, 2, 3)))
    assert (row.output, row.cost) == (b"new.mp4", Cost(1.0, 2, 3))
    assert (row.crashes, row.attempts, row.retries_charged) == (1, 1, 1)


@pytest.mark.parametrize(
    ("changed", "change"),
    [
        (replace(a_job(), source=replace(a_job().source, mtime_ns=1)), "source"),
        (replace(a_job(), source=replace(a_job().source, size_bytes=1)), "source"),
        (replace(a_job(), params_fingerprint="profile-2"), "profile"),
    ],
    ids=["mtime", "size", "profile"],
)
def test_a_changed_job_begins_anew(journal: Journal, changed: Job, change: str) -> None:
    """It is pending again with nothing charged, remembers its old output, and the change is an event."""
    job = a_job()
    end(journal, job)
    row = plan(journal, changed)
    assert (row.state, row.attempts, row.source, row.produced) == (JobState.PENDING, 0, changed.source, FACTS)
    events = [(event.kind, event.text) for event in journal.events() if event.job_id == job.id]
    assert events == [("replanned", f"The {change} changed; a job that was succeeded begins anew.")]


def test_a_job_in_a_workers_hands_is_left_alone(journal: Journal) -> None:
    """Even where its source changed meanwhile."""
    job = a_job()
    plan_and_begin(journal, job)
    row = plan(journal, replace(job, params_fingerprint="profile-2"))
    assert (row.state, row.params_fingerprint) == (JobState.RUNNING, "profile-1")


def test_a_name_belongs_to_one_job(journal: Journal) -> None:
    """The second job is told that the name is taken, nothing is written, and under another name it is planned."""
    first, second = a_job(b"a.mov", output=b"a.mp4"), a_job(b"a.avi", output=b"a.mp4")
    plan(journal, first)
    assert journal.plan(second, media_seconds=None) is None
    assert journal.job(second.id) is None
    assert plan(journal, replace(second, output=b"a~1.mp4")).state is JobState.PENDING


def test_a_name_is_free_again_after_a_failure(journal: Journal) -> None:
    """A failed job has no output; asked to be done again it waits until its name is free."""
    first, second = a_job(b"a.mov", output=b"a.mp4"), a_job(b"a.avi", output=b"a.mp4")
    plan(journal, first)
    journal.finish(first.id, None, Outcome(OutcomeKind.FAILED, "No.", FailureKind.BAD_INPUT))
    plan(journal, second)
    assert journal.plan(first, media_seconds=None) is None
    assert journal.finish(second.id, None, Outcome(OutcomeKind.CANCELLED))
    assert plan(journal, first).state is JobState.PENDING


def test_jobs_without_an_output_do_not_collide(journal: Journal) -> None:
    """An empty name is no name."""
    for name in (b"a", b"b"):
        assert plan(journal, a_job(name, output=b"")).state is JobState.PENDING


# ---------------------------------------------------------------- moves


def test_the_way_to_success(journal: Journal) -> None:
    """Each step is in the row, the attempt and the batch."""
    job = a_job()
    plan(journal, job)
    journal.begin_batch(Batch(7, (job.id,), slots=2, threads=1, memory_budget_bytes=99), WORKER)
    assert journal.assign([job.id, "unknown"], 7) == (job.id,)
    attempt = journal.start(job.id, WORKER, threads=2, predicted=Cost(3.5, 400, 0))
    assert attempt is not None
    assert journal.name_ffmpeg(attempt, replace(FFMPEG, pid=301))
    (opened,) = attempts_of(journal, job)
    assert (opened.job_id, opened.batch_id, opened.number, opened.worker) == (job.id, 7, 1, WORKER)
    assert (opened.ffmpeg, opened.threads, opened.predicted) == (replace(FFMPEG, pid=301), 2, Cost(3.5, 400, 0))
    assert journal.grant(job.id, attempt, FACTS)
    (publishing,) = journal.jobs(JobState.PUBLISHING)
    assert (publishing.granted, publishing.attempt_id) == (FACTS, attempt)
    assert journal.succeed(job.id, attempt, FACTS, USAGE)
    row = row_of(journal, job)
    assert (row.state, row.produced, row.granted, row.attempts) == (JobState.SUCCEEDED, FACTS, None, 1)
    (closed,) = attempts_of(journal, job)
    assert (closed.outcome, closed.usage, closed.charged) == (OutcomeKind.SUCCEEDED, USAGE, False)
    assert journal.open_workers() == (WORKER,)
    assert journal.end_batch(7, 0)
    assert not journal.end_batch(7, 0)
    assert journal.open_workers() == ()


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        (OutcomeKind.SKIPPED, None),
        (OutcomeKind.KEPT_SOURCE, None),
        (OutcomeKind.FAILED, FailureKind.STALL),
        (OutcomeKind.QUARANTINED, FailureKind.CRASH),
        (OutcomeKind.CANCELLED, None),
    ],
)
def test_a_running_job_may_end_without_output(journal: Journal, kind: OutcomeKind, failure: FailureKind | None) -> None:
    """The outcome's reason is kept on the job and on the attempt."""
    job = a_job()
    attempt = plan_and_begin(journal, job)
    assert journal.finish(job.id, attempt, Outcome(kind, "Why \udcff.", failure), USAGE)
    row = row_of(journal, job)
    assert (row.state, row.failure, row.reason) == (JobState(kind.value), failure, "Why \\udcff.")
    assert row.crashes == (failure is FailureKind.CRASH)
    (tried,) = attempts_of(journal, job)
    assert (tried.outcome, tried.failure, tried.usage) == (kind, failure, USAGE)


def test_what_is_charged(journal: Journal) -> None:
    """A crash costs a retry and counts as a crash, a shed costs nothing and counts as a shed."""
    job = a_job()
    journal.requeue(job.id, plan_and_begin(journal, job), CRASH, charge=True)
    journal.requeue(job.id, begin(journal, job), SHED, charge=False, usage=USAGE)
    row = row_of(journal, job)
    assert (row.state, row.attempts, row.crashes, row.sheds, row.retries_charged) == (JobState.PENDING, 2, 1, 1, 1)
    assert [(tried.outcome, tried.charged) for tried in attempts_of(journal, job)] == [
        (OutcomeKind.FAILED, True),
        (OutcomeKind.SHED, False),
    ]


def test_an_assigned_job_can_be_taken_back(journal: Journal) -> None:
    """It never began, so there is no attempt and nothing is charged."""
    job = a_job()
    plan(journal, job)
    journal.assign([job.id], 1)
    assert journal.requeue(job.id, None, Outcome(OutcomeKind.INTERRUPTED), charge=False)
    row = row_of(journal, job)
    assert (row.state, row.attempts, row.batch_id) == (JobState.PENDING, 0, None)


def test_a_worker_that_was_given_up_on_changes_nothing(journal: Journal) -> None:
    """After its job went to another attempt, whatever it still says finds nothing to change."""
    job = a_job()
    old = plan_and_begin(journal, job)
    journal.requeue(job.id, old, CRASH, charge=True)
    new = begin(journal, job)
    before = row_of(journal, job)
    assert not journal.grant(job.id, old, FACTS)
    assert not journal.succeed(job.id, old, FACTS, USAGE)
    assert not journal.finish(job.id, old, CRASH)
    assert not journal.requeue(job.id, old, CRASH, charge=True)
    assert not journal.name_ffmpeg(old, FFMPEG)
    assert row_of(journal, job) == before
    assert journal.grant(job.id, new, FACTS)


def test_moves_of_jobs_that_are_elsewhere_do_nothing(journal: Journal) -> None:
    """A pending job cannot be started, granted or taken back."""
    job = a_job()
    plan(journal, job)
    assert journal.start(job.id, WORKER, 1, job.cost) is None
    assert not journal.grant(job.id, 1, FACTS)
    assert not journal.requeue(job.id, None, SHED, charge=False)
    assert list(journal.attempts()) == []


def test_a_move_no_table_allows_is_refused(journal: Journal) -> None:
    """An assigned job cannot fail: that is a defect of the caller, said aloud."""
    job = a_job()
    plan(journal, job)
    journal.assign([job.id], 1)
    with pytest.raises(JournalError, match="may not make this move"):
        journal.finish(job.id, None, Outcome(OutcomeKind.FAILED, "No.", FailureKind.BAD_INPUT))


def test_sql_allows_exactly_the_moves_of_the_models(journal: Journal, tmp_path: Path) -> None:
    """SQL's table equals Python's, and the trigger obeys it for every pair of states."""
    job = a_job()
    plan(journal, job)
    with closing(sqlite3.connect(tmp_path / FILE_NAME.decode(), isolation_level=None)) as raw:
        table = {(JobState(old), JobState(new)) for old, new in raw.execute("SELECT old, new FROM transitions")}
        assert table == TRANSITIONS
        (trigger,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'jobs_move_by_the_table'").fetchone()
        for old, new in product(JobState, JobState):
            raw.execute("DROP TRIGGER jobs_move_by_the_table")
            raw.execute("UPDATE jobs SET state = ?", (old,))
            raw.execute(trigger)
            if old == new or (old, new) in TRANSITIONS:
                raw.execute("UPDATE jobs SET state = ?", (new,))
            else:
                with pytest.raises(sqlite3.IntegrityError):
                    raw.execute("UPDATE jobs SET state = ?", (new,))
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute("UPDATE jobs SET state = 'asleep'")


def test_adopting_an_output(journal: Journal) -> None:
    """A pending job whose receipt matches is done without an attempt."""
    job = a_job()
    plan(journal, job)
    assert journal.adopt(job.id, FACTS)
    assert not journal.adopt(job.id, FACTS)
    row = row_of(journal, job)
    assert (row.state, row.produced, row.attempts) == (JobState.SUCCEEDED, FACTS, 0)


def test_what_was_made_under_a_name_outlives_the_jobs_name(journal: Journal) -> None:
    """A job that moves on to another name no longer claims its old output, but whose that was is still known."""
    job = a_job(output=b"a.mp4")
    end(journal, job)
    moved = replace(job, output=b"a.mkv", params_fingerprint="profile-2")
    plan(journal, moved)
    assert row_of(journal, job).produced is None
    assert journal.owner(b"a.mp4") is None
    made = journal.made(b"a.mp4")
    assert made is not None
    assert (made.facts, made.source, made.params_fingerprint) == (FACTS, job.source, "profile-1")
    assert journal.claim(job.id, FACTS)
    assert row_of(journal, job).produced == FACTS
    assert journal.made(b"a.mkv") is None


def test_a_final_job_begins_anew_under_a_free_name(journal: Journal) -> None:
    """A failed one whose name was taken meanwhile: it is told so, and planned again under another."""
    first, second = a_job(b"1.mov", output=b"a.mp4"), a_job(b"2.mov", output=b"a.mp4")
    journal.finish(first.id, plan_and_begin(journal, first), CRASH)
    end(journal, second)
    assert journal.plan(first, media_seconds=None) is None
    row = plan(journal, replace(first, output=b"b.mp4"))
    assert (row.state, row.output) == (JobState.PENDING, b"b.mp4")
    assert journal.owner(b"b.mp4") == row


def test_an_adopted_job_is_of_no_run_that_the_journal_knows(journal: Journal) -> None:
    """So no run counts it among what it did, and the newest run stays the newest."""
    job = a_job()
    plan(journal, job)
    assert journal.adopt(job.id, FACTS)
    assert journal.counts(run_id=journal.run_id).total == 0
    last = journal.last_run()
    assert last is not None
    assert last.id == journal.run_id
    assert journal.made(job.output) is not None


def open_attempts(journal: Journal) -> set[str]:
    """The jobs that have an attempt without an end."""
    return {attempt.job_id for attempt in journal.attempts() if attempt.ended_at is None}


def test_recovering_after_the_engine_died(tmp_path: Path) -> None:
    """Jobs in hand wait again uncharged, their attempts are closed; a granted one is left for the disk to decide."""
    running, assigned, publishing, done = (a_job(name) for name in (b"r", b"a", b"p", b"d"))
    with Journal.open(bytes(tmp_path), wal=True) as killed:
        first = killed.begin_run("first", ENGINE)
        end(killed, done)
        killed.begin_batch(Batch(1, (), 1, 1, 1), WORKER)
        plan_and_begin(killed, running)
        plan(killed, assigned)
        killed.assign([assigned.id], 1)
        granted = plan_and_begin(killed, publishing)
        killed.grant(publishing.id, granted, FACTS)
    with Journal.open(bytes(tmp_path), wal=True) as journal:
        journal.begin_run("second", ENGINE)
        assert open_attempts(journal) == {running.id, publishing.id}
        assert journal.abandon_open() == 2
        assert row_of(journal, running).state is JobState.PENDING
        assert row_of(journal, assigned).state is JobState.PENDING
        assert row_of(journal, running).retries_charged == 0
        assert row_of(journal, done).run_id == first
        (attempt,) = attempts_of(journal, running)
        assert attempt in list(journal.attempts(run_id=first))
        assert list(journal.attempts(run_id=journal.run_id)) == []
        assert attempt.outcome is OutcomeKind.INTERRUPTED
        assert journal.open_workers() == ()
        (row,) = journal.jobs(JobState.PUBLISHING)
        assert row.granted is not None
        assert row.attempt_id is not None
        assert journal.succeed(row.id, row.attempt_id, row.granted, None)
        assert row_of(journal, publishing).produced == FACTS
        assert open_attempts(journal) == set()
        assert journal.abandon_open() == 0


def test_listing_jobs(journal: Journal) -> None:
    """Lists stream over pages, in planning order, by state and by run; they may be changed while they are walked."""
    jobs = [a_job(f"{number}.mov".encode()) for number in range(1203)]
    with journal.transaction():
        for job in jobs:
            plan(journal, job)
    assert [row.id for row in journal.jobs()] == [job.id for job in jobs]
    for number, row in enumerate(journal.jobs(JobState.PENDING)):
        if number % 2:
            assert journal.finish(row.id, None, Outcome(OutcomeKind.SKIPPED, "Odd."))
    counts = journal.counts()
    assert (counts.pending, counts.skipped, counts.total, counts.final) == (602, 601, 1203, 601)
    assert len(list(journal.jobs(JobState.SKIPPED))) == 601
    first = journal.run_id
    journal.begin_run("second", ENGINE)
    plan(journal, jobs[0])
    assert [row.id for row in journal.jobs(run_id=journal.run_id)] == [jobs[0].id]
    assert journal.counts(first).total == 1202
