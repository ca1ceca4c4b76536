"""SIGINT, SIGTERM and SIGHUP while a run goes on: taken note of, and the loop woken, never acted on in the handler."""

from __future__ import annotations

import signal
import socket
import threading
from enum import IntEnum
from types import FrameType, TracebackType
from typing import Any, Self

from pyprocessor.errors import ExitCode

_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Wish(IntEnum):
    """How a run is asked to stop."""

    GO_ON = 0
    DRAIN = 1
    """Finish what runs, start nothing new."""
    END = 2
    """End what runs."""


class Interrupts:
    """Context in which SIGINT asks to drain, a second one, SIGTERM and SIGHUP to end; deaf outside the main thread.

    Where SIGHUP was ignored, as `nohup` has it, it still is.
    """

    def __init__(self) -> None:
        self.wish = Wish.GO_ON
        self.exit_code = ExitCode.INTERRUPTED
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._previous: dict[int, Any] = {}
        self._previous_wakeup = -1

    @property
    def wakeup(self) -> socket.socket:
        """Becomes readable when a signal came."""
        return self._reader

    def drain_wakeup(self) -> None:
        """Empty the wake-up socket."""
        try:
            while self._reader.recv(512):
                pass
        except BlockingIOError:
            return

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            for number in _HEEDED:
                if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._previous:
            signal.set_wakeup_fd(self._previous_wakeup)
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT:
            self.wish = Wish.END if self.wish >= Wish.DRAIN else Wish.DRAIN
        else:
            self.exit_code = ExitCode.TERMINATED if number == signal.SIGTERM else ExitCode.HUNG_UP
            self.wish = Wish.END
