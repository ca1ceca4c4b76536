"""What becomes of one file, by the journal, what lies in the output folder and what inspecting said of it?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.intake.messages import Candidate, Inspected, PassedOver, Remark
from pyprocessor.intake.output_location import Existing, KnownOutputs, OutputLocation, place
from pyprocessor.intake.scan import existing_output
from pyprocessor.jobs import retry
from pyprocessor.jobs.queued_job import Asking
from pyprocessor.journal.rows import CachedMedia, JobRow
from pyprocessor.journal.waiting import CANCELLED
from pyprocessor.models import (
    WHOLE,
    Cost,
    CostFeatures,
    Division,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    OutputFacts,
    Source,
    display,
    job_id,
)
from pyprocessor.models.run import RunRequest
from pyprocessor.tasks.base import ChildJob, Task
from pyprocessor.workers.messages import InputAway


@dataclass(frozen=True, slots=True)
class Todo:
    """A job to do, its media `fresh` or from the journal; `replaces` is its own output that lies there."""

    job: Job
    features: CostFeatures
    fresh: bool
    replaces: OutputFacts | None = None
    division: Division = WHOLE
    asking: Asking | None = None
    row: JobRow | None = None
    """Of a job that has no names to claim: what the journal has, which nothing but the predicted cost is to change."""
    contents: tuple[str, ...] = ()
    """What identifies the bytes of each input; an empty text where that is not known."""


@dataclass(frozen=True, slots=True)
class SettledBefore:
    """A job that an earlier run brought to a final state which still holds."""

    row: JobRow
    note: str = ""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A job whose output is there and right, though the journal does not say so."""

    job: Job
    facts: OutputFacts


