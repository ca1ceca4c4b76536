"""What follows when a job moves, inside a journal transaction: journal row, counts, queue, listener, hooks?"""

from __future__ import annotations

import math
import os
import random
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from pyprocessor.engine.backends import Backends
from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.engine.divisions import Divisions
from pyprocessor.engine.fetched import FetchedInputs
from pyprocessor.engine.hooks import Hooks, file_call
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.recovery import Replaceable
from pyprocessor.engine.reuse import Reuse
from pyprocessor.errors import FailureKind, JobError, JournalError
from pyprocessor.governor.governor import EventKind, GovernorEvent
from pyprocessor.jobs import retry
from pyprocessor.jobs.retry import STATE_AFTER
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.jobs.tally import Tally
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import CANCELLED, NEEDED_NO_MORE, Submission
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
)
from pyprocessor.models.products import Intent
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.plan import tenants
from pyprocessor.plan.queue import JobQueue

INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run was stopped before the file was done.")
_CHANGED = "The source was changed or removed after the job was submitted; submit it again."
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
    released: deque[str] = field(default_factory=deque)
    """Jobs that became pending otherwise than by a finding, and are to be inspected and planned."""
    cancelling: dict[str, str] = field(default_factory=dict)
    """Jobs in hand that are cancelled, and why."""
    failed_before: set[str] = field(default_factory=set)
    """Jobs that failed in an earlier run and count as failed, unless they are done again."""

    def __post_init__(self) -> None:
        self._profile = self._request.profile
        self._children: set[str] = set()
        self._has_made = self._journal.has_children()
        """Whether any job was ever made by another."""
        self.hooks = Hooks(self._profile.hooks, self._logs, self.notice)
        self.queue = JobQueue(self._profile.batch)
        self.backends = Backends(self._journal, self.queue)
        self.divisions = Divisions(self._request, self._journal, self.queue, self.released)
        self.reuse = Reuse(self._request, self._journal, self.queue, self.released, self.notice)
        self.fetched = FetchedInputs(self._journal, self._request.output)
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

    def count(self, job: Job) -> None:
        """Count a job that is to be done, or has ended without an attempt; children count for their parents."""
        if job.origin is Origin.CHILD:
            self._children.add(job.id)
            self._has_made = True
            return
        self.tally.total += 1
        if job.origin is not Origin.FOLDER:
            self.tally.to_come -= 1

    def taken_back(self, job_id: str) -> bool:
        """Whether a job was queued before, which it is no more: it is found again, as after it was submitted again."""
        if job_id not in self.in_hand:
            return False
        self.queue.drop(job_id)
        return True

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
        self.fetched.begun(job.job_id)
        job.attempt_id = self._journal.start(job.job_id, worker, job.threads, job.predicted_cost)
        self._listener.started(job.job_id, job.name, job.media_seconds)

    def spawned(self, job: RunningJob, ffmpeg: ProcessIdentity) -> None:
        assert job.attempt_id is not None
        self._journal.name_ffmpeg(job.attempt_id, ffmpeg)

    def progressed(self, job: RunningJob, done: float, total: float | None, speed: float | None) -> None:
        """Note how far a job is: seconds of media, or of a call what it reports."""
        if job.is_call:
            job.reported = done, total
            done = job.share_done * job.media_seconds
        job.progress_seconds, job.speed = done, speed
        self._listener.progressed(job.job_id, done, speed)

    def granted(
        self, job: RunningJob, facts: OutputFacts, intents: tuple[Intent, ...], result: str
    ) -> frozenset[bytes]:
        """Journal the intents to publish; from here on the disk decides. Returns the names that may be replaced.

        Raises JournalError, so that no grant is sent, where by the journal this attempt no longer has the job.
        """
        assert job.attempt_id is not None
        job.move(JobState.PUBLISHING)
        job.result = result
        if not self._journal.grant(job.job_id, job.attempt_id, facts, intents, result):
            raise JournalError(
                f"Another program changed the journal while {job.name} was being worked on. Run the same command again "
                "when nothing else uses the output folder."
            )
        taken = [intent.product for intent in intents if intent.before is not None]
        ours = Replaceable(self._journal, self._request.output, self.row(job.job_id)) if taken else ()
        # A folder that no run made may hold sources, whatever the user allows.
        allowed = (p for p in taken if (self._request.overwrite and not p.folder) or p.name in ours)
        return frozenset(product.name for product in allowed)

    def succeeded(self, job: RunningJob, facts: OutputFacts | None, usage: Usage | None) -> None:
        """A job succeeded, `facts` being of its main product, if any; the cost model learns where `usage` is known."""
        assert job.attempt_id is not None
        job.move(JobState.SUCCEEDED)
        self._took(job, usage)
        self.backends.succeeded(job.queued)
        self.reuse.succeeded(job, facts, usage)
        if facts is None:
            self._journal.complete(job.job_id, job.attempt_id, job.result, usage)
        else:
            self._journal.succeed(job.job_id, job.attempt_id, facts, usage)
        notes, size_bytes = (facts.notes, facts.size_bytes) if facts is not None else ((), 0)
        outcome = Outcome(OutcomeKind.SUCCEEDED, " ".join(notes), result=job.result)
        self.settle(job.job_id, job.name, outcome, job.queued.cpu_seconds)
        if usage is not None and job.features is not None and job.source is not None:
            if job.whole is not None:
                self._calibration.took(job.whole, job.source, job.parts_cpu_seconds + usage.cpu_seconds)
            problem = self._calibration.observe(job.features, job.source, job.threads, usage, size_bytes)
            self.notice("warning", problem)
            self.reprice()
        if facts is not None:
            self.fetched.arrived(job.queued, size_bytes)

    def _took(self, job: RunningJob, usage: Usage | None) -> None:
        """Charge the job's tenant with what an attempt took, as far as that was measured."""
        seconds = usage.cpu_seconds if usage is not None else job.used_cpu_seconds
        self.notice("warning", self.queue.settle(job.job_id, seconds))

    def ended(self, job: RunningJob, outcome: Outcome, usage: Usage | None, now: float, *, alone: bool = False) -> None:
        """Finish or queue again a job whose attempt ended without an output, `alone` if nothing ran beside it."""
        if why := self.cancelling.get(job.job_id):
            self._finish(job, Outcome(OutcomeKind.CANCELLED, why), usage)
            return
        if outcome.kind in (OutcomeKind.SHED, OutcomeKind.INTERRUPTED):
            (self._shed if outcome.kind is OutcomeKind.SHED else self.returned)(job, outcome, usage)
            return
        if outcome.kind is OutcomeKind.SKIPPED and self.row(job.job_id).origin is Origin.SUBMITTED:
            outcome = Outcome(OutcomeKind.FAILED, _CHANGED, FailureKind.BAD_INPUT)  # no scan finds it as it is now
        if outcome.failure is not None and self.reuse.refused(job.job_id):
            self._requeue(job, replace(INTERRUPTED, reason=outcome.reason), usage)
            self.notice("debug", f"{job.name} is done, not copied. {outcome.reason}", job_id=job.job_id)
            return
        if outcome.failure is not None:
            errors = self._errors(job)
            # A back end that asked for a pause gets it, whichever job is next; this one may go to another meanwhile.
            asked = outcome.retry_after_seconds if job.queued.asking is None else None
            jitter = random.random()  # noqa: S311 - no secret
            delay = retry.retry_after(outcome.failure, job.retries, errors, jitter, asked_seconds=asked)
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
        if why := self.cancelling.get(job.job_id):
            self._finish(job, Outcome(OutcomeKind.CANCELLED, why), usage)
            return
        self._requeue(job, outcome, usage)
        self.queue.put_back(job.queued)

    def take_back(self, process: BatchProcess, *, above: float = -math.inf) -> None:
        """Queue again what a process was never sent, of priorities with higher numbers."""
        for job in process.unsent:
            if job.queued.priority > above:
                self.returned(process.remove(job.job_id))

    def crashed(self, job: RunningJob, reason: str, now: float) -> None:
        """A job was running in a batch process that died: try it once more, alone, then set it aside."""
        if job.crashes + 1 >= retry.CRASHES_UNTIL_QUARANTINE:
            reason += f" It happened {job.crashes + 1} times, so the file is set aside; --retry-failed tries it again."
            self._finish(job, Outcome(OutcomeKind.QUARANTINED, reason, FailureKind.CRASH), None)
            return
        failed = Outcome(OutcomeKind.FAILED, reason, FailureKind.CRASH)
        self._requeue(job, failed, None, charge=True, then="It is tried once more, alone.")
        delay = retry.delay_seconds(job.crashes, self._profile.errors, random.random())  # noqa: S311 - jitter
        self.queue.put_back(replace(job.queued, tries=job.queued.tries + 1, alone=True), due=now + delay)

    def failed_unsent(self, job: RunningJob, error: JobError) -> None:
        """A job that its process was not sent yet cannot be done."""
        self._requeue(job, INTERRUPTED, None)
        if not self.reuse.refused(job.job_id):
            self.refused(job.job_id, job.name, str(error), error.kind, job.queued.cpu_seconds)

    def refused(self, job_id: str, name: str, reason: str, kind: FailureKind, cost_seconds: float = 0.0) -> None:
        """A waiting job fails without an attempt."""
        outcome = self.final(job_id, Outcome(OutcomeKind.FAILED, reason, kind))
        self._journal.finish(job_id, None, outcome)
        self.settle(job_id, name, outcome, cost_seconds)

    def _shed(self, job: RunningJob, outcome: Outcome, usage: Usage | None) -> None:
        """Queue a shed job again, with more memory and one thread, later alone; where that fails, too, fail the job."""
        if job.sheds >= (most := self._profile.throttling.max_sheds):
            reason = retry.too_large(job.sheds + 1, _peak(usage) if job.is_call else None)
            self._finish(job, Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE), usage)
            return
        self._requeue(job, outcome, usage)
        again = job.queued.after_memory_ran_out(_peak(usage))
        self.queue.put_back(replace(again, alone=again.alone or job.sheds + 1 >= most))

    def _requeue(
        self, job: RunningJob, outcome: Outcome, usage: Usage | None, *, charge: bool = False, then: str = ""
    ) -> None:
        """Queue a job again, its attempt charged or not; `then` is a sentence for the journal about what follows."""
        if job.attempt_id is not None:
            self._took(job, usage)
        job.queued = self.backends.ended(job.queued, outcome, begun=job.attempt_id is not None)
        job.move(JobState.PENDING)
        self._journal.requeue(job.job_id, job.attempt_id, outcome, charge=charge, usage=usage)
        if job.attempt_id is not None:
            self._listener.finished(job.job_id, outcome, will_retry=True)
        if then:  # stored only: the listener has the reason already
            self._journal.add_event("warning", f"{job.name}: {outcome.reason} {then}", job_id=job.job_id)

    def _finish(self, job: RunningJob, outcome: Outcome, usage: Usage | None) -> None:
        outcome = self.final(job.job_id, outcome)
        self._took(job, usage)
        self.backends.ended(job.queued, outcome, begun=job.attempt_id is not None)
        job.move(STATE_AFTER[outcome.kind])
        self._journal.finish(job.job_id, job.attempt_id, outcome, usage)
        self.settle(job.job_id, job.name, outcome, job.queued.cpu_seconds)

    def final(self, job_id: str, outcome: Outcome) -> Outcome:
        """How a job ends that is not tried again, see `retry.final`."""
        row = self.row(job_id)
        return retry.final(outcome, row.attempts, row.failed_runs + 1, self._profile.errors)

    def settle(self, job_id: str, name: str, outcome: Outcome, cost_seconds: float) -> None:
        """Count a job that reached a final state, notify the listener and the hook; what waits for it follows."""
        self.in_hand.discard(job_id)
        self.cancelling.pop(job_id, None)
        self.queue.settle(job_id, 0.0)  # of one that was taken and never begun
        self.reuse.over(job_id, outcome.kind)
        self.tally.cost_done += cost_seconds
        is_child = job_id in self._children
        self._children.discard(job_id)
        if not is_child:
            self.tally.ended(outcome.kind)
        self._listener.finished(job_id, outcome, name=name)
        if self._has_made:
            if outcome.kind is OutcomeKind.SUCCEEDED:
                self.divisions.used(job_id)
            self.cancel(self.fetched.ended(job_id), NEEDED_NO_MORE)
        if not is_child and self.hooks.wants(outcome.kind) and (row := self._journal.job(job_id)) is not None:
            self.hooks.add(file_call(row.source.path, os.path.join(self._request.output, row.output), outcome))
        self.cancel(self.divisions.ended(job_id), NEEDED_NO_MORE)
        self._follow(job_id)

    def _follow(self, job_id: str) -> None:
        """Release what waited for a job that has ended, or cancel it."""
        released, cancelled = self._journal.follow(job_id)
        self.released += released
        for dependent in cancelled:
            row = self.row(dependent)
            self.count(row.job)
            if row.origin is not Origin.CHILD:
                self.tally.ended(OutcomeKind.CANCELLED)
            self._listener.finished(row.id, Outcome(OutcomeKind.CANCELLED, row.reason), name=row.name)

    # ------------------------------------------------------------ what users ask of single jobs

    def submit(self, submissions: Sequence[Submission], again: Collection[str] = ()) -> str:
        """Take jobs in while the run goes on, those `again` that are done, too; returns a sentence.

        Raises UsageError, with nothing taken in.
        """
        rows = [self._journal.job(given.job.id) for given in submissions]
        new = not any(rows)
        asked = [(given.job, row) for given, row in zip(submissions, rows, strict=True) if not given.job.is_fetch]
        more = [job.tenant for job, row in asked if row is None or row.final]
        tenants.refuse(more, self._profile.batch, self._journal.waiting_of)
        to_come = 0 if new else self._journal.count_to_come()  # which takes as long as many a submission
        added = self._journal.submit(submissions, again)
        for job_id in self.in_hand.intersection(added):
            self.reuse.begins_anew(job_id)  # what it makes is planned before it may begin
        self._arrived(added, to_come, new=new)
        known = f", {len(rows) - len(added)} known already" if len(added) < len(rows) else ""
        return f"{len(added)} jobs taken in{known}."

    def retry(self, job_ids: Sequence[str]) -> str:
        """Do jobs again that ended without success; returns a sentence."""
        to_come = self._journal.count_to_come()
        before = {job_id: row for job_id in job_ids if (row := self._journal.job(job_id)) is not None}
        again = [job_id for job_id in before if self._journal.retry(job_id)]
        for job_id in again:
            if before[job_id].run_id == self._journal.run_id and before[job_id].origin is not Origin.CHILD:
                self.tally.forget(OutcomeKind(before[job_id].state.value))
        # Children that they wait for are done again with them, and what had been cancelled for them waits again.
        for job_id in (found := list(again)):
            found += [child for child in self._journal.needs(job_id) if self.row(child).origin is Origin.CHILD]
        self._arrived(found, to_come)
        return f"{len(again)} of {len(job_ids)} jobs are done again."

    def _arrived(self, job_ids: Sequence[str], to_come: int, *, new: bool = False) -> None:
        """Take up jobs that came to be pending, where so many of no folder were to come before; maybe all are `new`."""
        to_do = [row for row in map(self.row, job_ids) if row.state in (JobState.PENDING, JobState.WAITING)]
        here = sum(row.origin is not Origin.CHILD for row in to_do)
        self.tally.to_come += here if new else self._journal.count_to_come() - to_come
        done_again = self.failed_before.intersection(job_ids)
        self.failed_before -= done_again
        self.tally.failed_before -= len(done_again)
        self.released += [row.id for row in to_do if row.state is JobState.PENDING]

    def cancel(self, job_ids: Sequence[str], reason: str = CANCELLED) -> str:
        """Cancel jobs; those in hand are ended as soon as their process answers. Returns a sentence."""
        count = 0
        for job_id in job_ids:
            row = self._journal.job(job_id)
            if row is None or row.final:
                continue
            count += 1
            if row.state in IN_HAND:
                self.cancelling[job_id] = reason
                continue
            queued = self.queue.drop(job_id)
            self._journal.cancel(job_id, reason)
            if queued is None and job_id not in self.in_hand:
                self.count(row.job)
            outcome = Outcome(OutcomeKind.CANCELLED, reason)
            self.settle(job_id, row.name, outcome, queued.cpu_seconds if queued is not None else 0.0)
        return f"{count} of {len(job_ids)} jobs are cancelled."


def _peak(usage: Usage | None) -> int:
    return usage.peak_memory_bytes if usage is not None else 0
