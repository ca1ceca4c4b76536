"""Tasks that break the rules, through the whole engine: each job fails alone, with a sentence; the rest is done."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pyprocessor.engine.engine import execute
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.ffmpeg.tool import find
from pyprocessor.jobs.timeouts import Timeouts
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import ErrorSettings, Profile
from pyprocessor.models.run import RunRequest
from pyprocessor.publish.partials import Anchor
from pyprocessor.system.left_behind import kill_marked, mark
from pyprocessor.workers.attempt import Attempt
from pyprocessor.workers.messages import WorkItem
from tests.integration.worked import example_tasks
from tests.process.test_any_job import Queue, ask
from tests.waiting import until

__all__ = ["example_tasks"]

pytestmark = pytest.mark.usefixtures("example_tasks")

OUTSIDE = Path("/tmp/outside")


class StrictQueue(Queue):
    """One whose runs may have another profile."""

    def run(self, *, profile: Profile) -> ExitCode:  # type: ignore[override]
        request = RunRequest((), os.fsencode(self.output), profile, find(os.environ).path)
        return execute(request, self.listener).exit_code


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[StrictQueue]:
    """No jobs yet; at the end nothing of any run is left."""
    made = StrictQueue(tmp_path)
    yield made
    assert kill_marked(mark(made.folder.path)) == 0
    assert os.listdir(made.folder.partials) == []


def quick(**errors: object) -> Profile:
    """A profile that tries nothing again, unless the errors say so."""
    settings = ErrorSettings(max_retries=0, retry_delay_seconds=0.01)
    return Profile("test", "f", errors=replace(settings, **errors))  # type: ignore[arg-type]


def run(queue: StrictQueue, *documents: object, profile: Profile | None = None) -> dict[str, JobRow]:
    """Do these jobs and a good one; returns the rows of the former, all of which have failed."""
    queue.submit(*documents, ask("good"), ask("after", "good"))
    assert queue.run(profile=profile or quick()) == ExitCode.SOME_FAILED
    rows = queue.rows()
    assert [rows.pop(name).state.value for name in ("good", "after")] == ["succeeded"] * 2
    for row in rows.values():
        assert row.state.value in ("failed", "quarantined"), row
        assert row.failure is not None
        assert row.reason
        assert "Traceback" not in row.reason
    return rows


def bad(rule: str, *inputs: Path, key: str = "bad", **more: object) -> dict[str, object]:
    """The document of a job whose task breaks this rule."""
    return {"task": "bad", "key": key, "inputs": list(map(str, inputs)), "params": {"rule": rule}, **more}


PLANS = {
    "raises in plan": "failed to plan the job with LookupError",
    "exits in plan": "failed to plan the job with SystemExit",
    "plans nothing": "NoneType where a Plan was expected",
    "plans what is no product": "failed to plan the job",
    "plans children without JSON": "failed to plan the job with TypeError",
    "names a product with dots": "is no path below the output folder",
    "names a product by a whole path": "is no path below the output folder",
    "names a product of the state": "lies in the folder of the state",
}
RUNS = {
    "raises in run": "LookupError",
    "yields nothing": "returns NoneType and yields nothing",
    "raises": "LookupError",
    "exits": "SystemExit",
    "yields no step": "yields str where a step was expected",
    "does not end": "yields str where a step was expected",
    "returns nothing": "returned NoneType",
    "claims another's file": "which is not in its folder under its name",
    "claims what it did not make": "that it did not make",
    "claims a link": "that is no file",
    "claims what was not planned": "that was not planned",
    "makes no main product": "ended without its main product",
    "returns no JSON": "no JSON",
    "returns too much": "without its main product",
}


def test_bad_plans_fail_their_jobs(queue: StrictQueue) -> None:
    """They are made in the engine's own process, which goes on; nothing gets a name outside of the output."""
    before = OUTSIDE.exists()
    rows = run(queue, *(bad(rule, key=rule) for rule in PLANS))
    for rule, sentence in PLANS.items():
        assert sentence in rows[rule].reason, (rule, rows[rule].reason)
        assert rows[rule].failure is FailureKind.UNSUPPORTED
        assert rows[rule].attempts == 0
    assert OUTSIDE.exists() is before


def test_a_key_with_dots_names_nothing_outside(queue: StrictQueue) -> None:
    """A job is called by its key, of which its task may make the name of a product."""
    rows = run(queue, bad("", key="../outside"), bad("", key="/tmp/outside"), bad("", key=".pyprocessor/run.lock"))
    assert {row.failure for row in rows.values()} == {FailureKind.UNSUPPORTED}
    assert len(rows) == 3


