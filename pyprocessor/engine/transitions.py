"""What follows when a job moves, inside a journal transaction: journal row, counts, queue, listener, hooks?"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pyprocessor.costs.model import class_of
from pyprocessor.engine.hooks import Hooks, file_call
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.recovery import replaceable
from pyprocessor.engine.tally import Tally
from pyprocessor.errors import FailureKind, JournalError
from pyprocessor.governor.governor import EventKind, GovernorEvent
from pyprocessor.intake.classify import Adopted, Finding, Settled, SettledBefore, Todo, Untouched
from pyprocessor.intake.messages import Remark
from pyprocessor.intake.output_location import other_name
from pyprocessor.jobs import retry
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.jobs.retry import STATE_AFTER
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import CachedMedia, JobRow
from pyprocessor.journal.waiting import CANCELLED, Submission
from pyprocessor.models import (
    IN_HAND,
    ErrorSettings,
    Job,
    JobState,
    Origin,
    Outcome,
    OutcomeKind,
    OutputFacts,
    ProcessIdentity,
    Reading,
    Usage,
    display,
)
from pyprocessor.models.products import Intent
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.plan.queue import JobQueue

INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run was stopped before the file was done.")
_EASINGS = frozenset({EventKind.RESUME, EventKind.RECOVER})


@dataclass(eq=False)
class Transitions:
    """Moves the jobs of one run."""

    _request: RunRequest
    _journal: Journal
    _calibration: Calibration
    _listener: Listener
    _logs: bytes
    began: float
    in_hand: set[str] = field(default_factory=set)
    """Jobs that were queued and have not reached a final state."""
    released: list[str] = field(default_factory=list)
    """Jobs that became pending otherwise than by a finding, and are to be inspected and planned."""
    cancelling: set[str] = field(default_factory=set)
    """Jobs in hand that the user cancelled."""

    def __post_init__(self) -> None:
        self._profile = self._request.profile
        self.hooks = Hooks(self._profile.hooks, self._logs, self.notice)
        self.queue = JobQueue()
        self.tally = Tally(self.began)

    def notice(self, level: str, text: str | None, *, job_id: str | None = None, kind: str | None = None) -> None:
        """Show the user a sentence, where there is one, and store it as an event of this kind or level."""
        if text is not None:
            self._journal.add_event(kind or level, text, job_id=job_id)
            self._listener.notice(level, text)

    def governed(self, event: GovernorEvent, reading: Reading) -> None:
        """Show and store a decision of the governor, with the reading it was taken on."""
        self._journal.add_event(event.kind, event.text, event.job_id, reading=reading)
        self._listener.notice("info" if event.kind in _EASINGS else "warning", event.text)

    def found(self, finding: Finding) -> bool:
        """Enter what was found; returns whether a job was queued."""
        match finding:
            case Todo():
                self._queue(finding)
                return True
            case Settled(job, outcome, inspection_failed):
                if job.origin is Origin.FOLDER:
                    self._plan(job, None)
                outcome = self._final(job.id, outcome)
                if inspection_failed and outcome.failure is not None:
                    self._journal.remember_media(job.source, CachedMedia(None, outcome.failure, outcome.reason))
                self._journal.finish(job.id, None, outcome, None)
                self._count(job)
                self._settle(job.id, display(job.source.relative), outcome, 0.0)
            case SettledBefore(row, note):
                if row.state is JobState.QUARANTINED and row.run_id == self._journal.run_id:
                    # Set aside as this run began, so it counts as a failure of this one.
                    self.tally.total += 1
                    outcome = Outcome(OutcomeKind.QUARANTINED, row.reason, row.failure)
                    self._settle(row.id, display(row.source.relative), outcome, 0.0)
                elif row.state in (JobState.FAILED, JobState.QUARANTINED):
                    self.tally.failed_before += 1
                else:
                    self.tally.done_before += 1
                self.notice("warning", note or None, job_id=row.id)
            case Adopted(job, facts):
                self._plan(job, None)
                self._journal.adopt(job.id, facts)
                self.tally.done_before += 1
            case Untouched(job, outcome):
                self.tally.total += 1
                self._settle(job.id, display(job.source.relative), outcome, 0.0)
            case Remark(text, closing, serious):
                self.tally.troubles += serious
                self.notice("error" if serious else "info", text, kind="not_taken" if closing else None)
        return False

    def _queue(self, todo: Todo) -> None:
        """Enter a job to do, to go on as it would have in the run that began it."""
        job = todo.job
        if todo.fresh and job.media is not None:
            self._journal.remember_media(job.source, CachedMedia(job.media))
        seconds = (job.media.playing_seconds or 0.0) if job.media is not None else 0.0
        planned, row = self._plan(job, seconds)
        if todo.replaces is not None and planned.output == job.output:
            self._journal.claim(job.id, todo.replaces)
        self._count(job)
        self.tally.media_seconds += seconds
        self.in_hand.add(job.id)
        queued = QueuedJob.of(planned, class_of(todo.features, 1), self._calibration.model, self._profile.estimation)
        if row.sheds or row.failure is FailureKind.RESOURCE:
            for _ in range(max(1, row.sheds)):
                queued = queued.after_memory_ran_out()
        most = self._profile.throttling.max_sheds
        alone = retry.alone(crashes=row.crashes, killed_runs=row.killed_runs, sheds=row.sheds, max_sheds=most)
        self.queue.add(replace(queued, tries=row.retries_charged, alone=alone))

    def _count(self, job: Job) -> None:
        self.tally.total += 1
        if job.origin is not Origin.FOLDER:
            self.tally.to_come -= 1

    def _plan(self, job: Job, media_seconds: float | None) -> tuple[Job, JobRow]:
        """Enter the job under its own output name, or under another where a different source has that."""

        plan = partial(
            self._journal.plan,
            media_seconds=media_seconds,
            profile_name=self._profile.name,
            forgive=self._request.retry_failed,
        )
        row = plan(job)
        if row is None:
            job = replace(job, output=other_name(job.output, job.source.path))
            row = plan(job)
            assert row is not None
        return job, row

    def row(self, job_id: str) -> JobRow:
        """The journal's row of a job, which has one."""
        row = self._journal.job(job_id)
        assert row is not None
        return row

    def reprice(self) -> None:
        """Predict what waits anew with what the cost model knows now."""
        if self.queue.reprice(self._calibration.model, self._profile.estimation):
            self.queue.reconsider()

    def started(self, job: RunningJob, worker: ProcessIdentity) -> None:
        job.move(JobState.RUNNING)
        job.attempt_id = self._journal.start(job.job_id, worker, job.threads, job.predicted_cost)
        self._listener.started(job.job_id, job.name, job.media_seconds)

    def spawned(self, job: RunningJob, ffmpeg: ProcessIdentity) -> None:
        assert job.attempt_id is not None
        self._journal.name_ffmpeg(job.attempt_id, ffmpeg)

    def progressed(self, job: RunningJob, seconds: float, speed: float | None) -> None:
        job.progress_seconds, job.speed = seconds, speed
        self._listener.progressed(job.job_id, seconds, speed)

    def granted(
        self, job: RunningJob, facts: OutputFacts, intents: tuple[Intent, ...], result: str
    ) -> frozenset[bytes]:
        """Journal the intents to publish; from here on the disk decides. Returns the names that may be replaced.

        Raises JournalError, so that no grant is sent, where by the journal this attempt no longer has the job.
        """
        assert job.attempt_id is not None
        job.move(JobState.PUBLISHING)
        if not self._journal.grant(job.job_id, job.attempt_id, facts, intents, result):
            raise JournalError(
                f"Another program changed the journal while {job.name} was being worked on. Run the same command again "
                "when nothing else uses the output folder."
            )
        names = [intent.product.name for intent in intents if intent.before is not None]
        if self._request.overwrite or not names:
            return frozenset(names)
        return replaceable(self._journal, self._request.output, self.row(job.job_id), names)

    def published(self, job: RunningJob, facts: OutputFacts, usage: Usage | None) -> None:
        """A job succeeded; where its usage was measured the cost model learns from it."""
        assert job.attempt_id is not None
        job.move(JobState.SUCCEEDED)
        self._journal.succeed(job.job_id, job.attempt_id, facts, usage)
        outcome = Outcome(OutcomeKind.SUCCEEDED, " ".join(facts.notes))
        self._settle(job.job_id, job.name, outcome, job.queued.cpu_seconds)
        self._learn(job, usage, facts.size_bytes)

    def completed(self, job: RunningJob, result: str | None, usage: Usage) -> None:
        """A job without products has succeeded."""
        assert job.attempt_id is not None
        job.move(JobState.SUCCEEDED)
        self._journal.complete(job.job_id, job.attempt_id, result, usage)
        self._settle(job.job_id, job.name, Outcome(OutcomeKind.SUCCEEDED), job.queued.cpu_seconds)
        self._learn(job, usage, 0)

    def _learn(self, job: RunningJob, usage: Usage | None, output_bytes: int) -> None:
        if usage is not None and job.features is not None and job.source is not None:
            self.notice(
                "warning", self._calibration.observe(job.features, job.source, job.threads, usage, output_bytes)
            )
            self.reprice()

    def ended(self, job: RunningJob, outcome: Outcome, usage: Usage | None, now: float, *, alone: bool = False) -> None:
        """Finish or queue again a job whose attempt ended without an output, `alone` if nothing ran beside it."""
        if job.job_id in self.cancelling:
            self._finish(job, Outcome(OutcomeKind.CANCELLED, CANCELLED), usage)
            return
        if outcome.kind is OutcomeKind.SHED:
            self._shed(job, outcome, usage)
            return
        if outcome.kind is OutcomeKind.INTERRUPTED:
            self.returned(job, outcome, usage)
            return
        if outcome.failure is not None:
            errors = self._errors(job)
            delay = retry.retry_after(outcome.failure, job.retries, errors, random.random())  # noqa: S311 - jitter
            if delay is not None:
                self._requeue(job, outcome, usage, charge=True, then="It is tried again.")
                again = replace(job.queued, tries=job.queued.tries + 1)
                if outcome.failure is FailureKind.RESOURCE:
                    again = replace(again.after_memory_ran_out(_peak(usage)), alone=alone or again.alone)
                self.queue.put_back(again, due=now + delay)
                return
        self._finish(job, outcome, usage)

    def _errors(self, job: RunningJob) -> ErrorSettings:
        """The run's settings for failures, with the job's own number of retries."""
        own = self.row(job.job_id).max_retries
        return self._profile.errors if own is None else replace(self._profile.errors, max_retries=own)

    def returned(self, job: RunningJob, outcome: Outcome = INTERRUPTED, usage: Usage | None = None) -> None:
        """A job was taken back, handed back or interrupted: queue it again, and charge nothing."""
        if job.job_id in self.cancelling:
            self._finish(job, Outcome(OutcomeKind.CANCELLED, CANCELLED), usage)
            return
        self._requeue(job, outcome, usage)
        self.queue.put_back(job.queued)

    def crashed(self, job: RunningJob, reason: str, now: float) -> None:
        """A job was running in a batch process that died: try it once more, alone, then set it aside."""
        if job.crashes + 1 >= retry.CRASHES_UNTIL_QUARANTINE:
            then = "so the file is set aside; --retry-failed tries it again."
            reason = f"{reason} It happened {job.crashes + 1} times, {then}"
            self._finish(job, Outcome(OutcomeKind.QUARANTINED, reason, FailureKind.CRASH), None)
            return
        outcome = Outcome(OutcomeKind.FAILED, reason, FailureKind.CRASH)
        self._requeue(job, outcome, None, charge=True, then="It is tried once more, alone.")
        delay = retry.delay_seconds(job.crashes, self._profile.errors, random.random())  # noqa: S311 - jitter
        self.queue.put_back(replace(job.queued, tries=job.queued.tries + 1, alone=True), due=now + delay)

    def refused(self, queued: QueuedJob, reason: str) -> None:
        """A waiting job fails without an attempt: it may not have the memory that it needs."""
        outcome = self._final(queued.job_id, Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE))
        self._journal.finish(queued.job_id, None, outcome)
        self._settle(queued.job_id, queued.name, outcome, queued.cpu_seconds)

    def _shed(self, job: RunningJob, outcome: Outcome, usage: Usage | None) -> None:
        """Queue a shed job again, with more memory and one thread, later alone; where that fails, too, fail the job."""
        most = self._profile.throttling.max_sheds
        if job.sheds >= most:
            reason = (
                f"It was ended {job.sheds + 1} times because memory ran short, at last with nothing "
                "of ours beside it; other programs leave too little. A faster preset or a smaller picture needs less."
            )
            self._finish(job, Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE), usage)
            return
        self._requeue(job, outcome, usage)
        again = job.queued.after_memory_ran_out(_peak(usage))
        self.queue.put_back(replace(again, alone=again.alone or job.sheds + 1 >= most))

    def _requeue(
        self, job: RunningJob, outcome: Outcome, usage: Usage | None, *, charge: bool = False, then: str = ""
    ) -> None:
        """Queue a job again, its attempt charged or not; `then` is a sentence for the journal about what follows."""
        job.move(JobState.PENDING)
        self._journal.requeue(job.job_id, job.attempt_id, outcome, charge=charge, usage=usage)
        if job.attempt_id is not None:
            self._listener.finished(job.job_id, outcome, will_retry=True)
        if then:  # stored only: the listener has the reason already
            self._journal.add_event("warning", f"{job.name}: {outcome.reason} {then}", job_id=job.job_id)

    def _finish(self, job: RunningJob, outcome: Outcome, usage: Usage | None) -> None:
        outcome = self._final(job.job_id, outcome)
        job.move(STATE_AFTER[outcome.kind])
        self._journal.finish(job.job_id, job.attempt_id, outcome, usage)
        self._settle(job.job_id, job.name, outcome, job.queued.cpu_seconds)

    def _final(self, job_id: str, outcome: Outcome) -> Outcome:
        """The outcome, with "left alone from now on" appended once `max_failed_runs` is reached."""
        if outcome.kind is not OutcomeKind.FAILED:
            return outcome
        row = self.row(job_id)
        failed_runs = row.failed_runs + 1
        bounded = retry.bounded(outcome.failure, attempts=row.attempts)
        if failed_runs < self._profile.errors.max_failed_runs or not bounded:
            return outcome
        more = f"It has failed in {failed_runs} runs and is left alone from now on; --retry-failed tries it again."
        return replace(outcome, reason=f"{outcome.reason} {more}")

    def _settle(self, job_id: str, name: str, outcome: Outcome, cost_seconds: float) -> None:
        """Count a job that reached a final state, notify the listener and the hook; what waits for it follows."""
        self.in_hand.discard(job_id)
        self.cancelling.discard(job_id)
        self.tally.cost_done += cost_seconds
        match outcome.kind:
            case OutcomeKind.SUCCEEDED:
                self.tally.succeeded += 1
            case OutcomeKind.FAILED | OutcomeKind.QUARANTINED:
                self.tally.failed += 1
            case _:
                self.tally.skipped += 1
        self._listener.finished(job_id, outcome, name=name)
        if self.hooks.wants(outcome.kind) and (row := self._journal.job(job_id)) is not None:
            output = os.path.join(self._request.output, row.output)
            self.hooks.add(file_call(row.source.path, output, outcome))
        self._follow(job_id)

    def _follow(self, job_id: str) -> None:
        """Release what waited for a job that has ended, or cancel it."""
        released, cancelled = self._journal.follow(job_id)
        self.released += released
        for dependent in cancelled:
            row = self.row(dependent)
            self._count(row.job)
            self.tally.skipped += 1
            self._listener.finished(row.id, Outcome(OutcomeKind.CANCELLED, row.reason), name=row.name)

    # ------------------------------------------------------------ what users ask of single jobs

    def submit(self, submissions: Sequence[Submission]) -> str:
        """Take jobs in while the run goes on; returns a sentence. Raises UsageError, with nothing taken in."""
        added = self._journal.submit(submissions)
        self._arrived(added)
        known = len(submissions) - len(added)
        return f"{len(added)} jobs taken in" + (f", {known} known already." if known else ".")

    def retry(self, job_ids: Sequence[str]) -> str:
        """Do jobs again that ended without success; returns a sentence."""
        again = [job_id for job_id in job_ids if self._journal.retry(job_id)]
        self._arrived(again)
        return f"{len(again)} of {len(job_ids)} jobs are done again."

    def _arrived(self, job_ids: Sequence[str]) -> None:
        self.tally.to_come += len(job_ids)
        self.released += [job_id for job_id in job_ids if self.row(job_id).state is JobState.PENDING]

    def cancel(self, job_ids: Sequence[str]) -> str:
        """Cancel jobs; those in hand are ended as soon as their process answers. Returns a sentence."""
        count = 0
        for job_id in job_ids:
            row = self._journal.job(job_id)
            if row is None or row.final:
                continue
            count += 1
            if row.state in IN_HAND:
                self.cancelling.add(job_id)
                continue
            queued = self.queue.drop(job_id)
            self._journal.cancel(job_id)
            if queued is None and row.origin is not Origin.FOLDER:
                self._count(row.job)
            outcome = Outcome(OutcomeKind.CANCELLED, CANCELLED)
            self._settle(job_id, row.name, outcome, queued.cpu_seconds if queued is not None else 0.0)
        return f"{count} of {len(job_ids)} jobs are cancelled."


def _peak(usage: Usage | None) -> int:
    return usage.peak_memory_bytes if usage is not None else 0
