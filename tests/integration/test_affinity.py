"""Calls of one affinity, grouped: how often is what they have in common loaded, and what does not wait for that?"""

from __future__ import annotations

import random
from typing import Any

import pytest

from pyprocessor.models import Cost, Mode
from pyprocessor.plan.ahead import LEAST_AHEAD
from tests.integration.conftest import Begin
from tests.integration.simulated_calls import MIB, Simulation


def call(simulation: Simulation, kind: str, number: int, seconds: float, **more: Any) -> None:
    simulation.add(f"{kind} {number}", Cost(seconds, 10 * MIB, 0), kind=kind, **more)


def loads(simulation: Simulation) -> int:
    """Run it, and count in how many slots of its processes calls were made: each loads its model once."""
    most: dict[object, int] = {}
    while True:
        simulation.fill()
        for process in simulation.dispatch.processes:
            most[process] = max(most.get(process, 0), len(process.running))
        if not simulation.running:
            return sum(most.values())
        simulation.go_on()


@pytest.mark.parametrize(("cores", "at_most"), [(1, 2), (2, 4), (4, 8)])
@pytest.mark.parametrize(("shortest", "longest"), [(20.0, 200.0), (0.1, 5.0), (0.3, 0.3)])
def test_models_are_loaded_once_a_slot(begin: Begin, cores: int, at_most: int, shortest: float, longest: float) -> None:
    """However the costs of two models' calls alternate; and all ends as early as it would with the longest first."""
    run, numbers = begin(cores=cores), random.Random(40)
    seconds = [numbers.uniform(shortest, longest) for _ in range(40)]
    for number, each in enumerate(seconds):
        call(run, "AB"[number % 2], number, each)
    assert loads(run) <= at_most
    assert max(run.ended.values()) <= sum(seconds) / cores + longest


def test_what_is_added_later_passes_nothing(begin: Begin) -> None:
    """A process goes on with as many calls before those of another model as waited when it began, and no more."""
    run = begin(cores=1)
    for number in range(10):
        call(run, "A", number, 10.0)
    call(run, "B", 0, 9.0)
    run.fill()
    for number in range(10, 60):
        call(run, "A", number, 8.0)
        run.go_on()
        run.fill()
        if "B 0" in run.began:
            break
    assert sum(name.startswith("A") for name in run.began) <= 20
    assert "B 0" in run.began
    run.run()


def test_only_equals_are_passed(begin: Begin) -> None:
    """A call of a higher priority, of the tenant whose turn it is, or first by the order of the mode is next."""
    urgent, shared, ordered = begin(cores=1), begin(cores=1), begin(cores=1, mode=Mode.STREAMING)
    for number in range(10):
        call(urgent, "A", number, 10.0, priority=1)
        call(shared, "A", number, 10.0, tenant="first")
        call(ordered, "AB"[number % 2], number, 10.0)
    call(urgent, "B", 0, 1.0)
    call(shared, "B", 0, 1.0, tenant="second")
    for run in (urgent, shared):
        run.run()
        assert sorted(run.began, key=run.began.__getitem__).index("B 0") <= 2
    ordered.run()
    begun = [int(name.split()[1]) for name in sorted(ordered.began, key=ordered.began.__getitem__)]
    assert all(abs(number - place) <= LEAST_AHEAD for place, number in enumerate(begun))


def test_a_long_call_does_not_end_after_all_others(begin: Begin) -> None:
    """It begins while the other slots have work for its time."""
    run = begin(cores=2)
    call(run, "A", 0, 30.0)
    call(run, "A", 1, 29.0)
    call(run, "B", 0, 25.0)
    for number in range(2, 12):
        call(run, "A", number, 3.0)
    run.run()
    assert run.ended["B 0"] <= 60.0
    assert max(run.ended.values()) <= 63.0


def test_what_waits_behind_a_slow_call_stays_where_no_other_process_may_begin(begin: Begin) -> None:
    """One process is asked for: that each call takes far longer than predicted ends none of its processes."""
    run = begin(cores=2, jobs=1)
    for number in range(40):
        call(run, "AB"[number % 2], number, 0.001)
    run.said = dict.fromkeys(run.said, Cost(5.0, 10 * MIB, 0))
    run.fill()
    (process,) = run.dispatch.processes
    given = list(process.jobs)
    run.now += 2.0
    run.fill()
    assert list(process.jobs) == given
    assert len(given) > 1
