"""Jobs of any task through the whole engine: submitted, waiting for others, made of others, with several products."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.publish.receipts import read_receipts
from tests.acceptance.command import begin, call
from tests.integration.worked import example_tasks
from tests.process.queues import Queue, ask
from tests.waiting import DEADLINE_SECONDS, until

__all__ = ["example_tasks"]

pytestmark = pytest.mark.usefixtures("example_tasks")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """No jobs yet."""
    return Queue(tmp_path)


def test_a_job_of_another_package_leaves_two_products_and_a_result(queue: Queue, tmp_path: Path) -> None:
    """Its one receipt names both, with the attempt."""
    (tmp_path / "text.txt").write_text("to be or not to be")
    queue.submit({"task": "words", "key": "hamlet.txt", "inputs": [str(tmp_path / "text.txt")]})
    assert queue.run() == ExitCode.OK
    assert (queue.output / "hamlet.txt").read_text() == "TO BE OR NOT TO BE"
    assert (queue.output / "hamlet.txt.counts").read_text().splitlines()[0] == "be 2"
    row = queue.rows()["hamlet.txt"]
    assert row.result is not None
    assert json.loads(row.result) == {"words": 6}
    (receipt,) = read_receipts(queue.folder.receipts)
    assert [product.name for product, _ in receipt.products] == [b"hamlet.txt", b"hamlet.txt.counts"]
    assert (receipt.task, len(receipt.token)) == ("words", 8)
    assert queue.run() == ExitCode.OK
    assert queue.rows()["hamlet.txt"].attempts == 1


def test_a_job_reads_what_another_one_made(queue: Queue, tmp_path: Path) -> None:
    """It waits for that, and is inspected once it is there."""
    (tmp_path / "text.txt").write_text("one two one")
    queue.submit(
        {"task": "words", "key": "second", "inputs": [{"job": "first", "role": "counts"}]},
        {"task": "words", "key": "first", "inputs": [str(tmp_path / "text.txt")]},
    )
    assert queue.states() == {"first": "pending", "second": "waiting"}
    assert queue.run() == ExitCode.OK
    assert (queue.output / "second").read_text() == "ONE 2 TWO 1"


def test_jobs_run_in_the_order_of_what_they_wait_for(queue: Queue, tmp_path: Path) -> None:
    """Also those that were submitted in another one."""
    log = tmp_path / "log"
    names = [str(number) for number in range(12)]
    jobs = [
        ask(name, *names[:place][-1:], function="note", log=str(log), text=name) for place, name in enumerate(names)
    ]
    queue.submit(*reversed(jobs))
    assert queue.run() == ExitCode.OK
    assert log.read_text().split() == names


def test_what_waits_for_a_failed_job_is_cancelled_and_done_when_that_is(queue: Queue, tmp_path: Path) -> None:
    """The rest goes on, and doing the failed one again does what was cancelled for it."""
    marker = tmp_path / "there"
    queue.submit(
        ask("a", function="miss", path=str(marker)), ask("b", "a"), ask("c", "b"), ask("d"), ask("e", "d", "c")
    )
    assert queue.run() == ExitCode.SOME_FAILED
    assert queue.states() == {"a": "failed", "b": "cancelled", "c": "cancelled", "d": "succeeded", "e": "cancelled"}
    assert queue.rows()["e"].reason == "It waited for a, which failed."
    marker.write_text("now it is")
    assert queue.run(retry_failed=True) == ExitCode.OK
    assert set(queue.states().values()) == {"succeeded"}


def test_a_job_that_is_made_of_others(queue: Queue) -> None:
    """They are done first, well or not, and it gets what each came to; they do not count as files of their own."""
    queue.submit({"task": "sum", "key": "total", "params": {"numbers": [1, 2, "x", 4]}})
    assert queue.run() == ExitCode.OK
    row = queue.rows()["total"]
    assert row.result is not None
    assert json.loads(row.result) == {"sum": 7, "failed": 1}
    assert len(queue.rows()) == 5
    assert queue.listener.snapshots[-1].total == 1


def test_what_others_made_for_a_job_goes_once_that_is_done(queue: Queue, tmp_path: Path) -> None:
    """It lay in the folder of the state, where no user looks for products."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    queue.submit({"task": "join", "key": "all.txt", "inputs": [str(tmp_path / "one"), str(tmp_path / "two")]})
    assert queue.run() == ExitCode.OK
    assert (queue.output / "all.txt").read_text() == "ONE\nTWO"
    assert {path.name for path in queue.output.iterdir()} == {"all.txt", ".pyprocessor"}
    assert list((queue.output / ".pyprocessor" / "intermediate").iterdir()) == []


