"""Which process makes a call? The processes for calls of one worker, of which it keeps idle ones warm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from selectors import BaseSelector

from pyprocessor.system.child_process import End
from pyprocessor.tasks.base import Call
from pyprocessor.workers.call_runner import Answer, CallRunner


class CallRunners:
    """At most as many processes as the worker has slots, but for those that are ending."""

    def __init__(
        self, slots: int, make: Callable[[Call, bool], CallRunner], clock: Callable[[], float], selector: BaseSelector
    ) -> None:
        self._slots = slots
        self._make = make
        """Starts a process for a call, maybe for that one only."""
        self._clock = clock
        self._selector = selector
        self._all: list[CallRunner] = []
        self.used = False

    def __iter__(self) -> Iterator[CallRunner]:
        return iter(tuple(self._all))

    def __bool__(self) -> bool:
        return bool(self._all)

    def start(self, token: str, call: Call, limit_seconds: float, *, alone: bool) -> tuple[CallRunner, bool]:
        """Have a call made, by a process of its own if `alone`; returns the process, and whether it was there before.

        Raises JobError.
        """
        runner = None if alone else next((one for one in self._all if one.has_room_for(call)), None)
        warm = runner is not None
        if runner is None:
            idle = [one for one in self._all if not one.calls and one.usable]
            if idle and sum(one.usable for one in self._all) >= self._slots:
                idle[0].retire()
            runner = self._make(call, alone)
            runner.register(self._selector)
            self._all.append(runner)
            self.used = True
        runner.ask(token, call, limit_seconds)
        return runner, warm

    def poll(self) -> Iterator[tuple[CallRunner, list[Answer], End | None]]:
        """Yield each process with the calls that it has answered and, where it has ended, its end."""
        for runner in self:
            end = runner.poll(self._clock())
            if end is not None:
                self._all.remove(runner)
            elif runner.alone and not runner.calls:
                runner.retire()
            yield runner, runner.answers(), end

    def free(self) -> None:
        """End those that are idle."""
        for runner in self._all:
            if not runner.calls:
                runner.retire()

    @property
    def pids(self) -> set[int]:
        return {runner.identity.pid for runner in self._all}
