"""A queue of tasks as a program uses it: added before and while it works, steered, followed, gone on with."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pyprocessor.errors import FailureKind, OutputBusy, UsageError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState
from pyprocessor.taskqueue import BatchProcessor, BatchProgress, BatchResult, TaskOutcome, create_batch_processor
from tests.integration.worked import example_tasks  # noqa: F401 - a fixture
from tests.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.usefixtures("example_tasks")
T = TypeVar("T")


def go(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, within the deadline."""
    return asyncio.run(asyncio.wait_for(coroutine, DEADLINE_SECONDS))


def made(folder: Path, **settings: Any) -> BatchProcessor:
    """A queue in a folder, which reports every fifth of a second."""
    return create_batch_processor(**{"output": folder / "out", "progress_interval": 0.2, **settings})


def calling(function: str = "noop", **arguments: Any) -> dict[str, Any]:
    """The data of a task that calls a function of the example."""
    return {"function": function, "arguments": arguments}


async def done(processor: BatchProcessor) -> tuple[BatchResult, dict[str, TaskOutcome]]:
    """Start the queue and gather what it yields."""
    started = asyncio.create_task(processor.start())
    outcomes = {outcome.id: outcome async for outcome in processor.results()}
    return await started, outcomes


async def seen(state: Any) -> None:
    """Wait for a state that another process or thread brings about."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not state():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_tasks_are_done_and_tell_what_became_of_them(tmp_path: Path) -> None:
    """More than the queue holds are added before the start; each has an outcome, and failures are counted apart."""

    async def main() -> None:
        processor = made(tmp_path, queue_size=5)
        ids = [await processor.add_task("ask", calling(number=n), metadata={"n": n}) for n in range(12)]
        bad = await processor.add_task("ask", calling("refuse", kind="bad_input"), tenant="press")
        result, outcomes = await done(processor)
        assert (result.success_count, result.failure_count, result.total_count) == (12, 1, 13)
        assert result.success_rate == pytest.approx(100 * 12 / 13)
        assert set(outcomes) == {*ids, bad}
        first = outcomes[ids[3]]
        assert (first.task.task_type, first.state, first.result) == ("ask", JobState.SUCCEEDED, {"number": 3})
        assert (first.task.data, first.metadata, first.success) == (calling(number=3), {"n": "3"}, True)
        assert outcomes[bad].failure is FailureKind.BAD_INPUT
        assert outcomes[bad].tenant == "press"
        (failure,) = result.failures
        assert (failure.id, failure.kind, failure.reason) == (bad, FailureKind.BAD_INPUT, "The service is closed.")
        assert result.quality_metrics["error_rate"] == pytest.approx(100 / 13)

    go(main())


@pytest.mark.parametrize(
    ("settings", "order"),
    [({"mode": "sequential"}, [2, 0, 3, 1]), ({"mode": "priority", "priority_by": "metadata:n"}, [3, 2, 1, 0])],
)
def test_a_mode_orders_tasks(tmp_path: Path, settings: dict[str, str], order: list[int]) -> None:
    """As they were added, or by what their metadata says."""

    async def main() -> None:
        processor = made(tmp_path, max_workers=1, **settings)
        for n in (2, 0, 3, 1):
            await processor.add_task("ask", calling(number=n), metadata={"n": n})
        _, outcomes = await done(processor)
        assert [int(outcome.metadata["n"]) for outcome in outcomes.values()] == order

    go(main())


def test_a_queue_without_a_folder_lies_in_the_users_state_directory(tmp_path: Path) -> None:
    """Under its name, where another process of the same user finds it."""

    async def main() -> None:
        processor = create_batch_processor(name="nightly")
        await processor.add_task("ask", calling())
        await processor.start()

    go(main())
    state = Path(os.environ["XDG_STATE_HOME"])
    assert (state / "pyprocessor" / "queues" / "nightly" / ".pyprocessor" / "journal.sqlite3").is_file()


def test_products_are_named_after_files_and_tasks_read_what_others_made(tmp_path: Path) -> None:
    """By the file's name without its extension, told apart; a task without a file reads the products of `after`."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.txt").write_text(f"one two {folder}")

    async def main() -> None:
        processor = made(tmp_path)
        one = await processor.add_task("words", {"file_path": tmp_path / "a" / "talk.txt"})
        two = await processor.add_task("words", {"file_path": str(tmp_path / "b" / "talk.txt")})
        counted = await processor.add_task("words", {"file_path": {"task": one, "role": "counts"}})
        after = await processor.add_task("words", {}, after=[two])
        result, outcomes = await done(processor)
        assert result.success_count == 4
        assert outcomes[one].products == {
            "main": tmp_path / "out" / "talk",
            "counts": tmp_path / "out" / "talk.counts",
        }
        assert outcomes[one].task.data == {"file_path": str(tmp_path / "a" / "talk.txt")}
        assert outcomes[two].products["main"] == tmp_path / "out" / f"talk-{two[:8]}"
        assert outcomes[counted].task.data == {"file_path": {"task": one, "role": "counts"}}
        assert outcomes[counted].products["main"].read_text() == "A 1 ONE 1 TWO 1"
        assert outcomes[after].products["main"].read_text() == "ONE TWO B"
        with pytest.raises(UsageError, match="`file_path`: the task words takes 1, and 0 are given"):
            await processor.add_task("words", {})

    go(main())


