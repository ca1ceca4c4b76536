"""Which files to suspend, to end and to resume for memory. Pure; when to is decided in `governor/governor`.

The youngest are stopped first, since they have the least to lose, and the oldest go on first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyprocessor.governor.gauges import Gauge
from pyprocessor.governor.growth_rate import RunningFile

WORTH_SHEDDING_BYTES = 16 << 20
GROWING_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Scene:
    """What one decision looks at. Files are in order of their start, the oldest first; those that were told to end are
    not among them. `ahead` is what each file grows by within the reaction time, while it goes on."""

    gauges: tuple[Gauge, ...]
    going: tuple[RunningFile, ...]
    paused: tuple[RunningFile, ...]
    """Suspended for memory."""
    throttled: tuple[RunningFile, ...]
    """Suspended for CPU."""
    ahead: Mapping[str, int]
    pressure: float
    """PSI `full` as a part of its threshold, 0 where the kernel has none."""
    shrunk: bool
    """Whether less has been started for long enough to show, so that what still rises needs more than that."""

    @property
    def files(self) -> tuple[RunningFile, ...]:
        return (*self.going, *self.paused, *self.throttled)

    @property
    def idle(self) -> bool:
        """Whether nothing goes on, and nothing will once the CPU may be used again."""
        return not self.going and not self.throttled

    @property
    def ahead_bytes(self) -> int:
        return sum(self.ahead[file.job_id] for file in self.going)

    @property
    def committed_bytes(self) -> int:
        """What files are predicted to grow by yet."""
        return sum(file.remaining_bytes for file in self.files)

    @property
    def planned_alone(self) -> bool:
        """A single file that was known to need more than there is, and keeps to its prediction."""
        files = self.files
        return (
            len(files) == 1
            and any(gauge.near for gauge in self.gauges)
            and all(gauge.exceeded_by(files[0]) for gauge in self.gauges if gauge.near)
        )

    @property
    def near(self) -> bool:
        return any(gauge.near for gauge in self.gauges)

    @property
    def over(self) -> bool:
        return any(gauge.over for gauge in self.gauges) and not self.planned_alone

    @property
    def overcommitted(self) -> bool:
        """Whether what is in use and what files will take yet are more than the budget."""
        return any(gauge.used + self.committed_bytes > gauge.budget for gauge in self.gauges)

    @property
    def below_release(self) -> bool:
        return all(gauge.used < gauge.release for gauge in self.gauges)

    @property
    def others_over(self) -> bool:
        """Whether others alone take more than the budget, or are about to."""
        return any(gauge.others + gauge.others_ahead > gauge.budget for gauge in self.gauges)

    @property
    def others_calm(self) -> bool:
        """Whether others leave room for a file to go on, and are not about to take it."""
        return all(gauge.others + gauge.others_ahead < gauge.release for gauge in self.gauges)

    @property
    def alarming(self) -> bool:
        """About to hit the wall, or over and still rising."""
        ahead = self.ahead_bytes
        return any(gauge.to_wall(ahead) or (self.shrunk and gauge.rising(ahead)) for gauge in self.gauges)


def growing_to_suspend(scene: Scene) -> tuple[RunningFile, ...]:
    """The youngest files that grow, as many as it takes for memory to end up on target."""
    ahead = scene.ahead_bytes
    chosen = []
    for file in reversed(suspendable(scene)):
        if all(gauge.projected(ahead) <= gauge.target for gauge in scene.gauges):
            break
        if scene.ahead[file.job_id] >= GROWING_BYTES:
            chosen.append(file)
            ahead -= scene.ahead[file.job_id]
    return tuple(chosen)


def suspendable(scene: Scene) -> tuple[RunningFile, ...]:
    """All but the oldest that goes on; where others alone fill the budget, that one as well."""
    return scene.going if scene.others_over else scene.going[1:]


def to_shed(scene: Scene, suspended: tuple[RunningFile, ...], max_sheds: int) -> tuple[RunningFile, ...]:
    """The files to end so that memory stays below the wall, `suspended` being stopped already.

    Those that are stopped go before those that go on, the youngest first; a file that was ended `max_sheds` times goes
    only where no other is left. The oldest that goes on (or will be the first to) stays, unless others alone fill the
    budget, and so does a file that has next to nothing to give back.
    """
    stopped = {file.job_id for file in (*suspended, *scene.paused, *scene.throttled)}
    going = [file for file in scene.going if file.job_id not in stopped]
    ahead = sum(scene.ahead[file.job_id] for file in going)
    kept = None if scene.others_over and not going else min(going or scene.files, key=age_order, default=None)
    candidates = [file for file in scene.files if file is not kept and file.memory_bytes >= WORTH_SHEDDING_BYTES]
    candidates.sort(key=age_order, reverse=True)
    candidates.sort(key=lambda file: (file.sheds >= max_sheds, file.job_id not in stopped))
    chosen: list[RunningFile] = []
    freed = 0
    for file in candidates:
        if not any(gauge.hits_wall(ahead, freed) for gauge in scene.gauges):
            break
        chosen.append(file)
        freed += file.memory_bytes
        if file.job_id not in stopped:
            ahead -= scene.ahead[file.job_id]
    return tuple(chosen)


def to_resume(scene: Scene) -> tuple[RunningFile, ...]:
    """The oldest suspended file, where what it is predicted to take yet fits beside the others."""
    oldest = scene.paused[:1]
    if not oldest:
        return ()
    ahead = oldest[0].remaining_bytes + sum(file.remaining_bytes for file in scene.going)
    return oldest if all(gauge.used + ahead <= gauge.budget for gauge in scene.gauges) else ()


def age_order(file: RunningFile) -> tuple[float, str]:
    """The oldest first; files that started at once in the order of their ids."""
    return file.started_seconds, file.job_id
