"""The batch processes that run now: one process per batch, fed a few work items ahead.

The engine keeps a batch's order and sends items as slots free up, so what was not sent can be taken back without
asking, and the death of a process leaves no doubt about what it had begun.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from pyprocessor.control.run_mode import Pause
from pyprocessor.costs import wall_seconds
from pyprocessor.engine.eta import expected_seconds
from pyprocessor.jobs import states
from pyprocessor.jobs.states import Event
from pyprocessor.models import Batch, Cost, CostFeatures, JobState, ProcessIdentity
from pyprocessor.plan.ready import Entry
from pyprocessor.workers.messages import (
    Command,
    Resume,
    Suspend,
    WorkerSetup,
    WorkItem,
)
from pyprocessor.workers.process import Child
from pyprocessor.workers.worker import worker_main

NOTICEABLE_GROWTH = 1.02
"""Memory that grows by less than this factor does not grow."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job's work item, and what the cost model may look at."""

    item: WorkItem
    features: CostFeatures


@dataclass(slots=True)
class Active:
    """A job that a batch process holds, with the `threads` its ffmpeg gets. `alone` says that nothing is to run
    beside it.

    From when it is about to be sent, `predicted` (for its threads) is known, and `need_bytes` is the memory it is
    reckoned with: the prediction with its margin, `likely_bytes` being more where others of its kind have turned out to
    take more since. `memory_bytes` is what its ffmpeg was seen to take last, and `started_seconds` the monotonic time
    at which that ffmpeg was spawned.
    """

    entry: Entry
    name: str
    threads: int
    media_seconds: float
    crashes: int
    retries: int
    sheds: int
    alone: bool = False
    state: JobState = JobState.ASSIGNED
    attempt_id: int | None = None
    progress_seconds: float = 0.0
    prepared: Prepared | None = None
    predicted: Cost | None = None
    need_bytes: int = 0
    likely_bytes: int = 0
    ffmpeg: ProcessIdentity | None = None
    is_encoded: bool = False
    """Its ffmpegs are done: it takes neither slot nor memory any more, though it is not published yet."""
    started_seconds: float = math.inf
    memory_bytes: int = 0
    used_cpu_seconds: float = 0.0
    """CPU time of its ffmpeg at the latest reading."""
    steady_bytes: int = 0
    """Its memory when it last grew noticeably, which was at the monotonic time `steady_since`."""
    steady_since: float = math.inf
    speed: float | None = None
    """Media seconds per second, as last told."""
    suspended: bool = False
    """By the governor."""
    frozen: bool = False
    """By the user. Its ffmpeg stands still while either holds, so neither wakes what the other stopped."""
    still_since: float = 0.0
    still_seconds: float = 0.0

    @property
    def job_id(self) -> str:
        return self.entry.job_id

    @property
    def reserved_bytes(self) -> int:
        """Memory that is to be kept for it: more than predicted once it takes more."""
        return max(self.need_bytes, self.likely_bytes, self.memory_bytes)

    @property
    def frames_done(self) -> float:
        """How many pictures are behind it; 0 where that is not known."""
        features = None if self.prepared is None else self.prepared.features
        if features is None or features.duration_seconds <= 0:
            return 0.0
        return features.frames * self.progress_seconds / features.duration_seconds

    def weighed(self, memory_bytes: int, cpu_seconds: float, now: float) -> None:
        """Take note of what its ffmpeg takes now, and has taken."""
        self.memory_bytes, self.used_cpu_seconds = memory_bytes, cpu_seconds
        if memory_bytes > self.steady_bytes * NOTICEABLE_GROWTH:
            self.steady_bytes, self.steady_since = memory_bytes, now

    @property
    def share_done(self) -> float:
        """The part of its media that is behind it, 0 to 1; 0 where its duration is not known."""
        return min(1.0, self.progress_seconds / self.media_seconds) if self.media_seconds > 0 else 0.0

    @property
    def cpu_seconds(self) -> float:
        """CPU-seconds that it takes in all: as predicted, and once it is under way by what it has taken so far."""
        if self.share_done <= 0:
            return self.entry.cpu_seconds
        return expected_seconds(self.entry.cpu_seconds, self.used_cpu_seconds, self.share_done)

    def seconds_left(self, cores: int, now: float) -> float:
        """Wall time that is left of it, predicted, on so many cores."""
        whole = wall_seconds(Cost(self.cpu_seconds, 0, 0), cores)
        return whole * (1 - self.share_done) if self.media_seconds > 0 else max(0.0, whole - self.active_seconds(now))

    def encoded(self) -> None:
        """Take note that its last ffmpeg has ended."""
        self.is_encoded, self.ffmpeg, self.memory_bytes = True, None, 0

    @property
    def is_still(self) -> bool:
        """Whether its ffmpeg stands still."""
        return self.suspended or self.frozen

    def suspend(self, now: float) -> bool:
        """The governor stops it; True where its ffmpeg is to be told."""
        was_still = self.is_still
        self.suspended = True
        return self._stopped(was_still, now)

    def resume(self, now: float) -> bool:
        """The governor lets it go on; True where its ffmpeg is to be told."""
        was_still = self.is_still
        self.suspended = False
        return self._went_on(was_still, now)

    def freeze(self, now: float) -> bool:
        """The user stops it; True where its ffmpeg is to be told."""
        was_still = self.is_still
        self.frozen = True
        return self._stopped(was_still, now)

    def thaw(self, now: float) -> bool:
        """The user lets it go on; True where its ffmpeg is to be told."""
        was_still = self.is_still
        self.frozen = False
        return self._went_on(was_still, now)

    def _stopped(self, was_still: bool, now: float) -> bool:
        if not was_still:
            self.still_since = now
        return not was_still

    def _went_on(self, was_still: bool, now: float) -> bool:
        if was_still and not self.is_still:
            self.still_seconds += now - self.still_since
            return True
        return False

    def active_seconds(self, now: float) -> float:
        """How long its ffmpeg has run, less the time it stood still."""
        until = self.still_since if self.is_still else now
        return max(0.0, until - self.started_seconds - self.still_seconds)

    def step(self, event: Event) -> None:
        self.state = states.step(self.state, event)


