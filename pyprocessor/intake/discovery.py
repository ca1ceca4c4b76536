"""Turns what the scout reports into findings: work to do, work already done, files that cannot be done and why.

What a file's finding is, the `judge` decides, from a journal that is read and never written, so that the same code
serves a run and `--plan`. Here the scout is held: asked, replaced when it dies or goes silent, which is charged to the
file that was open.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from pyprocessor.errors import FailureKind
from pyprocessor.intake.classify import Classifier, Costs
from pyprocessor.intake.findings import AlreadyDone, Away, Finding, Trouble
from pyprocessor.intake.inspector import inspector_main
from pyprocessor.intake.output_location import Memory, OutputLocation, Question
from pyprocessor.intake.scan import order_key
from pyprocessor.models import MediaInfo, Source, display
from pyprocessor.models.listener import RunRequest
from pyprocessor.tasks.base import Task
from pyprocessor.workers.messages import (
    Candidate,
    Close,
    Compare,
    Compared,
    Found,
    InputAway,
    Inspect,
    Inspected,
    Inspecting,
    InspectorSetup,
    Listed,
    PassedOver,
)
from pyprocessor.workers.process import Child

INSPECTIONS_AHEAD = 48
"""Inspections asked of the scout at once: few enough that the requests always fit its pipe."""
SCOUT_LIVES = 50
REAP_SECONDS = 0.1
"""How long is waited for a scout that was killed: one that waits for a dead file system does not end even then."""


@dataclass(frozen=True, slots=True)
class _Asking:
    """What the scout is asked of a file: to inspect it, once its place is known, or before that whether it is, or was,
    the one at another path. `answers` are those to earlier questions."""

    candidate: Candidate
    place: OutputLocation | None = None
    question: Compare | None = None
    answers: Mapping[bytes, bool] = field(default_factory=dict)

    def answered(self, same: bool) -> Mapping[bytes, bool]:
        assert self.question is not None
        return {**self.answers, self.question.other: same}


class Discovery:
    """Findings about one input, as they come. `handle` and `check` are to be called from `begin` until `finished`.

    With `lists` false it lists nothing, and is handed what somebody else found by `arrived`. Of jobs that are
    `in_hand`, and of files it is just asking about, it says nothing new before that is over.
    """

    def __init__(
        self,
        request: RunRequest,
        task: Task,
        costs: Costs,
        memory: Memory | None,
        context: BaseContext,
        now: float,
        *,
        lists: bool = True,
        in_hand: Collection[str] = frozenset(),
    ) -> None:
        self._request = request
        self._judge = Classifier(request, task, costs, memory)
        self._context = context
        self._setup = InspectorSetup(
            inputs=request.inputs,
            output_root=request.output,
            profile=request.profile,
            ages_from_ns=time.time_ns(),
            lists=lists,
        )
        self.files = 0
        self.listed = not lists
        self._in_hand = in_hand
        self._asking: dict[bytes, Source] = {}
        self._held: dict[bytes, tuple[str, Candidate | PassedOver]] = {}
        self._to_ask: deque[_Asking] = deque()
        self._asked: dict[bytes, _Asking] = {}
        self._compares = True
        self._suspects: set[bytes] = set()
        self._told_left = False
        self._open: Source | None = None
        self._last_heard = now
        self._lives = SCOUT_LIVES
        self._scout: Child | None = None

    def begin(self, now: float) -> None:
        """Start listing. From then on it is looked at what lies in the output."""
        self._last_heard = now
        self._scout = self._new_scout()

    def _new_scout(self) -> Child:
        return Child(self._context, inspector_main, self._setup, "pyprocessor-scout")

    @property
    def away(self) -> bool:
        """Whether the input is known not to be there for now. It never is: a run that does not wait for it ends."""
        return False

    @property
    def finished(self) -> bool:
        """True when everything was listed and inspected; the scout is then gone."""
        return self._scout is None

    @property
    def complete(self) -> bool:
        """Whether all that is known to be there was listed and inspected."""
        return self.finished

    @property
    def pending(self) -> int:
        """How many files were listed and are still to be inspected."""
        return len(self._to_ask) + len(self._asked)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """What to wait on."""
        return (self._scout.connection,) if self._scout is not None else ()

    @property
    def pids(self) -> tuple[int, ...]:
        return (self._scout.pid,) if self._scout is not None else ()

    def handle(self, now: float) -> Iterator[Finding]:
        """Take in what the scout has sent. To be called only when `connection` has something to say."""
        if self._scout is None:
            return
        try:
            for message in self._scout.receive():
                self._last_heard = now
                match message:
                    case Found(candidates, passed_over, remarks):
                        yield from self._found(candidates, passed_over)
                        yield from (Trouble(r.text, serious=False, closing=r.closing) for r in remarks)
                    case Listed():
                        self.listed = True
                    case InputAway(reason):
                        yield Away(reason)
                    case Inspecting(source):
                        self._open = source
                    case Inspected(source, media, failure, reason):
                        self._open = None
                        asked = self._asked.pop(source.path, None)
                        if asked is not None:
                            yield self._inspected(asked, media, failure, reason, fresh=True)
                    case Compared(source, _, same):
                        self._open = None
                        asked = self._asked.pop(source.path, None)
                        if asked is not None:
                            yield from self._candidate(asked.candidate, asked.answered(same))
        except EOFError:
            yield from self._replace_scout("died", now)
        self._ask_for_more()

    def check(self, now: float) -> Iterator[Finding]:
        """Find out whether the scout has gone silent over a file or a folder."""
        if self._scout is None:
            return
        timeout = self._request.profile.errors.inspect_timeout_seconds
        if (self._open is not None or not self.listed) and now - self._last_heard > timeout:
            yield from self._replace_scout(f"took more than {timeout:.0f} seconds", now)
        self._ask_for_more()

    def arrived(self, entries: Collection[Candidate | PassedOver], now: float) -> Iterator[Finding]:
        """Take in what somebody else found. What is in hand is held until it no longer is."""
        self.files += len(entries)
        for entry in entries:
            yield from self._arrived(entry)
        self._begin_asking(now)

    def retry_no_more(self) -> None:
        """From here on, files that failed are tried again only when they change."""
        self._judge.retry_no_more()

    def take_up_held(self, now: float) -> Iterator[Finding]:
        """Look again at what was held."""
        free = [p for p, (job, _) in self._held.items() if job not in self._in_hand and p not in self._asking]
        for path in free:
            yield from self._arrived(self._held.pop(path)[1])
        if free:
            self._begin_asking(now)

    def _arrived(self, entry: Candidate | PassedOver) -> Iterator[Finding]:
        source = entry.source
        row = self._judge.row(source) if source is not None else None
        busy = row if row is not None and row.id in self._in_hand else None
        asked = self._asking.get(source.path) if source is not None else None
        if source is not None and (busy is not None or asked is not None):
            self._hold(entry, source, row.id if row is not None else "", asked or (busy.source if busy else source))
        elif isinstance(entry, Candidate):
            yield from self._candidate(entry, {})
        else:
            yield self._judge.passed_over(entry)

    def _hold(self, entry: Candidate | PassedOver, source: Source, job: str, known: Source) -> None:
        """Hold what was found of a file that is in hand, unless the file is still as it is `known`."""
        if (source.size_bytes, source.mtime_ns) != (known.size_bytes, known.mtime_ns):
            self._held[source.path] = (job, entry)
        else:
            self._held.pop(source.path, None)

    def _begin_asking(self, now: float) -> None:
        if self._to_ask and self._scout is None:
            self._lives, self._last_heard = SCOUT_LIVES, now
            self._scout = self._new_scout()
        self._ask_for_more()

    def stop(self) -> None:
        """End the scout: nothing more is to be found."""
        if self._scout is not None:
            self._scout.kill()
            self._scout.remove_dead(REAP_SECONDS)
            self._scout = None
        self._to_ask.clear()
        self._asking.clear()
        self._asked.clear()

    # ------------------------------------------------------------ the scout

    def _ask_for_more(self) -> None:
        if self._scout is None:
            return
        wanted: list[Source] = []
        asked = False
        while self._to_ask and len(self._asked) < INSPECTIONS_AHEAD:
            asking = self._to_ask.popleft()
            self._asked[asking.candidate.source.path] = asking
            asked = True
            if asking.question is None:
                wanted.append(asking.candidate.source)
            else:
                self._scout.send(asking.question)
        if wanted:
            self._scout.send(Inspect(tuple(wanted)))
        if self.listed and not asked and not self._asked:
            self._scout.send(Close())
            if not self._scout.join(5.0):
                self._scout.kill()
                self._scout.remove_dead(5.0)
            self._scout.connection.close()
            self._scout = None

    def _replace_scout(self, what: str, now: float) -> Iterator[Finding]:
        assert self._scout is not None
        self._scout.kill()
        self._scout.remove_dead(REAP_SECONDS)
        self._scout = None
        self._lives -= 1
        culprit, self._open = self._open, None
        asking = self._asked.pop(culprit.path, None) if culprit is not None else None
        if asking is not None:
            yield from self._charge(asking, what)
        elif what != "died":
            yield Trouble(
                f"Listing {self._request.input_named} {what} without an answer; is it on a network that is down? "
                "The files known up to now are done; run the same command again for the rest."
            )
            self.listed = True
            self._lives = 0
        self._to_ask.extendleft(reversed(self._asked.values()))
        self._asked.clear()
        if self._lives <= 0:
            if self._to_ask or not self.listed:
                yield Trouble("Inspecting was given up; run the same command again for the files that are left.")
            self._to_ask.clear()
            self._asking.clear()
            return
        self._last_heard = now
        # A listing that was complete is not walked again: resuming after the last file ends at once.
        self._scout = self._new_scout()

    def _charge(self, asking: _Asking, what: str) -> Iterator[Finding]:
        """A scout ended or went silent over a file. The first death may have been anything's doing."""
        candidate = asking.candidate
        if what == "died" and candidate.source.path not in self._suspects:
            self._suspects.add(candidate.source.path)
            self._to_ask.append(asking)
        elif asking.question is not None:
            # Where the other path leads to does not answer: what lies there is not known to be the same file.
            self._compares = False
            yield from self._candidate(candidate, asking.answered(False))
        else:
            kind = FailureKind.CRASH if what == "died" else FailureKind.STALL
            name = display(candidate.source.relative)
            yield self._inspected(asking, None, kind, f"{name}: the process inspecting it {what}.", fresh=True)

    # ------------------------------------------------------------ one file

    def _found(self, candidates: tuple[Candidate, ...], passed_over: tuple[PassedOver, ...]) -> Iterator[Finding]:
        self.files += len(candidates) + len(passed_over)
        seen = [c.source.relative for c in candidates] + [p.relative for p in passed_over if p.source is not None]
        if seen:
            self._setup = replace(self._setup, resume_after=max(seen, key=order_key))
        for candidate in candidates:
            yield from self._candidate(candidate, {})
        for passed in passed_over:
            yield self._judge.passed_over(passed)

    def _candidate(self, candidate: Candidate, answers: Mapping[bytes, bool]) -> Iterator[Finding]:
        """What the journal and the output folder say of it; nothing as long as the scout has to be asked."""
        source = candidate.source
        self._asking.pop(source.path, None)
        found = self._judge.place(candidate, answers)
        if isinstance(found, Question):
            question = Compare(source, found.other)
            if self._compares:
                self._to_ask.append(_Asking(candidate, None, question, answers))
                self._asking[source.path] = source
            else:
                yield from self._candidate(candidate, {**answers, found.other: False})
            return
        row = found.row
        if row is not None and row.id in self._in_hand:
            self._hold(candidate, source, row.id, row.source)
            return
        if row is not None and self._judge.failed_the_same(row, source):
            yield AlreadyDone(row)
            return
        if found.left is not None and not self._told_left:
            self._told_left = True
            yield Trouble(
                f"{display(found.left)} is in another folder or format than what is made now and stays as it is, "
                f"beside {display(found.output)}; so do others like it.",
                serious=False,
            )
        known = self._judge.known(source, found)
        if known is not None:
            yield known
            return
        cached = self._judge.cached(source)
        asking = _Asking(candidate, found)
        if cached is None:
            self._to_ask.append(asking)
            self._asking[source.path] = source
        else:
            yield self._inspected(asking, cached.media, cached.failure, cached.message, fresh=False)

    def _inspected(
        self, asking: _Asking, media: MediaInfo | None, failure: FailureKind | None, reason: str, *, fresh: bool
    ) -> Finding:
        source = asking.candidate.source
        assert asking.place is not None
        self._asking.pop(source.path, None)
        return self._judge.inspected(source, asking.place, media, failure, reason, fresh=fresh)
