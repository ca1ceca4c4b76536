"""Which jobs does a batch process have, and what was it sent? One process per batch, sent a few jobs ahead.

So what was not sent can be taken back without asking, and when a process dies it is known what it had begun. A process
that does calls of one kind, or short files, may be given more of them while it runs.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from multiprocessing.context import BaseContext

from pyprocessor.control.run_mode import Pause
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import Batch, JobState
from pyprocessor.models.wording import count, memory_size
from pyprocessor.plan import resources
from pyprocessor.plan.ahead import LEAST_AHEAD, is_short_file
from pyprocessor.plan.planner import RunningBatch
from pyprocessor.workers.handle import LocalWorker
from pyprocessor.workers.messages import Command, OfAttempt, Spawned, StepOrder, WorkerSetup, WorkItem

MOST_UNREAD_BYTES = 64 << 10
"""Of what a process was sent and has not begun. Its pipe holds three times as much, so sending never waits for a
process that itself may wait until the engine reads what it has to say."""
_WRITE_BYTES = 1 << 10
"""What a write takes in the pipe beside its bytes (a pipe that holds 233 kB holds 33 kB in writes of 200 bytes)."""


class BatchProcess:
    """One batch and the process that runs it."""

    def __init__(self, context: BaseContext, setup: WorkerSetup, batch: Batch, jobs: Iterable[RunningJob]) -> None:
        self.batch = batch
        self.jobs: dict[str, RunningJob] = {job.job_id: job for job in jobs}
        self._unsent = dict.fromkeys(batch.job_ids)
        first = self.jobs[batch.job_ids[0]].queued
        self.affinity, self.kind = first.affinity, first.kind
        self.last_priority = max(job.queued.priority for job in self.jobs.values())
        """The highest number among the jobs that it has not begun, at least."""
        self.given = len(self.jobs)
        """How many jobs it was given in all."""
        self.may_pass = 0
        """How many more jobs of its kind it may be given although others are next."""
        self._short = all(is_short_file(job.queued) for job in self.jobs.values())
        self.idle_since = math.inf
        self._sent: set[str] = set()
        self._unread: dict[str, int] = {}
        """Bytes of the jobs that it was sent and has not begun."""
        self._unread_bytes = 0
        self._outbox: list[WorkItem] = []
        self._held = False
        self.ordered: set[Command] = set()
        """Of DRAIN, END and CLOSE, what it was ordered to."""
        self.began = False
        self.last_message: float | None = None
        """When it last sent something, on the clock of the loop's timeouts."""
        self.child = LocalWorker(context, setup, f"batch-{batch.id}")

    @property
    def named(self) -> str:
        """The batch for a sentence."""
        return f"Batch {self.batch.id}"

    def beginning(self, why: str) -> str:
        """The sentence that says with what it begins, and `why` with so many jobs."""
        batch, jobs = self.batch, count(len(self.jobs), "job")
        at_once, threads = min(batch.slots, len(self.jobs)), count(batch.threads, "thread")
        how = f"{jobs}, {at_once} at once with {threads} each, {memory_size(batch.memory_budget_bytes)} of memory"
        return f"{self.named} begins: {how}, because {why}."

    def ending(self, exit_code: int | None) -> str:
        """The sentence that says with what it ends."""
        left = f" with {count(len(self.jobs), 'job')} not done" if self.jobs else ""
        code = f", exit code {exit_code}" if exit_code else ""
        return f"{self.named} ends{left}: {count(self.given, 'job')} given to it in all{code}."

    @property
    def draining(self) -> bool:
        return not self.ordered.isdisjoint({Command.DRAIN, Command.END})

    @property
    def waits(self) -> bool:
        """Whether its jobs mostly wait, so that they take no cores."""
        return self.batch.cores == 0

    @property
    def takes_more(self) -> bool:
        """Whether it may be given more jobs than its batch was formed of."""
        alike = self.affinity is not None or (self._short and self.batch.threads == 1)
        return alike and self.batch.cores <= 1 and not self.ordered

    @property
    def occupied_slots(self) -> int:
        """How many of its slots have work, now or next."""
        return len(self._first_jobs)

    @property
    def _first_jobs(self) -> list[RunningJob]:
        """Its oldest jobs that are not encoded, one for each slot."""
        return self._to_encode(self.batch.slots)

    @property
    def has_next(self) -> bool:
        """Whether it has a job for the slot that becomes idle first."""
        return len(self._to_encode(self.batch.slots + 1)) > self.batch.slots

    def _to_encode(self, most: int) -> list[RunningJob]:
        return list(islice((job for job in self.jobs.values() if not job.is_encoded), most))

    @property
    def running(self) -> list[RunningJob]:
        return [job for job in self.jobs.values() if job.state is JobState.RUNNING]

    @property
    def sent(self) -> list[RunningJob]:
        """Jobs it was sent to encode: they run now, or start as soon as a slot is free."""
        return [self.jobs[job_id] for job_id in self._sent if not self.jobs[job_id].is_encoded]

    @property
    def at_once(self) -> list[RunningJob]:
        """Those of them that may take memory and resources at once, the largest, and the next one of each slot."""
        if self.waits:
            return self._first_jobs
        sent, most = self.sent, self.batch.slots * LEAST_AHEAD
        return sent if len(sent) <= most else heapq.nlargest(most, sent, key=lambda job: job.expected_bytes)

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

    @property
    def planned_bytes(self) -> int:
        """The memory that its batch was planned with, for the slots that have work, or what was measured."""
        bound = self.batch.memory_budget_bytes * self.occupied_slots // self.batch.slots
        return max(bound, sum(max(job.expected_bytes, job.memory_bytes) for job in self.running if not job.is_encoded))

    def planned(self, now: float) -> RunningBatch:
        """The batch as the planner sees it."""
        slots, memory = self.occupied_slots, self.planned_bytes
        in_use = tuple(resources.held(job.queued for job in self._first_jobs).items())
        if self.waits:
            return RunningBatch(0, memory, 0, resources=in_use)
        left = sum(job.seconds_left(now) for job in self.jobs.values())
        return RunningBatch(slots, memory, self.batch.cores, left / slots if slots else 0.0, in_use)

    def give(self, jobs: Iterable[RunningJob]) -> None:
        """Give the process more jobs to do; where they take cores, the batch has the memory that they need at once."""
        for job in jobs:
            if not self.waits:
                memory = max(self.batch.memory_budget_bytes, job.predicted_bytes * self.batch.slots)
                self.batch = replace(self.batch, memory_budget_bytes=memory)
            self.given += 1
            self.last_priority = max(self.last_priority, job.queued.priority)
            self.jobs[job.job_id] = job
            self._unsent[job.job_id] = None

    def next_unsent(self) -> RunningJob | None:
        """The job to be sent next, as long as the process takes any."""
        return self.jobs[next(iter(self._unsent))] if self._unsent and not self.draining else None

    def has_room_for(self, job: RunningJob) -> bool:
        """Whether it may be sent the job before it has begun others; a large one only where it has nothing in hand."""
        return not self._sent or self._unread_bytes + self._bytes_of(job) <= MOST_UNREAD_BYTES

    def _bytes_of(self, job: RunningJob) -> int:
        return job.message_bytes + (0 if self._outbox else _WRITE_BYTES)

    def send_next(self, item: WorkItem) -> None:
        """Send the work item of the next job, with the next `flush`."""
        job_id = next(iter(self._unsent))
        del self._unsent[job_id]
        self._sent.add(job_id)
        self._unread[job_id] = size = self._bytes_of(self.jobs[job_id])
        self._unread_bytes += size
        self._outbox.append(item)

    def flush(self) -> None:
        """Send what there is, in one write."""
        if self._outbox:
            self.child.send(*self._outbox)
            self._outbox.clear()

    def begun(self, job_id: str) -> None:
        """Note that the process has read what it was sent of a job."""
        self._unread_bytes -= self._unread.pop(job_id, 0)

    def remove(self, job_id: str) -> RunningJob:
        """Remove and return a job that the process no longer has."""
        self.begun(job_id)
        self._sent.discard(job_id)
        self._unsent.pop(job_id, None)
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
            self.child.send(StepOrder(job.job_id, job.token, "suspend" if job.is_stopped else "resume"))

    def shed(self, job: RunningJob) -> None:
        """Have a job's step killed, to free its memory or since the job is cancelled."""
        self.child.send(StepOrder(job.job_id, job.token, "kill"))

    def spawned(self, job: RunningJob, message: Spawned, now: float, *, frozen: bool) -> None:
        """Note the process of a job's step, and stop it where the job is stopped or the run `frozen`."""
        job.spawned(message.process, now, call=message.call, warm=message.warm)
        job.frozen = job.frozen or frozen
        if job.is_stopped:
            self.child.send(StepOrder(job.job_id, job.token, "suspend"))

    def order(self, command: Command) -> None:
        """Send DRAIN, END or CLOSE, once."""
        if command not in self.ordered:
            self.ordered.add(command)
            self.child.send(command)
