"""How long one turn of the engine's loop may be, and what it must not send."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pyprocessor.engine import worker_crashes
from pyprocessor.engine.transitions import Transitions
from pyprocessor.engine.worker_crashes import WorkerCrashes
from pyprocessor.errors import JournalError
from pyprocessor.models import JobState, OutputFacts
from tests.unit.running_jobs import running_job


def test_a_turn_removes_as_many_processes_as_it_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen that hang take sixteen seconds, in which no status would be answered."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(worker_crashes, "time", SimpleNamespace(monotonic=lambda: clock.now))
    left = list(range(16))

    def remove(process: int, now: float, *, silent: bool) -> None:
        assert silent
        left.remove(process)
        clock.now += 1.0 if process < 8 else 0.01

    crashes = SimpleNamespace(remove=remove)
    turns = 0
    while left:
        before = clock.now
        WorkerCrashes.give_up(crashes, tuple(left), clock.now, silent=True)  # type: ignore[arg-type]
        assert clock.now - before <= 2.1
        turns += 1
    assert turns == 5


def test_an_attempt_that_no_longer_has_its_job_gets_no_grant() -> None:
    """The journal refuses the intent, so the turn ends with an error before anything is sent."""
    moves = SimpleNamespace(_journal=SimpleNamespace(grant=lambda *_: False))
    job = running_job(name="film.mkv", state=JobState.RUNNING, attempt_id=7)
    facts = OutputFacts(1, 2, 3.0, 1, 1, 0, 75)
    with pytest.raises(JournalError, match=r"changed the journal while film\.mkv was being worked on"):
        Transitions.granted(moves, job, facts, (), "null")  # type: ignore[arg-type]
