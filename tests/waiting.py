"""How do tests wait: for a state, with a deadline that only a defect reaches, and never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_SECONDS = 240.0
"""Longer than anything takes on a machine that is busy with other things; less than the time limit of a test."""
POLL_SECONDS = 0.02

T = TypeVar("T")


def until(state: Callable[[], T], what: str | Callable[[], object] = "the state") -> T:
    """Call `state` until it returns something true, and return that; fail after the deadline.

    `what` names the state, or is called at the deadline for what there was instead.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := state()):
        assert time.monotonic() < deadline, f"waited in vain for {what}" if isinstance(what, str) else what()
        time.sleep(POLL_SECONDS)
    return value
