"""Jobs that wait for others, and the names that jobs claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, UsageError
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import (
    Cost,
    Job,
    JobState,
    Origin,
    Outcome,
    OutcomeKind,
    Product,
    ProductOf,
    Source,
    Usage,
    submitted_id,
)
from tests.integration.journal_jobs import ENGINE, WORKER

FAILED = Outcome(OutcomeKind.FAILED, "No.", FailureKind.BAD_INPUT)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal in which a run has begun."""
    with Journal.open(bytes(tmp_path), wal=True) as opened:
        opened.begin_run("pyprocessor --input in", ENGINE)
        yield opened


def named(name: str, *after: str, output: bytes = b"", params: str = "1") -> Job:
    """A submitted job of this name, which waits for others by their names."""
    return Job(
        submitted_id("queue", name),
        "noop",
        Source(b"", name.encode(), 0, 0),
        output,
        params,
        Cost(1.0, 2, 3),
        origin=Origin.SUBMITTED,
        after=tuple(submitted_id("queue", other) for other in after),
    )


def submit(journal: Journal, *jobs: Job) -> tuple[str, ...]:
    """Submit jobs, whose params are their fingerprints."""
    return journal.submit([Submission(job, f'"{job.params_fingerprint}"') for job in jobs])


def states(journal: Journal) -> dict[str, str]:
    """The state of each job by its name."""
    return {row.name: row.state.value for row in journal.jobs()}


def run(journal: Journal, name: str) -> tuple[list[str], list[str]]:
    """Have a job succeed; returns the names of what was released and cancelled."""
    job_id = submitted_id("queue", name)
    assert journal.assign([job_id], 1)
    attempt = journal.start(job_id, WORKER, 1, None)
    assert attempt is not None
    assert journal.complete(job_id, attempt, '{"answer": 42}', Usage(1.0, 1.0, 1))
    return followed(journal, name)


def end(journal: Journal, name: str, outcome: Outcome) -> tuple[list[str], list[str]]:
    """End a job that waits; returns the names of what was released and cancelled."""
    assert journal.finish(submitted_id("queue", name), None, outcome)
    return followed(journal, name)


def followed(journal: Journal, name: str) -> tuple[list[str], list[str]]:
    released, cancelled = journal.follow(submitted_id("queue", name))
    return [named_by(journal, i) for i in released], [named_by(journal, i) for i in cancelled]


def named_by(journal: Journal, job_id: str) -> str:
    row = journal.job(job_id)
    assert row is not None
    return row.name


def test_a_job_waits_until_all_that_it_needs_has_succeeded(journal: Journal) -> None:
    """The last of them releases it, and its own end what waits for it."""
    submit(journal, named("c", "a", "b"), named("a"), named("b"), named("d", "c"))
    assert states(journal) == {"a": "pending", "b": "pending", "c": "waiting", "d": "waiting"}
    assert run(journal, "a") == ([], [])
    assert run(journal, "b") == (["c"], [])
    assert run(journal, "c") == (["d"], [])
    row = journal.job(submitted_id("queue", "c"))
    assert row is not None
    assert (row.state, row.result) == (JobState.SUCCEEDED, '{"answer": 42}')


def test_what_reads_a_product_that_is_made_anew_is_done_anew(journal: Journal) -> None:
    """All the way down; what only comes after it stays done, and so does all where nothing has changed."""
    reads = [
        replace(named(name), inputs=(ProductOf(submitted_id("queue", read), "main"),)) for name, read in ("ba", "cb")
    ]
    jobs = (named("a"), *reads, named("after", "a"))
    submit(journal, *jobs)
    for name in ("a", "b", "c", "after"):
        run(journal, name)
    assert submit(journal, *jobs) == ()
    taken = submit(journal, named("a", params="2"), *jobs[1:])
    assert [named_by(journal, job_id) for job_id in taken] == ["a", "b", "c"]
    assert states(journal) == {"a": "pending", "b": "waiting", "c": "waiting", "after": "succeeded"}
    assert run(journal, "a") == (["b"], [])


