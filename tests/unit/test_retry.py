"""Whether and when a failed attempt is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.engine import retry
from pyprocessor.errors import FailureKind

JITTER = st.floats(0.0, 1.0, exclude_max=True)


@given(st.sampled_from(FailureKind), st.integers(0, 50), st.integers(0, 10), JITTER)
def test_retries_are_bounded_and_delays_sane(kind: FailureKind, so_far: int, limit: int, jitter: float) -> None:
    """Never more retries than allowed, never a negative or endless delay."""
    decision = retry.decide(kind, so_far, limit, jitter)
    if so_far >= limit:
        assert not decision.again
    if decision.delay_seconds is not None:
        assert 0.0 < decision.delay_seconds <= retry.LONGEST_DELAY_SECONDS


@given(st.integers(0, 10), JITTER)
def test_what_describes_the_source_is_final(so_far: int, jitter: float) -> None:
    """A damaged or unsupported file is not tried again, and neither is a full disk within the run."""
    for kind in (FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED, FailureKind.DISK, FailureKind.PERMISSION):
        assert not retry.decide(kind, so_far, 99, jitter).again


def test_delays_double() -> None:
    """With the same jitter each delay is twice the one before, up to the longest."""
    delays = [retry.decide(FailureKind.CRASH, n, 99, 0.5).delay_seconds for n in range(4)]
    assert delays == [0.75, 1.5, 3.0, 6.0]


def test_a_full_disk_is_taken_up_by_the_next_run_and_a_damaged_file_is_not() -> None:
    """What lies outside the file may be mended before the next run."""
    assert retry.again_in_next_run(FailureKind.DISK)
    assert not retry.again_in_next_run(FailureKind.BAD_INPUT)
    assert not retry.again_in_next_run(None)


def test_the_second_crash_quarantines() -> None:
    """One death may be bad luck; two are the file."""
    assert not retry.quarantined(1)
    assert retry.quarantined(2)