class BatchProcess:
    """One batch and the process that runs it."""

    def __init__(self, context: BaseContext, setup: WorkerSetup, batch: Batch, jobs: Iterable[Active]) -> None:
        self.batch = batch
        self.jobs: dict[str, Active] = {job.job_id: job for job in jobs}
        self._unsent: deque[str] = deque(batch.job_ids)
        self._sent: set[str] = set()
        self._closed = False
        self._held = False
        self.began = False
        """Whether it has started a file."""
        self.draining = False
        self.ending = False
        self.child = Child(context, worker_main, setup, f"pyprocessor-batch-{batch.id}")

    @property
    def connection(self) -> Connection:
        return self.child.connection

    @property
    def identity(self) -> ProcessIdentity:
        return self.child.identity

    @property
    def occupied_slots(self) -> int:
        """How many of its slots have work, now or next."""
        return min(self.batch.slots, sum(not job.is_encoded for job in self.jobs.values()))

    @property
    def running(self) -> list[Active]:
        return [job for job in self.jobs.values() if job.state is JobState.RUNNING]

    @property
    def sent(self) -> list[Active]:
        """What the process was given to encode: it runs now, or starts as soon as a slot is free."""
        return [self.jobs[job_id] for job_id in self._sent if not self.jobs[job_id].is_encoded]

    @property
    def memory_bytes(self) -> int:
        """Memory of what runs at once, now or next: the batch's own bound by the slots still occupied, or more where
        more was measured."""
        bound = self.batch.memory_budget_bytes * self.occupied_slots // self.batch.slots
        return max(bound, sum(job.reserved_bytes for job in self.running if not job.is_encoded))

    @property
    def bytes_to_settle(self) -> int:
        """Predicted size of the outputs that it may be reading back, or waiting for the disk to take."""
        return sum(job.entry.disk_bytes for job in self.jobs.values() if job.is_encoded)

    @property
    def unsent(self) -> list[Active]:
        """What it holds and was not given yet."""
        return [self.jobs[job_id] for job_id in self._unsent]

    def next_unsent(self) -> Active | None:
        """The job that is to be sent next, as long as the process takes any."""
        return self.jobs[self._unsent[0]] if self._unsent and not self.draining else None

    def send_next(self, item: WorkItem) -> None:
        """Send the work item of `next_unsent`."""
        self._sent.add(self._unsent.popleft())
        self.child.send(item)

    def let_go(self, job_id: str) -> Active:
        """The job is no longer this process's."""
        self._sent.discard(job_id)
        if job_id in self._unsent:
            self._unsent.remove(job_id)
        return self.jobs.pop(job_id)

    def take_back_unsent(self) -> list[str]:
        """Jobs that were never sent; they are still to be let go of."""
        taken = list(self._unsent)
        self._unsent.clear()
        return taken

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
        """Have it pause as the user wants, or go on. Once paused it is drained: what it did not start is for others,
        and its memory is free when it is done. What the governor stopped stays so."""
        if wanted is not Pause.NONE:
            self.drain()
        for job in self.running:
            told = job.ffmpeg is not None
            if wanted is Pause.FREEZE and told and job.freeze(now):
                self.child.send(Suspend(job.job_id))
            elif wanted is Pause.NONE and job.thaw(now) and told:
                self.child.send(Resume(job.job_id))

    def spawned(self, job: Active, ffmpeg: ProcessIdentity, now: float, *, frozen: bool) -> None:
        """Take note of a job's ffmpeg. Where the job stands still, the new one is to do so, too."""
        job.ffmpeg, job.started_seconds, job.still_seconds = ffmpeg, now, 0.0
        job.still_since = now
        if frozen:
            job.freeze(now)
        if job.is_still:
            self.child.send(Suspend(job.job_id))

    def drain(self) -> None:
        """Let what runs finish; start nothing more."""
        if not self.draining:
            self.draining = True
            self.child.send(Command.DRAIN)

    def end(self) -> None:
        """End what runs."""
        if not self.ending:
            self.draining = self.ending = True
            self.child.send(Command.END)

    def close_if_done(self) -> None:
        """Tell the process that no more comes, once every job of the batch was sent."""
        if not self._closed and not self._unsent:
            self._closed = True
            self.child.send(Command.CLOSE)