def test_a_job_is_done_again_on_request(journal: Journal) -> None:
    """Although nothing has changed; not while it is worked on."""
    submissions = [Submission(named(name), '"1"') for name in ("a", "b")]
    ids = journal.submit(submissions)
    run(journal, "a")
    assert journal.assign(ids[1:], 1)
    assert journal.submit(submissions, again=ids) == ids[:1]
    assert states(journal) == {"a": "pending", "b": "assigned"}


def test_what_waits_for_a_failed_job_is_cancelled_and_named(journal: Journal) -> None:
    """All the way down, with a reason that names the cause; what does not wait for it goes on."""
    submit(journal, named("a"), named("b", "a"), named("c", "b"), named("other"))
    assert end(journal, "a", FAILED) == ([], ["b", "c"])
    assert states(journal) == {"a": "failed", "b": "cancelled", "c": "cancelled", "other": "pending"}
    row = journal.job(submitted_id("queue", "c"))
    assert row is not None
    assert row.reason == "It waited for a, which failed."


@pytest.mark.parametrize(
    ("outcome", "released"),
    [
        (Outcome(OutcomeKind.SKIPPED, "It is there.", already_right=True), True),
        (Outcome(OutcomeKind.SKIPPED, "It is empty."), False),
        (Outcome(OutcomeKind.CANCELLED, "By the user."), False),
        (Outcome(OutcomeKind.QUARANTINED, "It crashed.", FailureKind.CRASH), False),
    ],
)
def test_which_ends_satisfy(journal: Journal, outcome: Outcome, released: bool) -> None:
    """A skip counts as success only where what was to be made is there."""
    submit(journal, named("a"), named("b", "a"))
    assert end(journal, "a", outcome) == ((["b"], []) if released else ([], ["b"]))


def test_a_parent_waits_for_any_end_of_its_children(journal: Journal) -> None:
    """It decides itself what a failed child means, also one that was cancelled for another."""
    submit(journal, named("parent"), named("first"), named("second", "first"))
    parent, first, second = (submitted_id("queue", name) for name in ("parent", "first", "second"))
    journal.wait_for(parent, (first, second), any_end=True)
    assert states(journal)["parent"] == "waiting"
    assert end(journal, "first", FAILED) == (["parent"], ["second"])
    assert states(journal)["parent"] == "pending"


def test_doing_the_cause_again_resets_what_was_cancelled_for_it(journal: Journal) -> None:
    """But neither what the user cancelled nor what waits for another job that failed."""
    submit(journal, named("a"), named("x"), named("b", "a"), named("c", "b"), named("d", "a"), named("e", "a", "x"))
    assert journal.cancel(submitted_id("queue", "d"))
    assert sorted(end(journal, "a", FAILED)[1]) == ["b", "c", "e"]
    end(journal, "x", FAILED)
    assert journal.retry(submitted_id("queue", "a"))
    assert states(journal) == {
        "a": "pending",
        "x": "failed",
        "b": "waiting",
        "c": "waiting",
        "d": "cancelled",
        "e": "cancelled",
    }
    row = journal.job(submitted_id("queue", "e"))
    assert row is not None
    assert row.reason == "It waited for x, which failed."
    assert run(journal, "a") == (["b"], [])
    assert not journal.retry(submitted_id("queue", "a"))  # it has succeeded


def test_a_job_that_needs_one_that_failed_is_cancelled_at_once(journal: Journal) -> None:
    """It would wait for ever."""
    submit(journal, named("a"))
    end(journal, "a", FAILED)
    submit(journal, named("b", "a"), named("c", "b"))
    assert states(journal) == {"a": "failed", "b": "cancelled", "c": "cancelled"}


def test_a_job_that_needs_one_that_is_done_is_pending(journal: Journal) -> None:
    """There is nothing to wait for; reading its product is needing it."""
    submit(journal, named("a"))
    run(journal, "a")
    reads = replace(named("b"), inputs=(ProductOf(submitted_id("queue", "a")),))
    submit(journal, reads)
    assert states(journal) == {"a": "succeeded", "b": "pending"}
    assert journal.needs(reads.id) == (submitted_id("queue", "a"),)


