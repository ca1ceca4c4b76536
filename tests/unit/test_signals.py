"""Signals during a run become orders, and those that came early or come late do no harm."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pyprocessor.control.run_mode import Order
from pyprocessor.control.signals import SignalQueue

SIGNALS = {
    signal.SIGINT: Order.INTERRUPT,
    signal.SIGTERM: Order.TERMINATE,
    signal.SIGHUP: Order.HANG_UP,
    signal.SIGUSR1: Order.PAUSE,
    signal.SIGUSR2: Order.RESUME,
}
PAUSING = {signal.SIGUSR1, signal.SIGUSR2}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the test's own handlers and mask back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_each_signal_asks_for(number: signal.Signals) -> None:
    """Each is one order, taken once, and wakes whoever waits."""
    with SignalQueue() as interrupts:
        assert interrupts.take() == []
        os.kill(os.getpid(), number)
        assert interrupts.wakeup.recv(1, 0x02) != b""  # MSG_PEEK: what wakes the loop is there
        assert interrupts.take() == [SIGNALS[number]]
        assert interrupts.take() == []
        with pytest.raises(BlockingIOError):
            interrupts.wakeup.recv(1)


def test_orders_keep_their_order() -> None:
    """A pause that is taken back is not one that follows its end."""
    with SignalQueue() as interrupts:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert interrupts.take() == [Order.PAUSE, Order.RESUME, Order.PAUSE, Order.INTERRUPT, Order.INTERRUPT]


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    """Where SIGHUP was ignored before, it still is."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with SignalQueue() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.take() == []
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_pause_before_the_run_is_heard_and_one_after_it_ends_nothing() -> None:
    """The command blocks both signals: what came early waits, and what comes late is never delivered."""
    late: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: late.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, PAUSING)
    # To this thread alone: the command has no other, but the program that runs the tests may.
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    with SignalQueue() as interrupts:
        assert interrupts.take() == [Order.PAUSE]
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= PAUSING
    assert signal.sigpending() == {signal.SIGUSR1}
    assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1
    assert late == []
