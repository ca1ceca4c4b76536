"""What becomes of a job whose attempt ended: its state, and whether, when and how it is tried again?

Nothing is tried for ever: the journal counts retries, deaths of batch processes, runs that ended with the job failed,
and runs that were killed while they worked on it.
"""

from __future__ import annotations

from dataclasses import replace

from pyprocessor.errors import FailureKind
from pyprocessor.models import ErrorSettings, JobState, Outcome, OutcomeKind
from pyprocessor.models.wording import memory_size

CRASHES_UNTIL_QUARANTINE = 2
"""A job that ran in so many batch processes that died is set aside."""
KILLED_RUNS_UNTIL_ALONE = 2
"""One may have any cause. Running alone isolates it."""
LONGEST_ASKED_SECONDS = 3600.0
"""A server that asks to be left alone for longer is asked again all the same."""
STATE_AFTER = {
    kind: JobState.PENDING if kind in (OutcomeKind.INTERRUPTED, OutcomeKind.SHED) else JobState(kind.value)
    for kind in OutcomeKind
}
"""The state of a job whose attempt ended so and is not tried again in this run."""
LASTING = frozenset({FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED})
"""Inspecting is sure to fail so again as long as the file stays as it is."""
_EVERY_RUN = frozenset({FailureKind.DISK, FailureKind.PERMISSION, FailureKind.NOT_INSTALLED})
"""Every run tries these again: that costs little, and the cause is not the file."""
_NEXT_RUN = frozenset({FailureKind.RESOURCE, FailureKind.UNAVAILABLE, FailureKind.INFRASTRUCTURE})
"""A later run may succeed, since the cause lies outside the file; but not every later run tries."""
_OF_INSPECTION = frozenset({FailureKind.STALL, FailureKind.CRASH})
"""Inspecting reports these after one or two tries: the disk may have been slow to wake up."""
TRANSIENT = _NEXT_RUN | _OF_INSPECTION


def taken_for(failure: FailureKind | None, *, unopened: bool, retries_so_far: int) -> FailureKind | None:
    """The failure to act on: that ffmpeg cannot open a file that was inspected counts only the second time."""
    if failure is FailureKind.BAD_INPUT and unopened and retries_so_far == 0:
        return FailureKind.INFRASTRUCTURE
    return failure


def retry_after(
    failure: FailureKind,
    retries_so_far: int,
    settings: ErrorSettings,
    jitter: float,
    *,
    asked_seconds: float | None = None,
) -> float | None:
    """Seconds until a failed attempt is tried again, None where it is not; `jitter` is in [0, 1).

    That is never sooner than a server asked for, up to `LONGEST_ASKED_SECONDS`.
    """
    if failure not in TRANSIENT or retries_so_far >= settings.max_retries:
        return None
    asked = min(asked_seconds or 0.0, LONGEST_ASKED_SECONDS)
    return max(asked, delay_seconds(retries_so_far, settings, jitter))


def delay_seconds(retries_so_far: int, settings: ErrorSettings, jitter: float) -> float:
    """The pause before the next try: doubled with each up to the longest, of which at least half."""
    doubled = settings.retry_delay_seconds * 2.0 ** min(retries_so_far, 64)
    return min(doubled, settings.max_retry_delay_seconds) * (0.5 + jitter / 2)


def alone(*, crashes: int, killed_runs: int, sheds: int, max_sheds: int) -> bool:
    """Whether a job with this past runs with nothing beside it."""
    return crashes > 0 or killed_runs >= KILLED_RUNS_UNTIL_ALONE or sheds >= max_sheds


def bounded(failure: FailureKind | None, *, attempts: int) -> bool:
    """Whether some later runs try the job again, but not all; `attempts` is 0 where inspecting failed."""
    return failure in _NEXT_RUN or (failure in _OF_INSPECTION and attempts == 0)


def again_in_next_run(failure: FailureKind | None, *, attempts: int, failed_runs: int, settings: ErrorSettings) -> bool:
    """Whether this run starts a job over that ended failed in an earlier one."""
    return failure in _EVERY_RUN or (bounded(failure, attempts=attempts) and failed_runs < settings.max_failed_runs)


def final(outcome: Outcome, attempts: int, failed_runs: int, settings: ErrorSettings) -> Outcome:
    """Return the outcome; append "left alone from now on" to a failure once `max_failed_runs` is reached."""
    failed = outcome.kind is OutcomeKind.FAILED
    if not failed or failed_runs < settings.max_failed_runs or not bounded(outcome.failure, attempts=attempts):
        return outcome
    more = f"It has failed in {failed_runs} runs and is left alone from now on; --retry-failed tries it again."
    return replace(outcome, reason=f"{outcome.reason} {more}")


def too_large(sheds: int, call_bytes: int | None) -> str:
    """Return why a job fails that was ended so often for want of memory; `call_bytes` is what its call held."""
    reason = f"It was ended {sheds} times because memory ran short, at last with nothing of ours beside it"
    if call_bytes is not None:
        return f"{reason}, when it held {memory_size(call_bytes)}; it takes more than there is."
    return f"{reason}; other programs leave too little. A faster preset or a smaller picture needs less."
