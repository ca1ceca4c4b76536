"""For how long a worker may publish after it has heard of its engine."""

from __future__ import annotations

import math

import pytest

from pyprocessor.workers.lease import Lease, LeaseOver


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def is_over(lease: Lease) -> bool:
    try:
        lease.check()
    except LeaseOver:
        return True
    return False


def test_a_message_renews_it() -> None:
    """From the moment at which the pipe was last seen empty."""
    clock = Clock()
    lease = Lease(10.0, clock)
    clock.now = 109.0
    lease.look()
    lease.empty()
    lease.renew()
    clock.now = 118.0
    assert not is_over(lease)
    clock.now = 119.0
    assert is_over(lease)


def test_a_message_that_waited_while_the_process_was_stopped_does_not_renew_it() -> None:
    """It may be as old as the stop is long, and the job may be another worker's since."""
    clock = Clock()
    lease = Lease(10.0, clock)
    clock.now = 5000.0
    lease.renew()
    assert is_over(lease)
    lease.look()
    lease.empty()
    lease.renew()
    assert not is_over(lease)


def test_a_process_that_a_kill_reaches_needs_none() -> None:
    """On this machine the engine ends a worker before it gives the job to another one."""
    clock = Clock()
    lease = Lease(math.inf, clock)
    clock.now = 1e9
    lease.check()


def test_it_ends_while_a_publish_is_prepared() -> None:
    """A disk that hangs while the receipt is written costs the lease."""
    clock = Clock()
    lease = Lease(10.0, clock)
    lease.renew()
    clock.now = 111.0
    with pytest.raises(LeaseOver):
        lease.check()
