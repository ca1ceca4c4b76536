"""What becomes of what was found: journal rows, counts, jobs in the queue, jobs that others are made of?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from pyprocessor.costs.model import FILE_SECONDS, class_of
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.transitions import Transitions
from pyprocessor.errors import FailureKind
from pyprocessor.intake.classify import Adopted, Finding, Parent, Settled, SettledBefore, Todo, Undivided, Untouched
from pyprocessor.intake.details import child_ids
from pyprocessor.intake.messages import Remark
from pyprocessor.intake.output_location import other_name
from pyprocessor.jobs import retry
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import CachedMedia, JobRow
from pyprocessor.journal.waiting import NEEDED_NO_MORE, Submission, params_of
from pyprocessor.models import IN_HAND, Chunking, Cost, Job, JobState, Origin, Outcome, OutcomeKind, Source, display
from pyprocessor.models.run import RunRequest
from pyprocessor.plan import modes
from pyprocessor.tasks.base import ChildJob


@dataclass(eq=False)
class Findings:
    """Enters the findings of one run."""

    _request: RunRequest
    _journal: Journal
    _calibration: Calibration
    _moves: Transitions

    def __post_init__(self) -> None:
        self._profile = self._request.profile
        self._divisions = self._moves.divisions
        self._places = itertools.count(1)

    def enter(self, finding: Finding) -> bool:
        """Enter what was found; returns whether a job was queued that is no part and no further try."""
        if isinstance(finding, Settled | Adopted):
            self._begin_anew(finding.job.id)
        elif isinstance(finding, SettledBefore):
            self._begin_anew(finding.row.id)
        match finding:
            case Todo():
                return self._queue(finding)
            case Settled(job, outcome, inspection_failed):
                if job.origin is Origin.FOLDER:
                    self._plan(job, None)
                outcome = self._moves.final(job.id, outcome)
                if inspection_failed and outcome.failure is not None:
                    self._journal.remember_media(job.source, CachedMedia(None, outcome.failure, outcome.reason))
                self._journal.finish(job.id, None, outcome, None)
                if not self._moves.taken_back(job.id):
                    self._moves.count(job)
                self._moves.settle(job.id, display(job.source.relative), outcome, 0.0)
            case SettledBefore(row, note):
                if row.state is JobState.QUARANTINED and row.run_id == self._journal.run_id:
                    # Set aside as this run began, so it counts as a failure of this one.
                    self._moves.tally.total += 1
                    outcome = Outcome(OutcomeKind.QUARANTINED, row.reason, row.failure)
                    self._moves.settle(row.id, display(row.source.relative), outcome, 0.0)
                elif row.state.is_failure:
                    self._moves.failed_before.add(row.id)
                    self._moves.tally.failed_before += 1
                else:
                    self._moves.tally.done_before += 1
                self._moves.notice("warning", note or None, job_id=row.id)
            case Adopted(job, facts):
                self._plan(job, None)
                self._journal.adopt(job.id, facts)
                self._moves.tally.done_before += 1
            case Untouched(job, outcome):
                self._moves.tally.total += 1
                self._moves.settle(job.id, display(job.source.relative), outcome, 0.0)
            case Parent(row, children):
                self._make_children(row, children)
            case Undivided(row, reason):
                text = f"{row.name} is done whole: {reason}"
                level = "info" if self._profile.chunking is Chunking.ALWAYS else "debug"
                self._moves.notice(level, text, job_id=row.id, kind="whole")
                self._divisions.whole(row.id)
            case Remark(text, closing, serious):
                self._moves.tally.troubles += serious
                self._moves.notice("error" if serious else "info", text, kind="not_taken" if closing else None)
        return False

    def _queue(self, todo: Todo) -> bool:
        """Enter a job to do, to go on as it would have in the run that began it; returns whether it is to be done."""
        job, row = todo.job, todo.row
        # What takes next to nothing is not worth a statement; its row was read in this turn.
        if row is not None and job.cost.cpu_seconds >= FILE_SECONDS and not self._journal.predict(job):
            return False  # it has moved on since its row was read
        if todo.fresh and job.media is not None:
            self._journal.remember_media(job.source, CachedMedia(job.media))
            if todo.contents and todo.contents[0]:
                self._journal.remember_content(job.source, todo.contents[0])
        seconds = (job.media.playing_seconds or 0.0) if job.media is not None else 0.0
        planned, taken_up = job, False
        if job.id in self._divisions.left:
            before = self._moves.row(job.id)
            changed = before.change(job.source, job.params_fingerprint) is not None
            whole = todo.division.most_parts < 2
            taken_up = not (changed or whole or before.final) and self._divisions.intact(job.id)
            if not taken_up:
                self._begin_anew(job.id)
        if row is None:
            planned, row = self._plan(job, seconds)
            if row is not None and row.state in IN_HAND:
                return False  # found twice, and begun meanwhile
        again = self._moves.taken_back(job.id)
        if not again:
            self._moves.count(job)
        if row is None:
            self._moves.refused(job.id, display(job.source.relative), self._journal.taken(job), FailureKind.UNSUPPORTED)
            return False
        if todo.replaces is not None and planned.output == job.output:
            self._journal.claim(job.id, todo.replaces)
        self._moves.tally.media_seconds += 0.0 if again else seconds
        self._moves.in_hand.add(job.id)
        if taken_up:
            self._moves.reuse.goes_on_in_parts(replace(todo, job=planned), row)
            self._divisions.take_up(row)
            return True
        chosen = self._moves.reuse.choose(replace(todo, job=planned), row)
        if chosen is not None:
            self._moves.queue.add(self._queued(chosen, row))
        return not again and job.origin is not Origin.CHILD

    def _queued(self, todo: Todo, row: JobRow) -> QueuedJob:
        """The job as it waits, with what earlier attempts came to."""
        cost_class, model = class_of(todo.features, 1), self._calibration.model
        rank = modes.rank(self._profile.batch, todo.job, next(self._places))
        queued = QueuedJob.of(todo.job, cost_class, model, self._profile.estimation, todo.division, todo.asking, rank)
        if row.sheds or row.failure is FailureKind.RESOURCE:
            for _ in range(max(1, row.sheds)):
                queued = queued.after_memory_ran_out()
        most = self._profile.throttling.max_sheds
        alone = retry.alone(crashes=row.crashes, killed_runs=row.killed_runs, sheds=row.sheds, max_sheds=most)
        if alone or row.retries_charged:
            queued = replace(queued, tries=row.retries_charged, alone=alone)
        return queued

    def _begin_anew(self, job_id: str) -> None:
        """Throw away the parts into which an earlier run divided a file, which is not to be made of them now."""
        if job_id in self._divisions.left:
            self._moves.cancel(self._divisions.throw_away(job_id), NEEDED_NO_MORE)

    def _make_children(self, row: JobRow, children: Sequence[ChildJob]) -> None:
        """Take in the jobs that one is made of, which then waits until all of them have ended."""
        ids, submissions = child_ids(row.id, children), []
        for number, (job_id, child) in enumerate(zip(ids, children, strict=True), start=1):
            fingerprint, document = params_of(child.params)
            first, *others = child.inputs or (Source(b"", b"", 0, 0),)
            name = row.source.relative + f" ({child.role} {number})".encode()
            job = Job(
                id=job_id,
                task=child.task,
                source=replace(first, relative=name),
                output=b"",
                params_fingerprint=fingerprint,
                cost=Cost(0.0, 0, 0),
                priority=row.priority,
                tenant=row.tenant,
                metadata=(("role", child.role), ("place", str(number))),
                origin=Origin.CHILD,
                inputs=tuple(others),
                parent=row.id,
            )
            submissions.append(Submission(job, document))
        self._journal.submit(submissions)
        for job_id in ids:
            self._moves.taken_back(job_id)
        self._journal.wait_for(row.id, ids, any_end=True)
        self._divisions.made(row, ids)
        self._moves.released += [
            job_id for job_id in (*ids, row.id) if self._moves.row(job_id).state is JobState.PENDING
        ]

    def _plan(self, job: Job, media_seconds: float | None) -> tuple[Job, JobRow | None]:
        """Enter the job under its own output name, or under another where a different source has that.

        A job of no folder has the names that its task gave it, or none: there is no row then.
        """

        plan = partial(
            self._journal.plan,
            media_seconds=media_seconds,
            profile_name=self._profile.name if job.origin is Origin.FOLDER else "",
            forgive=self._request.retry_failed,
        )
        row = plan(job)
        if row is None and job.origin is Origin.FOLDER:
            job = replace(job, output=other_name(job.output, job.source.path))
            row = plan(job)
            assert row is not None
        return job, row
