"""Turns what the scout reports into findings: work to do, work already done, files that cannot be done and why.

It reads the journal but never writes it, so the same code serves a run and `--plan`. It holds the scout: replaces it
when it dies or goes silent, and charges that to the file that was open.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Protocol

from pyprocessor.engine import retry
from pyprocessor.engine.child import Child
from pyprocessor.engine.listener import RunRequest
from pyprocessor.engine.messages import (
    Candidate,
    Close,
    Found,
    Inspect,
    Inspected,
    Inspecting,
    Listed,
    PassedOver,
    ScoutSetup,
)
from pyprocessor.engine.scan import existing_output, order_key
from pyprocessor.engine.scout import scout_main
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.inspect.contract import contract
from pyprocessor.journal.rows import CachedMedia, JobRow
from pyprocessor.models import (
    FINAL_STATES,
    Cost,
    CostFeatures,
    Job,
    JobState,
    MediaInfo,
    Outcome,
    OutcomeKind,
    Source,
    display,
    job_id,
)
from pyprocessor.tasks.base import Task

INSPECTIONS_AHEAD = 48
"""Inspections asked of the scout at once: few enough that the requests always fit its pipe."""
SCOUT_LIVES = 50
NO_COST = Cost(0.0, 0, 0)


class Memory(Protocol):
    """What discovery asks of the journal."""

    def job(self, job_id: str) -> JobRow | None: ...

    def media(self, path: bytes, size_bytes: int, mtime_ns: int) -> CachedMedia | None: ...


class Costs(Protocol):
    """What discovery asks of the cost model."""

    def predict(self, features: CostFeatures, threads: int) -> Cost: ...


@dataclass(frozen=True, slots=True)
class Todo:
    """A job to do. `media` was read now and is not in the journal yet when `fresh`."""

    job: Job
    features: CostFeatures
    fresh: bool


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """A job that an earlier run brought to a final state which still holds."""

    row: JobRow
    note: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """A file that ends without an attempt: it cannot be done, or is left alone."""

    job: Job
    outcome: Outcome
    inspection_failed: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something about the input as a whole that the user should hear."""

    text: str


Finding = Todo | AlreadyDone | Settled | Trouble


