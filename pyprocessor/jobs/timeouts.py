"""How long may an ffmpeg or a batch process be silent before it counts as stuck? It depends on the file."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Cost, CostFeatures, ErrorSettings

FRAMES_IN_FLIGHT = 150
"""Pictures an encoder may hold before the first comes out: SVT-AV1 looks up to 120 ahead, others less."""
LOAD_FACTOR = 4.0
"""Times the prediction: the machine may be busy, or the prediction off."""
LONGEST_STALL_SECONDS = 6 * 3600.0
SHORTEST_LIMIT_SECONDS = 3600.0
"""The least for any file: predictions may be far off for a class that was never measured."""
_SLOWEST_BYTES_PER_SECOND = 25_000
"""Of media of unknown duration: 200 kbit/s."""
_SLOW_DISK_BYTES_PER_SECOND = 10_000_000
"""A slow network share. A batch process sends nothing while an output is written to the disk."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """For one ffmpeg or call: seconds without progress, and seconds in all; for all of an attempt: seconds in all."""

    stall_seconds: float
    wall_limit_seconds: float
    attempt_seconds: float = math.inf


def timeouts(settings: ErrorSettings, cost: Cost, features: CostFeatures, own_seconds: float | None = None) -> Timeouts:
    """The timeouts of a job that is predicted to take `cost`, CPU-seconds taken for seconds of one thread.

    One whose task said itself what it takes may report nothing before its end. One that was submitted with a timeout of
    its own has that for each attempt, whatever is predicted.
    """
    busy = cost.cpu_seconds + cost.wait_seconds
    per_frame = cost.cpu_seconds / features.frames if features.frames > 0 else 0.0
    silent = busy if features.given is not None else FRAMES_IN_FLIGHT * per_frame
    slow = min(LOAD_FACTOR * silent, LONGEST_STALL_SECONDS)
    seconds = features.duration_seconds or features.source_bytes / _SLOWEST_BYTES_PER_SECOND
    whole = settings.time_limit_factor * max(busy, seconds)
    stall_seconds = max(settings.stall_seconds, slow)
    if own_seconds is not None:
        return Timeouts(stall_seconds, own_seconds, own_seconds)
    return Timeouts(stall_seconds, max(SHORTEST_LIMIT_SECONDS, whole))


def check_deadline(deadline: float | None, now: float) -> None:
    """Raise JobError where a job can no longer begin in time; both are seconds since the epoch."""
    if deadline is not None and now > deadline:
        raise JobError(FailureKind.RESOURCE, "It could not begin before its deadline.")


def heartbeat_timeout_seconds(settings: ErrorSettings, bytes_to_settle: int) -> float:
    """How long a batch process may send nothing, with so many bytes of outputs to read back and to sync."""
    return settings.worker_silence_seconds + bytes_to_settle / _SLOW_DISK_BYTES_PER_SECOND


def beat_seconds(settings: ErrorSettings) -> float:
    """How often a batch process sends a heartbeat."""
    return min(2.0, settings.worker_silence_seconds / 4)
