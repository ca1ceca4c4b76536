"""What do threads of this program ask a run of its own? Answered as requests over the socket are, after the commit."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from pyprocessor.control.client import Answer, Request, Verb


@dataclass(slots=True, eq=False)
class Asked:
    """A request of a thread; `future` gets its answer."""

    request: Request
    future: Future[Answer] = field(default_factory=Future)


class OwnRequests:
    """Requests from any thread to one run after another, until it is closed.

    `after_commit` is called by the run's thread once what a turn did is in the journal, before answers are given.
    """

    def __init__(self, after_commit: Callable[[], None]) -> None:
        self._after_commit = after_commit
        self._lock = threading.Lock()
        self._asked: deque[Asked] = deque()
        """Not taken yet."""
        self._open: set[Asked] = set()
        """Not answered yet."""
        self._answers: list[tuple[Asked, Answer]] = []
        self._closed = False
        self.wakeup, self._writer = socket.socketpair()
        """`wakeup` becomes readable when something is asked."""
        self.wakeup.setblocking(False)
        self._writer.setblocking(False)

    def ask(self, request: Request) -> Future[Answer] | None:
        """Ask the run; None where there is none any more."""
        asked = Asked(request)
        asked.future.set_running_or_notify_cancel()  # who waits may give up, but what was asked is answered
        with self._lock:
            if self._closed:
                return None
            self._asked.append(asked)
            self._open.add(asked)
            with contextlib.suppress(BlockingIOError):  # it is full of wake-ups
                self._writer.send(b"!")
        return asked.future

    def take(self) -> list[Asked]:
        """Remove and return what was asked, and empty the wake-up socket."""
        with contextlib.suppress(BlockingIOError):
            while self.wakeup.recv(4096):
                pass
        with self._lock:
            return [self._asked.popleft() for _ in range(len(self._asked))]

    def answer(self, asked: Asked, answer: Answer) -> None:
        """Keep an answer until the turn is committed."""
        self._answers.append((asked, answer))

    def send(self) -> None:
        """Give the answers: the turn is committed."""
        self._after_commit()
        answers, self._answers = self._answers, []
        for asked, answer in answers:
            self._open.discard(asked)
            asked.future.set_result(answer)

    def close(self, over: Answer, *, unless: frozenset[Verb] = frozenset()) -> bool:
        """Take no more, and answer what was not; False, with nothing done, where something of `unless` is asked."""
        with self._lock:
            if self._closed:
                return True
            if any(asked.request.verb in unless for asked in self._asked):
                return False
            self._closed = True
        for asked in self._open:
            asked.future.set_result(over)
        self._asked.clear()
        self._open.clear()
        self.wakeup.close()
        self._writer.close()
        return True
