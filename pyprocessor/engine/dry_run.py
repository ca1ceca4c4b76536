"""What would a run do, and would jobs be done in time? Inspects and plans, with what is journaled; writes nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait

from pyprocessor.costs.model import CostClass, class_of
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.loop import TURN_SECONDS
from pyprocessor.engine.stopping import local_time
from pyprocessor.errors import JournalDamaged
from pyprocessor.intake.classify import Adopted, Finding, Settled, SettledBefore, Todo, Untouched
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.messages import Remark
from pyprocessor.intake.output_location import KnownOutputs
from pyprocessor.intake.submission_preview import Preview
from pyprocessor.journal.database import is_there
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import FOLDER_TASK, WHOLE, Division, Job, JobState, PlanReport, SkippedFile
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.models.wording import count
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
                if row.state in (JobState.FAILED, JobState.QUARANTINED):
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
