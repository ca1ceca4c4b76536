"""Which chunks wait for a worker? A source of jobs for the engine that submits the next ones while few wait."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

from pyprocessor.chunks.following import Growth
from pyprocessor.chunks.planning import ChunkJob
from pyprocessor.engine.transitions import Transitions
from pyprocessor.intake.classify import Finding
from pyprocessor.intake.job_source import JobSource
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import NEEDED_NO_MORE
from pyprocessor.models import JobState, Origin
from pyprocessor.publish.seals import seal_at
from pyprocessor.tasks.chunk_processing import ProcessChunk

_AGAIN = (JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED, JobState.SKIPPED)


class Feed(JobSource):
    """The chunks of one look at the source, in order. `done_before` is called for one that was done earlier.

    Where there is a `growth` it is not finished before that says that the source is to be read again.
    """

    def __init__(
        self,
        jobs: Sequence[ChunkJob],
        queue_size: int,
        output: bytes,
        journal: Journal,
        moves: Transitions,
        *,
        queued: Callable[[ChunkJob, int], None],
        done_before: Callable[[ChunkJob, JobRow], object],
        growth: Growth | None = None,
    ) -> None:
        self._jobs = jobs
        self._queue_size = queue_size
        self._output = output
        self.journal = journal
        self.moves = moves
        self._queued = queued
        self._done_before = done_before
        self._growth = growth
        self._next = 0
        self._stopped = False
        self._waiting: set[str] = set()
        self._taken_up: set[str] = set()

    def left_queue(self, job_id: str) -> None:
        """A job was started, or has ended without that."""
        self._waiting.discard(job_id)

    def has_submitted(self, job_id: str) -> bool:
        """Whether this call has taken the chunk up."""
        return job_id in self._taken_up

    # ------------------------------------------------------------ as a source of jobs

    @property
    def finished(self) -> bool:
        return self._stopped or (self.complete and (self._growth is None or self._growth.is_due()))

    @property
    def complete(self) -> bool:
        return self._stopped or self._next == len(self._jobs)

    @property
    def waits(self) -> bool:
        return self._growth is not None

    @property
    def pending(self) -> int:
        return 0 if self._stopped else len(self._jobs) - self._next

    @property
    def busy(self) -> bool:
        return not self.complete and len(self._waiting) < self._queue_size

    def begin(self, now: float) -> None:
        """Cancel what an earlier call left to do and this one does not want, or not so."""
        del now
        wanted = {job.id: job for job in self._jobs}
        left = []
        for row in self.journal.jobs(state=JobState.PENDING):
            if row.task == ProcessChunk.name and row.origin is Origin.SUBMITTED:
                job = wanted.get(row.id)
                if job is not None and job.is_as_in(row):  # the engine takes it up by itself
                    self._wait_for(job)
                else:
                    left.append(row.id)
        if left:
            self.moves.cancel(left, NEEDED_NO_MORE)

    def findings(self, now: float) -> Iterator[Finding]:
        """Submit chunks until as many wait as the queue holds."""
        del now
        while self.busy:
            job = self._jobs[self._next]
            self._next += 1
            if job.id not in self._taken_up:
                self._submit(job)
        return iter(())

    def stop(self) -> None:
        self._stopped = True

    # ------------------------------------------------------------ one chunk

    def _submit(self, job: ChunkJob) -> None:
        self._taken_up.add(job.id)
        known = self.journal.job(job.id)
        lost = known is not None and known.state is JobState.SUCCEEDED and not self._is_there(known)
        self.moves.submit([job.submission], again=[job.id] if lost else ())
        row = self.moves.row(job.id)
        if row.state is JobState.SUCCEEDED:
            self._done_before(job, row)
            return
        if row.state in _AGAIN:
            self.moves.retry([job.id])
        self._wait_for(job)

    def _wait_for(self, job: ChunkJob) -> None:
        self._taken_up.add(job.id)
        self._waiting.add(job.id)
        self._queued(job, len(self._waiting))

    def _is_there(self, row: JobRow) -> bool:
        """Whether what the chunk left is still what was published."""
        if not row.output or row.produced is None:
            return not row.output
        with contextlib.suppress(OSError):
            return seal_at(os.path.join(self._output, row.output)) == (row.produced.size_bytes, row.produced.mtime_ns)
        return False
