"""Which jobs does a batch process have, and what was it sent? One process per batch, sent a few jobs ahead.

So what was not sent can be taken back without asking, and when a process dies it is known what it had begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from multiprocessing.context import BaseContext

from pyprocessor.control.run_mode import Pause
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import Batch, JobState, ProcessIdentity
from pyprocessor.plan.planner import RunningBatch
from pyprocessor.workers.handle import LocalWorker
from pyprocessor.workers.messages import Command, OfAttempt, WorkerSetup, WorkItem


class BatchProcess:
    """One batch and the process that runs it."""

    def __init__(self, context: BaseContext, setup: WorkerSetup, batch: Batch, jobs: Iterable[RunningJob]) -> None:
        self.batch = batch
        self.jobs: dict[str, RunningJob] = {job.job_id: job for job in jobs}
        self._unsent: deque[str] = deque(batch.job_ids)
        self._sent: set[str] = set()
        self._held = False
        self.ordered: set[Command] = set()
        """Of DRAIN, END and CLOSE, what it was ordered to."""
        self.began = False
        self.last_message: float | None = None
        """When it last sent something, on the clock of the loop's timeouts."""
        self.child = LocalWorker(context, setup, f"batch-{batch.id}")

    @property
    def draining(self) -> bool:
        return not self.ordered.isdisjoint({Command.DRAIN, Command.END})

    @property
    def occupied_slots(self) -> int:
        """How many of its slots have work, now or next."""
        return min(self.batch.slots, sum(not job.is_encoded for job in self.jobs.values()))

    @property
    def running(self) -> list[RunningJob]:
        return [job for job in self.jobs.values() if job.state is JobState.RUNNING]

    @property
    def sent(self) -> list[RunningJob]:
        """Jobs it was sent to encode: they run now, or start as soon as a slot is free."""
        return [self.jobs[job_id] for job_id in self._sent if not self.jobs[job_id].is_encoded]

    @property
    def unsent(self) -> list[RunningJob]:
        return [self.jobs[job_id] for job_id in self._unsent]

    @property
    def bytes_to_settle(self) -> int:
        """Predicted size of the outputs that it may be reading back, or waiting for the disk to take."""
        return sum(job.queued.disk_bytes for job in self.jobs.values() if job.is_encoded)

    def job_of(self, message: OfAttempt) -> RunningJob | None:
        """The job that a message is about; None where it is about an attempt that is no longer in hand."""
        job = self.jobs.get(message.job_id)
        return job if job is not None and job.token == message.token else None

    def planned(self, now: float) -> RunningBatch:
        """The batch as the planner sees it, with the memory it was planned with or what was measured."""
        slots = self.occupied_slots
        bound = self.batch.memory_budget_bytes * slots // self.batch.slots
        memory = max(
            bound, sum(max(job.expected_bytes, job.memory_bytes) for job in self.running if not job.is_encoded)
        )
        left = sum(job.seconds_left(now) for job in self.jobs.values())
        return RunningBatch(slots, memory, self.batch.cores, left / slots if slots else 0.0)

    def next_unsent(self) -> RunningJob | None:
        """The job to be sent next, as long as the process takes any."""
        return self.jobs[self._unsent[0]] if self._unsent and not self.draining else None

    def send_next(self, item: WorkItem) -> None:
        """Send the work item of `next_unsent`."""
        self._sent.add(self._unsent.popleft())
        self.child.send(item)

    def remove(self, job_id: str) -> RunningJob:
        """Remove and return a job that the process no longer has."""
        self._sent.discard(job_id)
        if job_id in self._unsent:
            self._unsent.remove(job_id)
        return self.jobs.pop(job_id)

    def ask_back(self) -> None:
        """Ask for the jobs that were sent and have not started."""
        if len(self._sent) > len(self.running):
            self.child.send(Command.TAKE_BACK)

    def hold(self, held: bool) -> None:
        """Have the process start nothing, or go on."""
        if held != self._held:
            self._held = held
            self.child.send(Command.HOLD if held else Command.RELEASE)

    def pause(self, wanted: Pause, now: float) -> None:
        """Pause as the user wants, and drain the process, or go on. What the governor suspended stays so."""
        if wanted is not Pause.NONE:
            self.order(Command.DRAIN)
        for job in self.running:
            if wanted is Pause.FREEZE and job.ffmpeg is not None:
                self.set_stopped(job, now, frozen=True)
            elif wanted is Pause.NONE:
                self.set_stopped(job, now, frozen=False)

    def set_stopped(
        self, job: RunningJob, now: float, *, suspended: bool | None = None, frozen: bool | None = None
    ) -> None:
        """Note that the governor suspends or the user freezes a job, and stop or continue its ffmpeg."""
        if job.set_stopped(now, suspended=suspended, frozen=frozen) and job.ffmpeg is not None:
            (self.child.suspend if job.is_stopped else self.child.resume)(job.job_id, job.token)

    def spawned(self, job: RunningJob, ffmpeg: ProcessIdentity, now: float, *, frozen: bool) -> None:
        """Note a job's ffmpeg, and stop it where the job is stopped or the run `frozen`."""
        job.ffmpeg = ffmpeg
        job.started_seconds = job.stopped_since = now
        job.stopped_seconds = 0.0
        job.frozen = job.frozen or frozen
        if job.is_stopped:
            self.child.suspend(job.job_id, job.token)

    def order(self, command: Command) -> None:
        """Send DRAIN, END or CLOSE, once."""
        if command not in self.ordered:
            self.ordered.add(command)
            self.child.send(command)
