"""Which jobs are done in parts, what room do these need, and what becomes of them when the job is over?

A job that is to be divided leaves the queue until its task has answered. Its parts belong to the job: once it is over,
or begins anew, those that are not done are cancelled, and what the others left is removed.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pyprocessor.errors import PublishError
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import WHOLE, JobState, Origin
from pyprocessor.models.products import Product
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.queue import JobQueue
from pyprocessor.publish.partials import discard

_IN_VAIN = (JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED)


@dataclass(eq=False)
class Divisions:
    """The divided jobs of one run."""

    _request: RunRequest
    _journal: Journal
    _queue: JobQueue
    _released: deque[str]
    to_divide: deque[tuple[str, int]] = field(default_factory=deque)
    """Jobs that are to be divided, and into how many parts."""
    left: set[str] = field(default_factory=set)
    """Files that earlier runs divided and did not finish, and that this one has not found again."""
    _asked: dict[str, QueuedJob] = field(default_factory=dict)
    _room: dict[str, dict[str, int]] = field(default_factory=dict)
    """By divided job: the bytes of disk that it, and each of its parts that has not ended, still need."""
    _parent: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Look up what earlier runs left."""
        self.left.update(self._journal.divided())

    # ------------------------------------------------------------ from the queue to its parts, or back

    def divide(self, job: QueuedJob, parts: int) -> None:
        """Have a job of the queue divided."""
        self._queue.drop(job.job_id)
        self._asked[job.job_id] = job
        self.to_divide.append((job.job_id, parts))

    def whole(self, job_id: str) -> None:
        """Queue a job again that is not to be divided after all."""
        job = self._asked.pop(job_id, None)
        if job is not None:
            self._queue.put_back(replace(job, division=WHOLE))

    def made(self, row: JobRow, parts: Sequence[str]) -> None:
        """Take note of the parts of a folder's job, which belong to it, where it was to be divided."""
        job = self._asked.pop(row.id, None)
        if job is not None and row.origin is Origin.FOLDER:
            self._keep(row.id, job.disk_bytes, parts)

    def _keep(self, job_id: str, disk_bytes: int, parts: Sequence[str]) -> None:
        self._room[job_id] = {job_id: disk_bytes, **dict.fromkeys(parts, disk_bytes // max(1, len(parts)))}
        self._parent.update(dict.fromkeys(parts, job_id))

    def work(self) -> list[tuple[float, float]]:
        """Predicted CPU-seconds of the jobs whose parts are not known yet, with the factor they may be off by."""
        return [(job.cpu_seconds, job.factors.spread) for job in self._asked.values()]

    def kept_bytes(self, besides: Iterable[str]) -> int:
        """Bytes of disk that are kept for parts and for what joins them, `besides` these jobs."""
        if not self._room:
            return 0
        known = frozenset(besides)
        return sum(size for room in self._room.values() for job_id, size in room.items() if job_id not in known)

    # ------------------------------------------------------------ what earlier runs left

    def take_up(self, row: JobRow) -> None:
        """Go on with a file that an earlier run divided: those of its parts that are not done come back."""
        self.left.discard(row.id)
        parts = self._parts(row.id)
        if self._request.retry_failed:
            for part in parts:
                if part.state in _IN_VAIN:
                    self._journal.retry(part.id)
            self._journal.wait_for(row.id, [part.id for part in parts], any_end=True)
            parts = self._parts(row.id)
        self._keep(row.id, row.cost.disk_bytes, [part.id for part in parts if not part.final])
        ready = [part.id for part in parts if part.state is JobState.PENDING]
        self._released += ready if any(not part.final for part in parts) else [row.id]

    def cpu_seconds(self, job_id: str) -> float:
        """What the parts of a job took."""
        attempts = (attempt for part in self._parts(job_id) for attempt in self._journal.attempts_of(part.id))
        return sum(attempt.usage.cpu_seconds for attempt in attempts if attempt.usage is not None)

    def intact(self, job_id: str) -> bool:
        """Whether all is there that the parts of a job left which are done."""
        done = (part for part in self._parts(job_id) if part.state is JobState.SUCCEEDED)
        return all(os.path.lexists(self._path(product)) for part in done for product in part.products)

    def gone(self) -> list[str]:
        """Throw away the parts of files that a complete listing did not have; returns the parts to be cancelled."""
        roots = [given.path for given in self._request.inputs]
        orphans: list[str] = []
        for job_id in sorted(self.left):
            row = self._journal.job(job_id)
            if row is not None and any(_lies_in(row.source.path, root) for root in roots):
                orphans += self.throw_away(job_id)
        return orphans

    # ------------------------------------------------------------ the end

    def used(self, job_id: str) -> None:
        """Remove what the children of a job left, which has succeeded."""
        self._discard(self._journal.children(job_id))

    def ended(self, job_id: str) -> list[str]:
        """Take note that a job is over; returns those of its parts that are to be cancelled with it."""
        self._asked.pop(job_id, None)
        parent = self._parent.pop(job_id, None)
        if parent is not None and parent in self._room:
            self._room[parent].pop(job_id, None)
        elif parent is not None and (part := self._journal.job(job_id)) is not None:
            self._discard([part])
        return self.throw_away(job_id) if job_id in self._room or job_id in self.left else []

    def throw_away(self, job_id: str) -> list[str]:
        """Have a job consist of parts no more, and remove what these left; returns those that are to be cancelled."""
        self._room.pop(job_id, None)
        self.left.discard(job_id)
        parts = self._parts(job_id)
        self._journal.undivide(job_id)
        self._discard(parts)
        orphans = [part.id for part in parts if not part.final]
        self._parent.update(dict.fromkeys(orphans, job_id))
        return orphans

    def _parts(self, job_id: str) -> list[JobRow]:
        needs = frozenset(self._journal.needs(job_id))
        return [child for child in self._journal.children(job_id) if child.id in needs]

    def _discard(self, parts: Iterable[JobRow]) -> None:
        for part in parts:
            for product in part.products:
                with contextlib.suppress(PublishError):  # it stays, and harms nothing
                    discard(self._path(product))

    def _path(self, product: Product) -> bytes:
        return os.path.join(self._request.output, product.name)


def _lies_in(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")
