"""A run's dispatch with several tenants: shares of CPU-seconds over encodes and calls, one that joins, limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.models import Cost, TenantSettings
from tests.integration.simulated_calls import MIB, Simulation

WORK = {"encode": 10.0, "call": 4.0, "short": 1.0}
LONGEST = max(WORK.values())
WITHIN = 0.10


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulation]:
    """A simulated run on two cores, with a tenant of weight 3 and one that may have one job in hand."""
    shares = (("a", TenantSettings(weight=3.0)), ("one", TenantSettings(max_jobs=1)))
    simulation = Simulation(tmp_path / "run", monkeypatch, tenants=shares)
    yield simulation
    simulation.close()


def fill(run: Simulation, tenant: str, rounds: int) -> None:
    """Jobs of each kind, about as much work of each."""
    for kind, seconds in WORK.items():
        for number in range(round(rounds * LONGEST / seconds)):
            cost = Cost(seconds, 10 * MIB, 0)
            run.add(f"{tenant} {kind} {number:03}", cost, kind=kind, encode=kind == "encode", tenant=tenant)


def go_on_until(run: Simulation, seconds: float) -> None:
    """Go on to this time."""
    run.fill()
    while run.now < seconds:
        run.go_on()
        run.fill()


def shares(run: Simulation, tenants: str, begin: float) -> list[float]:
    """The part of the CPU-seconds since a time that each tenant had."""
    used = [
        sum(
            max(0.0, run.ended.get(name, run.now) - max(at, begin))
            for name, at in run.began.items()
            if name[0] == tenant
        )
        for tenant in tenants
    ]
    return [one / sum(used) for one in used]


def test_encodes_and_calls_are_shared_by_weight(run: Simulation) -> None:
    """Three to one within a tenth; one that joins begins within the longest job and has its share from then on."""
    fill(run, "a", 60)
    fill(run, "b", 30)
    go_on_until(run, 300.0)
    assert shares(run, "ab", 0.0) == [pytest.approx(0.75, rel=WITHIN), pytest.approx(0.25, rel=WITHIN)]
    joined = run.now
    fill(run, "c", 30)
    go_on_until(run, joined + 300.0)
    first = min(at for name, at in run.began.items() if name[0] == "c")
    assert first - joined <= LONGEST
    expected = [pytest.approx(part, rel=WITHIN) for part in (0.6, 0.2, 0.2)]
    assert shares(run, "abc", joined + LONGEST) == expected


def test_a_tenant_at_its_limit_does_not_hold_up_others(run: Simulation) -> None:
    """It has one job in hand at a time, the next of which says why it waits, and all is done in the end."""
    for number in range(4):
        run.add(f"one {number}", Cost(5.0, MIB, 0), tenant="one")
    run.fill()
    assert run.running == ["one 0"]
    assert run.why() == "the tenant one may have 1 in hand at once, and 1 are"
    run.add("other", Cost(3.0, MIB, 0), tenant="b")
    run.fill()
    assert sorted(run.running) == ["one 0", "other"]
    run.run()
    assert sorted(run.began.values()) == [0.0, 0.0, 5.0, 10.0, 15.0]
