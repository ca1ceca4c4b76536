"""Which signals came while a run goes on? The handler only stores each as an order and wakes the loop."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Self

from pyprocessor.control.run_mode import Order

_ORDERS = {
    int(signal.SIGINT): Order.INTERRUPT,
    int(signal.SIGTERM): Order.TERMINATE,
    int(signal.SIGHUP): Order.HANG_UP,
    int(signal.SIGUSR1): Order.PAUSE,
    int(signal.SIGUSR2): Order.RESUME,
}
_PAUSING = {number for number, order in _ORDERS.items() if order in (Order.PAUSE, Order.RESUME)}


class SignalQueue:
    """Context in which signals become orders, in the order they came; outside the main thread only `put` adds any.

    A SIGHUP that was ignored (`nohup`) stays so. SIGUSR1 and SIGUSR2, which the command blocks, are unblocked here.
    """

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        """The last signal that asked the run to stop."""
        self._orders: deque[Order] = deque()
        self._peeked = 0
        """How many of them `peek` has returned."""
        self._lock = threading.Lock()
        """Never taken in the handler, which may interrupt whoever holds it."""
        self.wakeup, self._writer = socket.socketpair()
        """`wakeup` becomes readable when a signal came."""
        self.wakeup.setblocking(False)
        self._writer.setblocking(False)
        self._previous: dict[int, Any] = {}
        self._previous_wakeup = -1
        self._blocked: set[int] = set()

    def take(self) -> list[Order]:
        """Remove and return all orders, and empty the wake-up socket."""
        with contextlib.suppress(BlockingIOError):
            while self.wakeup.recv(512):
                pass
        with self._lock:
            self._peeked = 0
            return [self._orders.popleft() for _ in range(len(self._orders))]

    def _came(self, number: int) -> None:
        if number not in _PAUSING:
            self.stopped_by = number
        self.put(_ORDERS[number])

    def put(self, order: Order) -> None:
        """Add an order as if a signal had brought it."""
        self._orders.append(order)

    def block_in_this_thread(self) -> None:
        """Prepare the calling thread for `peek`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)

    def peek(self) -> list[Order]:
        """Return orders that were neither taken nor returned before; for another thread than the main.

        It fetches signals from the system, which delivers none to a main thread that waits for a disk.
        """
        while self._previous and hasattr(signal, "sigtimedwait"):  # which macOS does not have
            caught = signal.sigtimedwait(self._previous, 0)
            if caught is None:
                break
            self._came(caught.si_signo)
        with self._lock:
            orders = list(self._orders)[self._peeked :]
            self._peeked += len(orders)
        return orders

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            with _all_blocked() as mask:
                self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
                for number, order in _ORDERS.items():
                    if order is Order.HANG_UP and signal.getsignal(number) is signal.SIG_IGN:
                        continue
                    self._previous[number] = signal.signal(number, lambda came, _: self._came(came))
                self._blocked = mask & _PAUSING
                mask -= _PAUSING
        return self

    def __exit__(self, *_: object) -> None:
        with _all_blocked() as mask:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            if self._previous:
                signal.set_wakeup_fd(self._previous_wakeup)
            self.wakeup.close()
            self._writer.close()
            # A late one must not end the program while it prints the summary.
            mask |= self._blocked


@contextlib.contextmanager
def _all_blocked() -> Iterator[set[int]]:
    """Block our signals inside this context; its value is the set that is blocked afterwards."""
    mask: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS))
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