def test_products_lie_beside_sources_where_the_output_is_their_folder(tmp_path: Path) -> None:
    """Sources in other folders leave theirs there, too."""
    for folder in ("talks", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.txt").write_text("one two")

    async def main() -> None:
        processor = made(tmp_path, output=tmp_path / "talks")
        for folder in ("talks", "elsewhere"):
            await processor.add_task("words", {"file_path": tmp_path / folder / f"{folder}.txt"})
        _, outcomes = await done(processor)
        places = {path for outcome in outcomes.values() for path in outcome.products.values()}
        assert {path.parent for path in places} == {tmp_path / "talks"}
        assert {path.name for path in places} >= {"talks", "elsewhere", "talks.counts"}

    go(main())


def test_tasks_are_added_while_it_works_and_the_queue_is_bounded(tmp_path: Path) -> None:
    """The queue that is full makes `add_task` wait until tasks have begun; nothing is lost."""

    async def main() -> None:
        processor = made(tmp_path, queue_size=2, max_workers=1)
        gate = tmp_path / "gate"
        first = await processor.add_task("ask", calling("never", marker=str(gate)))
        started = asyncio.create_task(processor.start())
        await seen(gate.exists)
        for _ in range(2):
            await asyncio.wait_for(processor.add_task("ask", calling()), DEADLINE_SECONDS)
        third = asyncio.create_task(processor.add_task("ask", calling()))
        await seen(lambda: processor.get_progress().total_tasks == 3)
        await asyncio.sleep(0.2)
        assert not third.done()
        processor.cancel(first)
        await asyncio.wait_for(third, DEADLINE_SECONDS)
        result = await started
        assert (result.success_count, result.failure_count, result.total_count) == (3, 0, 4)

    go(main())


def test_many_are_added_at_once_while_it_works(tmp_path: Path) -> None:
    """Hundreds of calls at the same time end in order, whatever the queue holds."""

    async def main() -> None:
        processor = made(tmp_path, queue_size=10)
        await processor.add_task("ask", calling("say_pid", seconds=0.3))
        started = asyncio.create_task(processor.start())
        ids = await asyncio.gather(*(processor.add_task("ask", calling()) for _ in range(300)))
        result = await started
        while result.total_count < 301:  # it was over before all were added, which then wait for the next start
            again = await processor.start()
            result = BatchResult(
                result.success_count + again.success_count, 0, result.total_count + again.total_count, 0.0, 0.0, 0.0, {}
            )
        assert len(set(ids)) == 300
        assert result.success_count == 301

    go(main())


def test_the_same_key_is_the_same_task(tmp_path: Path) -> None:
    """Added twice it is done once; what is done stays done for the next processor, what failed begins anew."""
    log, switch = tmp_path / "log", tmp_path / "switch"

    async def add(processor: BatchProcessor) -> list[str]:
        notes = [
            await processor.add_task("ask", calling("note", log=str(log), text=key), key=key) for key in ("a", "b", "a")
        ]
        return [*notes, await processor.add_task("ask", calling("miss", path=str(switch)), key="read", max_retries=0)]

    async def once() -> tuple[BatchResult, dict[str, TaskOutcome], list[str]]:
        processor = made(tmp_path)
        ids = await add(processor)
        return (*await done(processor), ids)

    first, outcomes, ids = go(once())
    assert ids[0] == ids[2]
    assert (first.success_count, first.failure_count, first.total_count) == (2, 1, 3)
    assert sorted(log.read_text().split()) == ["a", "b"]
    switch.write_text("")
    second, again, same = go(once())
    assert same == ids
    assert sorted(log.read_text().split()) == ["a", "b"]
    assert (second.failure_count, second.success_count, second.total_count) == (0, 4, 4)
    assert again.keys() == outcomes.keys()


def test_a_task_that_is_added_again_while_it_works_counts_once(tmp_path: Path) -> None:
    """Though it has ended meanwhile; and one that failed begins anew at once."""
    marker, switch = tmp_path / "runs", tmp_path / "switch"

    async def main() -> None:
        processor = made(tmp_path)
        hold = await processor.add_task("ask", calling("never", marker=str(marker)))
        started = asyncio.create_task(processor.start())
        results = processor.results()
        await seen(lambda: marker.exists() and marker.read_text())
        for _ in range(2):
            await processor.add_task("ask", calling(), key="again")
            await seen(lambda: processor.get_progress().completed_tasks == 1)
        for failed in (1, 0):
            await processor.add_task("ask", calling("miss", path=str(switch)), key="read")
            await seen(lambda failed=failed: processor.get_progress().failed_tasks == failed)
            switch.touch()
        processor.cancel(hold)
        result = await started
        assert (result.success_count, result.failure_count, result.total_count) == (2, 0, 3)
        assert len({outcome.id async for outcome in results}) == 3

    go(main())


def test_tasks_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    """A key that is added again may wait for others, but not in a circle."""

    async def main() -> None:
        processor = made(tmp_path)
        first = await processor.add_task("ask", calling(), key="first")
        second = await processor.add_task("ask", calling(), key="second", after=first)
        with pytest.raises(UsageError, match="wait for each other, so that none can begin"):
            await processor.add_task("ask", calling(), key="first", after=[second])
        assert (await processor.start()).success_count == 2

    go(main())


def test_a_file_that_changes_before_its_turn_fails_its_task(tmp_path: Path) -> None:
    """With what waits for it; added again it is done as it is now."""
    file = tmp_path / "talk.txt"

    async def once(text: str = "") -> tuple[BatchResult, dict[str, TaskOutcome], list[str]]:
        processor = made(tmp_path)
        first = await processor.add_task("words", {"file_path": file}, key="first")
        ids = [first, await processor.add_task("words", {}, after=[first], key="second")]
        if text:
            file.write_text(text)
        return (*await done(processor), ids)

    file.write_text("one")
    result, outcomes, (first, second) = go(once("one two"))
    assert (result.success_count, result.failure_count, result.total_count) == (0, 1, 2)
    assert (outcomes[first].failure, outcomes[first].products) == (FailureKind.BAD_INPUT, {})
    assert "changed or removed after the job was submitted" in outcomes[first].reason
    assert outcomes[second].state is JobState.CANCELLED
    result, outcomes, _ = go(once())
    assert result.success_count == 2
    assert outcomes[first].products["main"].read_text() == "ONE TWO"


def test_failures_are_logged_without_control_characters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a function raises cannot steer the terminal that shows the log."""

    async def main() -> None:
        processor = made(tmp_path)
        await processor.add_task("ask", calling("fail", text="in \x1b[31mred"))
        assert (await processor.start()).failure_count == 1

    go(main())
    (said,) = (message for message in caplog.messages if "red" in message)
    assert "\x1b" not in said


def test_giving_up_on_adding_a_task_ends_no_run(tmp_path: Path) -> None:
    """A caller that is cancelled while the run has its task in hand leaves the task in the queue or out of it."""

    async def main() -> None:
        processor = made(tmp_path)
        await processor.add_task("ask", calling("say_pid", seconds=1.0))
        started = asyncio.create_task(processor.start())
        await seen(lambda: processor.get_progress().active_workers)
        for number in range(20):
            adding = asyncio.create_task(processor.add_task("ask", calling(), key=str(number)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            adding.cancel()
        result = await started
        assert result.success_count == result.total_count >= 1

    go(main())


def test_what_makes_no_sense_is_refused_at_once(tmp_path: Path) -> None:
    """With a sentence that names the field, and nothing else is disturbed, before the start and after it."""

    async def main() -> None:
        processor = made(tmp_path)
        file = tmp_path / "there.txt"
        file.touch()
        wrong: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
            (("asq", calling()), {}, "`task` is not known: There is no task named 'asq'"),
            (("ask", ["function"]), {}, "`data` must be a mapping"),
            (("ask", calling(), 1.5), {}, "`priority` must be a whole number"),
            (("ask", calling()), {"max_retries": -1}, "`max_retries` must be a whole number of at least 0"),
            (("ask", calling()), {"timeout": 0}, "`timeout` must be a number of seconds above 0"),
            (("ask", calling()), {"metadata": {"a": []}}, "`metadata` must be a mapping"),
            (("ask", {"function": float("nan")}), {}, "`params` cannot be written as JSON"),
            (("words", {"file_path": 5}), {}, '`file_path` takes paths, URLs and products such as {"task": ID}'),
            (("ask", calling()), {"after": ["nobody"]}, "waits for a job that nobody knows: nobody"),
            (("words", {"file_path": tmp_path / "gone.txt"}), {}, "`file_path` names"),
            (("words", {"file_path": file, "file_paths": [file]}), {}, "give one of them"),
            (("words", {"file_paths": str(file)}), {}, "`file_paths` must be a list"),
            (("process-chunk", {}), {}, "`task` is not known: The task process-chunk is made by other jobs only"),
        ]

        async def refused() -> None:
            for given, more, sentence in wrong:
                with pytest.raises(UsageError) as error:
                    await processor.add_task(*given, **more)
                assert sentence in str(error.value)

        await refused()
        await processor.add_task("ask", calling("say_pid", seconds=2.0))
        started = asyncio.create_task(processor.start())
        await seen(lambda: processor.get_progress().active_workers)
        await refused()
        with pytest.raises(UsageError, match="being worked on"):
            await processor.start()
        assert (await started).success_count == 1

    go(main())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_workers": 0}, "max_workers is 0"),
        ({"queue_size": 1.5}, "queue_size is 1.5"),
        ({"progress_interval": 0}, "progress_interval is 0"),
        ({"memory_limit_mb": "2G"}, "memory_limit_mb is '2G'"),
        ({"name": "a/b"}, "name is 'a/b'"),
        ({"cpu_limit_percent": 900}, "cpu"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    """With the name of the setting."""
    with pytest.raises(UsageError, match=sentence):
        made(tmp_path, **settings)


def test_pause_resume_and_stop_from_any_thread(tmp_path: Path) -> None:
    """Paused, running tasks complete and no other begins; stopped, what runs is interrupted and done the next time."""

    async def main() -> None:
        processor = made(tmp_path, max_workers=1)
        marker = tmp_path / "runs"
        processor.pause()
        await processor.add_task("ask", calling("say_pid"), priority=0)
        await processor.add_task("ask", calling("never", marker=str(marker)), priority=5)
        started = asyncio.create_task(processor.start())
        threads = itertools.count()

        def order(method: Any) -> None:
            thread = threading.Thread(target=method, name=f"order {next(threads)}")
            thread.start()
            thread.join()

        await seen(lambda: processor.get_progress().total_tasks == 2)
        assert processor.get_progress().completed_tasks == 0
        assert not marker.exists()
        order(processor.resume)
        await seen(lambda: marker.exists() and marker.read_text())
        order(processor.pause)
        later = await processor.add_task("ask", calling())
        order(processor.stop)
        stopped = await started
        assert (stopped.success_count, stopped.failure_count, stopped.total_count) == (1, 0, 3)
        rows = {row.id: row for row in journaled(tmp_path)}
        assert [row.state for row in rows.values()].count(JobState.PENDING) == 2
        assert all(not row.retries_charged for row in rows.values())
        marker.unlink()
        again = asyncio.create_task(processor.start())
        await seen(lambda: marker.exists() and marker.read_text())
        hung = next(row.id for row in journaled(tmp_path) if row.priority == 5)
        order(lambda: processor.cancel(hung))
        result = await again
        assert result.success_count == 1
        assert {row.id: row.state for row in journaled(tmp_path)}[later] is JobState.SUCCEEDED

    go(main())


def test_stopping_before_the_first_turn_of_the_start_ends_it(tmp_path: Path) -> None:
    """What was added stays; without a start there is nothing to stop, and one that comes later works."""

    async def main() -> None:
        processor = made(tmp_path)
        for begun in (0, 1):
            await processor.add_task("ask", calling("never", marker=str(tmp_path / "runs")), key="never")
            started = asyncio.create_task(processor.start())
            processor.stop()
            stopped = await started
            assert (stopped.success_count, stopped.failure_count, stopped.total_count) == (0, 0, 1), begun
            assert [row.state for row in journaled(tmp_path)] == [JobState.PENDING]
        processor.cancel(journaled(tmp_path)[0].id)
        await processor.add_task("ask", calling())
        processor.stop()
        assert (await processor.start()).success_count == 1

    go(main())


def test_stopping_a_start_that_never_had_its_turn_stops_no_later_one(tmp_path: Path) -> None:
    """As where it is cancelled at once, and what cleans up stops the queue, too."""

    async def main() -> None:
        processor = made(tmp_path)
        await processor.add_task("ask", calling())
        given_up = asyncio.create_task(processor.start())
        given_up.cancel()
        await asyncio.wait([given_up])
        processor.stop()
        assert (await processor.start()).success_count == 1

    go(main())


def journaled(folder: Path) -> list[Any]:
    """The rows of a queue's journal."""
    with JournalReader.read_only(os.fsencode(folder / "out" / ".pyprocessor")) as journal:
        return list(journal.jobs())


def test_cancelling_the_start_stops_the_queue(tmp_path: Path) -> None:
    """As Ctrl-C does under asyncio.run: nothing runs on, and the next start does what is left."""

    async def main() -> None:
        processor = made(tmp_path)
        marker = tmp_path / "runs"
        await processor.add_task("ask", calling("never", marker=str(marker)))
        started = asyncio.create_task(processor.start())
        await seen(lambda: marker.exists() and marker.read_text())
        pid = int(marker.read_text())
        started.cancel()
        with pytest.raises(asyncio.CancelledError):
            await started
        until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the call")
        (row,) = journaled(tmp_path)
        assert row.state is JobState.PENDING

    go(main())


def test_a_cancelled_task_is_neither_success_nor_failure(tmp_path: Path) -> None:
    """Nor is what waited for it; also where it is cancelled before the start."""

    async def main() -> None:
        processor = made(tmp_path)
        first = await processor.add_task("ask", calling())
        second = await processor.add_task("ask", calling(), after=[first])
        other = await processor.add_task("ask", calling())
        processor.cancel(first)
        result, outcomes = await done(processor)
        assert (result.success_count, result.failure_count, result.total_count) == (1, 0, 3)
        states = [outcomes[name].state for name in (first, second, other)]
        assert states == [JobState.CANCELLED, JobState.CANCELLED, JobState.SUCCEEDED]
        late = await processor.add_task("ask", calling(), after=[first])
        _, more = await done(processor)
        assert more[late].state is JobState.CANCELLED

    go(main())


def test_progress_is_told_to_functions_and_coroutines(tmp_path: Path) -> None:
    """Every interval and at the end; one that fails ends nothing."""
    told: list[BatchProgress] = []

    async def slow(progress: BatchProgress) -> None:
        await asyncio.sleep(0)
        told.append(progress)
        raise ValueError("the caller's own mistake")

    async def main() -> None:
        processor = made(tmp_path)
        assert processor.get_progress() == BatchProgress(0)
        for _ in range(3):
            await processor.add_task("ask", calling("say_pid", seconds=0.5))
        assert processor.get_progress().total_tasks == 3
        await processor.start(slow)
        await processor.add_task("ask", calling())
        await processor.start(told.append)

    go(main())
    last = next(progress for progress in told if progress.completed_tasks == 3)
    assert (last.total_tasks, last.failed_tasks, last.success_rate, last.active_workers) == (3, 0, 100.0, 0)
    assert last.memory_usage_mb > 1
    assert last.memory_peak_mb >= last.memory_usage_mb
    assert str(last).startswith("Progress: 3/3 (100.0% success) | Active: 0 | Failed: 0 | Memory: ")
    assert len(told) >= 3
    assert told[-1].total_tasks == 1


def test_a_progress_function_that_never_returns_is_cancelled_at_the_end(tmp_path: Path) -> None:
    """Meanwhile it is called once, and the queue goes on; the last call is cancelled as well."""
    told: list[int] = []
    cancelled: list[int] = []

    async def never(progress: BatchProgress) -> None:
        told.append(progress.completed_tasks)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(progress.completed_tasks)

    async def main() -> None:
        processor = made(tmp_path, max_workers=1)
        marker = tmp_path / "runs"
        await processor.add_task("ask", calling("never", marker=str(marker)))
        started = asyncio.create_task(processor.start(never))
        await seen(lambda: told)
        (row,) = journaled(tmp_path)
        processor.cancel(row.id)
        await processor.add_task("ask", calling())
        assert (await started).success_count == 1

    go(main())
    assert told == cancelled == [0, 1]


def test_quality_is_averaged_and_retries_that_helped_are_counted(tmp_path: Path) -> None:
    """Numbers by their mean, truths in percent; warnings once each."""

    async def main() -> None:
        processor = made(tmp_path)
        for number, kept in enumerate((True, True, False)):
            quality = {"quality": {"accuracy": number / 2, "content_preserved": kept}, "warnings": ["low confidence"]}
            await processor.add_task("ask", calling(**quality))
        await processor.add_task("ask", calling(quality="no mapping"))
        await processor.add_task("ask", calling(quality={"accuracy": 10**400}))
        flaky = await processor.add_task("ask", calling("fail_first", marker=str(tmp_path / "tried")))
        result, outcomes = await done(processor)
        assert result.quality_metrics["avg_accuracy"] == pytest.approx(0.5)
        assert result.quality_metrics["content_preserved"] == pytest.approx(200 / 3)
        assert result.quality_metrics["by_task"]["ask"]["avg_accuracy"] == pytest.approx(0.5)
        assert result.quality_metrics["recovered"] == 1
        assert result.warnings == ("low confidence",)
        assert outcomes[flaky].task.retry_count == 1

    go(main())


def test_a_second_process_is_told_that_the_queue_is_in_use(tmp_path: Path) -> None:
    """While one adds or works; once it has let go, the other goes on with all that was added."""

    async def main() -> None:
        one, other = made(tmp_path), made(tmp_path)
        await one.add_task("ask", calling())
        with pytest.raises(OutputBusy):
            await other.add_task("ask", calling())
        with pytest.raises(OutputBusy):
            await other.start()
        one.close()
        await other.add_task("ask", calling())
        assert (await other.start()).success_count == 2

    go(main())


def test_an_urgent_task_is_next_though_the_queue_is_full(tmp_path: Path) -> None:
    """Of what was sent ahead to the processes nothing begins before it."""
    log = tmp_path / "log"

    async def main() -> None:
        processor = made(tmp_path, max_workers=1)
        for number in range(40):
            await processor.add_task("ask", calling("note_slowly", log=str(log), text=f"low{number}"), priority=7)
        started = asyncio.create_task(processor.start())
        await seen(lambda: log.exists() and len(log.read_text().split()) >= 3)
        before = len(log.read_text().split())
        await processor.add_task("ask", calling("note_slowly", log=str(log), text="urgent"))
        assert (await started).success_count == 41
        # What ran when it was added, and what ended until it was in the journal.
        assert log.read_text().split().index("urgent") <= before + 3

    go(main())


def test_what_would_fail_is_not_done_in_time(tmp_path: Path) -> None:
    """Its file is gone since it was added: there is no chance, and the sentence says why."""

    async def main() -> None:
        processor = made(tmp_path)
        (tmp_path / "gone.txt").write_text("a b")
        await processor.add_task("words", {"file_path": tmp_path / "gone.txt"}, key="gone")
        assert (await processor.outlook("2999-01-01")).chance == 1.0
        (tmp_path / "gone.txt").unlink()
        found = await processor.outlook("2999-01-01")
        assert found.chance == 0.0
        assert "gone would fail: " in found.sentence
        processor.close()

    go(main())


def test_the_chance_that_all_is_done_in_time(tmp_path: Path) -> None:
    """Of what waits; tasks keep times of their own, and what is done counts no more."""

    async def main() -> None:
        processor = made(tmp_path)
        assert (await processor.outlook("2999-01-01T00:00:00Z")).chance == 1.0
        one = await processor.add_task("ask", calling())
        late = time.time() + 1e6
        await processor.add_task("ask", calling(), deadline=late)
        found = await processor.outlook(time.time() - 1)
        assert found.chance == 0.0
        assert set(found.deadlines) == {late, min(found.deadlines)}
        assert found.expected.runs[one].seconds_high > 0
        assert "Also counted" not in found.sentence
        assert (await processor.outlook("2999-01-01")).chance == 1.0
        await processor.start()
        assert "nothing is left to do" in (await processor.outlook("2999-01-01")).sentence
        for wrong in ("soon", True, None, float("nan")):
            with pytest.raises(UsageError, match=r"deadline is .*; give a time"):
                await processor.outlook(wrong)  # type: ignore[arg-type]

    go(main())