def test_bad_runs_fail_their_jobs(queue: StrictQueue) -> None:
    """The worker of one goes on with others."""
    rows = run(queue, *(bad(rule, key=rule) for rule in RUNS))
    for rule, sentence in RUNS.items():
        if rule != "returns too much":  # which would need a product, too
            assert sentence in rows[rule].reason, (rule, rows[rule].reason)
        assert rows[rule].attempts == 1
    assert {path.name for path in queue.output.iterdir()} == {".pyprocessor"}


def test_bad_inspections_fail_their_jobs(queue: StrictQueue, tmp_path: Path) -> None:
    """One that ends or blocks its process costs no other job its inspection."""
    text = tmp_path / "text.txt"
    text.write_text("so much so")
    words = {"task": "words", "key": "words", "inputs": [str(text)]}
    rules = {
        "raises in inspect": (FailureKind.CRASH, "LookupError"),
        "exits in inspect": (FailureKind.CRASH, "died"),
        "never returns from inspect": (FailureKind.STALL, "took more than 5 seconds"),
        "finds no JSON": (FailureKind.CRASH, "TypeError"),
    }
    queue.submit(words)
    documents = [bad(rule, text, key=rule) for rule in rules]
    queue.submit(*documents)
    assert queue.run(profile=quick(inspect_timeout_seconds=5.0)) == ExitCode.SOME_FAILED
    rows = queue.rows()
    assert rows["words"].state.value == "succeeded"
    for rule, (kind, sentence) in rules.items():
        assert (rows[rule].failure, sentence in rows[rule].reason) == (kind, True), rows[rule]


def test_a_run_that_ends_its_worker_is_set_aside(queue: StrictQueue) -> None:
    """After it was tried once more, alone."""
    row = run(queue, bad("kills its worker"))["bad"]
    assert (row.state.value, row.failure, row.attempts) == ("quarantined", FailureKind.CRASH, 2)
    assert "exit code 3" in row.reason


def test_a_run_that_blocks_its_worker_has_stalled(queue: StrictQueue) -> None:
    """What ran beside it is tried again."""
    row = run(queue, bad("never goes on"), profile=quick(worker_silence_seconds=8.0, max_retries=1))["bad"]
    assert (row.state.value, row.failure, row.attempts) == ("failed", FailureKind.STALL, 2)


def test_bad_calls_fail_their_jobs(queue: StrictQueue, tmp_path: Path) -> None:
    """Whatever the function does, its job ends in a sentence, and what it started is gone with the run."""
    marker = tmp_path / "fork"
    calls = {
        "raises": ({"function": "fail", "arguments": {"text": "no"}}, "ValueError"),
        "exits": ({"function": "leave", "arguments": {"code": 3, "hard": False}}, ""),
        "ends": ({"function": "leave", "arguments": {"code": 3, "hard": True}}, "exit code 3"),
        "dies": ({"function": "die", "arguments": {"number": 11}}, "SIGSEGV"),
        "grows": ({"function": "grow", "arguments": {"megabytes": 900}, "memory_bytes": 100 << 20}, "memory"),
        "garbage": ({"function": "babble", "arguments": {"what": "garbage"}}, "what is no answer"),
        "endless": ({"function": "babble", "arguments": {"what": "endless"}}, "an answer of more than"),
        "stranger": ({"function": "babble", "arguments": {"what": "stranger"}}, "what is no answer"),
        "no JSON": ({"function": "answer", "arguments": {"what": "bytes"}}, ""),
        "prints": ({"function": "fail_after", "arguments": {"lines": 50_000, "closing": "the end"}}, "enough"),
    }
    rows = run(queue, *({"task": "ask", "key": key, "params": params} for key, (params, _) in calls.items()))
    for key, (_, sentence) in calls.items():
        assert sentence in rows[key].reason, rows[key]
        assert rows[key].failure is not None
    assert rows["grows"].failure is FailureKind.RESOURCE
    logs = b"".join(path.read_bytes() for path in Path(os.fsdecode(queue.folder.logs)).glob("job-*"))
    assert b"the end" in logs
    assert len(logs) < 1 << 20
    assert not marker.exists()


@pytest.mark.parametrize("clean", [False, True], ids=["marked", "unmarked"])
def test_what_a_call_leaves_behind_ends_with_the_run(queue: StrictQueue, tmp_path: Path, clean: bool) -> None:
    """A process with a session of its own, one that was forked, and their job is done all the same."""
    marker, forked = tmp_path / "daemon", tmp_path / "forked"
    queue.submit(
        ask("leaves", function="daemonize", marker=str(marker), clean=clean),
        ask("forks", function="fork", marker=str(forked)),
    )
    assert queue.run(profile=quick()) == ExitCode.OK
    for path in (marker, forked):
        pid = int(path.read_text())
        until(lambda pid=pid: not psutil.pid_exists(pid), f"the end of {path.name}")  # type: ignore[misc]


