"""What the governor tells: its events, each one plain sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.governor.growth_rate import RunningFile
from pyprocessor.governor.victims import GROWING_BYTES, Scene
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


def held(scene: Scene, *, short: bool) -> GovernorEvent:
    """`short`: for want of memory, and not because of pressure."""
    why = _fullest(scene) if short else _PRESSED
    return GovernorEvent(EventKind.HOLD, f"Starting nothing new: {why}.")


def of_measures(
    scene: Scene, suspended: tuple[RunningFile, ...], shed: tuple[RunningFile, ...], *, share: float | None
) -> tuple[GovernorEvent, ...]:
    """What is told of files that are suspended and ended, and of the share where it was halved just now."""
    events = []
    why = _fullest(scene)
    ahead = scene.ahead_bytes + max((gauge.others_ahead for gauge in scene.gauges), default=0)
    if not scene.over and not scene.alarming:
        why = _PRESSED
    elif ahead >= GROWING_BYTES:
        why = f"{why}, and rising by {memory_size(ahead)} within moments"
    if share is not None:
        text = f"Taking back files that have not begun, and starting {_number_at(share)} from now on: {why}."
        events.append(GovernorEvent(EventKind.SHRINK, text))
    for file in suspended:
        text = f"Suspended {file.name}, which holds {memory_size(file.memory_bytes)}: {why}."
        events.append(GovernorEvent(EventKind.SUSPEND, text, file.job_id))
    for file in shed:
        text = f"Ended {file.name}, to be tried again later, as that frees {memory_size(file.memory_bytes)}: {why}."
        events.append(GovernorEvent(EventKind.SHED, text, file.job_id))
    return tuple(events)


def resumed(file: RunningFile, scene: Scene) -> GovernorEvent:
    return GovernorEvent(EventKind.RESUME, f"Continuing {file.name}: {_fullest(scene)}.", file.job_id)


def recovered(scene: Scene, share: float) -> GovernorEvent:
    return GovernorEvent(EventKind.RECOVER, f"Starting files again, {_number_at(share)}: {_fullest(scene)}.")


def cpu_limited(limit_percent: float) -> GovernorEvent:
    text = f"Suspending files now and then, to stay within {limit_percent:g} % of the CPU."
    return GovernorEvent(EventKind.THROTTLE, text)


def gave_way(waiting_percent: float) -> GovernorEvent:
    text = f"Starting fewer files, to give way to other work: processes wait {waiting_percent:.0f} % of the time."
    return GovernorEvent(EventKind.YIELD, text)


def no_longer_gives_way() -> GovernorEvent:
    return GovernorEvent(EventKind.RECOVER, "Starting as many files as before: other work waits no longer.")


def disk(free_bytes: int, reserve_bytes: int, *, low: bool) -> GovernorEvent:
    free, reserve = memory_size(free_bytes), memory_size(reserve_bytes)
    if low:
        text = f"Starting nothing new: the output's disk has {free} left, and {reserve} are to stay free."
    else:
        text = f"Starting files again: the output's disk has {free} free."
    return GovernorEvent(EventKind.DISK, text)


_PRESSED = "processes wait for memory too much of the time"


def _fullest(scene: Scene) -> str:
    """The gauge that is fullest, in words."""
    if not scene.gauges:
        return "memory is not limited"
    return str(max(scene.gauges, key=lambda gauge: gauge.used / max(1, gauge.budget)))


def _number_at(share: float) -> str:
    return "as many as before" if share == 1.0 else f"{share * 100:.0f} % of the usual number"
