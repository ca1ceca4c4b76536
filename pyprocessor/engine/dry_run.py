"""What would a run do? Scans, inspects and plans, and writes nothing, not even the output folder.

The journal of an earlier run is read, so that finished files are known and nothing is inspected twice.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from multiprocessing.connection import wait

from pyprocessor.costs.model import CostClass, class_of
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.loop import TASK, TURN_SECONDS
from pyprocessor.engine.stopping import local_time
from pyprocessor.errors import JournalDamaged
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.findings import Adopted, AlreadyDone, Finding, Settled, Todo, Untouched
from pyprocessor.intake.messages import Remark
from pyprocessor.intake.output_location import Memory
from pyprocessor.journal.database import is_there
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import Job, JobState, PlanReport, SkippedFile
from pyprocessor.models.listener import Listener, RunRequest
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.preview import preview
from pyprocessor.state.receipt_index import Receipts
from pyprocessor.state.state_folder import state_folder
from pyprocessor.system import Sampler
from pyprocessor.tasks.registry import task
from pyprocessor.workers.messages import InputAway
from pyprocessor.workers.process import context


def plan(request: RunRequest, listener: Listener) -> PlanReport:
    """Scan, inspect and plan. Raises `JournalError` where an earlier run's journal cannot be read."""
    found = _Found(request)
    folder = state_folder(request.output)
    with contextlib.ExitStack() as stack:
        memory: Memory | None = None
        if is_there(folder.path):
            try:
                memory = stack.enter_context(JournalReader.read_only(folder.path))
            except JournalDamaged as error:
                found.note(str(error))
        if memory is None:
            memory = Receipts(folder)
        now = time.monotonic()
        discovery = Discovery(request, task(TASK), found.calibration, memory, context(), now)
        discovery.begin(now)
        stack.callback(discovery.stop)
        while not discovery.finished:
            readable = wait(discovery.connections, timeout=TURN_SECONDS)
            now = time.monotonic()
            findings = discovery.handle(now) if readable else ()
            for finding in (*findings, *discovery.check(now)):
                found.take(finding)
            listener.found(discovery.files, discovery.finished)
            if request.limit is not None and len(found.jobs) >= request.limit:
                break
    return found.report()


class _Found:
    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self.calibration, problem = Calibration.load(None)
        self.jobs: list[tuple[Job, CostClass]] = []
        self._skipped: list[SkippedFile] = []
        self._troubles = [problem] if problem is not None else []

    def note(self, trouble: str) -> None:
        """Add a sentence to the plan."""
        self._troubles.append(trouble)

    def take(self, finding: Finding) -> None:
        """Sort one finding into what would be done and what would not."""
        match finding:
            case Todo(job, features):
                self.jobs.append((job, class_of(features, 1)))
            case Settled(job, outcome) | Untouched(job, outcome):
                self._skipped.append(SkippedFile(job.source.relative, outcome.reason))
            case Adopted(job):
                self._skipped.append(SkippedFile(job.source.relative, "It is done already."))
            case AlreadyDone(row, note):
                if row.state in (JobState.FAILED, JobState.QUARANTINED):
                    reason = f"It failed in an earlier run and is only tried again with --retry-failed: {row.reason}"
                else:
                    reason = note or "It is done already."
                self._skipped.append(SkippedFile(row.source.relative, reason))
            case Remark(text=text) | InputAway(text):
                self._troubles.append(text)

    def report(self) -> PlanReport:
        """The plan as things stand now."""
        profile, limit = self._request.profile, self._request.limit
        reading = Sampler(self._request.output).read((), time.monotonic())
        planned = preview(
            self.jobs[:limit],
            reading,
            profile,
            self.calibration.model,
            tuple(sorted(self._skipped, key=lambda skipped: skipped.name)),
        )
        clock = local_time()
        hours = Schedule.begin(profile.schedule, clock).plan_note(planned.seconds_high, clock)
        notes = (hours,) if hours is not None else ()
        return replace(planned, notes=(*planned.notes, *notes, *self._troubles))
