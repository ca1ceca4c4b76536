"""How does a run stop and pause, step by step, and what does it say?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.control.run_mode import Order, Pause, RunMode, StopLevel, notice, reply
from pyprocessor.errors import ExitCode

GRACE = 10.0
INTERRUPT, TERMINATE, HANG_UP = Order.INTERRUPT, Order.TERMINATE, Order.HANG_UP


def after(*orders: Order, grace: float = GRACE) -> RunMode:
    """The mode after these orders, all given at the time 100."""
    mode = RunMode()
    for order in orders:
        mode = mode.after(order, 100.0, grace)
    return mode


@pytest.mark.parametrize(
    ("orders", "stop", "code", "end_at"),
    [
        ([INTERRUPT], StopLevel.DRAIN, 130, math.inf),
        ([INTERRUPT, INTERRUPT], StopLevel.END, 130, math.inf),
        ([TERMINATE], StopLevel.DRAIN, 143, 110.0),
        ([TERMINATE, TERMINATE], StopLevel.END, 143, 110.0),
        ([INTERRUPT, TERMINATE], StopLevel.DRAIN, 143, 110.0),
        ([TERMINATE, INTERRUPT], StopLevel.END, 143, 110.0),
        ([HANG_UP], StopLevel.END, 129, math.inf),
        ([Order.STOP], StopLevel.DRAIN, 130, math.inf),
        ([Order.STOP, Order.STOP], StopLevel.DRAIN, 130, math.inf),
        ([Order.STOP, INTERRUPT], StopLevel.END, 130, math.inf),
        ([Order.STOP, TERMINATE], StopLevel.DRAIN, 143, 110.0),
        ([Order.END], StopLevel.END, 130, math.inf),
        ([Order.END, INTERRUPT, Order.STOP], StopLevel.END, 130, math.inf),
    ],
)
def test_how_a_run_is_stopped(orders: list[Order], stop: StopLevel, code: int, end_at: float) -> None:
    """One Ctrl-C, `stop` and SIGTERM drain, the last within a time; a second signal ends; codes are 128 + signal."""
    mode = after(*orders)
    assert (mode.stop, mode.exit_code, mode.end_at) == (stop, ExitCode(code), end_at)


def test_no_grace_is_an_end_at_once() -> None:
    """With `--grace 0` SIGTERM waits for nothing."""
    assert after(TERMINATE, grace=0.0).stop is StopLevel.END


def test_the_grace_is_over() -> None:
    """What drains after SIGTERM is ended when its time has come, and not before; a plain drain has no such time."""
    mode = after(TERMINATE)
    assert mode.at(109.9) is mode
    assert mode.at(110.0).stop is StopLevel.END
    assert after(INTERRUPT).at(1e9).stop is StopLevel.DRAIN


@pytest.mark.parametrize(
    ("orders", "pause"),
    [
        ([Order.PAUSE], Pause.HOLD),
        ([Order.FREEZE], Pause.FREEZE),
        ([Order.PAUSE, Order.FREEZE], Pause.FREEZE),
        ([Order.FREEZE, Order.PAUSE], Pause.FREEZE),
        ([Order.FREEZE, Order.RESUME], Pause.NONE),
        ([Order.PAUSE, Order.RESUME, Order.RESUME], Pause.NONE),
        ([Order.FREEZE, Order.STOP], Pause.NONE),
        ([Order.FREEZE, TERMINATE], Pause.NONE),
        ([Order.STOP, Order.PAUSE], Pause.NONE),
        ([Order.STOP, Order.FREEZE], Pause.NONE),
    ],
)
def test_how_a_run_is_paused(orders: list[Order], pause: Pause) -> None:
    """A pause never wakes what stands still, resuming undoes both, and what stops a run ends its pause."""
    assert after(*orders).pause is pause


@given(st.lists(st.sampled_from(Order)), st.floats(0, 20))
def test_whatever_comes(orders: list[Order], grace: float) -> None:
    """A run never takes back that it stops, is never paused while it does, and every change of it is told once."""
    mode = RunMode()
    for order in orders:
        following = mode.after(order, 100.0, grace)
        assert following.stop >= mode.stop
        assert following.end_at <= mode.end_at
        assert following.stop is StopLevel.GO_ON or following.pause is Pause.NONE
        changed = (following.stop, following.pause, following.end_at) != (mode.stop, mode.pause, mode.end_at)
        told = notice(mode, following, order, grace)
        assert (told is not None) == changed
        assert reply(mode, following, order, 1)[1].endswith(".")
        mode = following


def test_what_is_told() -> None:
    """Each sentence says what happens to running files and what to do next."""
    go_on = RunMode()
    said = {
        order: (notice(go_on, after(order), order, GRACE), reply(go_on, after(order), order, 7)[1]) for order in Order
    }
    told = {order: change[2] for order, (change, _) in said.items() if change is not None}
    assert told[INTERRUPT] == "Stopping: running files are finished first; interrupt again to end them now."
    assert told[Order.STOP] == "Stopping: running files are finished first; `pyprocessor stop --now` ends them now."
    assert told[TERMINATE] == "Stopping: running files have 10 s to finish, then they are ended and wait."
    assert told[Order.END] == "Stopping now; the same command goes on from here."
    assert told[Order.PAUSE].startswith("Paused: running files are finished")
    assert told[Order.FREEZE].startswith("Paused: running files are suspended")
    assert Order.RESUME not in told
    assert said[Order.RESUME][1] == "The run (process 7) was not paused."
    stopping = after(Order.STOP)
    assert reply(stopping, stopping, Order.PAUSE, 7) == (
        False,
        "The run (process 7) is stopping; there is nothing to pause or resume.",
    )
    over = notice(after(TERMINATE), after(TERMINATE).at(200.0), None, GRACE)
    assert over is not None
    assert over[2].startswith("The time to finish is over")
