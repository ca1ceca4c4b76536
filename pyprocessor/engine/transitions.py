"""Every move of a job in one place: the step of its state, the line in the journal, the count, and who is told.

The loop calls it inside a journal transaction; it knows nothing of processes and pipes.
"""

from __future__ import annotations

import math
import os
import random
from dataclasses import replace

from pyprocessor.control.run_mode import Remark
from pyprocessor.costs import class_of
from pyprocessor.engine.hooks import Hooks, file_call
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.pool import Active
from pyprocessor.engine.tally import Tally
from pyprocessor.engine.waiting import Again
from pyprocessor.errors import FailureKind
from pyprocessor.governor.governor import EventKind, GovernorEvent
from pyprocessor.intake.findings import Adopted, AlreadyDone, Finding, Settled, Todo, Trouble, Untouched
from pyprocessor.intake.output_location import other_name
from pyprocessor.jobs import retry
from pyprocessor.jobs.states import Event, event_of
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import CachedMedia, JobRow, NameTaken, Planned
from pyprocessor.models import (
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    OutputFacts,
    ProcessIdentity,
    Reading,
    Usage,
)
from pyprocessor.models.listener import Listener, RunRequest
from pyprocessor.plan.planner import entry
from pyprocessor.plan.ready import Entry

INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run was stopped before the file was done.")
_EASINGS = frozenset({EventKind.RESUME, EventKind.RECOVER})
SHED_GROWTH = 1.5
"""How much more memory a job is reckoned to need each time that it was ended for want of memory."""


