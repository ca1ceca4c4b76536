"""Inputs that are URLs: fetched by jobs of their own, ahead of those that read them, and gone once these are done."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ExitCode, UsageError
from pyprocessor.models import Origin
from pyprocessor.plan.ahead import MOST_FETCHED
from pyprocessor.taskqueue import create_batch_processor
from tests.acceptance.command import call
from tests.integration.file_server import Answer, FileServer, serving
from tests.integration.worked import example_tasks
from tests.process.queues import Queue, ask
from tests.waiting import DEADLINE_SECONDS, until

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")

CONTENT = b"one two three " * 1000
INTERMEDIATE = Path(".pyprocessor", "intermediate")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """No jobs yet."""
    return Queue(tmp_path)


def reading(key: str, *inputs: object, **more: Any) -> dict[str, Any]:
    """The document of a job that reads these."""
    return {"task": "checksum", "key": key, "inputs": list(inputs), **more}


def at(files: FileServer, path: str) -> dict[str, Any]:
    """An input that is served on loopback."""
    return {"url": f"{files.url}/{path}", "allow_private": True}


def left(queue: Queue) -> list[str]:
    """What was fetched and lies there."""
    folder = queue.output / INTERMEDIATE
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_each_url_is_fetched_once_for_all_that_read_it(queue: Queue) -> None:
    """The files are read as if they lay there; fetching them counts as no job, and nothing of them stays."""
    with serving(CONTENT) as files:
        queue.submit(
            reading("a", at(files, "talk.mp4?key=secret")),
            reading("b", at(files, "talk.mp4?key=secret")),
            reading("c", at(files, "other.mp4"), params={"write": True}),
        )
        assert queue.run() == ExitCode.OK
        assert sorted(one["path"] for one in files.asked) == ["/other.mp4", "/talk.mp4?key=secret"]
    rows = queue.rows()
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert [json.loads(rows[key].result or "{}")["digests"]["sha256"] for key in "abc"] == [digest] * 3
    assert (queue.output / "c.sha256").exists()
    assert left(queue) == []
    fetched = [name for name, row in rows.items() if row.origin is Origin.CHILD]
    assert sorted(fetched) == [f"127.0.0.1:{files.port}/other.mp4", f"127.0.0.1:{files.port}/talk.mp4"]


def test_it_is_fetched_again_only_for_a_job_that_is_to_be_done(queue: Queue) -> None:
    """One that is done is not done again because another one reads the same."""
    with serving(CONTENT) as files:
        queue.submit(reading("a", at(files, "talk.mp4")))
        queue.run()
        queue.submit(reading("a", at(files, "talk.mp4")))
        assert len(files.asked) == 1
        queue.submit(reading("a", at(files, "talk.mp4")), reading("b", at(files, "talk.mp4")))
        attempts = queue.rows()["a"].attempts
        assert queue.run() == ExitCode.OK
        assert len(files.asked) == 2
    assert queue.rows()["a"].attempts == attempts
    assert left(queue) == []


def test_what_cannot_be_fetched_fails_its_readers_with_the_reason(queue: Queue) -> None:
    """By their own kind of failure; those that a later run tries again fetch it then, and others are not held up."""
    with serving(CONTENT, *[Answer(503)] * 4) as files:
        queue.submit(reading("a", at(files, "talk.mp4"), max_retries=0), reading("b", at(files, "talk.mp4")))
        assert queue.run() == ExitCode.SOME_FAILED
        rows = queue.rows()
        assert {rows[key].failure for key in "ab"} == {"unavailable"}
        assert "talk.mp4, which it reads, could not be fetched" in rows["a"].reason
        assert "503" in rows["a"].reason
        assert queue.run() == ExitCode.OK
    assert queue.states()["a"] == queue.states()["b"] == "succeeded"
    with serving(CONTENT, Answer(404)) as files:
        queue.submit(reading("gone", at(files, "none.mp4")))
        queue.run()
    assert queue.rows()["gone"].failure == "bad_input"


def test_a_reader_that_fails_keeps_what_was_fetched_for_its_next_try(queue: Queue) -> None:
    """No server is asked again, but where somebody removed it."""
    with serving(CONTENT) as files:
        queue.submit(reading("a", at(files, "talk.mp4"), params={"expect": 64 * "0"}))
        assert queue.run() == ExitCode.SOME_FAILED
        assert left(queue) == ["talk.mp4"]
        queue.run(retry_failed=True)
        assert len(files.asked) == 1
        shutil.rmtree(queue.output / INTERMEDIATE)
        queue.run(retry_failed=True)
        assert len(files.asked) == 2
    assert queue.rows()["a"].reason.startswith("Its sha256 is")
    assert left(queue) == ["talk.mp4"]


def test_what_was_fetched_for_a_job_that_is_pruned_goes(queue: Queue) -> None:
    """The next run removes it: nobody will read it, although its reader failed."""
    with serving(CONTENT) as files:
        queue.submit(reading("a", at(files, "talk.mp4"), params={"expect": 64 * "0"}))
        assert queue.run() == ExitCode.SOME_FAILED
        exported = queue.output / "finished.jsonl"
        pruned = call("prune", "--output", queue.output, "--export", exported)
        assert pruned.returncode == ExitCode.OK, pruned.stderr
        assert queue.rows() == {}
        assert left(queue) == ["talk.mp4"]
        (kept := queue.output / INTERMEDIATE / "notes of somebody").write_text("kept")
        queue.run()
    assert left(queue) == [kept.name]


def test_inputs_are_fetched_while_a_job_before_computes_and_not_too_many_ahead(queue: Queue, tmp_path: Path) -> None:
    """It goes on until as many as may be were fetched; then each that is begun lets one more be fetched."""
    more, goes_on = 10, tmp_path / "goes on"
    with serving(CONTENT) as files:
        queue.submit(
            ask("first", function="wait_for", path=str(goes_on)),
            *(
                reading(f"{number}", at(files, f"{number}.mp4"), after=["first"])
                for number in range(MOST_FETCHED + more)
            ),
        )
        with ThreadPoolExecutor(1) as thread:
            run = thread.submit(queue.run)
            until(lambda: len(left(queue)) == MOST_FETCHED or run.done(), "as many fetched inputs as may be")
            asked = sorted(int(one["path"].strip("/").partition(".")[0]) for one in files.asked)
            goes_on.touch()
            assert run.result() == ExitCode.OK
        assert asked == list(range(MOST_FETCHED))
        assert len(files.asked) == MOST_FETCHED + more
    assert left(queue) == []


def test_what_an_earlier_run_fetched_counts_and_is_read(queue: Queue, tmp_path: Path) -> None:
    """It is not fetched again, and what nobody reads any more is removed."""
    with serving(CONTENT) as files:
        queue.submit(reading("a", at(files, "talk.mp4"), not_before=4e9))
        queue.run()
        assert left(queue) == ["talk.mp4"]
        queue.submit(reading("a", at(files, "talk.mp4")))
        assert queue.run() == ExitCode.OK
        assert len(files.asked) == 1
    assert left(queue) == []


def test_a_queue_in_a_program_reads_what_lies_at_a_url(tmp_path: Path) -> None:
    """Added before it works or meanwhile, a task has the file's name; what is fetched for it is no task of its own."""

    async def work(files: FileServer) -> None:
        processor = create_batch_processor(output=tmp_path / "out")
        one = await processor.add_task("checksum", {"file_path": at(files, "talk.mp4"), "write": True})
        started = asyncio.create_task(processor.start())
        two = await processor.add_task("checksum", {"file_path": at(files, "other.mp4"), "write": True})
        found = {outcome.id: outcome async for outcome in processor.results()}
        result = await started
        assert set(found) == {one, two}
        assert found[one].products["main"].name == "talk.sha256"
        assert found[two].products["main"].name == "other.sha256"
        assert found[two].task.data == {"file_path": at(files, "other.mp4"), "write": True}
        assert (result.success_count, result.total_count) == (2, 2)

    with serving(CONTENT) as files:
        asyncio.run(work(files))


