"""Jobs that only wait, beside encodes, in one run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.models import Outcome, OutcomeKind
from pyprocessor.plan.ahead import MOST_WAITING
from pyprocessor.profiles import load
from tests.acceptance.command import call
from tests.integration.worked import example_tasks
from tests.process.queues import Queue
from tests.process.runs import Recorder, whole
from tests.waiting import DEADLINE_SECONDS

__all__ = ["example_tasks"]

CLIPS = 2


@dataclass
class Watcher(Recorder):
    """Acts at each file that is made."""

    on_made: Callable[[int], None] = lambda made: None
    made: list[str] = field(default_factory=list)

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        super().finished(job_id, outcome, name=name, will_retry=will_retry)
        if outcome.kind is OutcomeKind.SUCCEEDED:
            self.made.append(name)
            self.on_made(len(self.made))


@pytest.mark.usefixtures("example_tasks")
def test_as_many_as_may_wait_do_so_beside_encodes(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """They all wait at once, for the encodes to be done: neither kind holds up the other."""
    queue, meeting = Queue(tmp_path), tmp_path / "meeting"
    for number in range(CLIPS):
        make_clip(tmp_path / "in" / f"clip-{number}.mp4", seconds=1.0)
    meeting.mkdir()
    arguments = {"folder": str(meeting), "many": MOST_WAITING, "seconds": DEADLINE_SECONDS}
    cost = {"memory_bytes": 1 << 20, "wait_seconds": 60.0}
    params = {"function": "meet", "arguments": arguments, "coroutine": True, "cost": cost}
    queue.submit(*({"task": "ask", "key": f"wait {number}", "params": params} for number in range(MOST_WAITING)))

    def on_made(made: int) -> None:
        if made == CLIPS:
            (tmp_path / "go").touch()

    queue.listener = Watcher(on_made=on_made)
    profile = load("fast", environment={}).profile
    assert queue.run(inputs=(whole(tmp_path / "in"),), profile=profile) == ExitCode.OK
    rows = queue.rows()
    assert sorted(queue.listener.made[:CLIPS]) == [f"clip-{number}.mp4" for number in range(CLIPS)]
    waited = [row for name, row in rows.items() if name.startswith("wait ")]
    assert [(row.state.value, row.attempts) for row in waited] == [("succeeded", 1)] * MOST_WAITING
    assert len({row.result for row in waited}) == 1, "they share one process"


@pytest.mark.usefixtures("example_tasks")
def test_status_shows_how_far_a_call_is(tmp_path: Path) -> None:
    """In its own unit, of how much where it says so, as text and as JSON."""
    queue, marker = Queue(tmp_path), tmp_path / "marker"
    told: list[str] = []

    def ask_status() -> None:
        told.extend(call("status", "--output", queue.output, *more).stdout for more in ((), ("--json",)))
        marker.touch()

    asking = threading.Thread(target=ask_status)

    class Asking(Recorder):
        reports = 0

        def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
            self.reports += 1
            if self.reports == 2:  # the first may be of the call's very beginning
                asking.start()

    queue.listener = Asking()
    arguments = {"number": 4, "marker": str(marker)}
    queue.submit({"task": "ask", "key": "count", "params": {"function": "count_to", "arguments": arguments}})
    assert queue.run() == ExitCode.OK
    asking.join(DEADLINE_SECONDS)
    text, document = told
    (file,) = json.loads(document)["files"]
    assert (file["name"], file["done"], file["total"], file["share"]) == ("count", 3.0, 4.0, 0.75)
    (line,) = (line for line in text.splitlines() if line.endswith("count"))
    assert line.split() == ["75%", "3/4", "count"]
