"""What is there to do? Turns the inspector's reports into findings about files, and replaces one that hangs.

What becomes of one file `classify` decides, from a journal that is read and never written, so that the same code serves
a run and `--plan`. An inspector that dies or sends nothing is blamed on the file that was open.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from pyprocessor.errors import FailureKind
from pyprocessor.intake.classify import Classifier, Costs, Finding, SettledBefore
from pyprocessor.intake.inspector import inspector_main
from pyprocessor.intake.messages import (
    Candidate,
    Compare,
    Compared,
    Found,
    Inspected,
    PassedOver,
    Remark,
    ScanPlan,
)
from pyprocessor.intake.output_location import KnownOutputs, OutputLocation, SameFileUnknown
from pyprocessor.intake.scan import order_key
from pyprocessor.models import Source, display
from pyprocessor.models.run import RunRequest
from pyprocessor.tasks.base import Task
from pyprocessor.workers.messages import Command, InputAway, Report
from pyprocessor.workers.process import Child

REQUESTS_AHEAD = 48
"""Requests sent to the inspector at once: few enough that they always fit its pipe."""
MOST_INSPECTOR_STARTS = 50
REAP_SECONDS = 0.1
"""How long a killed inspector is waited for: one that waits for a dead file system does not end even then."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A file to inspect, or to compare with `other` before its place is known; `answers` are earlier ones."""

    candidate: Candidate
    place: OutputLocation | None = None
    other: bytes = b""
    answers: Mapping[bytes, bool] = field(default_factory=dict)


