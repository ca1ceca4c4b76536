"""Which jobs of no folder can be done now? Those of the journal that wait for nothing, inspected and planned."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.intake.classify import Costs, Finding, Parent, Settled, SettledBefore, Todo
from pyprocessor.intake.details import JobDetails
from pyprocessor.intake.inspector import inspector_main
from pyprocessor.intake.messages import InspectedJob, InspectJob, Remark, ScanPlan
from pyprocessor.jobs import retry
from pyprocessor.jobs.timeouts import check_deadline
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import JobState, Origin, Outcome, OutcomeKind
from pyprocessor.models.products import MAIN, Product
from pyprocessor.models.run import RunRequest
from pyprocessor.workers.messages import Command
from pyprocessor.workers.process import Child

AT_ONCE = 500
"""Jobs prepared in one turn of the loop: some 50 ms."""
ASKED_AHEAD = 48
"""Requests sent to the inspector at once: few enough that they always fit its pipe."""
MOST_INSPECTORS = 50
LONGEST_WAIT_SECONDS = 3600.0
"""For a job that may not begin yet, of a run that has nothing else to do: what is later is left to another run."""
REAP_SECONDS = 0.1


class PendingJobs:
    """A source of jobs that need no scan; `released` has those that have become pending since."""

    def __init__(
        self, request: RunRequest, journal: Journal, costs: Costs, context: BaseContext, released: deque[str]
    ) -> None:
        self._request = request
        self._journal = journal
        self._costs = costs
        self._context = context
        self._released = released
        self._details = JobDetails(request, journal)
        self._in_vain: list[str] = []
        """Jobs that earlier runs ended so, and that this one leaves alone."""
        self._rows: Iterator[JobRow] = iter(())
        self._loaded = False
        self._to_ask: deque[JobRow] = deque()
        self._asked: dict[str, JobRow] = {}
        self._open: str | None = None
        self._inspector: Child | None = None
        self._inspectors_left = MOST_INSPECTORS
        self._last_message = 0.0
        self._not_before: list[tuple[float, str]] = []
        self._said_to_wait = False
        self._stopped = False

    # ------------------------------------------------------------ as a source

    files = 0
    listed = True
    away = False
    pending_ratio = 0.0

    @property
    def finished(self) -> bool:
        return self._stopped or (self.complete and not self._waits_for_time)

    @property
    def _waits_for_time(self) -> bool:
        """Whether a job may begin soon enough for this run to wait for it."""
        return bool(self._not_before) and self._not_before[0][0] <= time.time() + LONGEST_WAIT_SECONDS

    @property
    def complete(self) -> bool:
        return self._stopped or (self._loaded and not self._released and not self._to_ask and not self._asked)

    @property
    def pending(self) -> int:
        return len(self._released) + len(self._to_ask) + len(self._asked)

    @property
    def busy(self) -> bool:
        return not self._stopped and (not self._loaded or bool(self._released))

    @property
    def connections(self) -> list[Connection]:
        return [self._inspector.connection] if self._inspector is not None else []

    @property
    def pids(self) -> list[int]:
        return [self._inspector.pid] if self._inspector is not None else []

    def begin(self, now: float) -> None:
        del now
        with self._journal.transaction():
            self._in_vain = [row.id for row in self._journal.submitted_in_vain() if not self._again(row)]
        self._rows = self._journal.pending()

    def doubt(self) -> bool:
        return False

    def stop(self) -> None:
        self._stopped = True
        self._end_inspector()

    def handle(self, now: float) -> Iterator[Finding]:
        if self._inspector is None:
            return
        try:
            for message in self._inspector.receive():
                self._last_message = now
                match message:
                    case str():
                        self._open = message
                    case InspectedJob():
                        self._open = None
                        row = self._still(self._asked.pop(message.job_id, None))
                        if row is not None:
                            yield self._inspected(row, message)
        except EOFError:
            yield from self._replace_inspector("died")
        self._ask(now)

    def check(self, now: float) -> Iterator[Finding]:
        """Prepare some of the jobs that wait for nothing."""
        if self._stopped:
            return
        timeout = self._request.profile.errors.inspect_timeout_seconds
        if self._open is not None and now - self._last_message > timeout:
            yield from self._replace_inspector(f"took more than {timeout:.0f} seconds")
        while self._in_vain:
            left = self._journal.job(self._in_vain.pop())
            if left is not None:
                yield SettledBefore(left)
        for row in self._next():
            finding = self._prepared(row)
            if finding is not None:
                yield finding
        self._ask(now)
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
            if row.state is not JobState.PENDING:
                continue  # cancelled, or prepared meanwhile
            if row.not_before is not None and row.not_before > clock:
                heapq.heappush(self._not_before, (row.not_before, row.id))
            else:
                yield row

    def _still(self, row: JobRow | None) -> JobRow | None:
        """The row, where it is still so that the job is to be done: neither cancelled nor submitted anew."""
        now = self._journal.job(row.id) if row is not None else None
        return row if now is not None and row is not None and _asked_for(now) == _asked_for(row) else None

    def _forget_cancelled(self) -> None:
        """Wait no more for the time of a job that is not to be done, or not then."""
        while self._not_before:
            begin, job_id = self._not_before[0]
            row = self._journal.job(job_id)
            if row is not None and row.state is JobState.PENDING and row.not_before == begin:
                return
            heapq.heappop(self._not_before)

    def _prepared(self, row: JobRow) -> Finding | None:
        """Return what becomes of a job; None where its inputs are to be inspected first."""
        try:
            check_deadline(row.deadline, time.time())
            if row.origin is Origin.FOLDER:
                return self._planned(row) if self._details.known(row) else None  # else the next scan finds it
            if row.found is None and self._details.inputs(row):
                self._to_ask.append(row)
                return None
            return self._planned(row)
        except JobError as error:
            return _failed(row, error.kind, str(error))

    def _inspected(self, row: JobRow, answer: InspectedJob) -> Finding:
        if answer.failure is not None:
            return _failed(row, answer.failure, answer.reason)
        self._journal.remember_found(row.id, answer.found)
        try:
            return self._planned(replace(row, found=answer.found))
        except JobError as error:
            return _failed(row, error.kind, str(error))

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
            return Todo(row.job_with(cost=cost), details.features, fresh=False, row=row)
        main = next((product for product in plan.products if product.role == MAIN), Product(b""))
        companions = tuple(product for product in plan.products if product is not main)
        files = {source.path: source for source in details.inputs}
        job = row.job_with(
            source=files.get(row.source.path, row.source),
            media=details.found if row.origin is Origin.FOLDER else None,
            output=main.name,
            output_is_folder=main.folder,
            companions=companions,
            cost=cost,
        )
        return Todo(job, details.features, fresh=False)

    # ------------------------------------------------------------ the inspector

    def _ask(self, now: float) -> None:
        wanted = []
        while self._to_ask and len(self._asked) < ASKED_AHEAD:
            row = self._to_ask.popleft()
            if self._still(row) is None:
                continue
            self._asked[row.id] = row
            params = self._details.params(row.params_fingerprint)
            wanted.append(InspectJob(row.id, row.task, self._details.inputs(row), params))
        if wanted:
            if self._inspector is None:
                self._last_message = now
                plan = ScanPlan((), self._request.output, self._request.profile, time.time_ns(), lists=False)
                self._inspector = Child(self._context, inspector_main, plan, "pyprocessor-inspector-of-jobs")
            self._inspector.send(tuple(wanted))
        elif self._inspector is not None and not self._asked:
            self._inspector.send(Command.CLOSE)
            self._end_inspector()

    def _end_inspector(self) -> None:
        if self._inspector is not None:
            self._inspector.kill()
            self._inspector.remove_dead(REAP_SECONDS)
            self._inspector = None

    def _replace_inspector(self, what: str) -> Iterator[Finding]:
        self._end_inspector()
        self._inspectors_left -= 1
        culprit, self._open = self._open, None
        row = self._still(self._asked.pop(culprit, None)) if culprit is not None else None
        if row is not None:
            kind = FailureKind.CRASH if what == "died" else FailureKind.STALL
            yield _failed(row, kind, f"The process inspecting its inputs {what}.")
        self._to_ask.extendleft(reversed(self._asked.values()))
        self._asked.clear()
        if self._inspectors_left <= 0 and self._to_ask:
            text = "Inspecting jobs was given up; run the same command again for those that are left."
            yield Remark(text, serious=True)
            self._to_ask.clear()


def _asked_for(row: JobRow) -> tuple[object, ...]:
    return row.state, row.params_fingerprint, row.source, row.inputs


def _failed(row: JobRow, kind: FailureKind, reason: str) -> Settled:
    return Settled(row.job, Outcome(OutcomeKind.FAILED, reason, kind))
