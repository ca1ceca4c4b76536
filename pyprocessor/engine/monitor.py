"""Takes readings of the machine and of our processes, asks the governor, and carries out what it decides.

Readings are taken at the slow interval, and at the ramp interval while memory may grow quickly: while files are young
that could together pass what is allowed, and as long as the governor holds anything back. Only those of the slow
interval go into the journal; a decision takes its own reading along.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from pyprocessor.costs import class_of
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.pool import Active, BatchProcess
from pyprocessor.engine.transitions import Transitions
from pyprocessor.governor.governor import Allowance, Decision, Governed, Level, RunningFile, govern
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Reading
from pyprocessor.models.listener import RunRequest
from pyprocessor.plan.admission import UNMEASURED_FACTOR, memory_need
from pyprocessor.plan.planner import memory_budget
from pyprocessor.system import Sampler
from pyprocessor.workers.messages import Resume, Shed, Suspend

SCARCE_SHARE = 0.25
"""Of all memory: with less room than this, it is looked again as soon as a file has made some."""
YOUNG_SECONDS = 3.0
"""How long an ffmpeg's memory may grow fast: x264 medium at 1080p is at 86 % of its peak after one second, slower
encoders and larger pictures take a few."""
STEADY_SECONDS = 1.5
STEADY_FRAMES = 60
"""An encode whose memory did not grow for so long and that has so many frames behind it has shown what it takes:
x264 medium holds all it will ever hold after some 45."""


class Monitor:
    """The readings of one run and what follows from them. `cores` is to be reckoned with instead of the real ones."""

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
        """Whether running files have taught the cost model something since this was last set back."""
        self._read_at = now
        self.next_due = now
        self.reading = self._read(now, slow=True)
        self._oom_kills = self.reading.oom_kills or 0

    @property
    def allowance(self) -> Allowance:
        """What may be started until the next look."""
        if self._latest is None:
            return Allowance(self.looks)
        return Allowance(
            self.looks,
            admit=self._latest.admit,
            one_only=self._latest.level > Level.NORMAL,
            room_bytes=self._latest.room_bytes,
            wall_room_bytes=self.reading.total_memory_bytes * self._profile.throttling.wall_percent / 100
            - self.reading.used_memory_bytes,
            share=self._latest.share,
        )

    @property
    def disk_is_low(self) -> bool:
        """Whether nothing is started for want of room on the output's disk."""
        return self._state.disk_low

    def freed(self, now: float) -> None:
        """Take note that an ffmpeg has ended: where room is waited for, there may be some now."""
        if not self.allowance.admit or self.allowance.room_bytes < SCARCE_SHARE * self.reading.total_memory_bytes:
            self.next_due = now

    def due(self, now: float) -> bool:
        """Whether a reading is to be taken."""
        return now >= self.next_due

    def look(self, processes: Sequence[BatchProcess], scouts: Sequence[int], now: float) -> Decision:
        """Take a reading, with `scouts` as further process groups of ours, and have the processes hold, suspend, resume
        and shed as the governor decides."""
        self._groups = [*(process.child.pid for process in processes), *scouts]
        slow = now - self._read_at >= self._profile.monitoring.sample_interval_seconds
        self.reading = self._read(now, slow=slow)
        if slow:
            self._journal.add_reading(self.reading)
        running = {job.job_id: (process, job) for process in processes for job in process.running if job.ffmpeg}
        self._weigh([job for _, job in running.values()], now)
        self._learn([job for _, job in running.values()], now)
        decision = govern(
            self._state,
            self.reading,
            [_file(job) for _, job in running.values()],
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
        for job_id in decision.suspend:
            process, job = running[job_id]
            if job.suspend(now):
                process.child.send(Suspend(job_id))
        for job_id in decision.resume:
            process, job = running[job_id]
            if job.resume(now):
                process.child.send(Resume(job_id))
        for job_id in decision.shed:
            running[job_id][0].child.send(Shed(job_id))
        interval = self._profile.monitoring.sample_interval_seconds
        if decision.level > Level.NORMAL or self._ramps([job for _, job in running.values()], now):
            interval = self._profile.monitoring.ramp_interval_seconds
        self.next_due = now + interval
        return decision

    def killed_for_memory(self) -> bool:
        """Whether the system has killed a process for want of memory that was not asked about before."""
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

    def _weigh(self, jobs: Sequence[Active], now: float) -> None:
        """Note what every running ffmpeg takes now."""
        pids = {job.ffmpeg.pid: job for job in jobs if job.ffmpeg is not None}
        for pid, seen in self._sampler.processes(pids, peaks=False).items():
            pids[pid].weighed(seen.memory_bytes, seen.cpu_seconds, now)

    def _learn(self, running: Sequence[Active], now: float) -> None:
        """Have the cost model learn at once from files that outgrew their prediction or have shown what they take.

        What is known of a file that runs is raised with it, what the governor holds its growth against is not.
        """
        news = False
        for job in running:
            if job.prepared is None or job.suspended:
                continue
            features, model = job.prepared.features, self._calibration.model
            outgrown = job.memory_bytes > max(job.need_bytes, job.likely_bytes)
            steady = job.frames_done >= STEADY_FRAMES and now - job.steady_since >= STEADY_SECONDS
            if outgrown or (steady and model.measured_count(class_of(features, job.threads)) == 0):
                seen = max(job.memory_bytes, job.steady_bytes)
                news |= self._calibration.glimpse(features, job.threads, seen, settled=steady)
        if news:
            self.learned = True
            model, factor = self._calibration.model, self._profile.estimation.memory_safety_factor
            for job in running:
                priced = replace(job.entry, price=model.price(job.entry.cost_class, factor))
                job.likely_bytes = memory_need(priced, job.threads)

    def _ramps(self, jobs: Sequence[Active], now: float) -> bool:
        """Whether files that started lately could, at worst, pass what is allowed before the next slow reading."""
        young = [job for job in jobs if now - job.started_seconds < YOUNG_SECONDS]
        worst = sum(UNMEASURED_FACTOR * job.need_bytes for job in young)
        settled = sum(job.memory_bytes for job in jobs if job not in young)
        return bool(young) and worst + settled > memory_budget(self.reading, self._profile.batch)


def _file(job: Active) -> RunningFile:
    return RunningFile(
        job_id=job.job_id,
        name=job.name,
        started_seconds=job.started_seconds,
        memory_bytes=job.memory_bytes,
        predicted_bytes=job.need_bytes,
        suspended=job.suspended,
        sheds=job.sheds,
        likely_bytes=job.likely_bytes,
    )