def test_a_program_is_told_what_is_wrong_with_a_url(tmp_path: Path) -> None:
    """A password is not repeated."""
    processor = create_batch_processor(output=tmp_path / "out")
    with pytest.raises(UsageError) as error:
        asyncio.run(processor.add_task("checksum", {"file_path": "https://me:secret@media.example/talk.mp4"}))
    assert str(error.value) == (
        "`file_path` names an address that cannot be downloaded: `url` holds the name of a user or a password, which "
        "would be written down with the job."
    )


def test_what_nobody_waits_for_any_more_is_not_fetched(queue: Queue) -> None:
    """Its only reader was cancelled; it is fetched once that is to be done after all."""
    with serving(CONTENT) as files:
        queue.submit(reading("a", at(files, "talk.mp4")))
        assert call("jobs", "cancel", "a", "--output", queue.output).returncode == ExitCode.OK
        queue.run()
        assert not files.asked
        assert call("jobs", "retry", "a", "--output", queue.output).returncode == ExitCode.OK
        assert queue.run() == ExitCode.OK
        assert len(files.asked) == 1
    assert left(queue) == []


def test_a_download_ends_when_its_last_reader_is_cancelled(tmp_path: Path) -> None:
    """Although the server never goes on."""
    hold = threading.Event()

    async def work(files: FileServer) -> None:
        processor = create_batch_processor(output=tmp_path / "out")
        one = await processor.add_task("checksum", {"file_path": at(files, "talk.mp4")})
        started = asyncio.create_task(processor.start())
        await asyncio.to_thread(until, lambda: files.asked, "the download")
        processor.cancel(one)
        result = await asyncio.wait_for(started, DEADLINE_SECONDS)
        assert (result.success_count, result.total_count) == (0, 1)

    with serving(CONTENT, Answer(cut_at=100, hold=hold)) as files:
        try:
            asyncio.run(work(files))
        finally:
            hold.set()
