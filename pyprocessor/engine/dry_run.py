"""What would a run do, and would jobs be done in time? Inspects and plans, with what is journaled; writes nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait

from pyprocessor.costs.model import CostClass, class_of
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.loop import TURN_SECONDS
from pyprocessor.engine.stopping import local_time
from pyprocessor.errors import JournalDamaged, NoJournal
from pyprocessor.intake.classify import Adopted, Finding, Settled, SettledBefore, Todo, Untouched
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.messages import Remark
from pyprocessor.intake.output_location import KnownOutputs
from pyprocessor.intake.submission_preview import Preview, previews
from pyprocessor.journal.database import is_there
from pyprocessor.journal.reader import JournalReader, jobs_known
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import FOLDER_TASK, WHOLE, Division, Job, Origin, PlanReport, SkippedFile, display
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.models.wording import count, duration, utc
from pyprocessor.plan.chances import Forecast, PlannedRun, forecast
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.preview import preview, simulated
from pyprocessor.state.receipt_index import Receipts
from pyprocessor.state.state_folder import state_folder
from pyprocessor.system.sampler import Sampler
from pyprocessor.tasks.registry import task
from pyprocessor.workers.messages import InputAway
from pyprocessor.workers.process import context


@dataclass(frozen=True, slots=True)
class Expected:
    """When jobs would be done, by a run that begins now: each by id, and the chance that all are in time."""

    forecast: Forecast
    runs: dict[str, PlannedRun]
    unknown: int
    """Jobs whose cost is not known before, and which are not counted."""


def expected(jobs: Sequence[Preview], request: RunRequest, now: float) -> Expected:
    """Plan a run of these jobs and no others; `now` is in seconds since the epoch, as their deadlines are."""
    calibration, _ = Calibration.load(None)
    todo: list[tuple[Job, CostClass, Division]] = []
    for each in jobs:
        if each.features is not None:
            job = each.submission.job
            features = calibration.with_history(each.features, job.source)
            todo.append((replace(job, cost=calibration.predict(features, 1)), class_of(features, 1), WHOLE))
    reading = Sampler(request.output).read((), time.monotonic())
    _, runs = simulated(todo, reading, request.profile, calibration.model)
    due = {job.id: job.deadline - now for job, *_ in todo if job.deadline is not None}
    unknown = sum(each.features is None and not each.problem for each in jobs)
    return Expected(forecast(runs, due), {run.job_id: run for run in runs}, unknown)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What jobs would leave, and when they would be done beside those that wait already."""

    previews: tuple[Preview, ...]
    expected: Expected
    waiting: int
    deadlines: tuple[float, ...]
    now: float
    failing: tuple[Preview, ...] = ()
    """Of the jobs: those that are known to fail as they are."""

    @property
    def chance(self) -> float:
        """0 where nothing is known of what the jobs take, or one of them would fail as it is."""
        hopeless = self.failing or (self.expected.unknown and not self.expected.runs)
        return 0.0 if hopeless else self.expected.forecast.chance

    @property
    def line(self) -> str:
        return f"{self.sentence}\n" if self.deadlines else ""

    @property
    def sentence(self) -> str:
        """The chance, with the numbers that it follows from."""
        known, last = self.expected.forecast, max(self.deadlines)
        by = f"by {utc(last)}, in {duration(max(0.0, last - self.now))}"
        by = by if len(set(self.deadlines)) == 1 else f"each by its own time, the last {by}"
        parts = [f"If a run begins now, the chance that all is done in time ({by}) is {self.chance:.0%}:"]
        if self.expected.runs:
            low, high = duration(known.seconds_low), duration(known.seconds_high)
            parts.append(f"it is predicted to take {duration(known.seconds)}, {low} to {high} in four of five cases.")
        else:
            parts.append("nothing is known of what the jobs take, or nothing is left to do.")
        if self.waiting:
            parts.append(f"Also counted: {count(self.waiting, 'job')} submitted before.")
        if self.failing:
            first, more = self.failing[0], len(self.failing) - 1
            name = display(first.submission.job.source.relative) + (f" (and {more:,} more)" if more else "")
            parts.append(f"{name} would fail: {first.problem}")
        if self.expected.unknown:
            parts.append(f"Not counted: {count(self.expected.unknown, 'job')} whose cost is not known before.")
        return " ".join(parts)


