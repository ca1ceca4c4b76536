"""Ties together what steers a run from outside: signals and the control socket, and the course that follows."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from pyprocessor.control.protocol import Answer
from pyprocessor.control.run_mode import Order, Pause, Remark, RunMode, StopLevel, remark, reply
from pyprocessor.control.server import ControlServer
from pyprocessor.control.signals import SignalQueue
from pyprocessor.models import RunState, RunStatus


class Steering:
    """`course` is what the run was asked to do up to now. `grace_seconds` is what SIGTERM leaves to running files.

    `warn` gets a sentence where there can be no control socket, `announce` every change of course.
    """

    def __init__(
        self,
        folder: bytes,
        interrupts: SignalQueue,
        *,
        warn: Callable[[str], None],
        announce: Callable[[Remark], None],
        grace_seconds: float,
    ) -> None:
        self.course = RunMode()
        self._interrupts = interrupts
        self._announce = announce
        self.grace_seconds = grace_seconds
        self.control = ControlServer(folder)
        if self.control.problem is not None:
            warn(self.control.problem)

    @property
    def is_paused(self) -> bool:
        return self.course.pause > Pause.NONE

    @property
    def is_frozen(self) -> bool:
        return self.course.pause is Pause.FREEZE

    def state(self, *, stopping: bool, waits: bool) -> RunState:
        """What the run is at. `stopping` says that nothing more starts, for whatever reason; `waits` that it is not
        time to begin."""
        if self.course.wish is StopLevel.END:
            return RunState.ENDING
        if self.is_frozen:
            return RunState.PAUSED_NOW
        if stopping:
            return RunState.DRAINING
        if self.is_paused:
            return RunState.PAUSED
        return RunState.WAITING if waits else RunState.RUNNING

    def sources(self, now: float) -> list[Any]:
        """What the loop is to wait on."""
        return [self._interrupts.wakeup, *self.control.sources(now)]

    def take_requests(self, heard: Collection[Any], now: float, standing: Callable[[], RunStatus]) -> None:
        """Take in what was asked since the last time; `standing` is called where somebody wants to know."""
        for signalled in self._interrupts.take():
            self._turn(self.course.after(signalled, now, self.grace_seconds), signalled)
        for client, request in self.control.hear(heard, now):
            order = request.order
            if order is None:
                self.control.answer(client, Answer(True, standing=standing()))
                continue
            before = self.course
            self._turn(before.after(order, now, self.grace_seconds), order)
            self.control.answer(client, Answer(*reply(before, self.course, order, os.getpid())))
        self._turn(self.course.at(now), None)

    def leave_to_responder(self) -> None:
        """To be called first by the thread that is to call `pending_orders`."""
        self._interrupts.leave_to_responder()

    def pending_orders(self) -> list[Order]:
        """What was asked for since the last call, by signals or `ordered`, and the loop, which hangs, has not taken in
        yet. It will do so all the same."""
        return self._interrupts.pending_orders()

    def ordered(self, course: RunMode, order: Order, now: float) -> tuple[bool, str, RunMode]:
        """Queue an order for the next `take_requests`; returns what to answer, and the mode once `course` and it are
        followed."""
        after = course.after(order, now, self.grace_seconds)
        self._interrupts.put(order)
        return *reply(course, after, order, os.getpid()), after

    def answer(self) -> None:
        """Send the answers, once what they tell is in the journal."""
        self.control.send()

    def end_pause(self) -> None:
        """The run stops for a reason of its own: what stands still is to be finished."""
        self._turn(replace(self.course, pause=Pause.NONE), None)

    def close(self) -> None:
        self.control.close()

    def _turn(self, course: RunMode, order: Order | None) -> None:
        told = remark(self.course, course, order, self.grace_seconds)
        self.course = course
        if told is not None:
            self._announce(told)
