"""What becomes of one file, by the journal, what lies in the output folder and what inspecting said of it?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from pyprocessor.containers.claims import check_claims
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.inspect.contract import contract
from pyprocessor.intake.findings import Adopted, AlreadyDone, Finding, Settled, Todo, Untouched
from pyprocessor.intake.messages import Candidate, PassedOver
from pyprocessor.intake.output_location import Lies, Memory, OutputLocation, place
from pyprocessor.intake.scan import existing_output
from pyprocessor.jobs import retry
from pyprocessor.journal.rows import CachedMedia, JobRow, PlanChange
from pyprocessor.models import (
    Cost,
    CostFeatures,
    Job,
    JobState,
    MediaInfo,
    Outcome,
    OutcomeKind,
    Source,
    display,
    job_id,
)
from pyprocessor.models.listener import RunRequest
from pyprocessor.tasks.base import Task

NO_COST = Cost(0.0, 0, 0)


class Costs(Protocol):
    """What the cost model offers."""

    def predict(self, features: CostFeatures, threads: int) -> Cost: ...
    def with_history(self, features: CostFeatures, source: Source) -> CostFeatures: ...


class Classifier:
    """The findings about single files of one run."""

    def __init__(self, request: RunRequest, task: Task, costs: Costs, memory: Memory) -> None:
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

    # ------------------------------------------------------------ before it is inspected

    def passed_over(self, passed: PassedOver) -> Finding:
        """Return what becomes of a file that the listing did not take."""
        source = passed.source or Source(self._path_of(passed.relative), passed.relative, 0, 0)
        row = self.row(source)
        outcome = Outcome(OutcomeKind.SKIPPED, f"It {passed.reason}.")
        if passed.failure is not None:
            if row is not None and self.failed_the_same(row, source):
                return AlreadyDone(row)
            outcome = replace(outcome, kind=OutcomeKind.FAILED, failure=passed.failure)
        elif row is not None and row.state in (JobState.SUCCEEDED, JobState.KEPT_SOURCE):
            return AlreadyDone(row)
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
        if not self._unchanged(row, source):
            return False
        match row.state:
            case JobState.FAILED | JobState.QUARANTINED:
                again = retry.again_in_next_run(
                    row.failure,
                    attempts=row.attempts,
                    failed_runs=row.failed_runs,
                    settings=self._request.profile.errors,
                )
                return not self._request.retry_failed and not again
            case JobState.KEPT_SOURCE:
                return True
            case _:
                return False

    def known(self, source: Source, found: OutputLocation) -> Finding | None:
        """Return what becomes of it because of what lies under its name; None for a file that is to be done."""
        row, name = found.row, display(found.output)
        done = row is not None and row.state is JobState.SUCCEEDED and row.output == found.output
        job = self._job(source, found.output, row)
        if found.lies is Lies.RIGHT:
            assert found.made is not None
            if row is not None and done and row.produced == found.made and self._unchanged(row, source):
                return AlreadyDone(row)
            return Adopted(job, found.made)
        if self._request.overwrite:
            return None
        if found.lies is Lies.CHANGED:
            note = f"{name} was changed after it was made and is left as it is; --overwrite makes it anew."
            if row is not None and done:
                return AlreadyDone(row, note)
            return Settled(job, Outcome(OutcomeKind.SKIPPED, note))
        if found.lies is Lies.FOREIGN:
            reason = (
                f"It was left alone: {name} already exists in the output folder and was not "
                "made from it; --overwrite replaces it."
            )
            return Settled(job, Outcome(OutcomeKind.SKIPPED, reason))
        return None

    def cached(self, source: Source) -> CachedMedia | None:
        """Return what inspecting said of it before, unless it is to be inspected again."""
        cached = self._memory.media(source.path, source.size_bytes, source.mtime_ns)
        return None if cached is not None and cached.media is None and self._request.retry_failed else cached

    # ------------------------------------------------------------ after that

    def inspected(
        self,
        source: Source,
        found: OutputLocation,
        media: MediaInfo | None,
        failure: FailureKind | None,
        reason: str,
        *,
        fresh: bool,
    ) -> Finding:
        """Return what becomes of it by its media, or the failure to read them; `fresh` if not from the journal."""
        job = self._job(source, found.output, found.row)
        if media is None:
            kind = failure or FailureKind.BAD_INPUT
            lasting = fresh and kind in retry.LASTING
            return Settled(job, Outcome(OutcomeKind.FAILED, reason, kind), inspection_failed=lasting)
        try:
            check_claims(media, self._request.profile.input_limits, "The file")
            contract(self._request.profile, media)
            features = self._costs.with_history(self._task.features(self._request.profile, media), source)
        except JobError as error:
            outcome = Outcome(OutcomeKind.FAILED, str(error), error.kind)
            return Settled(replace(job, media=media), outcome)
        cost = self._costs.predict(features, 1)
        return Todo(replace(job, media=media, cost=cost), features, fresh, found.made)

    # ------------------------------------------------------------ its job

    def _path_of(self, relative: bytes) -> bytes:
        """Return the path of what the scan calls `relative`."""
        name = relative
        while name and name not in self._paths:
            name = os.path.dirname(name)
        below = relative[len(name) :].lstrip(b"/")
        return os.path.join(self._paths[name], below) if below else self._paths[name]

    def _unchanged(self, row: JobRow, source: Source) -> bool:
        return row.change(source, self._request.profile.fingerprint) is PlanChange.UNCHANGED

    def _job(self, source: Source, output: bytes, row: JobRow | None) -> Job:
        """Return the job of a source; one that was planned under another path of it keeps its id."""
        return Job(
            id=row.id if row is not None else job_id(source.path, self._task.name),
            task=self._task.name,
            source=source,
            output=output,
            profile_fingerprint=self._request.profile.fingerprint,
            cost=NO_COST,
        )
