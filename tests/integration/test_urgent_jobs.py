"""What is urgent starts next, whatever was assigned before; a large job is not starved; a ceiling holds."""

from __future__ import annotations

import pytest

from pyprocessor.models import Cost
from tests.integration.conftest import Begin
from tests.integration.simulated_calls import MIB

KINDS = {
    "encodes": (Cost(10.0, 100 * MIB, 0), True),
    "long calls": (Cost(5.0, 10 * MIB, 0), False),
    "short calls": (Cost(0.05, 10 * MIB, 0), False),
    "calls of no length": (Cost(0.0005, 10 * MIB, 0), False),
    "downloads": (Cost(0.01, 10 * MIB, 0, wait_seconds=5.0), False),
}


@pytest.mark.parametrize("urgent", KINDS)
@pytest.mark.parametrize("low", KINDS)
def test_what_is_urgent_is_the_next_to_start(begin: Begin, low: str, urgent: str) -> None:
    """Though processes were given, and sent, many others of a lower priority before it came."""
    run = begin(cores=2)
    cost, encode = KINDS[low]
    for number in range(600):
        run.add(f"low {number:03}", cost, encode=encode, priority=7)
    run.fill()
    for _ in range(3):
        run.go_on()
        run.fill()
    cost, encode = KINDS[urgent]
    run.add("urgent", cost, kind="other", encode=encode)
    begun = set(run.began)
    for _ in range(10):
        run.fill()
        if new := set(run.began) - begun:
            break
        run.go_on()
    # Where several slots were free at once, others may begin with it.
    assert "urgent" in new
    run.fill()
    assert run.running
    run.run()


@pytest.mark.parametrize("encode", [True, False])
def test_a_large_job_is_not_starved_by_small_ones(begin: Begin, encode: bool) -> None:
    """Small ones keep coming; memory is kept for the large one, which begins once those before it have ended."""
    run = begin(cores=4, memory=1000)
    small, large = Cost(5.0, 150 * MIB, 0), Cost(5.0, 800 * MIB, 0)
    for number in range(8):
        run.add(f"small {number}", small, encode=encode, priority=5)
    run.fill()
    run.add("large", large, kind="large", priority=0)
    came = run.now
    for number in range(8, 60):
        run.add(f"small {number}", small, encode=encode, priority=5)
        run.go_on()
        run.fill()
        if "large" in run.began:
            break
    else:
        pytest.fail("the large job was starved")
    assert run.began["large"] - came <= 2 * small.cpu_seconds
    run.run()


def test_calls_do_not_wait_behind_one_that_takes_for_ever(begin: Begin) -> None:
    """They were given to its process when it was thought to be short; they run in another, and so do later ones."""
    run = begin(cores=2, most_jobs=8, looks=True)
    short = Cost(0.001, 10 * MIB, 0)
    run.add("endless", short)
    run.said["endless"] = Cost(1000.0, 10 * MIB, 0)
    run.fill()
    for number in range(300):
        run.add(f"short {number}", short)
    run.fill()
    while len(run.running) > 1:  # what was not given to its process
        run.go_on()
        run.fill()
    assert len(run.ended) < 300
    run.now = 2.0
    run.fill()
    run.add("later", short)
    run.run()
    assert max(end for name, end in run.ended.items() if name != "endless") < 10.0


def test_a_job_that_came_alone_keeps_no_cores_from_those_that_come_later(begin: Begin) -> None:
    """It may have threads for all of them; where nothing can be added it keeps them to its end."""
    began = {}
    for most in (8, None):
        run = begin(cores=2, most_jobs=most, looks=True)
        run.add("first", Cost(100.0, 10 * MIB, 0))
        run.fill()
        run.add("second", Cost(1.0, 10 * MIB, 0), kind="other")
        run.fill()
        run.run()
        began[most] = run.began["second"]
    assert began == {8: 0.0, None: 100.0}


def test_no_more_run_than_the_user_lets(begin: Begin) -> None:
    """Those that compute and those that wait together."""
    run = begin(cores=2, most_jobs=3)
    for name, (cost, encode) in KINDS.items():
        for number in range(10):
            run.add(f"{name} {number}", cost, kind=name, encode=encode)
    most = 0
    while True:
        run.fill()
        most = max(most, len(run.running))
        assert len(run.running) <= 3
        if not run.running:
            break
        run.go_on()
    assert most == 3
    run.run()
