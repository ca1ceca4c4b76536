"""Which back ends do the jobs of a run use, and how are these? Their states are kept in the journal.

What is taken of a back end is written before the job is sent, and how an attempt ended with the move that follows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from pyprocessor.jobs.queued_job import Asking, QueuedJob
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Backend, BackendState, Outcome
from pyprocessor.plan import backends as plan
from pyprocessor.plan.queue import JobQueue


def _steady_clock() -> Callable[[], float]:
    """A clock of seconds since the epoch that is not changed by who sets the system's."""
    began = time.time() - time.monotonic()
    return lambda: began + time.monotonic()


@dataclass(eq=False)
class Backends:
    """The back ends of one run, by name."""

    _journal: Journal
    _queue: JobQueue
    clock: Callable[[], float] = field(default_factory=_steady_clock)
    _next: float = math.inf
    """When the first of those may be asked that a job was found to wait for since the last `look`."""

    _down_since: dict[str, float] = field(default_factory=dict)
    """From when on in this run those did not answer that do not now."""

    def __post_init__(self) -> None:
        now = self.clock()
        self._states = {name: plan.as_kept(state, now) for name, state in self._journal.backends().items()}
        for name, state in self._states.items():
            self._look_at(name, state)

    @property
    def seconds_to_next(self) -> float:
        """How long until a job may begin that waits for a back end; infinite where none does."""
        return self._next - self.clock()

    def look(self) -> None:
        """Begin to look for jobs that may begin."""
        self._next = math.inf

    def available(self, job: QueuedJob) -> bool:
        """Whether a job needs no back end now, or one of its own may be asked."""
        if job.asking is None or job.backend:
            return True
        chosen, when = plan.choose(job.asking, self._states, self.clock())
        if chosen is None:
            self._next = min(self._next, when)
        return chosen is not None

    @property
    def any_lost(self) -> bool:
        """Whether a back end has not answered for so long that this run waits for it no more."""
        return bool(self._down_since) and any(map(self._lost, self._down_since))

    def lost(self, job: QueuedJob) -> bool:
        """Whether that is so of all back ends of a job."""
        return job.asking is not None and all(self._lost(backend.name) for backend in job.asking.backends)

    def shortage(self, job: QueuedJob) -> str:
        """Why a job waits for its back ends, as the end of a sentence; empty where it does not."""
        if job.asking is None or job.backend:
            return ""
        return plan.shortage(job.asking, self._states, self.clock())

    def given(self, jobs: Iterable[QueuedJob]) -> list[QueuedJob]:
        """Choose a back end for each job that needs one; returns those that may begin, and queues the others again."""
        found, now = [], self.clock()
        for job in jobs:
            if job.asking is None:
                found.append(job)
                continue
            chosen, when = plan.choose(job.asking, self._states, now)
            if chosen is None:
                self._next = min(self._next, when)
                self._queue.put_back(job)
            else:
                self._keep(chosen, plan.after_start(chosen, self._state(chosen), job.asking.requests, now))
                found.append(replace(job, asking=replace(job.asking, chosen=chosen.name, since=now)))
        return found

    def succeeded(self, job: QueuedJob) -> None:
        """Note that an attempt at a job has succeeded."""
        if job.asking is not None and (used := _used(job.asking)) is not None:
            self._keep(used, plan.after_success(self._state(used)))

    def ended(self, job: QueuedJob, outcome: Outcome, *, begun: bool) -> QueuedJob:
        """Note that an attempt at a job has ended, if it had `begun`; returns the job as it waits for the next one."""
        asking, now = job.asking, self.clock()
        if asking is None or (used := _used(asking)) is None:
            return job
        state, tried = self._state(used), asking.tried
        if not begun:
            after = plan.after_nothing(used, state, asking.requests, now)
        elif outcome.failure in plan.UNANSWERED:
            after = plan.after_failure(state, asking.since, now, outcome.retry_after_seconds)
            tried |= {used.name}
        else:
            after = plan.after_end(state, asking.since)
        self._keep(used, after)
        return replace(job, asking=replace(asking, chosen="", tried=tried))

    def _state(self, backend: Backend) -> BackendState:
        return self._states.get(backend.name, plan.NEW)

    def _keep(self, backend: Backend, state: BackendState) -> None:
        known = replace(self._state(backend), probing=state.probing)
        self._states[backend.name] = state
        self._look_at(backend.name, state)
        if state != known:
            self._journal.keep_backend(backend.name, state)

    def _look_at(self, name: str, state: BackendState) -> None:
        if state.failures < plan.FAILURES_UNTIL_OPEN:
            self._down_since.pop(name, None)
        else:
            self._down_since.setdefault(name, self.clock())

    def _lost(self, name: str) -> bool:
        since = self._down_since.get(name, math.inf)
        return self.clock() - since > plan.LONGEST_DOWN_SECONDS and not self._states[name].probing


def _used(asking: Asking) -> Backend | None:
    return next((backend for backend in asking.backends if backend.name == asking.chosen), None)
