"""How long is waited for an ffmpeg and for a batch process, and what does not count."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.jobs.timeouts import (
    LONGEST_STALL_SECONDS,
    SHORTEST_LIMIT_SECONDS,
    beat_seconds,
    heartbeat_timeout_seconds,
    timeouts,
)
from pyprocessor.models import Cost, CostFeatures, ErrorSettings
from pyprocessor.system.awake_clock import AwakeClock

SETTINGS = ErrorSettings()


def features(*, frames: float = 2500.0, seconds: float = 100.0, source_bytes: int = 10_000_000) -> CostFeatures:
    """Of a film of so many frames."""
    return CostFeatures(
        "transcode", "libx264", "medium", 2_073_600, 2_073_600, "yuv420p", frames, seconds, source_bytes
    )


def test_a_file_that_is_quick_has_the_least_patience() -> None:
    """What was set holds where a picture takes milliseconds."""
    found = timeouts(SETTINGS, Cost(50.0, 0, 0), features())
    assert (found.stall_seconds, found.wall_limit_seconds) == (SETTINGS.stall_seconds, SHORTEST_LIMIT_SECONDS)


def test_a_slow_encode_is_not_called_stalled() -> None:
    """AV1 in 4K at 8 CPU-seconds a picture gives none before the look-ahead is full: 16 minutes on an idle core."""
    found = timeouts(SETTINGS, Cost(8.0 * 2500, 0, 0), features())
    assert found.stall_seconds > 120 * 8.0 * 2
    assert found.wall_limit_seconds == SETTINGS.time_limit_factor * 8.0 * 2500


@given(st.floats(0, 1e9), st.floats(0, 1e7), st.floats(0, 1e6), st.integers(0, 1 << 45))
def test_patience_is_finite_and_never_below_what_was_set(
    cpu: float, frames: float, seconds: float, source_bytes: int
) -> None:
    """Also of media that do not say how long they last."""
    found = timeouts(SETTINGS, Cost(cpu, 0, 0), features(frames=frames, seconds=seconds, source_bytes=source_bytes))
    assert SETTINGS.stall_seconds <= found.stall_seconds <= LONGEST_STALL_SECONDS
    assert SHORTEST_LIMIT_SECONDS <= found.wall_limit_seconds < math.inf
    assert found.wall_limit_seconds >= SETTINGS.time_limit_factor * max(cpu, seconds)


def test_what_was_set_above_all_bounds_holds() -> None:
    """Who allows a day of silence gets it."""
    patient = ErrorSettings(stall_seconds=86400.0)
    assert timeouts(patient, Cost(1e9, 0, 0), features()).stall_seconds == 86400.0


def test_a_process_that_settles_a_large_output_may_be_silent_for_longer() -> None:
    """50 GB take a slow share over an hour to take in; and several beats fit into any silence."""
    assert heartbeat_timeout_seconds(SETTINGS, 0) == SETTINGS.worker_silence_seconds
    assert heartbeat_timeout_seconds(SETTINGS, 50_000_000_000) > 3600
    for allowed in (1.0, 300.0):
        assert beat_seconds(ErrorSettings(worker_silence_seconds=allowed)) * 4 <= max(allowed, 8.0)


def test_a_clock_stands_still_with_its_process() -> None:
    """Of an hour's standstill one turn's most is counted; turns as they should be are counted in full."""
    times = [0.0]
    clock = AwakeClock(2.0, lambda: times[0])
    for _ in range(10):
        times[0] += 0.5
        clock.turn()
    assert clock() == 5.0
    times[0] += 3600.0
    assert clock() == 7.0
    clock.turn()
    times[0] += 1.0
    assert clock() == 8.0
