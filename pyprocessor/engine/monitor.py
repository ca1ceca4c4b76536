"""When are readings taken, and what follows from them? Asks the governor and carries out what it decides.

They are taken at the slow interval, and at the ramp interval while young files could together exceed what is allowed
and as long as the governor holds anything back. Only slow ones go into the journal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pyprocessor.costs.model import class_of
from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.transitions import Transitions
from pyprocessor.governor.governor import Decision, Governed, Level, govern
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Reading
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.admission import UNMEASURED_FACTOR, Allowance, memory_budget
from pyprocessor.system.sampler import Sampler
from pyprocessor.workers.messages import Command

SCARCE_SHARE = 0.25
"""Of all memory that may be used: with less room than this, a reading is taken as soon as a file has ended."""
YOUNG_SECONDS = 3.0
"""How long an ffmpeg's memory may grow fast: x264 at 1080p takes one second, slower encoders a few."""
STEADY_SECONDS = 1.5
STEADY_FRAMES = 60
"""An encode whose memory is steady for so long after so many frames has shown what it takes (x264 medium: 45)."""


@dataclass(eq=False)
class Monitor:
    """Readings of one run. The first is taken at `next_due`; `cores` replaces the measured number."""

    request: RunRequest
    journal: Journal
    transitions: Transitions
    calibration: Calibration
    next_due: float
    cores: float | None = None
    slow_readings: int = 0
    """How many readings were taken at the slow interval."""
    readings: int = 0
    """How many were taken in all."""
    _state: Governed = field(default_factory=Governed)
    _latest: Decision | None = None
    _groups: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._profile = self.request.profile
        self._sampler = Sampler(self.request.output)
        self.reading = self._read(self.next_due, slow=True)
        self._oom_kills = self.reading.oom_kills or 0

    @property
    def allowance(self) -> Allowance:
        """What may be started until the next look."""
        if self._latest is None:
            return Allowance(self.readings)
        wall = self.reading.total_memory_bytes * self._profile.throttling.wall_percent / 100
        return Allowance(
            self.readings,
            hold=self._latest.hold,
            one_only=self._latest.level > Level.NORMAL,
            room_bytes=self._latest.room_bytes,
            wall_room_bytes=wall - self.reading.used_memory_bytes,
            share=self._latest.share,
        )

    def freed(self, now: float) -> None:
        """An ffmpeg has ended: where jobs wait for memory, take a reading at once."""
        latest = self._latest
        if latest is None:
            return
        most = self._profile.batch.memory_limit_bytes or self.reading.total_memory_bytes
        if latest.hold or latest.room_bytes < SCARCE_SHARE * min(most, self.reading.total_memory_bytes):
            self.next_due = now

    def look(self, processes: Sequence[BatchProcess], others: Sequence[int], now: float) -> Decision:
        """Take a reading, also of our process groups `others`, and carry out what the governor decides."""
        self._groups = [*(process.child.pid for process in processes), *others]
        slow = now - self._read_at >= self._profile.monitoring.sample_interval_seconds
        self.reading = self._read(now, slow=slow)
        if slow:
            self.journal.add_reading(self.reading)
        running = {job.job_id: (process, job) for process in processes for job in process.running if job.ffmpeg}
        jobs = [job for _, job in running.values()]
        for process in processes:
            self._measure(process, now)
        self._learn(jobs, now)
        profile = self._profile
        decision = govern(self._state, self.reading, jobs, profile.batch, profile.throttling, profile.monitoring)
        rises = decision.level > Level.NORMAL and (self._latest is None or self._latest.level == Level.NORMAL)
        self._state, self._latest = decision.state, decision
        self.readings += 1
        for event in decision.events:
            self.transitions.governed(event, self.reading)
        for process in processes:
            process.hold(bool(decision.hold))
            if rises:
                process.child.send(Command.FREE)
        for job_id in (*decision.suspend, *decision.resume):
            process, job = running[job_id]
            process.set_stopped(job, now, suspended=job_id in decision.suspend)
        for job_id in decision.shed:
            process, job = running[job_id]
            process.shed(job)
        interval = self._profile.monitoring.sample_interval_seconds
        if decision.level > Level.NORMAL or self._ramps(jobs, now):
            interval = self._profile.monitoring.ramp_interval_seconds
        self.next_due = now + interval
        return decision

    def take_oom_kill(self) -> bool:
        """Consume one out-of-memory kill that was not yet attributed; return whether there was one."""
        kills = self._sampler.fast(self._groups, time.monotonic()).oom_kills or 0
        if kills > self._oom_kills:
            self._oom_kills += 1
            return True
        return False

    def _read(self, now: float, *, slow: bool) -> Reading:
        if not slow:
            reading = self._sampler.fast(self._groups, now)
        else:
            reading = self._sampler.read(self._groups, now)
            self._read_at = now
            self.slow_readings += 1
        return reading if self.cores is None else replace(reading, cores=self.cores)

    def _measure(self, process: BatchProcess, now: float) -> None:
        """Give each job what its step's process takes, of one that several share a part as large as the others'.

        Its tenant is charged with what the job is now expected to take.
        """
        sharing: dict[int, list[RunningJob]] = {}
        for job in process.running:
            if job.ffmpeg is not None:
                sharing.setdefault(job.ffmpeg.pid, []).append(job)
        for pid, seen in process.child.usage(sharing).items():
            jobs = sharing[pid]
            for job in jobs:
                job.measured(seen.memory_bytes // len(jobs), seen.cpu_seconds, now, sharing=len(jobs))
                self.transitions.queue.charge(job.job_id, max(job.cpu_seconds, job.used_cpu_seconds))

    def _learn(self, running: Sequence[RunningJob], now: float) -> None:
        """Learn at once from files that outgrew their prediction or have shown what they take."""
        news = False
        for job in running:
            if job.features is None or job.suspended:
                continue
            outgrown = job.memory_bytes > job.expected_bytes
            steady = job.frames_done >= STEADY_FRAMES and now - job.steady_since >= STEADY_SECONDS
            measured = self.calibration.model.measured_count(class_of(job.features, job.threads)) > 0
            if outgrown or (steady and not measured):
                seen = max(job.memory_bytes, job.steady_bytes)
                news |= self.calibration.glimpse(job.features, job.threads, seen, settled=steady)
        if news:
            self.transitions.reprice()
            model, factor = self.calibration.model, self._profile.estimation.memory_safety_factor
            for job in running:
                job.likely_bytes = job.queued.priced(model, factor).memory_with(job.threads)

    def _ramps(self, jobs: Sequence[RunningJob], now: float) -> bool:
        """Whether files that started lately could exceed what is allowed before the next slow reading."""
        young = [job for job in jobs if now - job.started_seconds < YOUNG_SECONDS]
        worst = sum(UNMEASURED_FACTOR * job.predicted_bytes for job in young)
        settled = sum(job.memory_bytes for job in jobs if job not in young)
        return bool(young) and worst + settled > memory_budget(self.reading, self._profile.batch)
