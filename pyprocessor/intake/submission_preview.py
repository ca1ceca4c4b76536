"""What would jobs do that are to be submitted: in which order, after which others, and what would they leave?

Files that are there are inspected; what is made of files that other jobs make is predicted as far as its names depend
on nothing that inspecting finds. Nothing is written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from multiprocessing.connection import wait
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.intake.details import check_products, features_of, name_of
from pyprocessor.intake.inspector_client import InspectorClient
from pyprocessor.intake.messages import Inspected, InspectJob
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import CostFeatures, ProductOf, Source, display
from pyprocessor.models.products import Product
from pyprocessor.models.run import RunRequest
from pyprocessor.tasks.base import Plan
from pyprocessor.tasks.registry import task
from pyprocessor.workers.process import context

MOST_INSPECTED = 200
"""Of the jobs; a second or two, where files are small."""
TURN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Preview:
    """One job: the names of those that it waits for, and what it leaves; None where that is not known before."""

    submission: Submission
    waits_for: tuple[str, ...]
    products: tuple[Product, ...] | None = None
    problem: str = ""
    """A sentence: why the job would fail, or has nothing to do. Empty where neither is known."""
    backends: tuple[str, ...] = ()
    """The names of the services that may do it, the preferred one first."""
    features: CostFeatures | None = None
    """What its cost depends on; None where that is not known before, or it has nothing to do."""

    @property
    def would_fail(self) -> bool:
        """Whether that is known: of one that has nothing to do the products are known."""
        return bool(self.problem) and self.products is None


def previews(
    submissions: Sequence[Submission], request: RunRequest, known: Callable[[str], JobRow | None]
) -> Iterator[Preview]:
    """Yield the jobs in the order in which they could be done one by one. `known` returns a job of the journal."""
    jobs = {given.job.id: given for given in submissions}
    found = _inspected([given for given in submissions if _has_files_only(given)][:MOST_INSPECTED], request)
    made: dict[str, tuple[Product, ...] | None] = {}
    for job_id in _order(jobs):
        if job_id not in jobs:
            row = known(job_id)
            made[job_id] = row.products if row is not None and row.final else None
            continue
        given = jobs[job_id]
        names = tuple(_name(needed, jobs, known) for needed in given.job.needs)
        try:
            plan = _planned(given, found.get(job_id), made, request.output)
        except JobError as error:
            made[job_id] = None
            yield Preview(given, names, problem=str(error))
            continue
        made[job_id] = plan.products if plan is not None else None
        if plan is None:
            yield Preview(given, names)
        else:
            known_before = not plan.skip and not plan.children and (given.job.id in found or not given.job.all_inputs)
            features = features_of(given.job.task, plan) if known_before else None
            backends = tuple(backend.name for backend in plan.backends)
            yield Preview(given, names, plan.products, plan.skip, backends, features)


def _order(jobs: Mapping[str, Submission]) -> Iterator[str]:
    """Yield ids, also of jobs of the journal that these wait for: the urgent first, else as they were given."""
    places = {job_id: (given.job.priority, number) for number, (job_id, given) in enumerate(jobs.items())}
    sorter = TopologicalSorter({job_id: given.job.needs for job_id, given in jobs.items()})
    sorter.prepare()
    while sorter.is_active():
        for job_id in sorted(sorter.get_ready(), key=lambda job_id: places.get(job_id, (0, -1))):
            yield job_id
            sorter.done(job_id)


def _name(job_id: str, jobs: Mapping[str, Submission], known: Callable[[str], JobRow | None]) -> str:
    if job_id in jobs:
        return display(jobs[job_id].job.source.relative)
    row = known(job_id)
    return row.name if row is not None else job_id


def _has_files_only(given: Submission) -> bool:
    return bool(given.job.source.path) and all(isinstance(each, Source) for each in given.job.inputs)


def _inspected(submissions: Sequence[Submission], request: RunRequest) -> dict[str, Inspected]:
    """Ask an inspector what the tasks of these jobs find in their files."""
    found: dict[str, Inspected] = {}
    client: InspectorClient[str] = InspectorClient(request, context())
    for given in submissions:
        files = tuple(each for each in given.job.all_inputs if isinstance(each, Source))
        client.ask(given.job.id, InspectJob(given.job.task, files, json.loads(given.params)))
    try:
        while client.pending:
            client.go_on(time.monotonic())
            wait([child.connection for child in client.children], timeout=TURN_SECONDS)
            for message in client.messages(time.monotonic()):
                match message:
                    case (str(job_id), answer):
                        found[job_id] = answer
    finally:
        client.stop()
    return found


class _Figure(float):
    """Stands for what inspecting will find: plans reckon with it, but no name can be made of it."""

    def __str__(self) -> str:
        raise ValueError("this is not known yet")

    def __format__(self, how: str) -> str:
        return str(self)


class _NotKnownYet(dict[str, Any]):
    """Stands for what the inspection of files that are not there yet will answer."""

    def __missing__(self, name: str) -> _Figure:
        return _Figure(1.0)


def _planned(
    given: Submission, answer: Inspected | None, made: Mapping[str, tuple[Product, ...] | None], output: bytes
) -> Plan | None:
    """Return the plan of a job; None where it depends on what is not known yet. Raises JobError where it would fail."""
    if answer is not None and answer.failure is not None:
        raise JobError(answer.failure, answer.reason)
    inputs = tuple(_file(each, made, output) for each in given.job.all_inputs)
    found: Any = json.loads(answer.found) if answer is not None else _NotKnownYet() if inputs else None
    try:
        plan: Any = task(given.job.task).plan(json.loads(given.params), inputs, found, name_of(given.job))
    except JobError:
        if answer is None and inputs:
            return None
        raise
    except Exception:  # noqa: BLE001 - code of others, which may want to know what nobody knows yet
        return None
    if not isinstance(plan, Plan):
        return None
    check_products(plan, intermediate=given.job.is_fetch)
    return plan


def _file(given: Source | ProductOf, made: Mapping[str, tuple[Product, ...] | None], output: bytes) -> Source:
    """Return an input as it will be. Raises JobError for a product that its job does not make."""
    if isinstance(given, Source):
        return given
    products = made.get(given.job_id)
    if products is None:
        return Source(b"", b"", 0, 0)
    product = next((each for each in products if each.role == given.role), None)
    if product is None:
        roles = ", ".join(each.role for each in products) or "none"
        raise JobError(FailureKind.BAD_INPUT, f"It reads a product {given.role!r} of a job that makes: {roles}.")
    return Source(os.path.join(output, product.name), product.name, 0, 0)
