"""A run's dispatch on a simulated machine: a real journal and queue, and batch processes that only keep time."""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pyprocessor.costs.calibration import FileHistory
from pyprocessor.costs.model import CostModel, class_of
from pyprocessor.engine import batch_process
from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.engine.call_dispatch import CallDispatch
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.transitions import Transitions
from pyprocessor.jobs.queued_job import Asking, QueuedJob
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.journal.journal import Journal
from pyprocessor.models import (
    BatchSettings,
    Cost,
    CostFeatures,
    Job,
    Mode,
    Outcome,
    OutcomeKind,
    ProcessIdentity,
    Reading,
    ScheduleSettings,
    Source,
    TenantSettings,
    Usage,
)
from pyprocessor.models.run import RunRequest
from pyprocessor.plan import modes
from pyprocessor.plan.admission import OVERHEAD_BYTES, Allowance, Conditions
from pyprocessor.plan.hours import Schedule
from pyprocessor.profiles import load
from pyprocessor.state.state_folder import prepare_state_folder
from pyprocessor.workers.messages import Command, WorkerSetup
from tests.process.runs import Recorder

if TYPE_CHECKING:
    import pytest

MIB = 1 << 20
CLOCK = datetime(2026, 1, 1)  # noqa: DTZ001 - local time
EPOCH = 1_800_000_000.0
"""Seconds since the epoch when it begins."""
DONE = Outcome(OutcomeKind.SKIPPED, "done")
PROFILE = load("default", environment={}).profile


