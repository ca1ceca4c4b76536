"""How long one turn of the engine's loop may be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from pyprocessor.engine import worker_crashes
from pyprocessor.engine.worker_crashes import WorkerCrashes

if TYPE_CHECKING:
    import pytest


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