# ---------------------------------------------------------------- what a job asks for itself


def test_a_job_that_never_returns_ends_by_its_own_timeout(queue: StrictQueue) -> None:
    """Also where it ignores that it is asked to end; it is tried as often as it says itself."""
    jobs = [
        {**ask(name, function="never", deaf=name == "deaf"), "timeout": 0.5, "max_retries": retries}
        for name, retries in (("deaf", 0), ("twice", 2))
    ]
    rows = run(queue, *jobs, profile=quick(max_retries=1))
    for name, attempts in (("deaf", 1), ("twice", 3)):
        assert (rows[name].failure, rows[name].attempts) == (FailureKind.STALL, attempts)
        assert "never did not return within" in rows[name].reason


def test_a_timeout_is_for_all_steps_of_an_attempt(tmp_path: Path) -> None:
    """What the first one took, the second one cannot take; the limit of the run's settings is each step's own."""
    limits = Timeouts(math.inf, 10.0, 10.0)
    item = WorkItem("0" * 32, "t", "ask", {}, "p", (), None, 1, "0-t", (), limits)
    attempt = Attempt.begin(item, Profile("p", "p"), Anchor.of(os.fsencode(tmp_path)))
    assert 0.0 < attempt.seconds_left <= 10.0
    attempt.began -= 8.0
    assert 0.0 <= attempt.seconds_left <= 2.0
    attempt.began -= 8.0
    assert attempt.seconds_left == 0.0
    attempt.item = replace(item, limits=Timeouts(math.inf, 10.0))
    assert attempt.seconds_left == 10.0


def test_a_failure_that_may_pass_is_tried_as_often_as_the_job_says(queue: StrictQueue) -> None:
    """More often, or less, than the run's settings have it."""
    jobs = [{**ask(str(most), function="lose_connection"), "max_retries": most} for most in (0, 2)]
    rows = run(queue, *jobs, ask("1", function="lose_connection"), profile=quick(max_retries=1))
    assert {name: row.attempts for name, row in rows.items()} == {"0": 1, "1": 2, "2": 3}


def test_a_job_does_not_begin_before_its_time(queue: StrictQueue, tmp_path: Path) -> None:
    """The run does all others, says that it waits, and then does that one."""
    begin = time.time() + 4.0
    log = tmp_path / "log"
    later = {**ask("later", function="note", log=str(log), text="later"), "not_before": begin}
    queue.submit(later, ask("next", "later"))
    queue.submit(ask("now", function="note", log=str(log), text="now"))
    assert queue.run(profile=quick()) == ExitCode.OK
    assert time.time() >= begin
    assert log.read_text().split() == ["now", "later"]
    assert queue.states() == {"later": "succeeded", "next": "succeeded", "now": "succeeded"}
    assert any("1 job may not begin yet" in text for _, text in queue.listener.notices)


def test_a_job_that_cannot_begin_in_time_fails(queue: StrictQueue, tmp_path: Path) -> None:
    """Whether its time was over as the run began, or went by while others had the machine."""
    now, log = time.time(), tmp_path / "log"
    first = [
        {**ask(f"first {number}", function="say_pid", seconds=3.0), "priority": -1}
        for number in range(2 * (os.cpu_count() or 1))
    ]
    late = {**ask("late", function="note", log=str(log), text="late"), "deadline": now + 3.0}
    over = {**ask("over", function="note", log=str(log), text="over"), "deadline": now - 1.0}
    queue.submit(*first, late, over, ask("waits", "late"))
    assert queue.run(profile=quick()) == ExitCode.SOME_FAILED
    rows = queue.rows()
    for name in ("late", "over"):
        assert (rows[name].state.value, rows[name].failure) == ("failed", FailureKind.RESOURCE)
        assert rows[name].reason == "It could not begin before its deadline."
    assert rows["waits"].state.value == "cancelled"
    assert {rows[job["key"]].state.value for job in first} == {"succeeded"}  # type: ignore[index]
    assert not log.exists()


def test_a_job_that_cannot_be_sent_fails(queue: StrictQueue) -> None:
    """It was planned well as it was taken in, and is no more when a process is to begin it."""
    rows = run(queue, bad("plans only once"))
    assert "failed to plan the job with LookupError" in rows["bad"].reason
    assert rows["bad"].attempts == 0
