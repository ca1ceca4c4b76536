"""Messages of attempts that are over change nothing, and a worker publishes only while its engine holds it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyprocessor.models import OutcomeKind
from pyprocessor.workers.messages import (
    Answered,
    Command,
    Ended,
    Grant,
    HandedBack,
    Published,
    Spawned,
    StepOrder,
    Verified,
)
from tests.integration.worked import Bench, example_tasks
from tests.waiting import until

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")
ANOTHER = "00000000"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """An input for `words`."""
    path = tmp_path / "a.txt"
    path.write_text("one two")
    return path


def verified(bench: Bench, text: Path) -> Any:
    """A job whose products wait for the grant."""
    item = bench.item("words", None, (text,))
    bench.worker.send(item)
    bench.first(Verified, item)
    return item


def test_a_grant_of_another_attempt_publishes_nothing(tmp_path: Path, text: Path) -> None:
    """The grant of this one does; what the attempt makes has its token in its name."""
    bench = Bench(tmp_path, grants=False)
    item = verified(bench, text)
    assert bench.left() == [f"{item.job_id[:20]}-{item.token}.counts", f"{item.job_id[:20]}-{item.token}.txt"]
    bench.worker.send(Grant(item.job_id, ANOTHER, False))
    assert isinstance(bench.end_of(bench.ask("noop")), Answered)
    assert not (bench.output / "made-1.txt").exists()
    bench.worker.send(Grant(item.job_id, item.token, False))
    assert isinstance(bench.end_of(item), Published)
    assert (bench.output / "made-1.txt").read_text() == "ONE TWO"
    bench.close()


def test_an_order_for_another_attempt_stops_nothing(tmp_path: Path) -> None:
    """The one in hand goes on."""
    bench = Bench(tmp_path)
    item = bench.ask("count_to", arguments={"number": 5, "marker": str(tmp_path / "marker")})
    pid = bench.first(Spawned, item).process.pid
    bench.worker.send(StepOrder(item.job_id, ANOTHER, "kill"), StepOrder(item.job_id, ANOTHER, "suspend"))
    waiting = bench.ask("noop")
    bench.worker.send(Command.TAKE_BACK)
    back = bench.message(lambda told: isinstance(told, HandedBack), "what was not started")
    assert [job.token for job in back.jobs] == [waiting.token]
    assert psutil.Process(pid).status() != "stopped"
    (tmp_path / "marker").touch()
    assert isinstance(bench.end_of(item), Answered)
    bench.close()


def test_a_worker_whose_lease_is_over_publishes_nothing(tmp_path: Path, text: Path) -> None:
    """The grant waited in the pipe while the worker was stopped; by now another one may have the job."""
    bench = Bench(tmp_path, own_process=True, lease_seconds=5.0, grants=False)
    item = verified(bench, text)
    os.kill(bench.worker.identity.pid, signal.SIGSTOP)
    bench.worker.send(Grant(item.job_id, item.token, False))
    stopped = time.monotonic()
    until(lambda: time.monotonic() > stopped + 6.0, "the end of the lease")
    os.kill(bench.worker.identity.pid, signal.SIGCONT)
    ended = bench.end_of(item)
    assert isinstance(ended, Ended)
    assert ended.outcome.kind is OutcomeKind.INTERRUPTED
    assert sorted(path.name for path in bench.output.iterdir()) == [".pyprocessor"]
    until(lambda: not bench.left(), bench.left)
    bench.close()


def test_any_message_renews_the_lease(tmp_path: Path, text: Path) -> None:
    """A worker that works for longer than its lease may publish, as long as it hears of the engine."""
    bench = Bench(tmp_path, own_process=True, lease_seconds=5.0, grants=False)
    item = verified(bench, text)
    begun = time.monotonic()
    until(lambda: bench.worker.send(Command.RENEW) and time.monotonic() > begun + 6.0, "longer than the lease")
    bench.worker.send(Grant(item.job_id, item.token, False))
    assert isinstance(bench.end_of(item), Published)
    bench.close()
