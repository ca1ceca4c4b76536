"""Has anybody asked the run to pause, to stop, or how it stands? The engine's loop asks this module only."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Protocol, Self

from pyprocessor.control.protocol import Answer
from pyprocessor.control.run_mode import Order, Pause, RunMode, StopLevel, notice, reply
from pyprocessor.control.server import ControlServer
from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import StallResponder, Surroundings
from pyprocessor.models import RunState, RunStatus


class Notify(Protocol):
    """Shows a sentence to the user and stores it; `kind` is for programs."""

    def __call__(self, level: str, text: str, *, kind: str | None = None) -> None: ...


class RunControl:
    """Signals, the control socket and the stand-in for a loop that hangs; a context for as long as the loop runs.

    `mode` is what was asked of the run up to now, `grace_seconds` what SIGTERM leaves to running files.
    """

    def __init__(
        self,
        folder: bytes,
        signals: SignalQueue,
        notify: Notify,
        grace_seconds: float,
        surroundings: Surroundings,
    ) -> None:
        self.mode = RunMode()
        self._signals = signals
        self._notify = notify
        self._grace_seconds = grace_seconds
        self._server = ControlServer(folder)
        self._responder = StallResponder(self._server, signals, lambda: self.mode, grace_seconds, surroundings)
        if self._server.problem is not None:
            notify("warning", self._server.problem)

    def __enter__(self) -> Self:
        self._responder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._responder.stop()

    @property
    def is_paused(self) -> bool:
        return self.mode.pause > Pause.NONE

    @property
    def is_frozen(self) -> bool:
        return self.mode.pause is Pause.FREEZE

    def state(self, *, stopping: bool, waits: bool) -> RunState:
        """Return the run's state; `stopping` says that nothing more starts, `waits` that it is not time to begin."""
        if self.mode.stop is StopLevel.END:
            return RunState.ENDING
        if self.is_frozen:
            return RunState.PAUSED_NOW
        if stopping:
            return RunState.DRAINING
        if self.is_paused:
            return RunState.PAUSED
        return RunState.WAITING if waits else RunState.RUNNING

    def wait(self, connections: Iterable[Any], now: float, timeout_seconds: float) -> Collection[Any]:
        """Wait for a signal, a request or one of these connections; returns what is ready."""
        self._responder.set_waiting(True)
        ready = wait([self._signals.wakeup, *self._server.sources(now), *connections], timeout=timeout_seconds)
        self._responder.set_waiting(False)
        return ready

    def take_requests(self, ready: Collection[Any], now: float, status: Callable[[], RunStatus]) -> None:
        """Carry out signals and requests among what is `ready`; answers to orders wait for `send_answers`."""
        recovered = self._responder.recovered()
        if recovered is not None:
            self._notify("info", recovered)
        for order in self._signals.take():
            self._enter(self.mode.after(order, now, self._grace_seconds), order)
        for client, request in self._server.requests(ready, now):
            if request.order is None:
                # At once: all that it tells was committed by earlier turns, and this one may hang before it commits.
                self._server.answer(client, Answer(True, standing=status()), at_once=True)
                continue
            before = self.mode
            self._enter(before.after(request.order, now, self._grace_seconds), request.order)
            self._server.answer(client, Answer(*reply(before, self.mode, request.order, os.getpid())))
        self._enter(self.mode.at(now), None)

    def send_answers(self) -> None:
        """Send the answers; to be called once what they say is in the journal."""
        self._server.send()

    def end_pause(self) -> None:
        """End a pause because the run stops: frozen files are to be finished."""
        self._enter(replace(self.mode, pause=Pause.NONE), None)

    def close(self) -> None:
        self._server.close()

    def _enter(self, mode: RunMode, order: Order | None) -> None:
        change = notice(self.mode, mode, order, self._grace_seconds)
        self.mode = mode
        if change is not None:
            kind, level, text = change
            self._notify(level, text, kind=kind)
