"""What is there to do? Turns the inspector's reports into findings about files.

What becomes of one file `classify` decides, from a journal that is read and never written, so that the same code serves
a run and `--plan`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext

from pyprocessor.intake.classify import Classifier, Costs, Finding, SettledBefore
from pyprocessor.intake.inspector_client import InspectorClient
from pyprocessor.intake.job_source import JobSource
from pyprocessor.intake.messages import Candidate, Compare, Found, Inspected, PassedOver, Remark
from pyprocessor.intake.output_location import KnownOutputs, OutputLocation, SameFileUnknown
from pyprocessor.models import Source, display
from pyprocessor.models.run import RunRequest
from pyprocessor.tasks.base import Task
from pyprocessor.workers.process import Child


@dataclass(frozen=True, slots=True)
class _Request:
    """A file to inspect, or to compare with `other` before its place is known; `answers` are earlier ones."""

    candidate: Candidate
    place: OutputLocation | None = None
    other: bytes = b""
    answers: Mapping[bytes, bool] = field(default_factory=dict)


class Discovery(JobSource):
    """Findings about the input, as they come.

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
        *,
        lists: bool = True,
        in_hand: Collection[str] = frozenset(),
    ) -> None:
        self._run = request
        self._classifier = Classifier(request, task, costs, memory)
        self._context = context
        self._inspector: InspectorClient[_Request] = InspectorClient(request, context, lists=lists)
        self.files = 0
        self._bytes_to_inspect = 0
        self._bytes_inspected = 0
        self._in_hand = in_hand
        self._asking: dict[bytes, Source] = {}
        self._held: dict[bytes, tuple[str, Candidate | PassedOver]] = {}
        self._compares = True
        self._left_announced = False

    def begin(self, now: float) -> None:
        self._inspector.go_on(now)

    @property
    def listed(self) -> bool:
        return not self._inspector.lists

    @property
    def finished(self) -> bool:
        """Whether everything was listed and inspected; the inspector is then gone."""
        return self._inspector.process is None

    @property
    def pending(self) -> int:
        return self._inspector.pending

    @property
    def pending_ratio(self) -> float:
        return self._bytes_to_inspect / max(1, self._bytes_inspected)

    @property
    def children(self) -> tuple[Child, ...]:
        return self._inspector.children

    def findings(self, now: float) -> Iterator[Finding]:
        for message in self._inspector.messages(now):
            match message:
                case (request, answer):
                    yield from self._answered(request, answer)
                case Found(entries):
                    for entry in entries:
                        if isinstance(entry, Remark):
                            yield entry
                        else:
                            self.files += 1
                            yield from self._entry(entry)
                case _:
                    yield message
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Have the inspector asked what the findings of this turn left open."""
        self._inspector.go_on(now)
        if not self._inspector.pending:  # also where it was given up
            self._asking.clear()

    def arrived(self, entries: Collection[Candidate | PassedOver], now: float) -> Iterator[Finding]:
        """Take in what somebody else found."""
        self.files += len(entries)
        for entry in entries:
            yield from self._arrived(entry)
        self._go_on(now)

    def take_up_held(self, now: float) -> Iterator[Finding]:
        """Look again at what was held and is no longer in hand."""
        free = [p for p, (job, _) in self._held.items() if job not in self._in_hand and p not in self._asking]
        for path in free:
            yield from self._arrived(self._held.pop(path)[1])
        self._go_on(now)

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

    def stop(self) -> None:
        self._inspector.stop()
        self._asking.clear()

    # ------------------------------------------------------------ one file

    def _answered(self, request: _Request, answer: Inspected) -> Iterator[Finding]:
        if not request.other:
            yield self._inspected(request, answer, fresh=True)
            return
        # Where the other path leads may not answer: then no more files are compared with such paths.
        self._compares = self._compares and answer.failure is None
        same = answer.failure is None and answer.found
        yield from self._candidate(request.candidate, {**request.answers, request.other: same})

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
            yield self._inspected(request, Inspected(cached.media, cached.failure, cached.message), fresh=False)

    def _ask(self, request: _Request) -> None:
        source = request.candidate.source
        self._inspector.ask(request, Compare(source, request.other) if request.other else source)
        self._asking[source.path] = source
        self._bytes_to_inspect += 0 if request.other else source.size_bytes

    def _inspected(self, request: _Request, answer: Inspected, *, fresh: bool) -> Finding:
        source = request.candidate.source
        assert request.place is not None
        self._asking.pop(source.path, None)
        self._bytes_to_inspect -= source.size_bytes if fresh else 0
        self._bytes_inspected += source.size_bytes
        return self._classifier.inspected(request.candidate, request.place, answer, fresh=fresh)