def test_circles_are_refused_and_named(journal: Journal) -> None:
    """Nothing of such a submission is taken in, also where the circle is closed by an earlier job."""
    with pytest.raises(UsageError, match=r"a -> b -> a|b -> a -> b"):
        submit(journal, named("a", "b"), named("b", "a"), named("c"))
    assert states(journal) == {}
    submit(journal, named("c"), named("b", "c"), named("a", "b"))
    with pytest.raises(UsageError, match="wait for each other"):
        submit(journal, named("c", "a"))
    assert journal.needs(submitted_id("queue", "c")) == ()


def test_a_need_that_nobody_knows_is_refused(journal: Journal) -> None:
    """The sentence names the job."""
    with pytest.raises(UsageError, match=r"^b waits for a job that nobody knows"):
        submit(journal, named("b", "a"))


def test_the_same_job_twice_is_one_job(journal: Journal) -> None:
    """Done or failed it stays as it is; with other params it is done again."""
    assert submit(journal, named("a")) == (named("a").id,)
    run(journal, "a")
    assert submit(journal, named("a")) == ()
    assert submit(journal, named("a", params="2")) == (named("a").id,)
    assert states(journal) == {"a": "pending"}
    assert journal.params("2") == '"2"'


@pytest.mark.parametrize(
    ("first", "second", "free"),
    [
        (b"a/b", b"a/b", False),
        (b"a/b", b"a", False),
        (b"a", b"a/b/c", False),
        (b"a/b", b"a/c", True),
        (b"a/b", b"a/b.txt", True),
        (b"a/b", b"a.b", True),
    ],
)
def test_no_name_lies_within_another(journal: Journal, first: bytes, second: bytes, free: bool) -> None:
    """A second job that claims a name, a folder above it or something in it is refused with a sentence."""
    submit(journal, named("first", output=first))
    job = replace(named("second"), companions=(Product(second, "text"),))
    if free:
        assert submit(journal, job) == (job.id,)
        return
    with pytest.raises(UsageError, match=r"^second: .* belongs to first\.$"):
        submit(journal, job)
    end(journal, "first", FAILED)
    assert submit(journal, job) == (job.id,)


def test_a_refused_submission_leaves_nothing_behind(journal: Journal) -> None:
    """Also inside of a transaction that goes on, as a turn of the run's loop does."""
    submit(journal, named("owner", output=b"a.txt"))
    with journal.transaction():
        journal.add_event("info", "before")
        with pytest.raises(UsageError, match="belongs to owner"):
            submit(journal, named("first"), named("second", output=b"a.txt"))
        journal.add_event("info", "after")
    assert set(states(journal)) == {"owner"}
    assert [event.text for event in journal.events()] == ["before", "after"]


def test_a_job_submitted_again_waits_for_what_it_now_waits_for(journal: Journal) -> None:
    """Without a need that it had it is pending; a parent goes on waiting for its children."""
    submit(journal, named("a"), named("b", "a"), named("parent"), named("child"))
    journal.wait_for(submitted_id("queue", "parent"), [submitted_id("queue", "child")], any_end=True)
    submit(journal, named("b"), named("parent"))
    assert states(journal) == {"a": "pending", "b": "pending", "parent": "waiting", "child": "pending"}
    assert end(journal, "child", FAILED) == (["parent"], [])


def test_what_was_found_in_inputs_is_forgotten_when_a_job_begins_anew(journal: Journal) -> None:
    """Its inputs may be others, or have changed."""
    submit(journal, named("a"))
    for begin_anew in (lambda: journal.retry(named("a").id), lambda: submit(journal, named("a", params="2"))):
        journal.remember_found(named("a").id, "{}")
        end(journal, "a", FAILED)
        assert begin_anew()
        row = journal.job(named("a").id)
        assert row is not None
        assert row.found is None