@dataclass(frozen=True, slots=True)
class Untouched:
    """A file that this run leaves out by its settings; what the journal knows of it still holds."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """A file that ends without an attempt; where `inspection_failed`, it would fail again unchanged."""

    job: Job
    outcome: Outcome
    inspection_failed: bool = False


@dataclass(frozen=True, slots=True)
class Parent:
    """A job that is made of others, which are to be done before it."""

    row: JobRow
    children: tuple[ChildJob, ...]


@dataclass(frozen=True, slots=True)
class Undivided:
    """A job that was to be done in parts and is to be done whole, and why, as a sentence."""

    row: JobRow
    reason: str


Finding = Todo | Parent | Undivided | SettledBefore | Adopted | Untouched | Settled | Remark | InputAway
"""After an InputAway, findings about files are to be ignored."""


class Costs(Protocol):
    """What the cost model offers."""

    def predict(self, features: CostFeatures, threads: int) -> Cost: ...
    def with_history(self, features: CostFeatures, source: Source) -> CostFeatures: ...


class Classifier:
    """The findings about single files of one run."""

    def __init__(self, request: RunRequest, task: Task, costs: Costs, memory: KnownOutputs) -> None:
        self._request = request
        self._task = task
        self._costs = costs
        self._memory = memory
        self._paths = {given.name: given.path for given in request.inputs}

    def retry_no_more(self) -> None:
        """From here on, files that failed are tried again only when they change."""
        self._request = replace(self._request, retry_failed=False)

    def row(self, source: Source) -> JobRow | None:
        """Return the job that was planned for it under its present path."""
        return self._memory.job(job_id(source.path, self._task.name))

    def passed_over(self, passed: PassedOver) -> Finding:
        """Return what becomes of a file that the listing did not take."""
        source = passed.source or Source(self._path_of(passed.relative), passed.relative, 0, 0)
        row = self.row(source)
        outcome = Outcome(OutcomeKind.SKIPPED, f"It {passed.reason}.")
        if passed.failure is not None:
            outcome = replace(outcome, kind=OutcomeKind.FAILED, failure=passed.failure)
            if row is not None and self.failed_the_same(row, source):
                return SettledBefore(row)
        elif row is not None and row.state in (JobState.SUCCEEDED, JobState.KEPT_SOURCE):
            return SettledBefore(row)
        elif row is not None and row.state is not JobState.SKIPPED:
            return Untouched(self._job(source, row.output, row), outcome)
        return Settled(self._job(source, row.output if row is not None else b"", row), outcome)

    def place(self, candidate: Candidate, answers: Mapping[bytes, bool]) -> OutputLocation:
        """Return where its output goes, see `output_location.place`."""
        root = self._request.output
        return place(
            candidate.source,
            candidate.output,
            row=self.row(candidate.source),
            fingerprint=self._request.profile.fingerprint,
            task=self._task.name,
            memory=self._memory,
            lying=lambda output: (
                candidate.existing if output == candidate.output else existing_output(os.path.join(root, output))
            ),
            same=answers,
        )

    def failed_the_same(self, row: JobRow, source: Source) -> bool:
        """Return whether an earlier run ended this job without an output, and nothing has changed since."""
        if row.state.is_failure:
            errors = self._request.profile.errors
            again = self._request.retry_failed or retry.again_in_next_run(
                row.failure, attempts=row.attempts, failed_runs=row.failed_runs, settings=errors
            )
        elif row.state is JobState.CANCELLED and row.reason == CANCELLED:
            again = self._request.retry_failed
        else:
            again = row.state is not JobState.KEPT_SOURCE
        return not again and self._unchanged(row, source)

    def known(self, source: Source, found: OutputLocation) -> Finding | None:
        """Return what becomes of it because of what lies under its name; None for a file that is to be done."""
        row, name = found.row, display(found.output)
        done = row if row is not None and (row.state, row.output) == (JobState.SUCCEEDED, found.output) else None
        job = self._job(source, found.output, row)
        if found.existing is Existing.RIGHT:
            assert found.made is not None
            if done is not None and done.produced == found.made and self._unchanged(done, source):
                return SettledBefore(done)
            return Adopted(job, found.made)
        if self._request.overwrite or found.existing not in (Existing.CHANGED, Existing.FOREIGN):
            return None
        reason = (
            f"It was left alone: {name} already exists in the output folder and was not made from it; "
            "--overwrite replaces it."
        )
        if found.existing is Existing.CHANGED:
            reason = f"{name} was changed after it was made and is left as it is; --overwrite makes it anew."
            if done is not None:
                return SettledBefore(done, reason)
        return Settled(job, Outcome(OutcomeKind.SKIPPED, reason))

    def cached(self, source: Source) -> CachedMedia | None:
        """Return what inspecting said of it before, unless it is to be inspected again."""
        cached = self._memory.media(source.path, source.size_bytes, source.mtime_ns)
        return None if cached is not None and cached.media is None and self._request.retry_failed else cached

    def inspected(self, candidate: Candidate, found: OutputLocation, answer: Inspected, *, fresh: bool) -> Finding:
        """Return what becomes of it by its media, or the failure to read them; `fresh` if not from the journal."""
        source, media = candidate.source, answer.found
        job = replace(self._job(source, found.output, found.row), priority=candidate.priority)
        if media is None:
            kind = answer.failure or FailureKind.BAD_INPUT
            lasting = fresh and kind in retry.LASTING
            return Settled(job, Outcome(OutcomeKind.FAILED, answer.reason, kind), inspection_failed=lasting)
        try:
            plan = self._task.plan(self._request.profile, (source,), media, job.output)
            assert isinstance(plan.cost, CostFeatures)
            features = self._costs.with_history(plan.cost, source)
        except JobError as error:
            outcome = Outcome(OutcomeKind.FAILED, str(error), error.kind)
            return Settled(replace(job, media=media), outcome)
        priced = replace(job, media=media, cost=self._costs.predict(features, 1))
        contents = answer.contents or (self._memory.content(source.path, source.size_bytes, source.mtime_ns),)
        return Todo(priced, features, fresh, found.made, plan.division, contents=contents)

    def _path_of(self, relative: bytes) -> bytes:
        """Return the path of what the scan calls `relative`."""
        name = relative
        while name and name not in self._paths:
            name = os.path.dirname(name)
        below = relative[len(name) :].lstrip(b"/")
        return os.path.join(self._paths[name], below) if below else self._paths[name]

    def _unchanged(self, row: JobRow, source: Source) -> bool:
        return row.change(source, self._request.profile.fingerprint) is None

    def _job(self, source: Source, output: bytes, row: JobRow | None) -> Job:
        """Return the job of a source; one that was planned under another path of it keeps its id."""
        return Job(
            id=row.id if row is not None else job_id(source.path, self._task.name),
            task=self._task.name,
            source=source,
            output=output,
            params_fingerprint=self._request.profile.fingerprint,
            cost=Cost(0.0, 0, 0),
        )
