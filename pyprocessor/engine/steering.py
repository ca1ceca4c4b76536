"""Ties together what steers a run from outside: signals and the control socket, and the course that follows."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from pyprocessor.engine.control import Control
from pyprocessor.engine.course import Course, Order, Pause, Wish, remark, reply
from pyprocessor.engine.interrupt import Interrupts
from pyprocessor.engine.ledger import Ledger
from pyprocessor.engine.protocol import Answer
from pyprocessor.models import RunState, Standing


class Steering:
    """`course` is what the run was asked to do up to now. `grace_seconds` is what SIGTERM leaves to running files."""

    def __init__(self, folder: bytes, interrupts: Interrupts, ledger: Ledger, grace_seconds: float) -> None:
        self.course = Course()
        self._interrupts = interrupts
        self._ledger = ledger
        self.grace_seconds = grace_seconds
        self.control = Control(folder)
        if self.control.problem is not None:
            ledger.notice("warning", self.control.problem)

    @property
    def is_paused(self) -> bool:
        return self.course.pause > Pause.NONE

    @property
    def is_frozen(self) -> bool:
        return self.course.pause is Pause.FREEZE

    def state(self, *, stopping: bool, waits: bool) -> RunState:
        """What the run is at. `stopping` says that nothing more starts, for whatever reason; `waits` that it is not
        time to begin."""
        if self.course.wish is Wish.END:
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

    def heed(self, heard: Collection[Any], now: float, standing: Callable[[], Standing]) -> None:
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

    def deaf(self) -> None:
        """To be called first by the thread that is to call `overheard`."""
        self._interrupts.deaf()

    def overheard(self) -> list[Order]:
        """What was asked for since the last call, by signals or `ordered`, and the loop, which hangs, has not taken in
        yet. It will do so all the same."""
        return self._interrupts.overheard()

    def ordered(self, course: Course, order: Order, now: float) -> tuple[bool, str, Course]:
        """Take down an order for the next `heed`, on a course that is still to be followed: what to answer, and the
        course then."""
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

    def _turn(self, course: Course, order: Order | None) -> None:
        told = remark(self.course, course, order, self.grace_seconds)
        self.course = course
        if told is not None:
            self._ledger.steered(told)
