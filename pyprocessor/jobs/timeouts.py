"""How long is waited before something counts as stuck: pure functions of the settings and of what was predicted.

One patience for all files would end a slow encode of large pictures on a busy machine, or watch a small file hang for
hours.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.models import Cost, CostFeatures, ErrorSettings

FRAMES_IN_FLIGHT = 150
"""Pictures an encoder may hold before the first comes out: SVT-AV1 looks up to 120 ahead, x265's slow presets some 60,
and a few are being decoded and filtered."""
LOAD_FACTOR = 4.0
"""How many times longer than predicted these may take: the machine is busy, or the prediction is off."""
LONGEST_STALL_SECONDS = 6 * 3600.0
SHORTEST_LIMIT_SECONDS = 3600.0
"""However little is predicted, so much time a file has: priors may be far off for what was never measured."""
_SLOWEST_BYTES_PER_SECOND = 25_000
"""Of media whose duration nobody knows: 200 kbit/s."""
_SLOW_DISK_BYTES_PER_SECOND = 10_000_000
"""What a network share writes at least. A batch process is silent while an output goes to the disk."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """With one ffmpeg: seconds without progress, and seconds in all."""

    stall_seconds: float
    wall_limit_seconds: float


def timeouts(settings: ErrorSettings, cost: Cost, features: CostFeatures) -> Timeouts:
    """Patience with a job that is predicted to take `cost`.

    CPU-seconds are taken for seconds: with one thread they are, and with more a file is done sooner.
    """
    per_frame = cost.cpu_seconds / features.frames if features.frames > 0 else 0.0
    slow = min(FRAMES_IN_FLIGHT * LOAD_FACTOR * per_frame, LONGEST_STALL_SECONDS)
    seconds = features.duration_seconds or features.source_bytes / _SLOWEST_BYTES_PER_SECOND
    whole = settings.time_limit_factor * max(cost.cpu_seconds, seconds)
    return Timeouts(max(settings.stall_seconds, slow), max(SHORTEST_LIMIT_SECONDS, whole))


def heartbeat_timeout_seconds(settings: ErrorSettings, bytes_to_settle: int) -> float:
    """How long a batch process may say nothing that has so many bytes of finished outputs to read back and to sync."""
    return settings.worker_silence_seconds + bytes_to_settle / _SLOW_DISK_BYTES_PER_SECOND


def beat_seconds(settings: ErrorSettings) -> float:
    """How often a batch process says that it is there."""
    return min(2.0, settings.worker_silence_seconds / 4)
