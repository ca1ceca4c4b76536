"""Whether a failed attempt is tried again, when and how: pure functions of the failure and the counts so far.

Kinds that describe the source (damaged, unsupported) are final. A full disk or a missing permission concerns the whole
run and is not tried again within it, but the next run takes such jobs up. The rest is transient: it is tried again
after a pause that doubles, with jitter so that many retries do not start at once. A source that cannot be reached is
both: a share may come back within moments, or before the next run.

Nothing is tried for ever. What counts are the retries charged, the deaths of batch processes, the runs that ended with
the job failed, and the runs that were killed while they worked on it; the journal keeps all of them from run to run.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.errors import FailureKind
from pyprocessor.models import ErrorSettings

CRASHES_UNTIL_QUARANTINE = 2
KILLED_RUNS_UNTIL_ALONE = 2
"""One may have been anything's doing. Alone, a job stands under suspicion for nothing but its own deeds."""

TRANSIENT = frozenset(
    {
        FailureKind.RESOURCE,
        FailureKind.STALL,
        FailureKind.CRASH,
        FailureKind.UNAVAILABLE,
        FailureKind.INFRASTRUCTURE,
    }
)
_OF_THE_OUTPUT = frozenset({FailureKind.DISK, FailureKind.PERMISSION})
"""To try again costs little and tells little of the file, so every run does."""
_NEXT_RUN = frozenset({FailureKind.RESOURCE, FailureKind.UNAVAILABLE, FailureKind.INFRASTRUCTURE})
"""Kinds whose cause lies outside the file, so that a later run may well succeed; but not one run after another."""
_OF_INSPECTION = frozenset({FailureKind.STALL, FailureKind.CRASH})
"""While inspecting, these are said after one or two tries: the disk may have been slow to wake up."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`delay_seconds` is None for a job that is not tried again."""

    delay_seconds: float | None

    @property
    def again(self) -> bool:
        return self.delay_seconds is not None


def taken_for(failure: FailureKind | None, *, unopened: bool, retries_so_far: int) -> FailureKind | None:
    """What a failure is taken for. An ffmpeg that cannot open what was opened to be inspected may have been told to end
    just then, by anybody: it says the same of a file without an index. If it cannot the second time, it is the file."""
    if failure is FailureKind.BAD_INPUT and unopened and retries_so_far == 0:
        return FailureKind.INFRASTRUCTURE
    return failure


def decide(failure: FailureKind, retries_so_far: int, settings: ErrorSettings, jitter: float) -> Decision:
    """Decide about a failed attempt. `jitter` is a number in [0, 1) that the caller draws."""
    if failure not in TRANSIENT or retries_so_far >= settings.max_retries:
        return Decision(None)
    return Decision(delay_seconds(retries_so_far, settings, jitter))


def delay_seconds(retries_so_far: int, settings: ErrorSettings, jitter: float) -> float:
    """The pause before the next try: doubled with each, up to the longest, and between half of that and all of it."""
    doubled = settings.retry_delay_seconds * 2.0 ** min(retries_so_far, 64)
    return min(doubled, settings.max_retry_delay_seconds) * (0.5 + jitter / 2)


def quarantined(crashes: int) -> bool:
    """True for a job that was running in that many batch processes that died."""
    return crashes >= CRASHES_UNTIL_QUARANTINE


def alone(*, crashes: int, killed_runs: int, sheds: int, max_sheds: int) -> bool:
    """Whether a job with this past runs with nothing beside it."""
    return crashes > 0 or killed_runs >= KILLED_RUNS_UNTIL_ALONE or sheds >= max_sheds


def lasting(failure: FailureKind | None) -> bool:
    """Whether what failed while inspecting is sure to fail again as long as the file stays as it is."""
    return failure in (FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED)


def bounded(failure: FailureKind | None, *, attempts: int) -> bool:
    """Whether a job that ended so is tried by later runs, but not by all of them. `attempts` is 0 where it never came
    to one: inspecting failed."""
    return failure in _NEXT_RUN or (failure in _OF_INSPECTION and attempts == 0)


def again_in_next_run(failure: FailureKind | None, *, attempts: int, failed_runs: int, settings: ErrorSettings) -> bool:
    """True where a job that ended failed in an earlier run is worth a fresh start in this one."""
    return failure in _OF_THE_OUTPUT or (bounded(failure, attempts=attempts) and failed_runs < settings.max_failed_runs)
