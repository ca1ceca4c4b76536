"""Which files are suspended, ended or resumed for memory? Pure; when to do so is decided in `governor/governor`.

The youngest are stopped first, since they have the least to lose, and the oldest continue first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyprocessor.governor.gauges import Gauge
from pyprocessor.jobs.running_job import RunningJob

WORTH_SHEDDING_BYTES = 16 << 20
GROWING_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Scene:
    """What one decision looks at. Files are oldest first, without those that are being ended."""

    gauges: tuple[Gauge, ...]
    going: tuple[RunningJob, ...]
    paused: tuple[RunningJob, ...]
    """Suspended for memory."""
    throttled: tuple[RunningJob, ...]
    """Suspended for the CPU limit."""
    ahead: Mapping[str, int]
    """By job: bytes that it grows by within the reaction time, while it goes on."""
    pressure: float
    """PSI `full` as a part of its threshold, 0 where the kernel has none."""
    shrunk: bool
    """Whether fewer files have been started for long enough that memory which still rises needs more than that."""

    @property
    def files(self) -> tuple[RunningJob, ...]:
        return (*self.going, *self.paused, *self.throttled)

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and nothing will once the CPU limit allows it."""
        return not self.going and not self.throttled

    @property
    def ahead_bytes(self) -> int:
        return sum(self.ahead[job.job_id] for job in self.going)

    @property
    def committed_bytes(self) -> int:
        """How much all files are predicted to grow yet."""
        return sum(job.remaining_bytes for job in self.files)

    @property
    def planned_alone(self) -> bool:
        """Whether one file runs that was predicted to need more than the budget, and keeps to its prediction."""
        files = self.files
        return len(files) == 1 and self.near and all(g.exceeded_by(files[0]) for g in self.gauges if g.near)

    @property
    def near(self) -> bool:
        return any(gauge.near for gauge in self.gauges)

    @property
    def over(self) -> bool:
        return any(gauge.over for gauge in self.gauges) and not self.planned_alone

    @property
    def overcommitted(self) -> bool:
        """Whether memory in use, and what files will take yet, exceed the budget."""
        return any(gauge.used + self.committed_bytes > gauge.budget for gauge in self.gauges)

    @property
    def below_release(self) -> bool:
        return all(gauge.used < gauge.release for gauge in self.gauges)

    @property
    def others_over(self) -> bool:
        """Whether other programs alone fill the budget."""
        return any(gauge.others + gauge.others_ahead > gauge.budget for gauge in self.gauges)

    @property
    def others_calm(self) -> bool:
        """Whether other programs leave room for a file, and are not about to take it."""
        return all(gauge.others + gauge.others_ahead < gauge.release for gauge in self.gauges)

    @property
    def alarming(self) -> bool:
        """Whether memory is about to reach the wall, or is over and still rises."""
        ahead = self.ahead_bytes
        return any(gauge.to_wall(ahead) or (self.shrunk and gauge.rising(ahead)) for gauge in self.gauges)

    def __str__(self) -> str:
        """The fullest gauge, in words."""
        if not self.gauges:
            return "memory is not limited"
        return str(max(self.gauges, key=lambda gauge: gauge.used / max(1, gauge.budget)))


def growing_to_suspend(scene: Scene) -> tuple[RunningJob, ...]:
    """The youngest files that grow, as many as it takes for memory to end up on target."""
    ahead = scene.ahead_bytes
    chosen = []
    for job in reversed(suspendable(scene)):
        if all(gauge.projected(ahead) <= gauge.target for gauge in scene.gauges):
            break
        if scene.ahead[job.job_id] >= GROWING_BYTES:
            chosen.append(job)
            ahead -= scene.ahead[job.job_id]
    return tuple(chosen)


def suspendable(scene: Scene) -> tuple[RunningJob, ...]:
    """All files that run but the oldest; that one as well where other programs alone fill the budget."""
    return scene.going if scene.others_over else scene.going[1:]


def to_shed(scene: Scene, suspended: tuple[RunningJob, ...], max_sheds: int) -> tuple[RunningJob, ...]:
    """The files to end so that memory stays below the wall, `suspended` being stopped already.

    Stopped ones go first, the youngest first; one that was ended `max_sheds` times goes last. The oldest that runs
    stays, unless other programs alone fill the budget, and so does a file that has little to give back.
    """
    stopped = {job.job_id for job in (*suspended, *scene.paused, *scene.throttled)}
    going = [job for job in scene.going if job.job_id not in stopped]
    ahead = sum(scene.ahead[job.job_id] for job in going)
    kept = None if scene.others_over and not going else min(going or scene.files, key=age_order, default=None)
    candidates = [job for job in scene.files if job is not kept and job.memory_bytes >= WORTH_SHEDDING_BYTES]
    candidates.sort(key=age_order, reverse=True)
    candidates.sort(key=lambda job: (job.sheds >= max_sheds, job.job_id not in stopped))
    chosen: list[RunningJob] = []
    freed = 0
    for job in candidates:
        if not any(gauge.hits_wall(ahead, freed) for gauge in scene.gauges):
            break
        chosen.append(job)
        freed += job.memory_bytes
        if job.job_id not in stopped:
            ahead -= scene.ahead[job.job_id]
    return tuple(chosen)


def to_resume(scene: Scene) -> tuple[RunningJob, ...]:
    """The oldest suspended file, where what it is predicted to take yet fits beside the others."""
    oldest = scene.paused[:1]
    ahead = sum(job.remaining_bytes for job in (*oldest, *scene.going))
    return oldest if all(gauge.used + ahead <= gauge.budget for gauge in scene.gauges) else ()


def age_order(job: RunningJob) -> tuple[float, str]:
    """Sorts the oldest first; files that started together by their ids."""
    return job.started_seconds, job.job_id
