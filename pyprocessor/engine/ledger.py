"""Every move of a job in one place: the step of its state, the line in the journal, the count, and who is told.

The loop calls it inside a journal transaction; it knows nothing of processes and pipes.
"""

from __future__ import annotations

import math
import os
import random
from dataclasses import replace

from pyprocessor.costs import class_of
from pyprocessor.engine import retry
from pyprocessor.engine.calibrating import Calibration
from pyprocessor.engine.findings import Adopted, AlreadyDone, Finding, Settled, Todo, Trouble, Untouched
from pyprocessor.engine.governor import EventKind, GovernorEvent
from pyprocessor.engine.hooks import Hooks, file_call
from pyprocessor.engine.listener import Listener, RunRequest
from pyprocessor.engine.place import other_name
from pyprocessor.engine.pool import Active
from pyprocessor.engine.states import Event, event_of
from pyprocessor.engine.tally import Tally
from pyprocessor.engine.waiting import Again
from pyprocessor.errors import FailureKind
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import NameTaken
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
from pyprocessor.plan.planner import entry
from pyprocessor.plan.ready import Entry

INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run was stopped before the file was done.")
_EASINGS = frozenset({EventKind.RESUME, EventKind.RECOVER})
SHED_GROWTH = 1.5
"""How much more memory a job is reckoned to need each time that it was ended for want of memory."""


