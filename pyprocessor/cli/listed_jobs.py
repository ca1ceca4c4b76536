"""Which of the jobs that a listing makes are to be done? A source of jobs that submits them as the run begins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyprocessor.engine.transitions import Transitions
from pyprocessor.intake.classify import Finding, SettledBefore
from pyprocessor.intake.job_source import JobSource
from pyprocessor.intake.messages import Remark
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import JobState, Origin

GONE = "Its source is no longer there."
_IN_VAIN = (JobState.FAILED, JobState.QUARANTINED)


@dataclass(eq=False)
class ListedJobs(JobSource):
    """Has those done that are new, have changed, or lack a product."""

    _task: str
    """What is done with each file that was listed."""
    _submissions: Sequence[Submission]
    _remarks: Sequence[Remark]
    """About the listing."""
    _output: bytes
    _journal: Journal
    _moves: Transitions
    _reported: bool = False

    def __post_init__(self) -> None:
        self._own = frozenset(given.job.id for given in self._submissions)
        self.files = sum(given.job.task == self._task for given in self._submissions)

    @property
    def finished(self) -> bool:
        return self._reported

    @property
    def busy(self) -> bool:
        return not self._reported

    def asks_for(self, job_id: str) -> bool:
        return job_id in self._own

    def begin(self, now: float) -> None:
        """Submit all, which waits for the disks of sources that an earlier run left to do, and of products."""
        del now
        self._cancel_gone()
        lacking = [given.job.id for given in self._submissions if self._lacks_product(self._row(given))]
        self._moves.submit(self._submissions, lacking)

    def findings(self, now: float) -> Iterator[Finding]:
        """Report what was done before. What failed before is reported by `PendingJobs`."""
        del now
        if self._reported:
            return
        self._reported = True
        yield from self._remarks
        for given in self._submissions:
            row = self._row(given)
            if row is not None and row.final and row.state not in (*_IN_VAIN, JobState.CANCELLED):
                yield SettledBefore(row)

    def stop(self) -> None:
        self._reported = True

    def _row(self, given: Submission) -> JobRow | None:
        return self._journal.job(given.job.id)

    def _lacks_product(self, row: JobRow | None) -> bool:
        if row is None or row.state is not JobState.SUCCEEDED:
            return False
        return not all(os.path.lexists(os.path.join(self._output, product.name)) for product in row.products)

    def _cancel_gone(self) -> None:
        """Cancel what earlier calls left to do, or could not do, whose source is gone, so that nothing fails for it."""
        gone = [
            row
            for state in (JobState.PENDING, *_IN_VAIN)
            for row in self._journal.jobs(state=state)
            if row.origin is Origin.SUBMITTED
            and row.task == self._task
            and row.source.path
            and not os.path.lexists(row.source.path)
        ]
        self._moves.retry([row.id for row in gone if row.state in _IN_VAIN])
        self._moves.cancel([row.id for row in gone], GONE)
