"""Which jobs get a copy of what was made of the same content before, and which wait for one that is being made?

A job's key has all in it that decides what it makes. The first job of a key is done; others of that key wait in memory,
as pending jobs, until it is over, and are found anew then. Whether a copy may be made its batch process decides.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pyprocessor import __version__
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.intake.classify import Todo
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.journal.journal import REUSED, Journal
from pyprocessor.journal.records import decode, encode
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import (
    IN_HAND,
    WHOLE,
    BatchSettings,
    Cost,
    CostFeatures,
    Job,
    Origin,
    OutcomeKind,
    OutputFacts,
    Reusable,
    Usage,
)
from pyprocessor.models.products import naming_problem
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.queue import JobQueue
from pyprocessor.workers.content import is_sampled
from pyprocessor.workers.copying import COPY

_BYTES_PER_CPU_SECOND = 1e9
_START_CPU_SECONDS, _MEMORY_BYTES = 0.01, 32 << 20
_GONE = "What was to be copied is not kept any more."


def key_of(settings: BatchSettings, job: Job, damaged: str, found: str | None, contents: Sequence[str]) -> str:
    """Return a digest of all that decides what a job makes; empty where that is not known, or a product is a folder.

    `damaged` is the run's setting, which is no part of a profile's fingerprint, `found` what inspecting found, as JSON.
    """
    if not contents or not all(contents) or any(product.folder for product in job.products):
        return ""
    products = [product.role for product in job.products]
    tenant = [] if settings.share_results else [job.tenant]
    parts = [__version__, tenant, job.task, job.params_fingerprint, damaged, products, found, list(contents)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(eq=False)
class Reuse:
    """The jobs of one run whose results may be reused, or that reuse others."""

    _request: RunRequest
    _journal: Journal
    _queue: JobQueue
    _released: deque[str]
    _notice: Callable[[str, str], None]
    _keys: dict[str, str] = field(default_factory=dict)
    """By job in hand."""
    _first: dict[str, str] = field(default_factory=dict)
    """By key: the job that is done."""
    _behind: dict[str, dict[str, None]] = field(default_factory=dict)
    """By key: the jobs that wait for that one."""
    _copies: dict[str, CostFeatures] = field(default_factory=dict)
    """By job that is to get a copy: what the cost of copying follows from."""
    _refused: dict[str, str] = field(default_factory=dict)
    """By job: the one whose result it could not copy."""
    _in_vain: set[str] = field(default_factory=set)
    """Keys of jobs that failed: others of these do not wait for each other, lest each fails after the one before it."""

    def choose(self, todo: Todo, row: JobRow) -> Todo | None:
        """Return a job as it is to be done, maybe as a copy; None where it waits for another one of the same key."""
        job, key = todo.job, self._key(todo, row)
        self._copies.pop(job.id, None)
        if self._keys.get(job.id, key) != key:
            self.over(job.id)
        first = self._first.get(key, job.id)
        if not key or (first == job.id and key in self._first):
            return todo
        self._keys[job.id] = key
        if not row.anew:
            if first != job.id and not self._goes_on(job, first, key):
                self._behind.setdefault(key, {})[job.id] = None
                return None
            self._journal.count_lookup()
            found = self._found(key)
            if found is not None and found.job_id not in (job.id, self._refused.get(job.id)):
                return self._as_copy(todo, found)
        self._first.setdefault(key, job.id)
        return todo

    def _goes_on(self, job: Job, first: str, key: str) -> bool:
        """Whether a job does not wait for the first one of its key: it would be late, or that one may come later."""
        if key in self._in_vain or (job.deadline is not None and time.time() + job.cost.cpu_seconds > job.deadline):
            return True
        row = self._journal.job(first)
        if row is not None and row.tenant != job.tenant and self._queue.limited(row.tenant):
            return True
        if row is None or row.state in IN_HAND or row.priority <= job.priority:
            return False
        self._take_over(job.id, first, key)
        return True

    def _take_over(self, job_id: str, first: str, key: str) -> None:
        """Have a job be the first one of its key, in place of another one, which waits if it has not begun."""
        self._first[key] = job_id
        if self._queue.drop(first) is not None:  # else it is being divided, or is in parts
            self._behind.setdefault(key, {})[first] = None

    def goes_on_in_parts(self, todo: Todo, row: JobRow) -> None:
        """Note that a job is done, in parts that an earlier run began; others of its key wait for it."""
        key = self._key(todo, row)
        if key:
            self._keys[row.id] = key
            first = self._first.setdefault(key, row.id)
            if first != row.id:
                self._take_over(row.id, first, key)

    def of(self, job_id: str, features: CostFeatures) -> tuple[Reusable | None, CostFeatures]:
        """Return the result that a job copies, if it does, and what its cost depends on: `features` where it is done.

        Raises JobError where that result is not kept any more.
        """
        if job_id not in self._copies:
            return None, features
        found = self._found(self._keys[job_id])
        if found is None:
            raise JobError(FailureKind.INFRASTRUCTURE, _GONE)
        return found, self._copies[job_id]

    def refused(self, job_id: str) -> bool:
        """Have a job done that was to get a copy and could not; returns whether it was such a job."""
        if self._copies.pop(job_id, None) is None:
            return False
        found = self._found(self._keys[job_id])
        self._refused[job_id] = found.job_id if found is not None else ""
        self._released.append(job_id)
        return True

    def succeeded(self, job: RunningJob, facts: OutputFacts | None, usage: Usage | None) -> None:
        """Keep the result of a job for others, before the journal has the job as done, or count that it was a copy."""
        key, took = self._keys.get(job.job_id), usage.cpu_seconds if usage is not None else job.used_cpu_seconds
        if key is None:
            return
        if job.job_id in self._copies:
            if (found := self._found(key)) is not None:
                self._journal.use_result(key)
                self._journal.add_event(
                    REUSED, f"{job.name} was copied from what was made of {found.name}.", job.job_id
                )
                self._journal.count_hit(found.cpu_seconds - took)
            return
        row = self._journal.job(job.job_id)
        assert row is not None
        products = [(intent.product, intent.seal) for intent in self._journal.intents(row.id)]
        if facts is not None:  # a copy to another file system may have another time
            products = [(product, facts.seal if product.name == row.output else seal) for product, seal in products]
        cpu_seconds = job.parts_cpu_seconds + took
        made = Reusable(row.id, row.name, job.inputs, tuple(products), facts, job.result, cpu_seconds)
        self._journal.keep_result(key, encode(made), self._settings.cache_size)

    def begins_anew(self, job_id: str) -> None:
        """Have a job wait no more, nor others for it, that was submitted again: it may make something else now."""
        self._queue.drop(job_id)
        self.over(job_id)

    def over(self, job_id: str, how: OutcomeKind | None = None) -> None:
        """Release what waits for a job that has ended, if it was `how`, or that is to make something else now."""
        key = self._keys.pop(job_id, "")
        if key and how is not None and how.is_failure:
            self._in_vain.add(key)
        self._copies.pop(job_id, None)
        self._refused.pop(job_id, None)
        self._behind.get(key, {}).pop(job_id, None)
        if self._first.get(key) == job_id:
            del self._first[key]
            self._released += self._behind.pop(key, {})

    @property
    def _settings(self) -> BatchSettings:
        return self._request.profile.batch

    def _key(self, todo: Todo, row: JobRow) -> str:
        job = todo.job
        if not self._settings.cache_size or job.origin is Origin.CHILD:
            return ""
        found = encode(job.media) if job.media is not None else row.found
        return key_of(self._settings, job, self._request.profile.damaged, found, todo.contents)

    def _found(self, key: str) -> Reusable | None:
        """Return what is kept for a key; None where nothing is, or it is damaged."""
        kept = self._journal.cached_result(key, time.time() - self._settings.cache_expiry_seconds)
        if kept is None:
            return None
        try:
            found = decode(Reusable, kept[0])
            if problem := naming_problem([product for product, _ in found.products]):
                raise ValueError(problem)
            return found
        except (ValueError, RecursionError) as error:
            self._notice("warning", f"A result that the journal keeps for reuse is damaged and is not used ({error}).")
            return None

    def _as_copy(self, todo: Todo, found: Reusable) -> Todo:
        """Return the job at the price of copying: reading and writing what was made, and comparing larger sources."""
        copied = sum(size for _, (size, _) in found.products)
        compared = sum(2 * source.size_bytes for source in found.sources if is_sampled(source))
        cpu_seconds = _START_CPU_SECONDS + (3 * copied + compared) / _BYTES_PER_CPU_SECOND
        cost = Cost(cpu_seconds, _MEMORY_BYTES, copied)
        features = CostFeatures(task=todo.job.task, encoder=COPY, given=cost)
        self._copies[todo.job.id] = features
        return replace(todo, job=replace(todo.job, cost=cost), features=features, division=WHOLE, asking=None)