class Discovery:
    """Findings about one input, as they come. `handle` and `check` are to be called until `finished`."""

    def __init__(
        self, request: RunRequest, task: Task, costs: Costs, memory: Memory | None, context: BaseContext, now: float
    ) -> None:
        self._request = request
        self._task = task
        self._costs = costs
        self._memory = memory
        self._context = context
        self._setup = ScoutSetup(
            root=request.input,
            output_root=request.output,
            profile=request.profile,
            ages_from_ns=time.time_ns(),
        )
        self.files = 0
        self.listed = False
        self._to_inspect: deque[Candidate] = deque()
        self._asked: dict[bytes, Candidate] = {}
        self._open: Source | None = None
        self._last_heard = now
        self._lives = SCOUT_LIVES
        self._scout: Child | None = Child(context, scout_main, self._setup, "pyprocessor-scout")

    @property
    def finished(self) -> bool:
        """True when everything was listed and inspected; the scout is then gone."""
        return self._scout is None

    @property
    def connection(self) -> Connection | None:
        """What to wait on."""
        return self._scout.connection if self._scout is not None else None

    @property
    def pid(self) -> int | None:
        return self._scout.pid if self._scout is not None else None

    def handle(self, now: float) -> Iterator[Finding]:
        """Take in what the scout has sent."""
        if self._scout is None:
            return
        self._last_heard = now
        try:
            for message in self._scout.receive():
                match message:
                    case Found(candidates, passed_over):
                        yield from self._found(candidates, passed_over)
                    case Listed():
                        self.listed = True
                    case Inspecting(source):
                        self._open = source
                    case Inspected(source, media, failure, reason):
                        self._open = None
                        candidate = self._asked.pop(source.path, None)
                        if candidate is not None:
                            yield self._inspected(candidate, media, failure, reason, fresh=True)
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

    def stop(self) -> None:
        """End the scout: nothing more is to be found."""
        if self._scout is not None:
            self._scout.kill()
            self._scout.join(5.0)
            self._scout = None
        self._to_inspect.clear()
        self._asked.clear()

    # ------------------------------------------------------------ the scout

    def _ask_for_more(self) -> None:
        if self._scout is None:
            return
        wanted: list[Source] = []
        while self._to_inspect and len(self._asked) < INSPECTIONS_AHEAD:
            candidate = self._to_inspect.popleft()
            self._asked[candidate.source.path] = candidate
            wanted.append(candidate.source)
        if wanted:
            self._scout.send(Inspect(tuple(wanted)))
        elif self.listed and not self._asked:
            self._scout.send(Close())
            if not self._scout.join(5.0):
                self._scout.kill()
            self._scout.connection.close()
            self._scout = None

    def _replace_scout(self, what: str, now: float) -> Iterator[Finding]:
        assert self._scout is not None
        self._scout.kill()
        self._scout.join(5.0)
        self._scout = None
        self._lives -= 1
        culprit, self._open = self._open, None
        if culprit is not None and culprit.path in self._asked:
            candidate = self._asked.pop(culprit.path)
            kind = FailureKind.CRASH if what == "died" else FailureKind.STALL
            yield self._inspected(
                candidate, None, kind, f"{display(candidate.source.relative)}: the process inspecting it {what}.", True
            )
        elif what != "died":
            yield Trouble(
                f"Listing {display(self._request.input)} {what} without an answer; is it on a network that is down? "
                "The files known up to now are done; run the same command again for the rest."
            )
            self.listed = True
            self._lives = 0
        self._to_inspect.extendleft(reversed(self._asked.values()))
        self._asked.clear()
        if self._lives <= 0:
            if self._to_inspect or not self.listed:
                yield Trouble("Inspecting was given up; run the same command again for the files that are left.")
            self._to_inspect.clear()
            return
        self._last_heard = now
        # A listing that was complete is not walked again: resuming after the last file ends at once.
        self._scout = Child(self._context, scout_main, self._setup, "pyprocessor-scout")

    # ------------------------------------------------------------ one file

    def _found(self, candidates: tuple[Candidate, ...], passed_over: tuple[PassedOver, ...]) -> Iterator[Finding]:
        self.files += len(candidates) + len(passed_over)
        seen = [c.source.relative for c in candidates] + [p.relative for p in passed_over if p.source is not None]
        if seen:
            self._setup = replace(self._setup, resume_after=max(seen, key=order_key))
        for candidate in candidates:
            finding = self._candidate(candidate)
            if finding is not None:
                yield finding
        for passed in passed_over:
            yield self._passed_over(passed)

    def _passed_over(self, passed: PassedOver) -> Finding:
        source = passed.source or Source(os.path.join(self._request.input, passed.relative), passed.relative, 0, 0)
        row = self._row(source)
        if row is not None and passed.failure is not None and self._still_holds(row, Candidate(source, b"", None)):
            return AlreadyDone(row)
        kind = OutcomeKind.SKIPPED if passed.failure is None else OutcomeKind.FAILED
        reason = f"{display(passed.relative)} {passed.reason}."
        return Settled(self._job(source, b""), Outcome(kind, reason, passed.failure))

    def _candidate(self, candidate: Candidate) -> Finding | None:
        """What the journal and the output folder say of it; None when it has to be inspected first."""
        source = candidate.source
        row = self._row(source)
        if row is not None and row.output != candidate.output and row.state is JobState.SUCCEEDED:
            # An output keeps the name it was given, whatever siblings have come since.
            candidate = Candidate(source, row.output, existing_output(os.path.join(self._request.output, row.output)))
        if row is not None and self._still_holds(row, candidate):
            changed = row.state is JobState.SUCCEEDED and not _ours(row, candidate)
            return AlreadyDone(
                row,
                f"{display(row.output)} was changed after it was made and is left as it is; --overwrite makes it anew."
                if changed
                else "",
            )
        if candidate.existing is not None and not self._request.overwrite and not _ours(row, candidate):
            reason = (
                f"{display(source.relative)} was left alone: {display(candidate.output)} already exists in the output "
                "folder and was not made from it; --overwrite replaces it."
            )
            return Settled(self._job(source, b""), Outcome(OutcomeKind.SKIPPED, reason))
        cached = self._memory.media(source.path, source.size_bytes, source.mtime_ns) if self._memory else None
        if cached is None or (cached.media is None and self._request.retry_failed):
            self._to_inspect.append(candidate)
            return None
        return self._inspected(candidate, cached.media, cached.failure, cached.message, fresh=False)

    def _row(self, source: Source) -> JobRow | None:
        return self._memory.job(job_id(source.path, self._task.name)) if self._memory is not None else None

    def _still_holds(self, row: JobRow, candidate: Candidate) -> bool:
        source = candidate.source
        same = (row.source.size_bytes, row.source.mtime_ns, row.profile_fingerprint) == (
            source.size_bytes,
            source.mtime_ns,
            self._request.profile.fingerprint,
        )
        if not same or row.state not in FINAL_STATES:
            return False
        match row.state:
            case JobState.SUCCEEDED:
                made = candidate.existing is not None
                return made and (_ours(row, candidate) or not self._request.overwrite)
            case JobState.FAILED | JobState.QUARANTINED:
                return not self._request.retry_failed and not retry.again_in_next_run(row.failure)
            case JobState.KEPT_SOURCE:
                return True
            case _:
                return False

    def _inspected(
        self, candidate: Candidate, media: MediaInfo | None, failure: FailureKind | None, reason: str, fresh: bool
    ) -> Finding:
        job = self._job(candidate.source, candidate.output)
        if media is None:
            kind = failure or FailureKind.BAD_INPUT
            return Settled(job, Outcome(OutcomeKind.FAILED, reason, kind), inspection_failed=fresh)
        try:
            contract(self._request.profile, media)
            features = self._task.features(self._request.profile, media)
        except JobError as error:
            outcome = Outcome(OutcomeKind.FAILED, f"{display(candidate.source.relative)}: {error}", error.kind)
            return Settled(replace(job, media=media), outcome)
        cost = self._costs.predict(features, 1)
        return Todo(replace(job, media=media, cost=cost), features, fresh)

    def _job(self, source: Source, output: bytes) -> Job:
        return Job(
            id=job_id(source.path, self._task.name),
            task=self._task.name,
            source=source,
            output=output,
            profile_fingerprint=self._request.profile.fingerprint,
            cost=NO_COST,
        )


def _ours(row: JobRow | None, candidate: Candidate) -> bool:
    produced = row.produced if row is not None else None
    return produced is not None and candidate.existing == (produced.size_bytes, produced.mtime_ns)


def other_name(output: bytes, source_path: bytes) -> bytes:
    """A name for an output whose own name another job holds: told apart by a hash of the source's path."""
    stem, extension = os.path.splitext(output)
    return stem + b"~" + hashlib.sha256(source_path).hexdigest()[:8].encode("ascii") + extension
