"""What is a job made of, whole: params, inputs, what inspecting found, plan, what its cost depends on?"""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pyprocessor.errors import FailureKind, JobError, UsageError
from pyprocessor.jobs.queued_job import Asking
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import params_of
from pyprocessor.models import CostFeatures, Job, JobState, Origin, ProductOf, Source, child_id, display, tenant_folder
from pyprocessor.models.os_errors import classify_os_error
from pyprocessor.models.products import naming_problem
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.division import JOIN
from pyprocessor.tasks.base import ChildEnd, ChildJob, Plan, is_reusable
from pyprocessor.tasks.registry import task

PARAMS_KEPT = 256
"""Of jobs of no folder, whose params are read once while they are the same."""
PROFILE = "profile"
"""The key of a profile in a part's params: journaled as its fingerprint, given to the task whole."""
PLAIN_BYTES = 128
"""Of a message about a job, beside what its task makes of it."""
STATE_FOLDER = b".pyprocessor"
INTERMEDIATE = STATE_FOLDER + b"/intermediate/"
"""Where the products of children lie, below the output root."""


class FetchedGone(JobError):
    """An input is gone that the job `fetch` fetched."""

    def __init__(self, row: JobRow) -> None:
        super().__init__(FailureKind.UNAVAILABLE, f"{row.name}, which it reads, was fetched and is gone.")
        self.fetch = row.id


@dataclass(frozen=True, slots=True)
class Details:
    """A job with all that its task says of it."""

    params: Any
    inputs: tuple[Source, ...]
    found: Any
    plan: Plan
    features: CostFeatures
    children: tuple[ChildEnd, ...]
    message_bytes: int
    """Of all that its process is sent, by and large."""

    @property
    def whole(self) -> CostFeatures | None:
        """Of a job whose parts are there: what the cost of all of it depends on."""
        joins = self.features.given is not None and self.features.encoder == JOIN
        return self.plan.cost if joins and isinstance(self.plan.cost, CostFeatures) else None

    @property
    def asking(self) -> Asking | None:
        """Of a job that is done by a back end: what it asks of which."""
        return _asking(self.plan)

    def media_seconds(self, row: JobRow) -> float:
        """Seconds of media that count as done with the job: those of a part's pictures, none of a join."""
        if row.origin is Origin.CHILD and self.features.pixels:
            return self.features.duration_seconds
        return 0.0 if self.whole is not None else row.media_seconds or 0.0


