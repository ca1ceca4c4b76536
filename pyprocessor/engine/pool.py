"""The batch processes that run now: one process per batch, fed a few work items ahead.

The engine keeps a batch's order and sends items as slots free up, so what was not sent can be taken back without
asking, and the death of a process leaves no doubt about what it had begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from pyprocessor.engine import states
from pyprocessor.engine.child import Child
from pyprocessor.engine.messages import Close, Drain, End, WorkerSetup
from pyprocessor.engine.states import Event
from pyprocessor.engine.worker import worker_main
from pyprocessor.models import Batch, JobState, ProcessIdentity
from pyprocessor.plan.ready import Entry


@dataclass(slots=True)
class Active:
    """A job that a batch process holds. `replace` says that its publish may take the place of an existing file."""

    entry: Entry
    name: str
    media_seconds: float
    crashes: int
    retries: int
    replace: bool
    state: JobState = JobState.ASSIGNED
    attempt_id: int | None = None
    progress_seconds: float = 0.0

    @property
    def job_id(self) -> str:
        return self.entry.job_id

    def step(self, event: Event) -> None:
        self.state = states.step(self.state, event)


class BatchProcess:
    """One batch and the process that runs it."""

    def __init__(self, context: BaseContext, setup: WorkerSetup, batch: Batch, jobs: Iterable[Active]) -> None:
        self.batch = batch
        self.jobs: dict[str, Active] = {job.job_id: job for job in jobs}
        self._unsent: deque[str] = deque(batch.job_ids)
        self._sent: set[str] = set()
        self._closed = False
        self.draining = False
        self.ending = False
        self.child = Child(context, worker_main, setup, f"pyprocessor-batch-{batch.id}")

    @property
    def connection(self) -> Connection:
        return self.child.connection

    @property
    def identity(self) -> ProcessIdentity:
        return self.child.identity

    @property
    def occupied_slots(self) -> int:
        """How many of its slots have work, now or next."""
        return min(self.batch.slots, len(self.jobs))

    @property
    def running(self) -> list[Active]:
        return [job for job in self.jobs.values() if job.state is JobState.RUNNING]

    @property
    def memory_bytes(self) -> int:
        """Predicted memory of what runs at once, now or next: the batch's own bound, by the slots still occupied."""
        return self.batch.memory_budget_bytes * self.occupied_slots // self.batch.slots

    def next_to_send(self) -> Iterator[str]:
        """Jobs to send now: as many as run at once, and as many again so that no slot waits for the pipe."""
        while self._unsent and not self.draining and len(self._sent) < 2 * self.batch.slots:
            job_id = self._unsent.popleft()
            self._sent.add(job_id)
            yield job_id

    def let_go(self, job_id: str) -> Active:
        """The job is no longer this process's."""
        self._sent.discard(job_id)
        if job_id in self._unsent:
            self._unsent.remove(job_id)
        return self.jobs.pop(job_id)

    def take_back_unsent(self) -> list[str]:
        """Jobs that were never sent; they are still to be let go of."""
        taken = list(self._unsent)
        self._unsent.clear()
        return taken

    def drain(self) -> None:
        """Let what runs finish; start nothing more."""
        if not self.draining:
            self.draining = True
            self.child.send(Drain())

    def end(self) -> None:
        """End what runs."""
        if not self.ending:
            self.draining = self.ending = True
            self.child.send(End())

    def close_if_done(self) -> None:
        """Tell the process that no more comes, once every job of the batch was sent."""
        if not self._closed and not self._unsent:
            self._closed = True
            self.child.send(Close())
