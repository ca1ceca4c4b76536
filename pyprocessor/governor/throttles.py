"""What limits a run besides memory: a share of the CPU, politeness to other work, room on the disk? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyprocessor.governor.step_process import StepProcess
from pyprocessor.models import Reading, ThrottlingSettings

CPU_STEP = 50.0
"""Percent-seconds of all cores: for every so many above the limit one more file is suspended."""
LONGEST_THROTTLE = 2 * CPU_STEP
"""Divided by the limit: seconds after which a file continues even though our other processes exceed the limit."""
OTHERS_BUSY_PERCENT = 10.0
"""Of the machine's cores: with less in use by others, it is our own files that make processes wait."""
POLITE_STEP_SECONDS = 5.0
"""The kernel's averages lag by ten seconds; each step is given half of that to show."""
POLITE_CALM = 0.7
"""Waiting has to fall below this part of the threshold before more is taken again."""
SHARE_STEP = 1.5
LEAST_SHARE = 1 / 16
DISK_RELEASE = 1.25
"""Of the reserve: so much has to be free before files are started again."""


@dataclass(frozen=True, slots=True)
class CpuDebt:
    """A token bucket of CPU time used beyond the limit, and the files suspended to repay it, oldest first."""

    percent_seconds: float = 0.0
    throttled: tuple[str, ...] = ()
    stopped_seconds: float = 0.0
    """How long nothing has been running because of it."""


class Repayment(NamedTuple):
    """The debt after a reading, and the ids of jobs to suspend and to resume for it."""

    debt: CpuDebt
    suspend: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()


def repay(
    debt: CpuDebt, reading: Reading, going: Sequence[StepProcess], limit_percent: float | None, elapsed_seconds: float
) -> Repayment:
    """The debt after this reading, and what is suspended and resumed; `going` are not suspended, oldest first.

    The n-th file is suspended when the debt reaches n steps and resumed when it falls below n - 1, so that a limit
    below what one file takes makes it run part of the time.
    """
    throttled = debt.throttled
    if limit_percent is None:
        return Repayment(CpuDebt(), resume=throttled)
    most = CPU_STEP * (len(throttled) + 1)
    owed = debt.percent_seconds + (reading.our_cpu_percent - limit_percent) * elapsed_seconds
    # What one reading overshoots by is owed as well, but no more than a step of it.
    owed = min(max(owed, 0.0), most + CPU_STEP)
    stopped = debt.stopped_seconds + elapsed_seconds if throttled and not going else 0.0
    if stopped > LONGEST_THROTTLE / limit_percent:
        return Repayment(CpuDebt(CPU_STEP * (len(throttled) - 0.5), throttled[1:]), resume=throttled[:1])
    if going and owed >= most:
        youngest = going[-1].job_id
        return Repayment(CpuDebt(owed, (youngest, *throttled), stopped), suspend=(youngest,))
    if throttled and owed <= CPU_STEP * (len(throttled) - 1):
        return Repayment(CpuDebt(owed, throttled[1:], 0.0), resume=throttled[:1])
    return Repayment(CpuDebt(owed, throttled, stopped))


@dataclass(frozen=True, slots=True)
class Politeness:
    """The share of the usual number of files that runs while other programs want the machine."""

    share: float = 1.0
    waiting_seconds: float = 0.0
    calm_seconds: float = 0.0


def give_way(state: Politeness, reading: Reading, throttling: ThrottlingSettings, elapsed_seconds: float) -> Politeness:
    """Halve the share while others want the CPU and wait; raise it step by step when that is over."""
    if not throttling.pressure_polite or reading.waiting_percent is None:
        return Politeness()
    others_busy = reading.cpu_percent - reading.our_cpu_percent >= OTHERS_BUSY_PERCENT
    if others_busy and reading.waiting_percent > throttling.polite_percent:
        waited = state.waiting_seconds + elapsed_seconds
        if waited < POLITE_STEP_SECONDS:
            return Politeness(state.share, waited)
        return Politeness(max(LEAST_SHARE, state.share / 2))
    calm = not others_busy or reading.waiting_percent < throttling.polite_percent * POLITE_CALM
    rested = state.calm_seconds + elapsed_seconds if calm else 0.0
    if rested >= POLITE_STEP_SECONDS and state.share < 1.0:
        return Politeness(min(1.0, state.share * SHARE_STEP))
    return Politeness(state.share, 0.0, rested)
