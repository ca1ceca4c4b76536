"""How is the inspector asked? A few questions ahead; one that dies or sends nothing is replaced.

That is blamed on the file or job that was open. A first death may have had another cause, so it is asked once more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

from pyprocessor.errors import FailureKind
from pyprocessor.intake.inspector import inspector_main
from pyprocessor.intake.messages import Found, Inspected, Question, Remark, ScanPlan
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.naming import order_key
from pyprocessor.workers.messages import InputAway, Report
from pyprocessor.workers.process import Child

AHEAD = 48
"""Questions sent to the inspector at once: few enough that they always fit its pipe."""
MOST_STARTS = 50
"""Of inspectors, one after the other, before what there is to inspect is done."""
REAP_SECONDS = 0.1
"""How long a killed inspector is waited for: one that waits for a dead file system does not end even then."""

Asked = TypeVar("Asked")


@dataclass(frozen=True, slots=True)
class _Question(Generic[Asked]):
    about: Asked
    question: Question
    died_before: bool = False
    """Whether an inspector has died over it."""


class InspectorClient(Generic[Asked]):
    """One inspector, as long as there is something to list or to inspect; an answer comes with what was `Asked`."""

    def __init__(self, request: RunRequest, context: BaseContext, *, lists: bool = False) -> None:
        self.plan = ScanPlan(request.inputs, request.output, request.profile, time.time_ns(), lists=lists)
        self.process: Child | None = None
        self._context = context
        self._input_named = request.input_named
        self._timeout_seconds = request.profile.errors.inspect_timeout_seconds
        self._to_ask: deque[_Question[Asked]] = deque()
        self._asked: deque[_Question[Asked]] = deque()
        self._is_open = False
        """Whether the inspector has opened the first of those that it was asked."""
        self._last_message = 0.0
        self._starts_left = MOST_STARTS
        self._stopped = False

    @property
    def lists(self) -> bool:
        """Whether the listing is not complete yet."""
        return self.plan.lists

    @property
    def children(self) -> tuple[Child, ...]:
        """The process, where there is one."""
        return (self.process,) if self.process is not None else ()

    @property
    def pending(self) -> int:
        """How many are to be inspected yet."""
        return len(self._to_ask) + len(self._asked)

    def ask(self, about: Asked, question: Question) -> None:
        """Have something inspected; the question is sent with the next `go_on`."""
        self._to_ask.append(_Question(about, question))

    def messages(self, now: float) -> Iterator[tuple[Asked, Inspected] | Found | InputAway | Remark]:
        """Take in what it sent: yields what it lists, and answers with what was asked. Call `go_on` then."""
        if self.process is None:
            return
        try:
            for message in self.process.receive() if self.process.connection.poll(0) else ():
                self._last_message = now
                match message:
                    case Report.OPENING:
                        self._is_open = True
                    case Inspected():
                        self._is_open = False
                        yield self._asked.popleft().about, message
                    case Report.LISTED:
                        self.plan = replace(self.plan, lists=False)
                    case Found(entries):
                        listed = (e.source for e in entries if not isinstance(e, Remark))
                        if seen := [source.relative for source in listed if source is not None]:
                            self.plan = replace(self.plan, resume_after=max(seen, key=order_key))
                        yield message
                    case InputAway():
                        yield message
        except EOFError:
            yield from self._replace("died")
            return
        if (self._is_open or self.lists) and now - self._last_message > self._timeout_seconds:
            yield from self._replace(f"took more than {self._timeout_seconds:.0f} seconds")

    def go_on(self, now: float) -> None:
        """Ask for more; start an inspector where there is none for that, and end one that has done all."""
        if self._stopped:
            return
        if self.process is None and (self._to_ask or self.lists):
            self._last_message = now
            self.process = Child(self._context, inspector_main, self.plan, "pyprocessor-inspector")
        wanted = [self._to_ask.popleft() for _ in range(min(len(self._to_ask), AHEAD - len(self._asked)))]
        if self.process is not None and wanted:
            self._asked += wanted
            self.process.send(tuple(entry.question for entry in wanted))
        elif not self._asked and not self.lists:
            self._end()
            self._starts_left = MOST_STARTS

    def stop(self) -> None:
        """End it: nothing more is to be found."""
        self._stopped = True
        self._end()
        self._to_ask.clear()
        self._asked.clear()

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.remove_dead(REAP_SECONDS)
            self.process = None

    def _replace(self, what: str) -> Iterator[tuple[Asked, Inspected] | Remark]:
        """End an inspector that `what`, and say so of the file or job that it had open; `go_on` starts another."""
        self._end()
        self._starts_left -= 1
        if self._is_open:
            self._is_open = False
            culprit = self._asked.popleft()
            if what == "died" and not culprit.died_before:
                self._to_ask.append(replace(culprit, died_before=True))
            else:
                kind = FailureKind.CRASH if what == "died" else FailureKind.STALL
                yield culprit.about, Inspected(None, kind, f"The process inspecting it {what}.")
        elif what != "died":
            yield Remark(
                f"Listing {self._input_named} {what} without an answer; is it on a network that is down? "
                "The files known up to now are done; run the same command again for the rest.",
                serious=True,
            )
            self.plan = replace(self.plan, lists=False)
            self._starts_left = 0
        self._to_ask.extendleft(reversed(self._asked))
        self._asked.clear()
        if self._starts_left <= 0:
            if self._to_ask or self.lists:
                yield Remark("Inspecting was given up; run the same command again for what is left.", serious=True)
            self._to_ask.clear()
            self._stopped = self.lists
