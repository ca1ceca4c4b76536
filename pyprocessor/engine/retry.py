"""Whether a failed attempt is tried again, and when: pure functions of the failure and the counts so far.

Kinds that describe the source (damaged, unsupported) are final. A full disk or a missing permission concerns the whole
run and is not tried again within it, but the next run takes such jobs up. The rest is transient: it is tried again
after a pause that doubles, with jitter so that many retries do not start at once. A source that cannot be reached is
both: a share may come back within moments, or before the next run.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.errors import FailureKind

CRASHES_UNTIL_QUARANTINE = 2
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 60.0

TRANSIENT = frozenset(
    {
        FailureKind.RESOURCE,
        FailureKind.STALL,
        FailureKind.CRASH,
        FailureKind.UNAVAILABLE,
        FailureKind.INFRASTRUCTURE,
    }
)
NEXT_RUN = frozenset(
    {
        FailureKind.DISK,
        FailureKind.PERMISSION,
        FailureKind.RESOURCE,
        FailureKind.UNAVAILABLE,
        FailureKind.INFRASTRUCTURE,
    }
)
"""Kinds whose cause lies outside the file, so that a later run may well succeed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`delay_seconds` is None for a job that is not tried again."""

    delay_seconds: float | None

    @property
    def again(self) -> bool:
        return self.delay_seconds is not None


def decide(failure: FailureKind, retries_so_far: int, max_retries: int, jitter: float) -> Decision:
    """Decide about a failed attempt. `jitter` is a number in [0, 1) that the caller draws."""
    if failure not in TRANSIENT or retries_so_far >= max_retries:
        return Decision(None)
    doubled = min(FIRST_DELAY_SECONDS * 2**retries_so_far, LONGEST_DELAY_SECONDS)
    return Decision(doubled * (0.5 + jitter / 2))


def quarantined(crashes: int) -> bool:
    """True for a job that was running in that many batch processes that died."""
    return crashes >= CRASHES_UNTIL_QUARANTINE


def again_in_next_run(failure: FailureKind | None) -> bool:
    """True where a job that ended failed in an earlier run is worth a fresh start in this one."""
    return failure in NEXT_RUN
