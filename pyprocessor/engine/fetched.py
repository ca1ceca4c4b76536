"""Which inputs were fetched for jobs that have yet to begin, and what becomes of them?

Each lies in a folder of its own in the state folder, until all jobs that read it are done.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from functools import cached_property

from pyprocessor.engine.recovery import intermediates
from pyprocessor.errors import PublishError
from pyprocessor.intake.details import INTERMEDIATE
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import JobState
from pyprocessor.publish.partials import discard


@dataclass(eq=False)
class FetchedInputs:
    """Those of one run."""

    _journal: Journal
    _output: bytes
    _read: list[str] = field(default_factory=list)
    """Jobs that fetched what nobody reads any more."""

    @cached_property
    def unread(self) -> dict[str, int]:
        """By the job that fetched it: the bytes of an input that no job has begun to read and one is to."""
        return {
            row.id: row.produced.size_bytes
            for _, row in intermediates(self._journal, self._output)
            if row is not None
            and row.is_fetch
            and row.produced is not None
            and row.state is JobState.SUCCEEDED
            and self._journal.is_awaited(row.id)
        }

    def arrived(self, job: QueuedJob, size_bytes: int) -> None:
        """Take note of what a job made, if that is an input of others that are still to be done."""
        if job.is_fetch and self._journal.is_awaited(job.job_id):
            self.unread[job.job_id] = size_bytes

    def begun(self, job_id: str) -> None:
        """Take note that a job begins to read, or never will."""
        for fetch in self._needed_by(job_id) if self.unread else ():
            self.unread.pop(fetch.id, None)

    def ended(self, job_id: str) -> list[str]:
        """Take note of the end of a job, maybe the last that reads an input; returns fetches that no job waits for."""
        fetches = self._needed_by(job_id)
        for fetch in fetches:
            self.unread.pop(fetch.id, None)
            if not self._journal.is_wanted(fetch.id):
                self._read.append(fetch.id)
        to_come = (fetch.id for fetch in fetches if not fetch.final)
        return [one for one in to_come if not self._journal.is_awaited(one)]

    def remove(self) -> None:
        """Remove what nobody reads any more, once that is committed: after a kill it might be read again."""
        while self._read:
            if not self._journal.is_wanted(job_id := self._read.pop()):
                with contextlib.suppress(PublishError):  # it stays, and harms nothing
                    discard(os.path.join(self._output, INTERMEDIATE, job_id.encode("ascii")))

    def _needed_by(self, job_id: str) -> list[JobRow]:
        rows = map(self._journal.job, self._journal.needs(job_id))
        return [row for row in rows if row is not None and row.is_fetch]
