"""Which moves may a job make?

    pending -> assigned -> running -> publishing -> succeeded
       ^          |           |            |
       +----------+-----------+------------+   taken back, interrupted, shed, to be tried again

`models.TRANSITIONS` is the table of moves, which the journal enforces in SQL as well.
"""

from __future__ import annotations

from pyprocessor.models import TRANSITIONS, JobState, OutcomeKind

STATE_AFTER = {
    OutcomeKind.SUCCEEDED: JobState.SUCCEEDED,
    OutcomeKind.SKIPPED: JobState.SKIPPED,
    OutcomeKind.KEPT_SOURCE: JobState.KEPT_SOURCE,
    OutcomeKind.FAILED: JobState.FAILED,
    OutcomeKind.QUARANTINED: JobState.QUARANTINED,
    OutcomeKind.CANCELLED: JobState.CANCELLED,
    OutcomeKind.INTERRUPTED: JobState.PENDING,
    OutcomeKind.SHED: JobState.PENDING,
}
"""The state of a job whose attempt ended so and is not tried again in this run."""


class IllegalMove(Exception):
    """A move that the table does not have: a mistake of ours, never of the user's."""


def move(state: JobState, target: JobState) -> JobState:
    """The new state; raises `IllegalMove` where the table does not have that move."""
    if (state, target) not in TRANSITIONS:
        raise IllegalMove(f"A job that is {state.value} cannot become {target.value}.")
    return target
