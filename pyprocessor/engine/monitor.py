"""When are readings taken, and what follows from them? Asks the governor and carries out what it decides.

Readings are taken at the slow interval, and at the ramp interval while memory may grow quickly: while young files could
together exceed what is allowed, and as long as the governor holds anything back. Only slow ones go into the journal; a
decision is stored with its own reading.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from pyprocessor.costs import class_of
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.pool import BatchProcess
from pyprocessor.engine.transitions import Transitions
from pyprocessor.governor.governor import Decision, Governed, Level, govern
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Reading
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.admission import UNMEASURED_FACTOR, Allowance, memory_budget
from pyprocessor.system import Sampler
from pyprocessor.workers.messages import Shed

SCARCE_SHARE = 0.25
"""Of all memory: with less room than this, a reading is taken as soon as a file has ended."""
YOUNG_SECONDS = 3.0
"""How long an ffmpeg's memory may grow fast: x264 at 1080p takes one second, slower encoders a few."""
STEADY_SECONDS = 1.5
STEADY_FRAMES = 60
"""An encode whose memory is steady for so long after so many frames has shown what it takes (x264 medium: 45)."""


class Monitor:
    """The readings of one run; `cores` are reckoned with instead of the real ones."""

    def __init__(
        self,
        request: RunRequest,
        journal: Journal,
        transitions: Transitions,
        calibration: Calibration,
        now: float,
        *,
        cores: float | None = None,
    ) -> None:
        self._profile = request.profile
        self._journal = journal
        self._transitions = transitions
        self._calibration = calibration
        self._cores = cores
        self._sampler = Sampler(request.output)
        self._state = Governed()
        self._latest: Decision | None = None
        self._groups: list[int] = []
        self.readings = 0
        """How many readings were taken at the slow interval."""
        self.looks = 0
        self.learned = False
        """Whether running files have changed the cost model; the loop sets this back."""
        self._read_at = now
        self.next_due = now
        self.reading = self._read(now, slow=True)
        self._oom_kills = self.reading.oom_kills or 0

    @property
    def allowance(self) -> Allowance:
        """What may be started until the next look."""
        if self._latest is None:
            return Allowance(self.looks)
        wall = self.reading.total_memory_bytes * self._profile.throttling.wall_percent / 100
        return Allowance(
            self.looks,
            hold=self._latest.hold,
            one_only=self._latest.level > Level.NORMAL,
            room_bytes=self._latest.room_bytes,
            wall_room_bytes=wall - self.reading.used_memory_bytes,
            share=self._latest.share,
        )

    @property
    def disk_is_low(self) -> bool:
        """Whether nothing is started for want of room on the output's disk."""
        return self._state.disk_low

    def freed(self, now: float) -> None:
        """An ffmpeg has ended: where jobs wait for memory, take a reading at once."""
        if self.allowance.hold or self.allowance.room_bytes < SCARCE_SHARE * self.reading.total_memory_bytes:
            self.next_due = now

    def due(self, now: float) -> bool:
        """Whether a reading is to be taken."""
        return now >= self.next_due

    def look(self, processes: Sequence[BatchProcess], others: Sequence[int], now: float) -> Decision:
        """Take a reading, also of our process groups `others`, and carry out what the governor decides."""
        self._groups = [*(process.child.pid for process in processes), *others]
        slow = now - self._read_at >= self._profile.monitoring.sample_interval_seconds
        self.reading = self._read(now, slow=slow)
        if slow:
            self._journal.add_reading(self.reading)
        running = {job.job_id: (process, job) for process in processes for job in process.running if job.ffmpeg}
        jobs = [job for _, job in running.values()]
        self._measure(jobs, now)
        self._learn(jobs, now)
        decision = govern(
            self._state,
            self.reading,
            jobs,
            self._profile.batch,
            self._profile.throttling,
            self._profile.monitoring,
        )
        self._state, self._latest = decision.state, decision
        self.looks += 1
        for event in decision.events:
            self._transitions.governed(event, self.reading)
        for process in processes:
            process.hold(not decision.admit)
        for job_id in (*decision.suspend, *decision.resume):
            process, job = running[job_id]
            process.set_still(job, now, suspended=job_id in decision.suspend)
        for job_id in decision.shed:
            running[job_id][0].child.send(Shed(job_id))
        interval = self._profile.monitoring.sample_interval_seconds
        if decision.level > Level.NORMAL or self._ramps(jobs, now):
            interval = self._profile.monitoring.ramp_interval_seconds
        self.next_due = now + interval
        return decision

    def killed_for_memory(self) -> bool:
        """Whether the system has killed a process for want of memory that was not counted before."""
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
            self.readings += 1
        return reading if self._cores is None else replace(reading, cores=self._cores)

    def _measure(self, jobs: Sequence[RunningJob], now: float) -> None:
        """Read memory and CPU time of every running ffmpeg."""
        pids = {job.ffmpeg.pid: job for job in jobs if job.ffmpeg is not None}
        for pid, seen in self._sampler.processes(pids, peaks=False).items():
            pids[pid].measured(seen.memory_bytes, seen.cpu_seconds, now)

    def _learn(self, running: Sequence[RunningJob], now: float) -> None:
        """Learn at once from files that outgrew their prediction or have shown what they take.

        The running files' `likely_bytes` rise with it; their predictions, which the governor compares with, stay.
        """
        news = False
        for job in running:
            if job.features is None or job.suspended:
                continue
            outgrown = job.memory_bytes > job.expected_bytes
            steady = job.frames_done >= STEADY_FRAMES and now - job.steady_since >= STEADY_SECONDS
            measured = self._calibration.model.measured_count(class_of(job.features, job.threads)) > 0
            if outgrown or (steady and not measured):
                seen = max(job.memory_bytes, job.steady_bytes)
                news |= self._calibration.glimpse(job.features, job.threads, seen, settled=steady)
        if news:
            self.learned = True
            model, factor = self._calibration.model, self._profile.estimation.memory_safety_factor
            for job in running:
                job.likely_bytes = job.queued.priced(model, factor).memory_with(job.threads)

    def _ramps(self, jobs: Sequence[RunningJob], now: float) -> bool:
        """Whether files that started lately could exceed what is allowed before the next slow reading."""
        young = [job for job in jobs if now - job.started_seconds < YOUNG_SECONDS]
        worst = sum(UNMEASURED_FACTOR * job.predicted_bytes for job in young)
        settled = sum(job.memory_bytes for job in jobs if job not in young)
        return bool(young) and worst + settled > memory_budget(self.reading, self._profile.batch)
