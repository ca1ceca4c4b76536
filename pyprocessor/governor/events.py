"""What does the governor report? Its events, each one plain sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.governor.victims import GROWING_BYTES, Scene
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models.wording import memory_size


class EventKind(StrEnum):
    HOLD = "hold"
    SHRINK = "shrink"
    SUSPEND = "suspend"
    SHED = "shed"
    RESUME = "resume"
    RECOVER = "recover"
    THROTTLE = "throttle"
    YIELD = "yield"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class GovernorEvent:
    """Something that changed, as one sentence; `job_id` names the file it happened to."""

    kind: EventKind
    text: str
    job_id: str | None = None


PRESSED = "processes wait for memory too much of the time"


def held(scene: Scene, *, short: bool) -> GovernorEvent:
    """Nothing is started, `short` for want of memory and otherwise because of pressure."""
    return GovernorEvent(EventKind.HOLD, f"Starting nothing new: {scene if short else PRESSED}.")


def of_measures(
    scene: Scene, suspended: tuple[RunningJob, ...], shed: tuple[RunningJob, ...], *, share: float | None
) -> tuple[GovernorEvent, ...]:
    """Files that are suspended and ended, and the share where it was halved just now."""
    why = str(scene)
    ahead = scene.ahead_bytes + max((gauge.others_ahead for gauge in scene.gauges), default=0)
    if not scene.over and not scene.alarming:
        why = PRESSED
    elif ahead >= GROWING_BYTES:
        why = f"{why}, and rising by {memory_size(ahead)} within moments"
    events = []
    if share is not None:
        text = f"Taking back files that have not begun, and starting {number_at(share)} from now on: {why}."
        events.append(GovernorEvent(EventKind.SHRINK, text))
    for job in suspended:
        text = f"Suspended {job.name}, which holds {memory_size(job.memory_bytes)}: {why}."
        events.append(GovernorEvent(EventKind.SUSPEND, text, job.job_id))
    for job in shed:
        text = f"Ended {job.name}, to be tried again later, as that frees {memory_size(job.memory_bytes)}: {why}."
        events.append(GovernorEvent(EventKind.SHED, text, job.job_id))
    return tuple(events)


def number_at(share: float) -> str:
    return "as many as before" if share == 1.0 else f"{share * 100:.0f} % of the usual number"