def test_two_jobs_that_claim_one_name(queue: Queue, tmp_path: Path) -> None:
    """The second is refused with a sentence that names the first."""
    (tmp_path / "text.txt").write_text("one")
    document = {"task": "words", "inputs": [str(tmp_path / "text.txt")]}
    queue.submit({**document, "key": "same"}, {**document, "key": "same/below"})
    assert queue.run() == ExitCode.SOME_FAILED
    assert sorted(queue.states().values()) == ["failed", "succeeded"]
    (failed,) = (row for row in queue.rows().values() if row.state.value == "failed")
    assert "belongs to" in failed.reason


def test_the_command_does_what_was_submitted(
    queue: Queue, example_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an input it needs an output that has jobs."""
    monkeypatch.setenv("PYTHONPATH", str(example_tasks))
    assert call("--output", queue.output).returncode == ExitCode.USAGE
    queue.submit(ask("a"), ask("b", "a"))
    done = call("--output", queue.output)
    assert done.returncode == ExitCode.OK, done
    assert set(queue.states().values()) == {"succeeded"}


def test_a_job_in_hand_is_ended_when_it_is_cancelled(
    queue: Queue, example_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that waits for it goes with it, and another goes on; done again, it is begun anew."""
    monkeypatch.setenv("PYTHONPATH", str(example_tasks))
    marker = tmp_path / "marker"
    queue.submit(ask("endless", function="never", marker=str(marker)), ask("later", "endless"), ask("other"))
    process = begin("--output", queue.output)
    try:
        until(marker.exists, "the call")
        assert call("jobs", "cancel", "endless", "--output", queue.output).returncode == ExitCode.OK
        assert process.wait(DEADLINE_SECONDS) == ExitCode.OK
    finally:
        process.kill()
        process.communicate()
    assert queue.states() == {"endless": "cancelled", "later": "cancelled", "other": "succeeded"}
    assert not is_running(int(marker.read_text()))


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_jobs_that_take_much_and_answer_much(
    queue: Queue, example_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engine and worker never both wait for the other to read: far more than a pipe holds goes each way."""
    monkeypatch.setenv("PYTHONPATH", str(example_tasks))
    texts = {str(number): f"{number} ".ljust(20_000, "x") for number in range(200)}
    queue.submit(*(ask(key, text=text) for key, text in texts.items()))
    done = call("--output", queue.output)
    assert done.returncode == ExitCode.OK, done
    results = {name: json.loads(row.result or "null") for name, row in queue.rows().items()}
    assert results == {key: {"text": text} for key, text in texts.items()}


def test_a_parent_that_begins_anew_is_made_of_new_children(queue: Queue, tmp_path: Path) -> None:
    """Those of before left nothing that is still there, and have no place in what is joined."""
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)

    def join(*names: str) -> dict[str, object]:
        return {"task": "join", "key": "all", "inputs": [str(tmp_path / name) for name in names]}

    queue.submit(join("one", "two"))
    assert queue.run() == ExitCode.OK
    queue.submit(join("three", "two", "one"))
    assert queue.run() == ExitCode.OK
    assert (queue.output / "all").read_text().split() == ["THREE", "TWO", "ONE"]
