"""The parts of a queue that need no engine: records, averages, names, the bell, requests of threads."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor import taskqueue
from pyprocessor.control.client import Answer, Request, Verb
from pyprocessor.control.own_requests import OwnRequests
from pyprocessor.journal.quality import Quality, told, warnings_of
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import Cost, Job, Origin, ProductOf, Source
from pyprocessor.taskqueue import BatchProgress, BatchResult, BatchTask, TaskType
from pyprocessor.taskqueue.adding import Names
from pyprocessor.taskqueue.bell import Bell
from pyprocessor.taskqueue.feeding import OPEN_SECONDS, Feed
from tests.waiting import DEADLINE_SECONDS


def test_the_constants_are_the_defaults() -> None:
    """As they are exported."""
    assert taskqueue.DEFAULT_WORKERS == 8
    assert taskqueue.DEFAULT_QUEUE_SIZE == 1000
    assert taskqueue.DEFAULT_PROGRESS_INTERVAL == 5.0
    assert taskqueue.DEFAULT_MEMORY_LIMIT_MB == 2048
    assert taskqueue.DEFAULT_CPU_LIMIT_PERCENT == 90
    given = taskqueue.create_batch_processor.__defaults__
    assert given == (8, 1000, 5.0, 2048, 90)


def test_records_need_no_more_than_what_they_are_about() -> None:
    """A task has its type and data, progress its total, a result its seven figures."""
    task = BatchTask("a", TaskType.TRANSCRIBE, {"file_path": "a.mp4"})
    assert (task.priority, task.max_retries, task.retry_count) == (0, 3, 0)
    progress = BatchProgress(total_tasks=100)
    assert (progress.completed_tasks, progress.success_rate, progress.failure_rate) == (0, 0.0, 0.0)
    assert (progress.eta, progress.quality_metrics, progress.memory_peak_mb) == (None, {}, 0.0)
    result = BatchResult(
        success_count=9,
        failure_count=1,
        total_count=12,
        processing_time=1.5,
        memory_peak_mb=100.0,
        cpu_peak_percent=50.0,
        quality_metrics={},
    )
    assert (result.success_rate, result.warnings, result.failures) == (75.0, (), ())
    assert BatchResult(0, 0, 0, 0.0, 0.0, 0.0, {}).success_rate == 0.0


def test_progress_is_a_line() -> None:
    """To the letter, as scripts read it."""
    progress = BatchProgress(100, 45, 2, active_workers=8, memory_usage_mb=512.3, cpu_usage_percent=75.2)
    assert str(progress) == ("Progress: 45/100 (45.0% success) | Active: 8 | Failed: 2 | Memory: 512.3MB | CPU: 75.2%")
    assert progress.success_rate == 45.0
    assert str(BatchProgress(0)).startswith("Progress: 0/0 (0.0% success)")


def test_task_types_are_texts() -> None:
    """So that a name that somebody registered goes as well."""
    assert f"{TaskType.CALL}" == "call"
    assert TaskType("enhance") is TaskType.ENHANCE


VALUES = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), VALUES, st.booleans()), min_size=1, max_size=20))
def test_averages_are_those_of_all_tasks(results: list[tuple[str, float, bool]]) -> None:
    """Over all tasks and over those of each type."""
    quality = Quality()
    for kind, value, kept in results:
        quality.add(kind, {"quality": {"score": value, "kept": kept}})
    metrics = quality.metrics()
    assert metrics["avg_score"] == pytest.approx(sum(value for _, value, _ in results) / len(results))
    assert metrics["kept"] == pytest.approx(100 * sum(kept for *_, kept in results) / len(results))
    for kind in {kind for kind, *_ in results}:
        own = [value for other, value, _ in results if other == kind]
        assert metrics["by_task"][kind]["avg_score"] == pytest.approx(sum(own) / len(own))
        assert quality.mean(kind, "score") == (len(own), metrics["by_task"][kind]["avg_score"])


@pytest.mark.parametrize(
    "result", [None, 3, [], {"quality": 1}, {"quality": {"a": "good"}}, {"warnings": "one"}, {"quality": {"a": None}}]
)
def test_what_is_no_quality_is_passed_over(result: Any) -> None:
    """Results belong to their tasks, which may put anything there."""
    quality, found = Quality(), told(json.dumps(result))
    quality.add("call", found)
    assert quality.metrics() == {"by_task": {}} or quality.metrics()["by_task"] == {"call": {}}
    assert quality.mean("call", "a") == (0, 0.0)
    assert warnings_of(found) == []


def submission(name: str, path: str = "", task: str = "words", *inputs: ProductOf) -> Submission:
    """A job that was read, called by its key."""
    source = Source(path.encode(), name.encode(), 0, 0)
    job = Job(name, task, source, b"", "f", Cost(0.0, 0, 0), origin=Origin.SUBMITTED, inputs=inputs)
    return Submission(job, "{}")


def test_names_are_told_apart() -> None:
    """A second job of the same type and name gets part of its id; another type may have the name."""
    names = Names([(b"known", "words", ""), (b"theirs", "words", "press")])

    def named(given: Submission) -> bytes:
        return names.named(given, lambda _: None).job.source.relative

    assert named(submission("key1", "/a/talk.tar.gz")) == b"talk.tar"
    assert named(submission("0123456789", "/b/talk.tar.xz")) == b"talk.tar-01234567"
    assert named(submission("key3", "/a/talk.tar.gz", "other")) == b"talk.tar"
    assert named(submission("abcdefghij", "/known.mp4")) == b"known-abcdefgh"
    assert named(submission("only a key")) == b"only a key"
    assert named(submission("another", "/theirs.mp4")) == b"theirs"  # another tenant has that name
    assert named(submission("reads", "", "words", ProductOf("unknown"))) == b"reads"


def test_a_bell_wakes_who_waits_for_a_state() -> None:
    """From another thread; one whose state does not hold waits on."""
    bell, states = Bell(), {"first": False, "second": False}
    woken: list[str] = []

    async def wait(name: str) -> None:
        await bell.until(lambda: states[name])
        woken.append(name)

    def ring(name: str) -> None:
        states[name] = True
        bell.ring()

    async def main() -> None:
        waiting = [asyncio.create_task(wait(name)) for name in states]
        await asyncio.sleep(0)
        for name in ("second", "first"):
            thread = threading.Thread(target=ring, args=(name,))
            thread.start()
            await asyncio.wait_for(waiting[list(states).index(name)], DEADLINE_SECONDS)
            thread.join()
        await wait("first")

    asyncio.run(main())
    assert woken == ["second", "first", "first"]


def test_a_ring_is_not_missed() -> None:
    """Whenever it comes between the look at the state and the wait."""
    bell, place = Bell(), [0]

    def ring() -> None:
        for _ in range(2000):
            place[0] += 1
            bell.ring()

    async def main() -> None:
        thread = threading.Thread(target=ring)
        thread.start()
        for wanted in range(0, 2001, 7):
            await asyncio.wait_for(bell.until(lambda wanted=wanted: place[0] >= wanted), DEADLINE_SECONDS)  # type: ignore[misc]
        thread.join()

    asyncio.run(main())


def test_a_run_stays_open_while_tasks_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment after each, unless it is told to stop."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    feed = Feed()
    assert feed.finished
    feed.keep_open()
    assert not feed.finished
    clock[0] += OPEN_SECONDS
    assert feed.finished
    feed.keep_open()
    feed.stop()
    assert feed.finished


OVER = Answer(False, "The run is over.")


def asked(requests: OwnRequests, verb: Verb) -> Future[Answer]:
    """Ask something of a run that is on."""
    future = requests.ask(Request(verb))
    assert future is not None
    return future


def test_requests_of_threads_are_answered_after_the_commit() -> None:
    """In their order, and what is to be known by then is told before."""
    told: list[str] = []
    requests = OwnRequests(lambda: told.append("committed"))
    futures = [asked(requests, verb) for verb in (Verb.PAUSE, Verb.RESUME)]
    for future in futures:
        future.add_done_callback(lambda done: told.append(done.result().text))
    assert requests.wakeup.recv(16) == b"!!"
    for number, taken in enumerate(requests.take()):
        requests.answer(taken, Answer(True, f"{number}"))
    assert told == []
    requests.send()
    assert told == ["committed", "0", "1"]
    assert requests.take() == []
    assert requests.close(OVER)


def test_what_a_run_did_not_take_is_left_for_the_next_or_answered() -> None:
    """While something is to be added the requests stay open; closed, they take no more."""
    requests = OwnRequests(lambda: None)
    pause, submit = asked(requests, Verb.PAUSE), asked(requests, Verb.SUBMIT)
    assert not requests.close(OVER, unless=frozenset({Verb.SUBMIT}))
    assert not submit.done()
    kept = requests.take()
    assert [one.request.verb for one in kept] == [Verb.PAUSE, Verb.SUBMIT]
    requests.answer(kept[1], Answer(True))
    late = asked(requests, Verb.CANCEL)
    assert requests.close(OVER, unless=frozenset({Verb.SUBMIT}))
    assert {pause.result(), submit.result(), late.result()} == {OVER}  # what was not committed counts for nothing
    assert requests.ask(Request(Verb.PAUSE)) is None


def test_a_queue_of_many_wake_ups_does_not_block() -> None:
    """The socket that wakes the run may be full."""
    requests = OwnRequests(lambda: None)
    for _ in range(20_000):
        requests.ask(Request(Verb.PAUSE))
    assert len(requests.take()) == 20_000
    assert requests.close(OVER)


def test_the_default_folder_is_not_made_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that nothing is added to leaves nothing behind."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    taskqueue.create_batch_processor(name="unused")
    assert not (tmp_path / "state").exists()