def outlook(jobs: Sequence[Submission], request: RunRequest) -> Outlook:
    """Predict what these jobs leave and when they end, beside the submitted ones that have not ended."""
    folder = state_folder(request.output).path
    new = {given.job.id: given for given in jobs}
    done: set[str] = set()
    waiting: list[Submission] = []
    with contextlib.suppress(NoJournal), JournalReader.read_only(folder) as journal:
        waiting = [given for given in still_to_do(journal) if given.job.id not in new]
        for given in jobs:
            row = journal.job(given.job.id)
            if row is not None and row.final and row.params_fingerprint == given.job.params_fingerprint:
                done.add(row.id)
    with jobs_known(folder) as known:
        found = tuple(previews([*jobs, *waiting], request, known))
    now = time.time()
    to_do = [preview for preview in found if preview.submission.job.id not in done]
    deadlines = tuple(given.job.deadline for given in jobs if given.job.deadline is not None)
    own = tuple(preview for preview in found if preview.submission.job.id in new)
    failing = tuple(preview for preview in to_do if preview.would_fail and preview.submission.job.id in new)
    return Outlook(own, expected(to_do, request, now), len(waiting), deadlines, now, failing)


def still_to_do(journal: JournalReader) -> Iterator[Submission]:
    """Yield the jobs that were submitted and have not ended."""
    for row in journal.jobs():
        if not row.final and row.origin is Origin.SUBMITTED:
            yield Submission(row.job, journal.params(row.params_fingerprint) or "{}")


def plan(request: RunRequest, listener: Listener) -> PlanReport:
    """Scan, inspect and plan. Raises `JournalError` where an earlier run's journal cannot be read."""
    calibration, problem = Calibration.load(None)
    jobs: list[tuple[Job, CostClass, Division]] = []
    skipped: list[SkippedFile] = []
    troubles = [problem] if problem is not None else []

    def take(finding: Finding) -> None:
        """Sort one finding into what would be done and what would not."""
        match finding:
            case Todo(job, features):
                jobs.append((job, class_of(features, 1), finding.division))
            case Settled(job, outcome) | Untouched(job, outcome):
                skipped.append(SkippedFile(job.source.relative, outcome.reason))
            case Adopted(job):
                skipped.append(SkippedFile(job.source.relative, "It is done already."))
            case SettledBefore(row, note):
                reason = note or "It is done already."
                if row.state.is_failure:
                    reason = f"It failed in an earlier run and is only tried again with --retry-failed: {row.reason}"
                skipped.append(SkippedFile(row.source.relative, reason))
            case Remark(text=text) | InputAway(text):
                troubles.append(text)

    folder = state_folder(request.output)
    with contextlib.ExitStack() as stack:
        memory: KnownOutputs | None = None
        if is_there(folder.path):
            try:
                memory = stack.enter_context(JournalReader.read_only(folder.path))
            except JournalDamaged as error:
                troubles.append(str(error))
        submitted = memory.count_to_come() if isinstance(memory, JournalReader) else 0
        discovery = Discovery(request, task(FOLDER_TASK), calibration, memory or Receipts(folder), context())
        discovery.begin(time.monotonic())
        stack.callback(discovery.stop)
        while not discovery.finished:
            wait([child.connection for child in discovery.children], timeout=TURN_SECONDS)
            for finding in discovery.findings(time.monotonic()):
                take(finding)
            listener.found(discovery.files, discovery.finished)
            if request.limit is not None and len(jobs) >= request.limit:
                break
    profile = request.profile
    planned = preview(
        jobs[: request.limit],
        Sampler(request.output).read((), time.monotonic()),
        profile,
        calibration.model,
        tuple(sorted(skipped, key=lambda skipped: skipped.name)),
    )
    clock = local_time()
    hours = Schedule.begin(profile.schedule, clock).plan_note(planned.seconds_high, clock)
    notes = [hours] if hours is not None else []
    if submitted:
        notes.append(f"{count(submitted, 'submitted job')} to be done besides; a plan is of files only.")
    return replace(planned, notes=(*planned.notes, *notes, *troubles))
