"""What is known of a job that a batch process has, on the engine's side? The only record of that."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import TRANSITIONS, Batch, Cost, CostFeatures, JobState, ProcessIdentity, Source

NOTICEABLE_GROWTH = 1.02
"""Memory that grows by less than this factor counts as steady."""
PREDICTION_WEIGHT = 0.1
"""A prediction weighs as much as having measured this share of the file."""


class IllegalMove(Exception):
    """A move that the table does not have: a mistake of ours, never of the user's."""


@dataclass(slots=True, eq=False)
class RunningJob:
    """A job that a batch process has; its ffmpeg has `threads` and is assumed to take `cores`, 0 if it mostly waits."""

    queued: QueuedJob
    threads: int = 1
    cores: int = 1
    state: JobState = JobState.ASSIGNED
    attempt_id: int | None = None

    # Known once it was sent to its process:
    media_seconds: float = 0.0
    crashes: int = 0
    retries: int = 0
    sheds: int = 0
    source: Source | None = None
    inputs: tuple[Source, ...] = ()
    features: CostFeatures | None = None
    """None for one that gets a copy, which shows nothing of what doing it takes."""
    whole: CostFeatures | None = None
    """Of a job whose parts are there: what the cost of all of it depends on."""
    parts_cpu_seconds: float = 0.0
    """What these took."""
    token: str = ""
    """Tells this attempt from others at the job."""
    partial: str = ""
    """The attempt's name, with which the names of all that it makes begin."""
    message_bytes: int = 0
    """Of what its process is sent, by and large."""
    predicted_cost: Cost | None = None
    """At its threads."""
    predicted_bytes: int = 0
    """Its predicted peak memory, with margin."""
    likely_bytes: int = 0
    """What its class turned out to take while it runs, where that is more."""

    # Known once its ffmpeg runs:
    ffmpeg: ProcessIdentity | None = None
    started_seconds: float = math.inf
    """Monotonic time at which its ffmpeg was spawned."""
    memory_bytes: int = 0
    """Memory of its ffmpeg at the latest reading, or its share of a process that makes several calls at once."""
    is_call: bool = False
    """Its step is a call; then `ffmpeg` is the process that makes it, maybe with those of other jobs."""
    warm: bool = False
    """That process had made other calls before."""
    used_cpu_seconds: float = 0.0
    """What its step has taken, at the latest reading."""
    process_cpu_seconds: float = 0.0
    """What the step's process had taken then, earlier calls included; not a number until that was measured."""
    steady_bytes: int = 0
    """Its memory when it last grew noticeably, at the monotonic time `steady_since`."""
    steady_since: float = math.inf
    progress_seconds: float = 0.0
    reported: tuple[float, float | None] = (0.0, None)
    """How far its call says that it is, and of how much, in a unit of its own."""
    speed: float | None = None
    """Media seconds per second."""
    result: str | None = None
    """What it answers, as JSON, known before its products are published."""
    is_encoded: bool = False
    """Its ffmpegs have ended: it takes neither slot nor memory, though it is not published yet."""
    suspended: bool = False
    """Stopped by the governor."""
    frozen: bool = False
    """Stopped by the user. Its ffmpeg goes on only when neither stops it."""
    stopped_since: float = 0.0
    stopped_seconds: float = 0.0

    @classmethod
    def of(cls, queued: QueuedJob, batch: Batch) -> RunningJob:
        """A job that the process of a batch is given."""
        threads = 1 if queued.narrow else batch.threads
        return cls(queued, threads, batch.cores, predicted_bytes=queued.memory_with(threads))

    @property
    def job_id(self) -> str:
        return self.queued.job_id

    @property
    def name(self) -> str:
        return self.queued.name

    def move(self, state: JobState) -> None:
        """Enter a state; raises `IllegalMove` where `models.TRANSITIONS` does not have that move."""
        if (self.state, state) not in TRANSITIONS:
            raise IllegalMove(f"A job that is {self.state.value} cannot become {state.value}.")
        self.state = state

    @property
    def expected_bytes(self) -> int:
        """The peak that it is expected to reach by now."""
        return max(self.predicted_bytes, self.likely_bytes)

    @property
    def remaining_bytes(self) -> int:
        """How much it is expected to grow yet."""
        return max(0, self.expected_bytes - self.memory_bytes)

    def spawned(self, process: ProcessIdentity, now: float, *, call: bool, warm: bool) -> None:
        """Its step has a process, which may have made calls before."""
        self.ffmpeg, self.is_call, self.warm = process, call, warm
        self.started_seconds = self.stopped_since = now
        self.stopped_seconds = self.used_cpu_seconds = 0.0
        self.process_cpu_seconds = math.nan if warm else 0.0

    def measured(self, memory_bytes: int, process_cpu_seconds: float, now: float, *, sharing: int = 1) -> None:
        """Take in a reading of its ffmpeg: memory now, CPU time so far, of a process that `sharing` jobs have."""
        if not math.isnan(self.process_cpu_seconds):
            self.used_cpu_seconds += (process_cpu_seconds - self.process_cpu_seconds) / sharing
        self.memory_bytes, self.process_cpu_seconds = memory_bytes, process_cpu_seconds
        if memory_bytes > self.steady_bytes * NOTICEABLE_GROWTH:
            self.steady_bytes, self.steady_since = memory_bytes, now

    @property
    def frames_done(self) -> float:
        """Pictures encoded so far; 0 where that is not known."""
        if self.is_call or self.features is None or self.features.duration_seconds <= 0:
            return 0.0
        return self.features.frames * self.progress_seconds / self.features.duration_seconds

    @property
    def share_done(self) -> float:
        """The share of it that is done, 0 to 1; 0 where it is not known of how much."""
        done, whole = self.extent
        return min(1.0, max(0.0, done / whole)) if whole > 0 else 0.0

    @property
    def extent(self) -> tuple[float, float]:
        """How far it is and of how much: seconds of media, or what its call reports; 0 of what is not known."""
        if self.is_call:
            done, total = self.reported
            return done, total or 0.0
        return self.progress_seconds, self.media_seconds

    @property
    def cpu_seconds(self) -> float:
        """CPU-seconds in all: as predicted, and the further it is the more by its own speed."""
        if self.share_done <= 0:
            return self.queued.cpu_seconds
        return expected_seconds(self.queued.cpu_seconds, self.used_cpu_seconds, self.share_done)

    def seconds_left(self, now: float) -> float:
        """Predicted wall time until it ends."""
        whole = self.queued.wall_seconds(self.cores, self.cpu_seconds)
        return whole * (1 - self.share_done) if self.extent[1] > 0 else max(0.0, whole - self.active_seconds(now))

    def active_seconds(self, now: float) -> float:
        """How long its ffmpeg has run, less the time it was stopped."""
        until = self.stopped_since if self.is_stopped else now
        return max(0.0, until - self.started_seconds - self.stopped_seconds)

    def encoded(self) -> None:
        """Its last ffmpeg has ended."""
        self.is_encoded, self.ffmpeg, self.memory_bytes = True, None, 0

    @property
    def is_stopped(self) -> bool:
        """Whether its ffmpeg is stopped."""
        return self.suspended or self.frozen

    def set_stopped(self, now: float, *, suspended: bool | None = None, frozen: bool | None = None) -> bool:
        """Note who stops it; returns whether its ffmpeg is to be stopped, or to go on, for that."""
        was_still = self.is_stopped
        self.suspended = self.suspended if suspended is None else suspended
        self.frozen = self.frozen if frozen is None else frozen
        if was_still and not self.is_stopped:
            self.stopped_seconds += now - self.stopped_since
        elif not was_still:
            self.stopped_since = now
        return was_still != self.is_stopped


def expected_seconds(predicted: float, used: float, share: float) -> float:
    """Seconds that a file takes in all, by the prediction and by the `used` seconds for a `share` of it."""
    return (max(0.0, used) + PREDICTION_WEIGHT * predicted) / (share + PREDICTION_WEIGHT)