class Clockwork:
    """Stands for a batch process: it has what it was sent, in order."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.waiting: deque[str] = deque()
        self.handed_back: list[str] = []
        self.running: dict[str, float] = {}
        """When each ends."""
        self.closing = False
        self.identity = ProcessIdentity(1, 1.0)

    def send(self, *messages: object) -> bool:
        if Command.TAKE_BACK in messages:
            self.handed_back += self.waiting
            self.waiting.clear()
        self.waiting += [message for message in messages if isinstance(message, str)]
        self.closing |= Command.CLOSE in messages
        return True


@dataclass(eq=False)
class Simulation:
    """One run; `cores` and `memory` (MiB for jobs) are the machine's. It goes on from event to event."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    cores: int = 2
    memory: int = 1 << 20
    resources: tuple[tuple[str, int], ...] = ()
    jobs: int | None = None
    most_jobs: int | None = None
    tenants: tuple[tuple[str, TenantSettings], ...] = ()
    batch_size: int | None = None
    mode: Mode = Mode.AUTO
    max_batch_size: int = PROFILE.estimation.max_batch_size
    now: float = 0.0
    more_to_come: bool = False
    pending: int = 0
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    turn: int = 0
    processes: int = 0
    """How many were started."""
    message_bytes: int = 0
    """Of what a process is sent for each job."""
    looks: bool = False
    """Whether the governor takes a look in each turn."""
    unread: int = 0
    """The most jobs that a process had been sent at once, and had not begun."""

    def __post_init__(self) -> None:
        self.monkeypatch.setattr(batch_process, "LocalWorker", self._start)
        # What a process is sent: its job's id alone.
        self.monkeypatch.setattr(CallDispatch, "_work_item", lambda _, job: self._message(job))
        folder = prepare_state_folder(os.fsencode(self.folder))
        self.journal = Journal.open(folder.path, wal=True)
        self.journal.begin_run("", ProcessIdentity(2, 2.0))
        batch = BatchSettings(
            max_memory_percent=100.0,
            memory_limit_bytes=self.memory * MIB + OVERHEAD_BYTES,
            resources=self.resources,
            jobs=self.jobs,
            most_jobs=self.most_jobs,
            batch_size=self.batch_size,
            tenants=self.tenants,
            mode=self.mode,
            enabled=self.mode is not Mode.SEQUENTIAL,
        )
        estimation = replace(PROFILE.estimation, max_batch_size=self.max_batch_size)
        profile = replace(PROFILE, batch=batch, estimation=estimation)
        request = RunRequest((), os.fsencode(self.folder), profile, "ffmpeg")
        calibration = Calibration(CostModel(), FileHistory(), None)
        self.listener = Recorder()
        self.transitions = Transitions(request, self.journal, calibration, self.listener, folder.logs, 0.0)
        self.transitions.backends.clock = lambda: EPOCH + self.now
        self.calibration = calibration
        self.dispatch = CallDispatch(
            request, get_context("spawn"), folder, 1, self.journal, self.transitions, calibration
        )
        self.said: dict[str, Cost] = {}
        self.reading = Reading(0.0, self.cores, 1 << 50, 0, 0, 0.0, 1 << 50)

    def add(
        self,
        name: str,
        said: Cost,
        *,
        kind: str = "noop",
        encode: bool = False,
        asking: Asking | None = None,
        **more: Any,
    ) -> None:
        """Take in a job: an encode of 360p, or a call whose affinity is `kind`."""
        source = Source(name.encode(), name.encode(), 1, 1)
        job = Job(name, "task", source, b"", "", said, **more)
        features = CostFeatures("task", kind, given=said)
        if encode:
            features = CostFeatures("transcode", "libx264", "medium", 640 * 360, 640 * 360, "yuv420p", 9.0, 9.0, 9)
        assert self.journal.plan(job, media_seconds=None) is not None
        self.said[name] = said
        cost_class, model = class_of(features, 1), self.calibration.model
        if model.measured_count(cost_class) == 0:
            self.calibration.model = model = model.observe(features, 1, Cost(0.0, 0, 0))
        rank = modes.rank(self.dispatch.profile.batch, job, len(self.said))
        self.transitions.queue.add(QueuedJob.of(job, cost_class, model, PROFILE.estimation, asking=asking, rank=rank))

    @property
    def running(self) -> list[str]:
        """The jobs that run now."""
        return [name for process in self.dispatch.processes for name in self._child(process).running]

    def conditions(self) -> Conditions:
        """Those of this turn."""
        return Conditions(
            self.reading,
            Schedule.begin(ScheduleSettings(), CLOCK),
            CLOCK,
            allowance=Allowance(look=self.turn if self.looks else 0),
            more_to_come=self.more_to_come,
            pending=self.pending,
            now=self.now,
            run_seconds=self.now + 60.0,
            reading_number=self.turn,
        )

    def why(self) -> str:
        """Why the job that is next waits; empty where none is."""
        waiting = self.dispatch.next_waiting(self.conditions())
        return waiting.reason if waiting is not None else ""

    def fill(self) -> None:
        """One turn of the loop, and what the processes begin after it."""
        self.turn += 1
        self.dispatch.fill(self.conditions())
        if self._take_back():
            self.dispatch.fill(self.conditions())
        for process in tuple(self.dispatch.processes):
            child = self._child(process)
            self.unread = max(self.unread, len(child.waiting))
            while child.waiting and len(child.running) < child.slots:
                name = child.waiting.popleft()
                job, said = process.jobs[name], self.said[name]
                process.begun(name)
                with self.journal.transaction():
                    self.transitions.started(job, child.identity)
                job.started_seconds = self.began[name] = self.now
                child.running[name] = self.now + said.wait_seconds + said.cpu_seconds
            if child.closing and not process.jobs:
                self.dispatch.processes.remove(process)

    def _take_back(self) -> bool:
        """Queue again what processes hand back; returns whether there is any."""
        with self.journal.transaction():
            back = [(process, name) for process in self.dispatch.processes for name in self._child(process).handed_back]
            for process, name in back:
                self._child(process).handed_back.clear()
                self.transitions.returned(process.remove(name))
        return bool(back)

    def go_on(self) -> None:
        """Go on to the next end of a job, or time at which a back end may be asked, and end all that end by then."""
        ends = [end for process in self.dispatch.processes for end in self._child(process).running.values()]
        self.now = min([*ends, self.now + self.transitions.backends.seconds_to_next + 1e-6])
        with self.journal.transaction():
            for process in self.dispatch.processes:
                child = self._child(process)
                for name in [name for name, end in child.running.items() if end <= self.now]:
                    del child.running[name]
                    job: RunningJob = process.remove(name)
                    self.transitions.ended(job, DONE, Usage(0.0, self.said[name].cpu_seconds, 0), self.now)
                    self.ended[name] = self.now

    def run(self) -> None:
        """Run until all is done."""
        while True:
            self.fill()
            if not self.running and self.transitions.backends.seconds_to_next == math.inf:
                break
            self.go_on()
        self.now += 10.0
        self.fill()
        assert not self.dispatch.processes
        assert not self.transitions.queue
        assert set(self.ended) == set(self.said)

    def held(self) -> dict[str, int]:
        """How many of each resource the running jobs hold."""
        counts: dict[str, int] = {}
        for name in self.running:
            for resource, many in self.said[name].resources:
                counts[resource] = counts.get(resource, 0) + many
        return counts

    def close(self) -> None:
        self.journal.close()

    def _message(self, job: RunningJob) -> str:
        job.message_bytes = self.message_bytes
        return job.job_id

    def _start(self, _context: object, setup: WorkerSetup, _name: str) -> Clockwork:
        self.processes += 1
        return Clockwork(setup.slots)

    @staticmethod
    def _child(process: BatchProcess) -> Clockwork:
        return cast("Clockwork", process.child)
