"""Jobs that are done by services, through the whole engine: limits, services that are down, the next of the list."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.models import ErrorSettings, Profile
from pyprocessor.plan import backends
from tests.acceptance.command import begin, call
from tests.integration.worked import example_tasks
from tests.process.queues import Queue
from tests.waiting import DEADLINE_SECONDS, until

__all__ = ["example_tasks"]

pytestmark = pytest.mark.usefixtures("example_tasks")

SWIFT = replace(Profile("test", "f"), errors=ErrorSettings(max_retries=5, retry_delay_seconds=0.01))


class Services:
    """A folder of services: one whose name a file has is down, or asks for a pause."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "services"
        self.folder.mkdir()
        self.queue = Queue(folder)

    def submit(self, keys: list[str], *named: Mapping[str, Any], **more: Any) -> None:
        params = {"function": "use", "backends": list(named), **more}
        self.queue.submit(
            *(
                {
                    "task": "ask",
                    "key": key,
                    "params": {**params, "arguments": {"folder": str(self.folder), "text": key}},
                }
                for key in keys
            )
        )

    def down(self, name: str, times: int, asked: str = "") -> None:
        """Have a service not answer so many times, and ask for a pause of so many seconds."""
        (self.folder / name).write_text(f"{times} {asked}")

    @property
    def uses(self) -> list[tuple[float, str, str, str]]:
        """When each use was, of what, by which job, and how it ended."""
        lines = (self.folder / "log").read_text().splitlines() if (self.folder / "log").exists() else []
        return [(float(at), service, job, end) for at, service, job, end in map(str.split, lines)]

    def states(self) -> dict[str, tuple[int, float]]:
        """Failures in a row, and until when nothing is asked, by name, as the journal has them."""
        path = os.fsdecode(self.queue.folder.path + b"/journal.sqlite3")
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT name, failures, blocked_until FROM backends").fetchall()
        return {name: (failures, until) for name, failures, until in found}


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """All of them answer."""
    return Services(tmp_path)


def test_no_more_is_asked_than_a_service_takes(services: Services) -> None:
    """However many jobs there are."""
    services.submit([f"{number}" for number in range(4)], {"name": "slow", "per_minute": 120, "burst": 1})
    began = time.time()
    assert services.queue.run() == ExitCode.OK
    assert services.uses[-1][0] > began + 1.5


def test_the_next_of_the_list_does_it(services: Services) -> None:
    """A job whose service does not answer is done by another, and once that is known it is not asked in vain."""
    services.down("first", 1000)
    services.submit([f"{number}" for number in range(8)], {"name": "first"}, {"name": "second"})
    assert services.queue.run(profile=SWIFT) == ExitCode.OK
    lost = [use for use in services.uses if use[3] == "lost"]
    assert {service for _, service, _, _ in lost} == {"first"}
    assert all(row.attempts <= 2 for row in services.queue.rows().values())
    assert sum(service == "second" for _, service, _, _ in services.uses) == 8


def test_a_service_that_is_down_is_tried_by_one_job_after_each_pause(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as long each time, until it answers."""
    monkeypatch.setattr(backends, "FIRST_PAUSE_SECONDS", 0.3)
    services.down("only", backends.FAILURES_UNTIL_OPEN + 2)
    services.submit(["a"], {"name": "only"})
    assert services.queue.run(profile=SWIFT) == ExitCode.OK
    times = [at for at, _, _, end in services.uses if end == "lost"][backends.FAILURES_UNTIL_OPEN - 1 :]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[0] > 0.25
    assert pauses[1] > 0.5
    assert services.states()["only"][0] == 0


def test_a_run_does_not_wait_for_ever(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs a service that has not answered for too long fails, also untried, and the next run tries again."""
    services.down("only", 1000)
    services.submit([f"{number}" for number in range(20)], {"name": "only"})
    with monkeypatch.context() as impatient:
        impatient.setattr(backends, "LONGEST_DOWN_SECONDS", 0.5)
        assert services.queue.run(profile=SWIFT) == ExitCode.SOME_FAILED
    assert {row.failure for row in services.queue.rows().values()} == {FailureKind.UNAVAILABLE}
    assert len(services.uses) < 10
    (services.folder / "only").unlink()
    assert services.queue.run(profile=SWIFT) == ExitCode.OK


def test_a_service_that_asks_for_a_pause_gets_it(services: Services) -> None:
    """Nobody asks it meanwhile, and what it says is not held against it."""
    services.down("busy", 1, "1.0")
    services.submit(["a"], {"name": "busy"})
    assert services.queue.run(profile=SWIFT) == ExitCode.OK
    (lost, *_, how), (answered, *_, then) = services.uses
    assert (how, then) == ("lost", "answered")
    assert answered - lost > 0.9
    assert services.states()["busy"][0] == 0


def test_a_job_without_back_ends_obeys_what_its_server_asks(services: Services) -> None:
    """Its next attempt begins no sooner."""
    services.down("own", 1, "1.0")
    arguments = {"folder": str(services.folder), "text": "a", "backend": "own"}
    services.queue.submit({"task": "ask", "key": "a", "params": {"function": "use", "arguments": arguments}})
    assert services.queue.run(profile=SWIFT) == ExitCode.OK
    (lost, _, _, _), (answered, _, _, _) = services.uses
    assert answered - lost > 0.9


def test_what_was_known_of_a_service_outlives_a_kill(
    services: Services, example_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run asks it no sooner, says by `status` why it waits, and uses the other one meanwhile."""
    monkeypatch.setenv("PYTHONPATH", str(example_tasks))
    services.down("quota", 1, "3600")
    services.submit(["a"], {"name": "quota"})
    process = begin("--output", services.queue.output)
    try:
        until(lambda: "quota" in services.states(), "the pause to be kept")
    finally:
        process.kill()
        process.communicate()
    services.submit(["b"], {"name": "quota"}, {"name": "other"})
    process = begin("--output", services.queue.output)
    try:
        until(lambda: services.queue.states()["b"] == "succeeded", "the other service")
        said = until(lambda: _waits(services), "why it waits")
        assert "quota asked for a pause, and is asked again in " in said
        assert call("stop", "--output", services.queue.output).returncode == ExitCode.OK
        process.wait(DEADLINE_SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert [(service, job) for _, service, job, _ in services.uses] == [("quota", "a"), ("other", "b")]
    assert services.queue.rows()["a"].failure is FailureKind.UNAVAILABLE


def _waits(services: Services) -> str:
    said = call("status", "--output", services.queue.output).stdout
    return said if "asked for a pause" in said else ""
