"""Signals during a run are wishes, told apart by what they ask for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pyprocessor.engine.interrupt import Interrupts, Wish
from pyprocessor.errors import ExitCode


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the test's own handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("sent", "wish", "code"),
    [
        ([signal.SIGINT], Wish.DRAIN, ExitCode.INTERRUPTED),
        ([signal.SIGINT, signal.SIGINT], Wish.END, ExitCode.INTERRUPTED),
        ([signal.SIGTERM], Wish.END, ExitCode.TERMINATED),
        ([signal.SIGHUP], Wish.END, ExitCode.HUNG_UP),
    ],
)
def test_what_each_signal_asks_for(sent: list[signal.Signals], wish: Wish, code: ExitCode) -> None:
    """One Ctrl-C drains; two, a termination or a closed terminal end; the exit code is 128 and the signal."""
    with Interrupts() as interrupts:
        for number in sent:
            os.kill(os.getpid(), number)
        assert (interrupts.wish, interrupts.exit_code) == (wish, code)
        assert code == 128 + sent[-1]


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    """Where SIGHUP was ignored before, it still is."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.wish is Wish.GO_ON
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