class JobDetails:
    """Looks up jobs in the journal, and asks their tasks for plans. Raises JobError for one that cannot be done."""

    def __init__(self, request: RunRequest, journal: JournalReader) -> None:
        self._request = request
        self._journal = journal
        self._params = lru_cache(PARAMS_KEPT)(self._read_params)

    def params(self, row: JobRow) -> Any:
        """Return what a job of no folder was asked to do. Raises JobError where it is part of another run's film."""
        params, _ = self._params(row.params_fingerprint)
        if row.origin is not Origin.CHILD or not isinstance(params, dict) or not isinstance(params.get(PROFILE), str):
            return params
        profile = self._request.profile
        if params[PROFILE] != profile.fingerprint:
            raise JobError(FailureKind.UNSUPPORTED, "It is part of what is made under another profile.")
        return {**params, PROFILE: profile}

    def of(self, row: JobRow) -> Details:
        """Return all about a job that was planned, or whose inputs were inspected."""
        if row.origin is Origin.FOLDER:
            params, size = self._request.profile, 0  # its process has it
            inputs: tuple[Source, ...] = (row.source,)
            cached = self._journal.media(row.source.path, row.source.size_bytes, row.source.mtime_ns)
            assert cached is not None
            found: Any = cached.media
        else:
            params = self.params(row)
            size = _bytes_of(params) if row.origin is Origin.CHILD else self._params(row.params_fingerprint)[1]
            inputs = self.inputs(row)
            found = json.loads(row.found) if row.found is not None else None
        plan = self._plan(row, params, inputs, found)
        children = tuple(map(self._end, self._children(row, plan)))
        varying = [part for part in (inputs, found, row.products, children) if part]
        size += PLAIN_BYTES + (_bytes_of(varying) if varying else 0)
        return Details(params, inputs, found, plan, _features(row, plan, children), children, size)

    def _plan(self, row: JobRow, params: Any, inputs: tuple[Source, ...], found: Any) -> Plan:
        work = self._task(row)
        try:
            plan = work.plan(params, inputs, found, name_of(row))
            if not isinstance(plan, Plan):
                raise TypeError(f"{type(plan).__name__} where a Plan was expected")
            if row.origin is not Origin.FOLDER and plan.products:
                check_products(plan, intermediate=row.origin is Origin.CHILD)
            for child in plan.children:
                params_of(child.params)
            _asking(plan)
        except JobError:
            raise
        except (Exception, SystemExit) as error:  # code of others: one job fails
            reason = f"The task {row.task!r} failed to plan the job with {error!r}; the task has to be mended."
            raise JobError(FailureKind.UNSUPPORTED, reason) from error
        return plan

    def _children(self, row: JobRow, plan: Plan) -> list[JobRow]:
        """The jobs that it was made to wait for, in order: of those in the plan, or those it was divided into."""
        if not plan.children and plan.division.most_parts < 2:
            return []
        needs = frozenset(self._journal.needs(row.id))
        if not plan.children:
            parts = (child for child in self._journal.children(row.id) if child.id in needs) if needs else ()
            return sorted(parts, key=lambda child: int(dict(child.metadata)["place"]))
        found = (self._journal.job(job_id) for job_id in child_ids(row.id, plan.children) if job_id in needs)
        return [child for child in found if child is not None]

    def _end(self, child: JobRow) -> ChildEnd:
        succeeded = child.state in (JobState.SUCCEEDED, JobState.KEPT_SOURCE) or child.already_right
        made = {product.role: os.path.join(self._request.output, product.name) for product in child.products}
        result = json.loads(child.result) if succeeded and child.result is not None else None
        return ChildEnd(dict(child.metadata)["role"], succeeded, child.reason, made if succeeded else {}, result)

    def known(self, row: JobRow) -> bool:
        """Whether a job of a folder is of this run's profile, and its source was inspected."""
        source = row.source
        cached = self._journal.media(source.path, source.size_bytes, source.mtime_ns)
        same = row.params_fingerprint == self._request.profile.fingerprint
        return same and cached is not None and cached.media is not None

    def inputs(self, row: JobRow) -> tuple[Source, ...]:
        """Return the inputs of a job of no folder, products of other jobs as the files that they are now."""
        own = (row.source,) if row.source.path else ()  # making a whole Job of the row takes as long as a statement
        return (*own, *(self._made(given) if isinstance(given, ProductOf) else given for given in row.inputs))

    def contents(self, row: JobRow, inputs: tuple[Source, ...]) -> tuple[str, ...]:
        """Return what identifies the bytes of a job's inputs, where the results of its task may be reused."""
        if not self._request.profile.batch.cache_size or not is_reusable(self._task(row)):
            return ()
        return tuple(self._journal.content(source.path, source.size_bytes, source.mtime_ns) for source in inputs)

    def _made(self, wanted: ProductOf) -> Source:
        row = self._journal.job(wanted.job_id)
        if row is not None and row.is_fetch and row.state is not JobState.SUCCEEDED:
            text = f"{row.name}, which it reads, could not be fetched: {row.reason}"
            raise JobError(row.failure or FailureKind.BAD_INPUT, text)
        product = next((p for p in row.products if p.role == wanted.role), None) if row is not None else None
        if row is None or product is None:
            named = row.name if row is not None else wanted.job_id
            raise JobError(FailureKind.BAD_INPUT, f"{named} has no product {wanted.role!r}, which this job reads.")
        path = os.path.join(self._request.output, product.name)
        try:
            found = os.stat(path)
        except OSError as error:
            if row.is_fetch and isinstance(error, FileNotFoundError):
                raise FetchedGone(row) from error
            raise JobError(*classify_os_error(error, path)) from error
        return Source(path, product.name, found.st_size, found.st_mtime_ns)

    def _read_params(self, fingerprint: str) -> tuple[Any, int]:
        document = self._journal.params(fingerprint)
        assert document is not None
        params: Any = json.loads(document)
        return params, _bytes_of(params)

    def _task(self, row: JobRow) -> Any:
        try:
            return task(row.task)
        except UsageError as error:
            raise JobError(FailureKind.UNSUPPORTED, str(error)) from error


def child_ids(parent: str, children: Sequence[ChildJob]) -> list[str]:
    """The ids of the jobs that one is made of, in their order."""
    places: Counter[str] = Counter()
    ids = []
    for child in children:
        ids.append(child_id(parent, child.role, places[child.role], params_of(child.params)[0]))
        places[child.role] += 1
    return ids


def _bytes_of(value: object) -> int:
    return len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def name_of(job: Job | JobRow) -> bytes:
    """Return the name that a task gets for the product of a job; that of a child lies in the state folder."""
    if job.origin is Origin.CHILD:
        # A folder, in which a fetched input keeps its name, since what is made of it is called by that.
        return INTERMEDIATE + job.id.encode("ascii") + (b"" if job.parent else b"/input")
    if job.origin is Origin.FOLDER:
        return job.output
    # Not the name that its task made of it before, from which it would make another.
    folder = tenant_folder(job.tenant)
    return folder + b"/" + job.source.relative if folder else job.source.relative


def _features(row: JobRow, plan: Plan, children: Sequence[ChildEnd]) -> CostFeatures:
    if children and not plan.children and all(child.succeeded for child in children):
        return CostFeatures(task=row.task, encoder=JOIN, given=plan.division.join)
    return features_of(row.task, plan)


def features_of(name: str, plan: Plan) -> CostFeatures:
    """What the cost of a job of this task depends on."""
    return plan.cost if isinstance(plan.cost, CostFeatures) else CostFeatures(task=name, encoder=name, given=plan.cost)


def _asking(plan: Plan) -> Asking | None:
    return Asking(tuple(plan.backends), int(plan.requests)) if plan.backends else None


def check_products(plan: Plan, *, intermediate: bool = False) -> None:
    """Raise JobError where the names of the products are none that a job may have.

    Those of jobs that others make for themselves, `intermediate`, lie in the folder of the state.
    """
    problem = naming_problem(plan.products)
    if problem is None and not intermediate:
        inside = next((p for p in plan.products if p.name.split(b"/")[0] == STATE_FOLDER), None)
        problem = f"The name {display(inside.name)!r} of a product lies in the folder of the state." if inside else None
    if problem is not None:
        raise JobError(FailureKind.UNSUPPORTED, problem)