class Transitions:
    """Moves jobs of one run."""

    def __init__(
        self,
        request: RunRequest,
        journal: Journal,
        calibration: Calibration,
        tally: Tally,
        listener: Listener,
        logs: bytes,
    ) -> None:
        self.hooks = Hooks(request.profile.hooks, logs, self.notice)
        self._request = request
        self._journal = journal
        self._calibration = calibration
        self._tally = tally
        self._listener = listener
        self.in_hand: set[str] = set()
        """Jobs that were queued and have not reached a final state."""

    def notice(self, level: str, text: str, *, job_id: str | None = None, kind: str | None = None) -> None:
        """Show the user a sentence and store it as an event of this kind (the level where none is given)."""
        self._journal.add_event(kind or level, text, job_id=job_id)
        self._listener.notice(level, text)

    def governed(self, event: GovernorEvent, reading: Reading) -> None:
        """Tell and keep a decision of the governor, with the reading it was taken on."""
        self._journal.add_event(event.kind, event.text, event.job_id, reading=reading)
        self._listener.notice("info" if event.kind in _EASINGS else "warning", event.text)

    def steered(self, remark: Remark) -> None:
        """Tell and keep what the run was asked to do from outside."""
        self._journal.add_event(remark.kind, remark.text)
        self._listener.notice(remark.level, remark.text)

    # ------------------------------------------------------------ what was found

    def take(self, finding: Finding) -> Again | None:
        """Enter a finding; returns what is to be queued, if anything is."""
        match finding:
            case Todo():
                return self._queue(finding)
            case Settled(job, outcome, inspection_failed):
                self._plan(job, None)
                outcome = self._last_words(job.id, outcome)
                if inspection_failed and outcome.failure is not None:
                    self._journal.remember_media(job.source, CachedMedia(None, outcome.failure, outcome.reason))
                self._journal.finish(job.id, None, outcome, None)
                self._tally.total += 1
                self._settle(job.id, outcome, 0.0)
            case AlreadyDone(row, note):
                if row.state is JobState.QUARANTINED and row.run_id == self._journal.run_id:
                    # Set aside as this run began: it is this one's failure, not one of those before.
                    self._tally.total += 1
                    self._settle(row.id, Outcome(OutcomeKind.QUARANTINED, row.reason, row.failure), 0.0)
                elif row.state in (JobState.FAILED, JobState.QUARANTINED):
                    self._tally.failed_before += 1
                else:
                    self._tally.done_before += 1
                if note:
                    self.notice("warning", note, job_id=row.id)
            case Adopted(job, facts):
                self._plan(job, None)
                self._journal.adopt(job.id, facts)
                self._tally.done_before += 1
            case Untouched(job, outcome):
                self._tally.total += 1
                self._settle(job.id, outcome, 0.0)
            case Trouble(text, serious, closing):
                self._tally.troubles += serious
                self.notice("error" if serious else "info", text, kind="not_taken" if closing else None)
        return None

    def _queue(self, todo: Todo) -> Again:
        job = todo.job
        assert job.media is not None
        if todo.fresh:
            self._journal.remember_media(job.source, CachedMedia(job.media))
        seconds = job.media.playing_seconds or 0.0
        planned, row = self._plan(job, seconds)
        if todo.replaces is not None and planned.output == job.output:
            self._journal.claim(job.id, todo.replaces)
        self._tally.total += 1
        self._tally.media_seconds += seconds
        self.in_hand.add(job.id)
        profile = self._request.profile
        fresh = entry(planned, class_of(todo.features, 1), self._calibration.model, profile.estimation)
        return _with_its_past(fresh, row, profile.throttling.max_sheds)

    def _plan(self, job: Job, media_seconds: float | None) -> tuple[Job, JobRow]:
        """Enter the job under its own output name, or under another where a different source holds that."""
        planned = self._enter(job, media_seconds)
        if isinstance(planned, NameTaken):
            job = replace(job, output=other_name(job.output, job.source.path))
            planned = self._enter(job, media_seconds)
            assert not isinstance(planned, NameTaken)
        return job, planned.row

    def _enter(self, job: Job, media_seconds: float | None) -> Planned | NameTaken:
        return self._journal.plan(
            job,
            media_seconds=media_seconds,
            profile_name=self._request.profile.name,
            again=True,
            forgive=self._request.retry_failed,
        )

    # ------------------------------------------------------------ an attempt

    def started(self, active: Active, worker: ProcessIdentity) -> None:
        active.step(Event.START)
        active.attempt_id = self._journal.start(active.job_id, worker, active.threads, active.predicted)
        self._listener.started(active.job_id, active.name, active.media_seconds)

    def spawned(self, active: Active, ffmpeg: ProcessIdentity) -> None:
        assert active.attempt_id is not None
        self._journal.name_ffmpeg(active.attempt_id, ffmpeg)

    def granted(self, active: Active, facts: OutputFacts) -> None:
        """Journal the intent to publish: from here on the disk decides."""
        assert active.attempt_id is not None
        active.step(Event.GRANT)
        self._journal.grant(active.job_id, active.attempt_id, facts)

    def published(self, active: Active, facts: OutputFacts, usage: Usage | None) -> None:
        assert active.attempt_id is not None
        active.step(Event.PUBLISH)
        self._journal.succeed(active.job_id, active.attempt_id, facts, usage)
        reason = " ".join(facts.notes)
        self._settle(active.job_id, Outcome(OutcomeKind.SUCCEEDED, reason), active.entry.cpu_seconds)

    def ended(self, active: Active, outcome: Outcome, usage: Usage | None, *, alone: bool = False) -> Again | None:
        """An attempt ended without an output; says whether and when the job is tried again. `alone` says that nothing
        ran beside it."""
        if outcome.kind is OutcomeKind.SHED:
            return self._shed(active, outcome, usage)
        if outcome.kind is OutcomeKind.INTERRUPTED:
            return self.returned(active, outcome, usage)
        if outcome.failure is not None:
            errors = self._request.profile.errors
            decision = retry.decide(outcome.failure, active.retries, errors, random.random())  # noqa: S311 - jitter
            if decision.delay_seconds is not None:
                self._charge(active, outcome, usage, "It is tried again.")
                again = replace(active.entry, tries=active.entry.tries + 1)
                if outcome.failure is FailureKind.RESOURCE:
                    return Again(_narrowed(again, usage), decision.delay_seconds, alone=alone or active.alone)
                return Again(again, decision.delay_seconds, alone=active.alone)
        self._finish(active, outcome, usage)
        return None

    def _charge(self, active: Active, outcome: Outcome, usage: Usage | None, what_then: str) -> None:
        active.step(Event.RETURN)
        self._journal.requeue(active.job_id, active.attempt_id, outcome, charge=True, usage=usage)
        self._listener.finished(active.job_id, outcome, will_retry=True)
        # Kept only: whoever listens was just told.
        self._journal.add_event("warning", f"{outcome.reason} {what_then}", job_id=active.job_id)

    def returned(self, active: Active, outcome: Outcome = INTERRUPTED, usage: Usage | None = None) -> Again:
        """The job goes back to the queue and nothing is charged."""
        active.step(Event.HAND_BACK if active.state is JobState.ASSIGNED else Event.RETURN)
        self._journal.requeue(active.job_id, active.attempt_id, outcome, charge=False, usage=usage)
        if active.attempt_id is not None:
            self._listener.finished(active.job_id, outcome, will_retry=True)
        return Again(active.entry, alone=active.alone)

    def _shed(self, active: Active, outcome: Outcome, usage: Usage | None) -> Again | None:
        """Memory ran short. Nothing is charged, but more memory is kept for it the next time, and it gets one thread.

        After `max_sheds` times it runs alone; where even then there is not memory enough, it fails.
        """
        most = self._request.profile.throttling.max_sheds
        if active.sheds >= most:
            reason = (
                f"{active.name}: it was ended {active.sheds + 1} times because memory ran short, at last with nothing "
                "of ours beside it; other programs leave too little. A faster preset or a smaller picture needs less."
            )
            self._finish(active, Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE), usage)
            return None
        again = self.returned(active, outcome, usage)
        return replace(again, entry=_narrowed(again.entry, usage), alone=again.alone or active.sheds + 1 >= most)

    def crashed(self, active: Active, reason: str) -> Again | None:
        """The job was running in a batch process that died."""
        if retry.quarantined(active.crashes + 1):
            outcome = Outcome(
                OutcomeKind.QUARANTINED,
                f"{reason} It happened {active.crashes + 1} times, so the file is set aside; "
                "--retry-failed tries it again.",
                FailureKind.CRASH,
            )
            self._finish(active, outcome, None)
            return None
        self._charge(
            active, Outcome(OutcomeKind.FAILED, reason, FailureKind.CRASH), None, "It is tried once more, alone."
        )
        delay = retry.delay_seconds(active.crashes, self._request.profile.errors, random.random())  # noqa: S311 - jitter
        return Again(replace(active.entry, tries=active.entry.tries + 1), delay, alone=True)

    def refused(self, entry: Entry, reason: str) -> None:
        """A job that waits ends failed without an attempt: it may not have the memory that it needs."""
        outcome = self._last_words(entry.job_id, Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE))
        self._journal.finish(entry.job_id, None, outcome)
        self._settle(entry.job_id, outcome, entry.cpu_seconds)

    # ------------------------------------------------------------ the end of a job

    def _finish(self, active: Active, outcome: Outcome, usage: Usage | None) -> None:
        outcome = self._last_words(active.job_id, outcome)
        active.step(event_of(outcome, will_retry=False))
        self._journal.finish(active.job_id, active.attempt_id, outcome, usage)
        self._settle(active.job_id, outcome, active.entry.cpu_seconds)

    def _last_words(self, job_id: str, outcome: Outcome) -> Outcome:
        """The outcome; of a job that is final now although later runs have tried it up to now, that it is so."""
        if outcome.kind is not OutcomeKind.FAILED:
            return outcome
        row = self._journal.job(job_id)
        assert row is not None
        failed_runs = row.failed_runs + 1
        if failed_runs < self._request.profile.errors.max_failed_runs:
            return outcome
        if not retry.bounded(outcome.failure, attempts=row.attempts):
            return outcome
        told = f"It has failed in {failed_runs} runs and is left alone from now on; --retry-failed tries it again."
        return replace(outcome, reason=f"{outcome.reason} {told}")

    def _settle(self, job_id: str, outcome: Outcome, cost_seconds: float) -> None:
        self.in_hand.discard(job_id)
        self._tally.settle(outcome.kind, cost_seconds)
        self._listener.finished(job_id, outcome)
        if self.hooks.wants(outcome.kind):
            row = self._journal.job(job_id)
            if row is not None:
                output = os.path.join(self._request.output, row.output)
                self.hooks.add(file_call(self.hooks.settings, row.source.path, output, outcome))


def _narrowed(entry: Entry, usage: Usage | None) -> Entry:
    """The entry of a job that memory ran out under."""
    seen = usage.peak_memory_bytes if usage is not None else 0
    return replace(entry.raised(max(math.ceil(entry.memory_bytes * SHED_GROWTH), seen)), narrow=True)


def _with_its_past(entry: Entry, row: JobRow, max_sheds: int) -> Again:
    """How a job goes on that an earlier run began with: as it would have in that run."""
    entry = replace(entry, tries=row.retries_charged)
    if row.sheds or row.failure is FailureKind.RESOURCE:
        for _ in range(max(1, row.sheds)):
            entry = _narrowed(entry, None)
    alone = retry.alone(crashes=row.crashes, killed_runs=row.killed_runs, sheds=row.sheds, max_sheds=max_sheds)
    return Again(entry, alone=alone)