class Discovery:
    """Findings about the input, as they come. Call `handle` and `check` from `begin` until `finished`.

    With `lists` false it lists nothing, and is given what somebody else found by `arrived`. Files of jobs that are
    `in_hand`, or about which the inspector is being asked, are looked at again when that is over.
    """

    def __init__(
        self,
        request: RunRequest,
        task: Task,
        costs: Costs,
        memory: KnownOutputs,
        context: BaseContext,
        now: float,
        *,
        lists: bool = True,
        in_hand: Collection[str] = frozenset(),
    ) -> None:
        self._run = request
        self._classifier = Classifier(request, task, costs, memory)
        self._context = context
        self._plan = ScanPlan(request.inputs, request.output, request.profile, time.time_ns(), lists=lists)
        self.files = 0
        self._bytes_to_inspect = 0
        self._bytes_inspected = 0
        self._lists = lists
        self._in_hand = in_hand
        self._asking: dict[bytes, Source] = {}
        self._held: dict[bytes, tuple[str, Candidate | PassedOver]] = {}
        self._to_ask: deque[_Request] = deque()
        self._asked: dict[bytes, _Request] = {}
        self._compares = True
        self._suspects: set[bytes] = set()
        self._left_announced = False
        self._open: Source | None = None
        self._last_message = now
        self._starts_left = MOST_INSPECTOR_STARTS
        self._inspector: Child | None = None

    def begin(self, now: float) -> None:
        self._start_inspector(now)

    def _start_inspector(self, now: float) -> None:
        self._last_message = now
        self._inspector = Child(self._context, inspector_main, self._plan, "pyprocessor-inspector")

    @property
    def listed(self) -> bool:
        """Whether the listing is complete."""
        return not self._lists

    @property
    def away(self) -> bool:
        """Whether the input is gone for now: never, as a run that does not watch ends then."""
        return False

    @property
    def finished(self) -> bool:
        """Whether everything was listed and inspected; the inspector is then gone."""
        return self._inspector is None

    @property
    def complete(self) -> bool:
        """Whether all that is known to be there was listed and inspected."""
        return self.finished

    @property
    def pending(self) -> int:
        """How many files were listed and are still to be inspected."""
        return len(self._to_ask) + len(self._asked)

    @property
    def pending_ratio(self) -> float:
        """Bytes of the files that are still to be inspected over the bytes of those that were."""
        return self._bytes_to_inspect / max(1, self._bytes_inspected)

    def _children(self) -> tuple[Child, ...]:
        return (self._inspector,) if self._inspector is not None else ()

    @property
    def busy(self) -> bool:
        return False

    def doubt(self) -> bool:
        return False

    @property
    def connections(self) -> list[Connection]:
        return [child.connection for child in self._children()]

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._children()]

    def handle(self, now: float) -> Iterator[Finding]:
        """Take in the inspector's messages. Call it only when one of `connections` is ready."""
        if self._inspector is None:
            return
        try:
            for message in self._inspector.receive():
                self._last_message = now
                match message:
                    case Found(entries):
                        yield from self._found(entries)
                    case Report.LISTED:
                        self._lists = False
                    case InputAway():
                        yield message
                    case Source():
                        self._open = message
                    case Inspected() | Compared():
                        self._open = None
                        request = self._asked.pop(message.source.path, None)
                        if request is not None:
                            yield from self._answered(request, message)
        except EOFError:
            yield from self._replace_inspector("died", now)
        self._ask_for_more()

    def check(self, now: float) -> Iterator[Finding]:
        """Replace an inspector that has been silent over a file or a folder for too long."""
        if self._inspector is None:
            return
        timeout = self._run.profile.errors.inspect_timeout_seconds
        if (self._open is not None or self._lists) and now - self._last_message > timeout:
            yield from self._replace_inspector(f"took more than {timeout:.0f} seconds", now)
        self._ask_for_more()

    def arrived(self, entries: Collection[Candidate | PassedOver], now: float) -> Iterator[Finding]:
        """Take in what somebody else found."""
        self.files += len(entries)
        for entry in entries:
            yield from self._arrived(entry)
        self._begin_asking(now)

    def take_up_held(self, now: float) -> Iterator[Finding]:
        """Look again at what was held and is no longer in hand."""
        free = [p for p, (job, _) in self._held.items() if job not in self._in_hand and p not in self._asking]
        for path in free:
            yield from self._arrived(self._held.pop(path)[1])
        if free:
            self._begin_asking(now)

    def _arrived(self, entry: Candidate | PassedOver) -> Iterator[Finding]:
        source = entry.source
        if source is not None:
            row = self._classifier.row(source)
            busy = row.source if row is not None and row.id in self._in_hand else None
            known = self._asking.get(source.path, busy)
            if known is not None:
                self._hold(entry, source, row.id if row is not None else "", known)
                return
        yield from self._entry(entry)

    def _entry(self, entry: Candidate | PassedOver) -> Iterator[Finding]:
        if isinstance(entry, Candidate):
            yield from self._candidate(entry, {})
        else:
            yield self._classifier.passed_over(entry)

    def _hold(self, entry: Candidate | PassedOver, source: Source, job: str, known: Source) -> None:
        """Hold a file that is in hand, unless it is still as it is `known`."""
        if (source.size_bytes, source.mtime_ns) != (known.size_bytes, known.mtime_ns):
            self._held[source.path] = (job, entry)
        else:
            self._held.pop(source.path, None)

    def _begin_asking(self, now: float) -> None:
        if self._to_ask and self._inspector is None:
            self._starts_left = MOST_INSPECTOR_STARTS
            self._start_inspector(now)
        self._ask_for_more()

    def stop(self) -> None:
        """End the inspector: nothing more is to be found."""
        self._kill_inspector()
        self._to_ask.clear()
        self._asking.clear()
        self._asked.clear()

    # ------------------------------------------------------------ the inspector

    def _kill_inspector(self) -> None:
        if self._inspector is not None:
            self._inspector.kill()
            self._inspector.remove_dead(REAP_SECONDS)
            self._inspector = None

    def _ask_for_more(self) -> None:
        if self._inspector is None:
            return
        wanted: list[Source | Compare] = []
        while self._to_ask and len(self._asked) < REQUESTS_AHEAD:
            request = self._to_ask.popleft()
            source = request.candidate.source
            self._asked[source.path] = request
            wanted.append(Compare(source, request.other) if request.other else source)
        if wanted:
            self._inspector.send(tuple(wanted))
        elif not self._lists and not self._asked:
            self._inspector.send(Command.CLOSE)
            if not self._inspector.join(5.0):
                self._inspector.kill()
                self._inspector.remove_dead(5.0)
            self._inspector.connection.close()
            self._inspector = None

    def _replace_inspector(self, what: str, now: float) -> Iterator[Finding]:
        self._kill_inspector()
        self._starts_left -= 1
        culprit, self._open = self._open, None
        request = self._asked.pop(culprit.path, None) if culprit is not None else None
        if request is not None:
            yield from self._charge(request, what)
        elif what != "died":
            yield Remark(
                f"Listing {self._run.input_named} {what} without an answer; is it on a network that is down? "
                "The files known up to now are done; run the same command again for the rest.",
                serious=True,
            )
            self._lists = False
            self._starts_left = 0
        self._to_ask.extendleft(reversed(self._asked.values()))
        self._asked.clear()
        if self._starts_left > 0:
            # A complete listing is not walked again: resuming after the last file ends at once.
            self._start_inspector(now)
            return
        if self._to_ask or self._lists:
            text = "Inspecting was given up; run the same command again for the files that are left."
            yield Remark(text, serious=True)
        self._to_ask.clear()
        self._asking.clear()

    def _charge(self, request: _Request, what: str) -> Iterator[Finding]:
        """An inspector ended or fell silent over a file; a first death may have had another cause."""
        source = request.candidate.source
        if what == "died" and source.path not in self._suspects:
            self._suspects.add(source.path)
            self._to_ask.append(request)
        elif request.other:
            # Where the other path leads does not answer, so no more files are compared with such paths.
            self._compares = False
            yield from self._answered(request, Compared(source, same=False))
        else:
            kind = FailureKind.CRASH if what == "died" else FailureKind.STALL
            failed = Inspected(source, None, kind, f"The process inspecting it {what}.")
            yield self._inspected(request, failed, fresh=True)

    # ------------------------------------------------------------ one file

    def _found(self, entries: Collection[Candidate | PassedOver | Remark]) -> Iterator[Finding]:
        for entry in entries:
            if isinstance(entry, Remark):
                yield entry
                continue
            self.files += 1
            if entry.source is not None:
                relative = entry.source.relative
                after = self._plan.resume_after
                if after is None or order_key(relative) > order_key(after):
                    self._plan = replace(self._plan, resume_after=relative)
            yield from self._entry(entry)

    def _answered(self, request: _Request, answer: Inspected | Compared) -> Iterator[Finding]:
        if isinstance(answer, Inspected):
            yield self._inspected(request, answer, fresh=True)
        else:
            yield from self._candidate(request.candidate, {**request.answers, request.other: answer.same})

    def _candidate(self, candidate: Candidate, answers: Mapping[bytes, bool]) -> Iterator[Finding]:
        """Yield what the journal and the output folder say of it; nothing where the inspector has to be asked."""
        source = candidate.source
        self._asking.pop(source.path, None)
        try:
            found = self._classifier.place(candidate, answers)
        except SameFileUnknown as unknown:
            if self._compares:
                self._ask(_Request(candidate, other=unknown.other, answers=answers))
            else:
                yield from self._candidate(candidate, {**answers, unknown.other: False})
            return
        row = found.row
        if row is not None and row.id in self._in_hand:
            self._hold(candidate, source, row.id, row.source)
            return
        if row is not None and self._classifier.failed_the_same(row, source):
            yield SettledBefore(row)
            return
        if found.left is not None and not self._left_announced:
            self._left_announced = True
            yield Remark(
                f"{display(found.left)} is in another folder or format than what is made now and stays as it is, "
                f"beside {display(found.output)}; so do others like it."
            )
        request = _Request(candidate, found)
        if (known := self._classifier.known(source, found)) is not None:
            yield known
        elif (cached := self._classifier.cached(source)) is None:
            self._ask(request)
        else:
            answer = Inspected(source, cached.media, cached.failure, cached.message)
            yield self._inspected(request, answer, fresh=False)

    def _ask(self, request: _Request) -> None:
        self._to_ask.append(request)
        self._asking[request.candidate.source.path] = request.candidate.source
        self._bytes_to_inspect += 0 if request.other else request.candidate.source.size_bytes

    def _inspected(self, request: _Request, answer: Inspected, *, fresh: bool) -> Finding:
        source = answer.source
        assert request.place is not None
        self._asking.pop(source.path, None)
        self._bytes_to_inspect -= source.size_bytes if fresh else 0
        self._bytes_inspected += source.size_bytes
        return self._classifier.inspected(request.place, answer, fresh=fresh)
