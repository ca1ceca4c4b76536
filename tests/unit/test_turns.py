"""How long one turn of the engine's loop may be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from pyprocessor.engine import loop

if TYPE_CHECKING:
    import pytest


def test_a_turn_buries_as_many_processes_as_it_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen that hang take sixteen seconds, in which nobody would be answered."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    left = list(range(16))

    def died(process: int, now: float, *, silent: bool) -> None:
        assert silent
        left.remove(process)
        clock.now += 1.0 if process < 8 else 0.01

    run = SimpleNamespace(_died=died)
    turns = 0
    while left:
        before = clock.now
        loop.Run._give_up(run, tuple(left), clock.now, silent=True)  # type: ignore[arg-type]
        assert clock.now - before <= 2.1
        turns += 1
    assert turns == 5