class Ledger:
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

    def notice(self, level: str, text: str, *, job_id: str | None = None) -> None:
        """Tell the user a sentence and keep it."""
        self._journal.add_event(level, text, job_id=job_id)
        self._listener.notice(level, text)

    def governed(self, event: GovernorEvent, reading: Reading) -> None:
        """Tell and keep a decision of the governor, with the reading it was taken on."""
        self._journal.add_event(event.kind, event.text, event.job_id, reading=reading)
        self._listener.notice("info" if event.kind in _EASINGS else "warning", event.text)

    # ------------------------------------------------------------ what was found

    def take(self, finding: Finding) -> Entry | None:
        """Enter a finding; returns what is to be queued, if anything is."""
        match finding:
            case Todo():
                return self._queue(finding)
            case Settled(job, outcome, inspection_failed):
                source = job.source
                if inspection_failed and outcome.failure is not None:
                    self._journal.remember_failure(
                        source.path, source.size_bytes, source.mtime_ns, outcome.failure, outcome.reason
                    )
                self._plan(job, None)
                self._journal.finish(job.id, None, outcome, None)
                self._tally.total += 1
                self._settle(job.id, outcome, 0.0)
            case AlreadyDone(row, note):
                if row.state in (JobState.FAILED, JobState.QUARANTINED):
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
            case Trouble(text, serious):
                self._tally.troubles += serious
                self.notice("error" if serious else "info", text)
        return None

    def _queue(self, todo: Todo) -> Entry:
        job = todo.job
        assert job.media is not None
        if todo.fresh:
            source = job.source
            self._journal.remember_media(source.path, source.size_bytes, source.mtime_ns, job.media)
        seconds = job.media.playing_seconds or 0.0
        planned = self._plan(job, seconds)
        if todo.replaces is not None and planned.output == job.output:
            self._journal.claim(job.id, todo.replaces)
        job = planned
        self._tally.total += 1
        self._tally.media_seconds += seconds
        return entry(job, class_of(todo.features, 1), self._calibration.model, self._request.profile.estimation)

    def _plan(self, job: Job, media_seconds: float | None) -> Job:
        """Enter the job under its own output name, or under another where a different source holds that."""
        name = self._request.profile.name
        planned = self._journal.plan(job, media_seconds=media_seconds, profile_name=name, again=True)
        if isinstance(planned, NameTaken):
            job = replace(job, output=other_name(job.output, job.source.path))
            planned = self._journal.plan(job, media_seconds=media_seconds, profile_name=name, again=True)
            assert not isinstance(planned, NameTaken)
        return job

    # ------------------------------------------------------------ an attempt

    def started(self, active: Active, worker: ProcessIdentity, threads: int) -> None:
        active.step(Event.START)
        active.attempt_id = self._journal.start(active.job_id, worker, threads, active.predicted)
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

    def ended(self, active: Active, outcome: Outcome, usage: Usage | None) -> Again | None:
        """An attempt ended without an output; says whether and when the job is tried again."""
        if outcome.kind is OutcomeKind.SHED:
            return self._shed(active, outcome, usage)
        if outcome.kind is OutcomeKind.INTERRUPTED:
            return self.returned(active, outcome, usage)
        if outcome.failure is not None:
            limit = self._request.profile.errors.max_retries
            decision = retry.decide(outcome.failure, active.retries, limit, random.random())  # noqa: S311 - jitter
            if decision.delay_seconds is not None:
                active.step(Event.RETURN)
                self._journal.requeue(active.job_id, active.attempt_id, outcome, charge=True, usage=usage)
                self._listener.finished(active.job_id, outcome, will_retry=True)
                # Kept only: whoever listens was just told.
                self._journal.add_event("warning", f"{outcome.reason} It is tried again.", job_id=active.job_id)
                return Again(active.entry, decision.delay_seconds)
        self._finish(active, outcome, usage)
        return None

    def returned(self, active: Active, outcome: Outcome = INTERRUPTED, usage: Usage | None = None) -> Again:
        """The job goes back to the queue and nothing is charged."""
        active.step(Event.HAND_BACK if active.state is JobState.ASSIGNED else Event.RETURN)
        self._journal.requeue(active.job_id, active.attempt_id, outcome, charge=False, usage=usage)
        if active.attempt_id is not None:
            self._listener.finished(active.job_id, outcome, will_retry=True)
        return Again(active.entry)

    def _shed(self, active: Active, outcome: Outcome, usage: Usage | None) -> Again:
        """Memory ran short. Nothing is charged, but more memory is kept for it the next time."""
        again = self.returned(active, outcome, usage)
        seen = usage.peak_memory_bytes if usage is not None else 0
        more = max(math.ceil(again.entry.memory_bytes * SHED_GROWTH), seen)
        alone = active.sheds + 1 >= self._request.profile.throttling.max_sheds
        return replace(again, entry=again.entry.raised(more), alone=alone)

    def crashed(self, active: Active) -> Again | None:
        """The job was running in a batch process that died."""
        reason = f"{active.name}: the process working on it died."
        if retry.quarantined(active.crashes + 1):
            outcome = Outcome(
                OutcomeKind.QUARANTINED,
                f"{reason} It happened {active.crashes + 1} times, so the file is set aside; "
                "--retry-failed tries it again.",
                FailureKind.CRASH,
            )
            self._finish(active, outcome, None)
            return None
        outcome = Outcome(OutcomeKind.FAILED, reason, FailureKind.CRASH)
        active.step(Event.RETURN)
        self._journal.requeue(active.job_id, active.attempt_id, outcome, charge=True)
        self._listener.finished(active.job_id, outcome, will_retry=True)
        self._journal.add_event("warning", f"{reason} It is tried once more, alone.", job_id=active.job_id)
        return Again(active.entry, retry.FIRST_DELAY_SECONDS, alone=True)

    def refused(self, entry: Entry, reason: str) -> None:
        """A job that waits ends failed without an attempt: it may not have the memory that it needs."""
        outcome = Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE)
        self._journal.finish(entry.job_id, None, outcome)
        self._settle(entry.job_id, outcome, entry.cpu_seconds)

    # ------------------------------------------------------------ the end of a job

    def _finish(self, active: Active, outcome: Outcome, usage: Usage | None) -> None:
        active.step(event_of(outcome, will_retry=False))
        self._journal.finish(active.job_id, active.attempt_id, outcome, usage)
        self._settle(active.job_id, outcome, active.entry.cpu_seconds)

    def _settle(self, job_id: str, outcome: Outcome, cost_seconds: float) -> None:
        self._tally.settle(outcome.kind, cost_seconds)
        self._listener.finished(job_id, outcome)
        if self.hooks.wants(outcome.kind):
            row = self._journal.job(job_id)
            if row is not None:
                output = os.path.join(self._request.output, row.output)
                self.hooks.add(file_call(self.hooks.settings, row.source.path, output, outcome))
