"""Signals while a run goes on: taken note of, and the loop woken, never acted on in the handler.

SIGINT, SIGTERM, SIGHUP    stop (see `course`)
SIGUSR1, SIGUSR2           pause, resume
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from pyprocessor.control.run_mode import Order

_ORDERS = {
    "SIGINT": Order.INTERRUPT,
    "SIGTERM": Order.TERMINATE,
    "SIGHUP": Order.HANG_UP,
    "SIGUSR1": Order.PAUSE,
    "SIGUSR2": Order.RESUME,
}
"""By name, since not every system has them all."""
_HEEDED = {int(getattr(signal, name)): order for name, order in _ORDERS.items() if hasattr(signal, name)}
_PAUSING = {number for number, order in _HEEDED.items() if order in (Order.PAUSE, Order.RESUME)}


class SignalQueue:
    """Context in which signals become orders, in the order they came; deaf outside the main thread.

    Where SIGHUP was ignored, as `nohup` has it, it still is. SIGUSR1 and SIGUSR2, which the command blocks from its
    first moment because they would end it, are let through here; those that came before are heard now.
    """

    def __init__(self) -> None:
        self._came: deque[Order] = deque()
        self._overheard = 0
        """How many of them `pending_orders` has told of."""
        self._lock = threading.Lock()
        """Never taken in the handler, which may interrupt whoever holds it."""
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._previous: dict[int, Any] = {}
        self._previous_wakeup = -1
        self._blocked: set[int] = set()

    @property
    def wakeup(self) -> socket.socket:
        """Becomes readable when a signal came."""
        return self._reader

    def take(self) -> list[Order]:
        """What was asked for since the last call; empties the wake-up socket."""
        try:
            while self._reader.recv(512):
                pass
        except BlockingIOError:
            pass
        orders: list[Order] = []
        with self._lock:
            self._overheard = 0
            while self._came:
                orders.append(self._came.popleft())
        return orders

    def leave_to_responder(self) -> None:
        """To be called first by the thread that is to call `pending_orders`."""
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)

    def pending_orders(self) -> list[Order]:
        """What signals asked for since the last call and was not taken yet, as the main thread hangs; for another
        thread. The main thread takes it all the same when it is back."""
        # A signal for a thread that waits for a disk is not delivered until that answers. This one takes its place, so
        # that the same one can come once more: the system keeps but one of a kind.
        while self._previous and hasattr(signal, "sigtimedwait"):
            caught = signal.sigtimedwait(self._previous, 0)
            if caught is None:
                break
            self._came.append(_HEEDED[caught.si_signo])
        with self._lock:
            orders = list(self._came)[self._overheard :]
            self._overheard += len(orders)
        return orders

    def put(self, order: Order) -> None:
        """Have an order taken by the next `take` as if a signal had brought it."""
        self._came.append(order)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            with _held_back() as mask:
                self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
                for number in _HEEDED:
                    if _HEEDED[number] is Order.HANG_UP and signal.getsignal(number) is signal.SIG_IGN:
                        continue
                    self._previous[number] = signal.signal(number, self._note)
                self._blocked = mask & _PAUSING
                mask -= _PAUSING
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _held_back() as mask:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            if self._previous:
                signal.set_wakeup_fd(self._previous_wakeup)
            self._reader.close()
            self._writer.close()
            # One that comes late is not to end the program while it sums up.
            mask |= self._blocked

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._came.append(_HEEDED[number])


@contextlib.contextmanager
def _held_back() -> Iterator[set[int]]:
    """Deliver no signal of ours before the end of this context, whose value is what the thread then blocks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield set()
        return
    mask: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED))
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
