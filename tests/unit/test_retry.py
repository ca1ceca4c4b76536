"""Whether and when a failed attempt is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.errors import FailureKind
from pyprocessor.jobs import retry
from pyprocessor.models import ErrorSettings

PATIENT = ErrorSettings(max_retries=99)
JITTER = st.floats(0.0, 1.0, exclude_max=True)


@given(st.sampled_from(FailureKind), st.integers(0, 50), st.integers(0, 10), JITTER)
def test_retries_are_bounded_and_delays_sane(kind: FailureKind, so_far: int, limit: int, jitter: float) -> None:
    """Never more retries than allowed, never a negative or endless delay."""
    delay = retry.retry_after(kind, so_far, ErrorSettings(max_retries=limit), jitter)
    if so_far >= limit:
        assert delay is None
    if delay is not None:
        assert 0.0 < delay <= ErrorSettings().max_retry_delay_seconds


@given(st.integers(0, 10), JITTER)
def test_what_describes_the_source_is_final(so_far: int, jitter: float) -> None:
    """A damaged or unsupported file is not tried again, and neither is a full disk within the run."""
    lasting = FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED, FailureKind.DISK, FailureKind.PERMISSION
    for kind in (*lasting, FailureKind.NOT_INSTALLED):
        assert retry.retry_after(kind, so_far, PATIENT, jitter) is None


def test_delays_double() -> None:
    """With the same jitter each delay is twice the one before, up to the longest."""
    delays = [retry.retry_after(FailureKind.CRASH, n, PATIENT, 0.5) for n in range(4)]
    assert delays == [0.75, 1.5, 3.0, 6.0]
    assert retry.delay_seconds(10_000, PATIENT, 0.0) == PATIENT.max_retry_delay_seconds / 2
    swift = ErrorSettings(retry_delay_seconds=0.1, max_retry_delay_seconds=0.15)
    assert [retry.delay_seconds(n, swift, 1.0) for n in range(3)] == [0.1, 0.15, 0.15]


@pytest.mark.parametrize("kind", [None, *FailureKind])
@pytest.mark.parametrize("attempts", [0, 4])
def test_what_later_runs_try_again(kind: FailureKind | None, attempts: int) -> None:
    """What lies outside the file may be mended before the next run, but no file is tried by all runs to come; only
    what concerns the output as a whole, and libraries, are looked at in each. A stall or a crash counts so while
    inspecting alone."""

    def again(failed_runs: int) -> bool:
        return retry.again_in_next_run(kind, attempts=attempts, failed_runs=failed_runs, settings=PATIENT)

    outside = kind in (FailureKind.RESOURCE, FailureKind.UNAVAILABLE, FailureKind.INFRASTRUCTURE)
    inspecting = kind in (FailureKind.STALL, FailureKind.CRASH) and attempts == 0
    whole = kind in (FailureKind.DISK, FailureKind.PERMISSION, FailureKind.NOT_INSTALLED)
    assert again(PATIENT.max_failed_runs - 1) == (outside or inspecting or whole)
    assert again(PATIENT.max_failed_runs) == whole


def test_who_runs_alone() -> None:
    """What was there when a process died, or when two runs in a row were killed, or what memory was short for often."""
    calm = {"crashes": 0, "killed_runs": 1, "sheds": 2, "max_sheds": 3}
    assert not retry.alone(**calm)
    for more in ({"crashes": 1}, {"killed_runs": 2}, {"sheds": 3}):
        assert retry.alone(**{**calm, **more})
