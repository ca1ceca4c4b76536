"""Which jobs of no folder can be done now? Those of the journal that wait for nothing, inspected and planned."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime
from multiprocessing.context import BaseContext

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.intake.classify import Costs, Finding, Parent, Settled, SettledBefore, Todo, Undivided
from pyprocessor.intake.details import FetchedGone, JobDetails
from pyprocessor.intake.inspector_client import InspectorClient
from pyprocessor.intake.job_source import JobSource
from pyprocessor.intake.messages import DivideJob, Inspected, InspectJob, Remark
from pyprocessor.jobs import retry
from pyprocessor.jobs.timeouts import check_deadline
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import NEEDED_NO_MORE
from pyprocessor.models import WHOLE, JobState, Origin, Outcome, OutcomeKind
from pyprocessor.models.products import MAIN, Product
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.tenants import unknown
from pyprocessor.workers.process import Child

AT_ONCE = 500
"""Jobs prepared in one turn of the loop: some 50 ms."""
LONGEST_WAIT_SECONDS = 3600.0
"""For a job that may not begin yet, of a run that has nothing else to do: what is later is left to another run."""


class PendingJobs(JobSource):
    """A source of jobs that need no scan.

    `released` has those that have become pending since, `to_divide` those to be done in parts, and in how many. Of
    those that earlier runs ended in vain only what this run `asks_for` counts. Jobs `in_hand` were taken up before.
    """

    def __init__(
        self,
        request: RunRequest,
        journal: Journal,
        costs: Costs,
        context: BaseContext,
        released: deque[str],
        to_divide: deque[tuple[str, int]],
        asks_for: Callable[[str], bool],
        in_hand: Collection[str] = frozenset(),
    ) -> None:
        self._request = request
        self._journal = journal
        self._costs = costs
        self._released = released
        self._to_divide = to_divide
        self._asks_for = asks_for
        self._in_hand = in_hand
        self._details = JobDetails(request, journal)
        self._in_vain: list[str] = []
        """Jobs that earlier runs ended so, and that this one leaves alone."""
        self._rows: Iterator[JobRow] = iter(())
        self._loaded = False
        self._inspector: InspectorClient[tuple[JobRow, int]] = InspectorClient(request, context)
        """Asked about a job, and into how many parts it is to be divided, if it is."""
        self._enough = False
        self._not_before: list[tuple[float, str]] = []
        self._said_to_wait = False
        self._stopped = False

    # ------------------------------------------------------------ as a source

    @property
    def finished(self) -> bool:
        return self._stopped or (self.complete and not self._waits_for_time)

    @property
    def _waits_for_time(self) -> bool:
        """Whether a job may begin soon enough for this run to wait for it."""
        return bool(self._not_before) and self._not_before[0][0] <= time.time() + LONGEST_WAIT_SECONDS

    @property
    def complete(self) -> bool:
        return self._stopped or (self._loaded and not self.pending)

    @property
    def pending(self) -> int:
        return len(self._released) + len(self._to_divide) + self._inspector.pending

    @property
    def busy(self) -> bool:
        return not self._stopped and (not self._loaded or bool(self._released or self._to_divide))

    @property
    def children(self) -> tuple[Child, ...]:
        return self._inspector.children

    def begin(self, now: float) -> None:
        del now
        with self._journal.transaction():
            in_vain = (row for row in self._journal.submitted_in_vain() if self._asks_for(row.id))
            self._in_vain = [row.id for row in in_vain if not self._again(row)]
        self._rows = self._journal.pending()

    def enough(self) -> None:
        """Go on with what files are made of, and nothing else."""
        self._enough = self._loaded = True
        self._in_vain.clear()

    def stop(self) -> None:
        self._stopped = True
        self._inspector.stop()

    def findings(self, now: float) -> Iterator[Finding]:
        for message in self._inspector.messages(now):
            match message:
                case ((asked, parts), answer):
                    row = self._still(asked)
                    if row is not None and parts:
                        yield Undivided(row, answer.reason) if answer.failure else Parent(row, answer.found)
                    elif row is not None:
                        yield self._inspected(row, answer)
                case Remark():
                    yield message
        if self._stopped:
            return
        while self._in_vain:
            left = self._journal.job(self._in_vain.pop())
            if left is not None and left.final:  # else it is done again, as its source has changed
                yield SettledBefore(left)
        for row in self._next():
            finding = self._prepared(row)
            if finding is not None:
                yield finding
        yield from self._divide()
        self._inspector.go_on(now)
        self._forget_cancelled()
        if self.complete and self._not_before and not self._said_to_wait:
            self._said_to_wait = True
            yield Remark(self._waits())

    def _waits(self) -> str:
        """A sentence about jobs whose time has not come."""
        begin, count = self._not_before[0][0], len(self._not_before)
        at = datetime.fromtimestamp(begin).astimezone().isoformat(sep=" ", timespec="seconds")
        then = "the run waits" if self._waits_for_time else "run the same command again then"
        return f"{count} job{'s' if count > 1 else ''} may not begin yet, the first one not before {at}; {then}."

    # ------------------------------------------------------------ one job

    def _again(self, row: JobRow) -> bool:
        """Have a job done again that an earlier run ended in vain, where this one is to; returns whether it is."""
        forgive, errors = self._request.retry_failed, self._request.profile.errors
        again = row.state is not JobState.CANCELLED and retry.again_in_next_run(
            row.failure, attempts=row.attempts, failed_runs=row.failed_runs, settings=errors
        )
        return (forgive or again) and self._journal.retry(row.id, forgive=forgive)

    def _next(self) -> Iterator[JobRow]:
        """Yield the rows that are to be prepared in this turn."""
        clock = time.time()
        while self._not_before and self._not_before[0][0] <= clock:
            self._released.append(heapq.heappop(self._not_before)[1])
        for _ in range(AT_ONCE):
            row = None
            if not self._loaded:
                row = next(self._rows, None)
                self._loaded = row is None
            if row is None and self._released:
                row = self._journal.job(self._released.popleft())
            if row is None:
                return
            if row.state is not JobState.PENDING or self._is_too_much(row):
                continue  # cancelled, or prepared meanwhile
            if row.not_before is not None and row.not_before > clock:
                heapq.heappush(self._not_before, (row.not_before, row.id))
            else:
                yield row

    def _still(self, row: JobRow) -> JobRow | None:
        """The row, where it is still so that the job is to be done: neither cancelled nor submitted anew."""
        if self._is_too_much(row):
            return None
        now = self._journal.job(row.id)
        return row if now is not None and _asked_for(now) == _asked_for(row) else None

    def _is_too_much(self, row: JobRow) -> bool:
        """Whether a job is left to another run, since this one has taken up as many as it should."""
        return self._enough and row.origin is Origin.SUBMITTED and row.id not in self._in_hand

    def _forget_cancelled(self) -> None:
        """Wait no more for the time of a job that is not to be done, or not then."""
        while self._not_before:
            begin, job_id = self._not_before[0]
            row = self._journal.job(job_id)
            if row is not None and row.state is JobState.PENDING and row.not_before == begin:
                return
            heapq.heappop(self._not_before)

    def _prepared(self, row: JobRow) -> Finding | None:
        """Return what becomes of a job; None where its inputs are to be inspected, or fetched again, first."""
        try:
            check_deadline(row.deadline, time.time())
            if row.origin is Origin.SUBMITTED and (why := unknown(row.tenant, self._request.profile.batch)):
                raise JobError(FailureKind.BAD_INPUT, f"It is refused: {why}")
            if row.is_fetch and not self._journal.is_awaited(row.id):
                return Settled(row.job, Outcome(OutcomeKind.CANCELLED, NEEDED_NO_MORE))
            if row.origin is Origin.FOLDER:
                return self._planned(row) if self._details.known(row) else None  # else the next scan finds it
            if row.found is None and (inputs := self._details.inputs(row)):
                self._inspector.ask((row, 0), InspectJob(row.task, inputs, self._details.params(row)))
                return None
            return self._planned(row)
        except FetchedGone as error:
            self._released += self._journal.fetch_for(row.id, error.fetch)
            return None
        except JobError as error:
            return _failed(row, error)

    def _inspected(self, row: JobRow, answer: Inspected) -> Finding:
        try:
            if answer.failure is not None:
                raise JobError(answer.failure, answer.reason)
            self._journal.remember_found(row.id, answer.found)
            inputs = self._details.inputs(row) if answer.contents else ()
            for source, content in zip(inputs, answer.contents, strict=True):
                if content:
                    self._journal.remember_content(source, content)
            return self._planned(replace(row, found=answer.found))
        except JobError as error:
            return _failed(row, error)

    def _planned(self, row: JobRow) -> Finding:
        details = self._details.of(row)
        plan = details.plan
        if plan.skip:
            outcome = Outcome(OutcomeKind.SKIPPED, plan.skip, already_right=plan.already_right)
            return Settled(row.job, outcome)
        if len(details.children) < len(plan.children):
            return Parent(row, plan.children)
        cost = self._costs.predict(details.features, 1)
        if not (plan.products or row.products or details.inputs or self._request.retry_failed):
            return Todo(row.job_with(cost=cost), details.features, fresh=False, asking=details.asking, row=row)
        main = next((product for product in plan.products if product.role == MAIN), Product(b""))
        companions = tuple(product for product in plan.products if product is not main)
        job = row.job_with(
            media=details.found if row.origin is Origin.FOLDER else None,
            output=main.name,
            output_is_folder=main.folder,
            companions=companions,
            cost=cost,
        )
        division = WHOLE if details.children else plan.division
        contents = self._details.contents(row, details.inputs)
        return Todo(job, details.features, False, division=division, asking=details.asking, contents=contents)

    def _divide(self) -> Iterator[Finding]:
        """Have jobs divided that are to be done in parts."""
        while self._to_divide:
            job_id, parts = self._to_divide.popleft()
            row = self._journal.job(job_id)
            if row is None or row.state is not JobState.PENDING:
                continue
            try:
                details = self._details.of(row)
            except JobError as error:
                yield Undivided(row, str(error))
            else:
                question = DivideJob(row.task, details.inputs, details.params, details.found, parts)
                self._inspector.ask((row, parts), question)


def _asked_for(row: JobRow) -> tuple[object, ...]:
    return row.state, row.params_fingerprint, row.source, row.inputs


def _failed(row: JobRow, error: JobError) -> Settled:
    return Settled(row.job, Outcome(OutcomeKind.FAILED, str(error), error.kind))
