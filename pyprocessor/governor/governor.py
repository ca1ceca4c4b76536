"""What is done about memory, CPU and disk at each reading: hold, shrink, suspend, shed, and back? Pure.

    HOLD     near the budget with more to come, or under pressure: nothing new is started
    SHRINK   over the budget: half as many files from now on, unstarted ones are taken back
    SUSPEND  still rising while over, about to reach the wall, or under pressure: the youngest files are stopped
    SHED     the wall would be reached even so: the youngest are ended, suspended ones first, to be tried again later

Going back takes `release_readings` sample intervals below `release_percent`: suspended files continue one at a time,
then files are started again, then as many as before. The file that has run longest always goes on and is never shed,
unless other programs alone fill the budget. Filling the budget as predicted changes no level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

from pyprocessor.governor.growth_rate import MAX_STEP_SECONDS, Growth, ahead_bytes, observe
from pyprocessor.governor.memory_state import (
    GROWING_BYTES,
    MemoryState,
    gauges,
    growing_to_suspend,
    suspendable,
    to_shed,
)
from pyprocessor.governor.step_process import StepProcess, step_processes
from pyprocessor.governor.throttles import DISK_RELEASE, LEAST_SHARE, SHARE_STEP, CpuDebt, Politeness, give_way, repay
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import BatchSettings, MonitoringSettings, Reading, ThrottlingSettings
from pyprocessor.models.wording import memory_size

SETTLE_SECONDS = 5.0
"""Still over after so long, the share is halved once more."""
SUSPEND_STEP_SECONDS = 1.0
"""Between suspending files that do not grow themselves, while the whole does."""
PRESSURE_STEP_SECONDS = 5.0
"""The kernel's average over ten seconds needs this to show what suspending one file did."""
PRESSURE_CALM = 0.5
"""Pressure has to fall below this part of its threshold before things go back."""
RESUME_STEP_SECONDS = 1.0
"""Between resuming one file and the next: most encoders have grown to what they need by then."""
ORDER_SECONDS = 1.0
"""An order that shows no effect for so long is taken to be lost."""
QUIET_SECONDS = 30.0
"""Holding is not reported again within so long."""
UNBOUNDED = 1 << 62
PRESSED = "processes wait for memory too much of the time"


class EventKind(StrEnum):
    HOLD = "hold"
    SHRINK = "shrink"
    SUSPEND = "suspend"
    SHED = "shed"
    RESUME = "resume"
    RECOVER = "recover"
    THROTTLE = "throttle"
    YIELD = "yield"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class GovernorEvent:
    """Something that changed, as one sentence; `job_id` names the file it happened to."""

    kind: EventKind
    text: str
    job_id: str | None = None


class Level(IntEnum):
    NORMAL = 0
    HOLD = 1
    SHRINK = 2
    SUSPEND = 3
    SHED = 4


@dataclass(frozen=True, slots=True)
class Governed:
    """The governor's state between readings. A run begins with `Governed()`.

    What ends in `_seconds` is time that readings have seen pass, so that a clock that jumps moves none of it.
    """

    level: Level = Level.NORMAL
    share: float = 1.0
    """The part of the usual number of files that memory allows."""
    growth: Growth = field(default_factory=Growth)
    calm_seconds: float = 0.0
    shrunk_seconds: float = 0.0
    """Since the share was halved."""
    suspended_seconds: float = SUSPEND_STEP_SECONDS
    """Since a file was suspended for growth that is not its own."""
    pressed_seconds: float = PRESSURE_STEP_SECONDS
    """Since a file was suspended for pressure."""
    idle_seconds: float = 0.0
    """How long no file has been running."""
    quiet_seconds: float = QUIET_SECONDS
    """Since holding was reported."""
    hold_reported: bool = False
    orders: Mapping[str, tuple[EventKind, float]] = field(default_factory=dict)
    """Processes that were suspended, resumed or shed and do not show it yet, with the seconds since."""
    cpu: CpuDebt = field(default_factory=CpuDebt)
    cpu_reported: bool = False
    polite: Politeness = field(default_factory=Politeness)
    disk_low: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after a reading. `suspend`, `resume` and `shed` hold ids of jobs."""

    state: Governed
    level: Level
    """Above NORMAL only one file may be started, and only where none runs."""
    hold: str
    """Why nothing may be started, as the end of a sentence; empty where files may be, as far as `room_bytes` goes."""
    room_bytes: int
    """Room for predicted memory of new files. With nothing running one may start whatever it needs."""
    take_back: bool
    """Take unstarted files back from running batches, once."""
    share: float
    """The part of the usual number of files at once, and of the usual batch; never less than one file."""
    suspend: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    shed: tuple[str, ...] = ()
    events: tuple[GovernorEvent, ...] = ()


def govern(
    state: Governed,
    reading: Reading,
    jobs: Sequence[RunningJob],
    batch: BatchSettings,
    throttling: ThrottlingSettings,
    monitoring: MonitoringSettings,
) -> Decision:
    """Decide what to do after a reading, given the state that the last decision left."""
    running = step_processes(jobs)
    jobs_of = {process.key: [job.job_id for job in process.jobs] for process in running}
    interval = monitoring.sample_interval_seconds
    period = throttling.release_readings * interval
    growth, elapsed = observe(state.growth, reading, running, max(MAX_STEP_SECONDS, 3 * interval))
    before = _aged(replace(state, growth=growth), elapsed, running)
    memory = _memory_state(before, reading, running, batch, throttling)

    suspend, after = _suspended(before, memory)
    shed = to_shed(memory, suspend, throttling.max_sheds)
    suspend = tuple(job for job in suspend if job not in shed)
    worse = bool(suspend or shed)
    after, shrink = _shrunk(after, memory, worse=worse)
    calm = not worse and _is_calm(after, memory)
    after = replace(
        after,
        calm_seconds=after.calm_seconds + elapsed if calm else 0.0,
        idle_seconds=after.idle_seconds + elapsed if memory.idle else 0.0,
    )
    resume = () if worse else _resumed(after, memory, period)
    keeps = bool(suspend) or len(memory.paused) > len(resume)
    if resume:
        after = replace(after, calm_seconds=max(0.0, period - RESUME_STEP_SECONDS))
    after, back = _recovered(after, memory, period, keeps=keeps)
    after, held = _levelled(after, memory, shed=bool(shed), keeps=keeps)

    stopped = {job.key for job in (*suspend, *shed)}
    going = [job for job in memory.going if job.key not in stopped]
    debt = replace(before.cpu, throttled=tuple(job.key for job in memory.throttled))
    repayment = repay(debt, reading, going, throttling.cpu_limit_percent, elapsed)
    # Where memory keeps files suspended, one whose CPU debt is paid waits with them for its turn.
    freed = () if keeps or worse else repayment.resume
    pausing = {*repayment.suspend, *(job.key for job in suspend)}
    ending = {job.key for job in shed}
    resuming = {*freed, *(job.key for job in resume)} - pausing - ending
    after = replace(
        after,
        orders={
            **after.orders,
            **dict.fromkeys(pausing, (EventKind.SUSPEND, 0.0)),
            **dict.fromkeys(resuming, (EventKind.RESUME, 0.0)),
            **dict.fromkeys(ending, (EventKind.SHED, 0.0)),
        },
        cpu=repayment.debt,
        cpu_reported=before.cpu_reported or bool(repayment.suspend),
        polite=give_way(before.polite, reading, throttling, elapsed),
        disk_low=reading.free_disk_bytes < throttling.disk_reserve_bytes * (DISK_RELEASE if before.disk_low else 1),
    )
    return Decision(
        state=after,
        level=max(after.level, Level.HOLD) if after.disk_low else after.level,
        hold=_hold(after, memory, period),
        room_bytes=max(0, min((g.budget - g.used - memory.committed_bytes for g in memory.gauges), default=UNBOUNDED)),
        take_back=shrink or (after.disk_low and not before.disk_low),
        share=min(after.share, after.polite.share),
        suspend=tuple(sorted(job_id for key in pausing for job_id in jobs_of.get(key, ()))),
        resume=tuple(sorted(job_id for key in resuming for job_id in jobs_of.get(key, ()))),
        shed=tuple(sorted(job_id for key in ending for job_id in jobs_of.get(key, ()))),
        events=(
            *_measures(memory, suspend, shed, share=after.share if shrink else None),
            *(GovernorEvent(EventKind.RESUME, f"Continuing {job.name}: {memory}.", job.job_id) for job in resume),
            *back,
            *held,
            *_other_events(before, after, reading, throttling),
        ),
    )


def _aged(state: Governed, elapsed: float, running: Sequence[StepProcess]) -> Governed:
    """The state after `elapsed`, without orders that were carried out or lost."""
    shown = {job.key: EventKind.SUSPEND if job.suspended else EventKind.RESUME for job in running}
    return replace(
        state,
        shrunk_seconds=state.shrunk_seconds + elapsed,
        suspended_seconds=state.suspended_seconds + elapsed,
        pressed_seconds=state.pressed_seconds + elapsed,
        quiet_seconds=state.quiet_seconds + elapsed,
        orders={
            key: (order, seconds + elapsed)
            for key, (order, seconds) in state.orders.items()
            if shown.get(key, order) is not order and seconds + elapsed < ORDER_SECONDS
        },
    )


def _memory_state(
    state: Governed,
    reading: Reading,
    running: Sequence[StepProcess],
    batch: BatchSettings,
    throttling: ThrottlingSettings,
) -> MemoryState:
    """The files by what they do once pending orders are carried out, and the gauges as of the reading."""
    ordered = {key: order for key, (order, _) in state.orders.items()}
    leaving = [job for job in running if ordered.get(job.key) is EventKind.SHED]
    staying = [job for job in running if job not in leaving]
    stopped = [job for job in staying if ordered.get(job.key, job.suspended) in (EventKind.SUSPEND, True)]
    # Pages that processes share count once in the whole and once for each of them in ours.
    used, ours = reading.used_memory_bytes, reading.our_memory_bytes
    ours = min(used, ours) if reading.total_memory_bytes > 0 else ours
    return MemoryState(
        gauges=gauges(reading, ours, state.growth.others_rate, batch, throttling),
        going=tuple(job for job in staying if job not in stopped),
        paused=tuple(job for job in stopped if job.key not in state.cpu.throttled),
        throttled=tuple(job for job in stopped if job.key in state.cpu.throttled),
        ahead=ahead_bytes(staying, state.growth.rates, throttling.reaction_seconds),
        overhead=max(0, ours - sum(job.memory_bytes for job in running)),
        leaving=sum(job.memory_bytes for job in leaving),
        pressure=(reading.memory_pressure_full or 0.0) / throttling.pressure_full_percent,
        shrunk=state.level >= Level.SHRINK and state.shrunk_seconds >= throttling.reaction_seconds,
    )


def _suspended(state: Governed, memory: MemoryState) -> tuple[tuple[StepProcess, ...], Governed]:
    """The files to suspend now, youngest first."""
    able = suspendable(memory)
    if memory.alarming:
        chosen = growing_to_suspend(memory)
        if not chosen and able and state.suspended_seconds >= SUSPEND_STEP_SECONDS:
            chosen = able[-1:]
        if chosen:
            return chosen, replace(state, suspended_seconds=0.0)
    elif memory.pressure >= 1 and memory.going[1:] and state.pressed_seconds >= PRESSURE_STEP_SECONDS:
        return memory.going[-1:], replace(state, pressed_seconds=0.0)
    return (), state


def _shrunk(state: Governed, memory: MemoryState, *, worse: bool) -> tuple[Governed, bool]:
    """The state with the share halved: once at the start, and again where that does not help in time."""
    begins = state.level < Level.SHRINK and (memory.over or worse)
    goes_on = state.level >= Level.SHRINK and memory.over and state.shrunk_seconds >= SETTLE_SECONDS
    # With a single job left there are no fewer to run; memory that is over then is not ours, or ends with that job.
    if not begins and not (goes_on and len(memory.files) > 1 and state.share > LEAST_SHARE):
        return state, False
    level = max(state.level, Level.SHRINK)
    return replace(state, level=level, share=max(LEAST_SHARE, state.share / 2), shrunk_seconds=0.0), True


def _is_calm(state: Governed, memory: MemoryState) -> bool:
    """Whether things may go back, if this lasts."""
    if memory.pressure >= PRESSURE_CALM or memory.alarming:
        return False
    if state.level >= Level.SHRINK:
        return memory.below_release
    return not memory.near and not memory.overcommitted


def _resumed(state: Governed, memory: MemoryState, period: float) -> tuple[StepProcess, ...]:
    """The oldest suspended job, where nothing runs or there is room for it."""
    if memory.idle:
        able = memory.others_calm or (state.idle_seconds >= period and not memory.others_over)
        return memory.paused[:1] if able else ()
    ahead = sum(job.remaining_bytes for job in (*memory.paused[:1], *memory.going))
    fits = state.calm_seconds >= period and all(gauge.used + ahead <= gauge.budget for gauge in memory.gauges)
    return memory.paused[:1] if fits else ()


def _recovered(
    state: Governed, memory: MemoryState, period: float, *, keeps: bool
) -> tuple[Governed, tuple[GovernorEvent, ...]]:
    """One step back towards normal, after a calm period in which no job was kept suspended (`keeps`)."""
    if keeps or state.calm_seconds < period:
        return state, ()
    if state.level >= Level.SHRINK:
        calm = replace(state, level=Level.NORMAL, calm_seconds=0.0, hold_reported=False)
        return calm, (_recovery(memory, state.share),)
    if state.level == Level.NORMAL and state.share < 1.0:
        share = min(1.0, state.share * SHARE_STEP)
        return replace(state, share=share, calm_seconds=0.0), (_recovery(memory, share),)
    return state, ()


def _levelled(
    state: Governed, memory: MemoryState, *, shed: bool, keeps: bool
) -> tuple[Governed, tuple[GovernorEvent, ...]]:
    """The level as of now, with an event where HOLD is entered or left."""
    if shed or keeps:
        return replace(state, level=Level.SHED if shed else Level.SUSPEND), ()
    if state.level >= Level.SHRINK:
        return replace(state, level=Level.SHRINK), ()
    short = memory.near and (memory.overcommitted or not memory.files) and not memory.planned_alone
    if short or memory.pressure >= 1:
        if state.hold_reported or state.quiet_seconds < QUIET_SECONDS:
            return replace(state, level=Level.HOLD), ()
        held = GovernorEvent(EventKind.HOLD, f"Starting nothing new: {memory if short else PRESSED}.")
        return replace(state, level=Level.HOLD, hold_reported=True, quiet_seconds=0.0), (held,)
    if state.level == Level.HOLD:
        if not memory.below_release or memory.pressure >= PRESSURE_CALM:
            return state, ()
        if state.hold_reported:
            return replace(state, level=Level.NORMAL, hold_reported=False), (_recovery(memory, state.share),)
    return replace(state, level=Level.NORMAL), ()


def _hold(state: Governed, memory: MemoryState, period: float) -> str:
    """Why nothing may be started, as the end of a sentence; empty where files may be."""
    if state.disk_low:
        return "the output's disk has less free than is to stay free"
    if state.cpu.throttled:
        return "running files are suspended to stay within the limit of the CPU"
    if not memory.files:
        calm = memory.others_calm or (state.idle_seconds >= period and not memory.others_over)
        return "" if calm else f"other programs take the memory: {memory}"
    if state.level == Level.NORMAL and not memory.near and not memory.overcommitted:
        return ""
    if memory.pressure >= PRESSURE_CALM and not memory.near and not memory.overcommitted:
        return PRESSED
    return f"{memory}, and running files may still grow" if memory.overcommitted else str(memory)


def _recovery(memory: MemoryState, share: float) -> GovernorEvent:
    return GovernorEvent(EventKind.RECOVER, f"Starting files again, {_number_at(share)}: {memory}.")


def _number_at(share: float) -> str:
    return "as many as before" if share == 1.0 else f"{share * 100:.0f} % of the usual number"


def _measures(
    memory: MemoryState, suspended: Sequence[StepProcess], shed: Sequence[StepProcess], *, share: float | None
) -> Iterator[GovernorEvent]:
    """Events of files that are suspended and ended, and of the share where it was halved just now."""
    why = str(memory)
    ahead = memory.ahead_bytes + max((gauge.others_ahead for gauge in memory.gauges), default=0)
    if not memory.over and not memory.alarming:
        why = PRESSED
    elif ahead >= GROWING_BYTES:
        why = f"{why}, and rising by {memory_size(ahead)} within moments"
    if share is not None:
        text = f"Taking back files that have not begun, and starting {_number_at(share)} from now on: {why}."
        yield GovernorEvent(EventKind.SHRINK, text)
    for job in suspended:
        text = f"Suspended {job.name}, which holds {memory_size(job.memory_bytes)}: {why}."
        yield GovernorEvent(EventKind.SUSPEND, text, job.job_id)
    for job in shed:
        text = f"Ended {job.name}, to be tried again later, as that frees {memory_size(job.memory_bytes)}: {why}."
        yield GovernorEvent(EventKind.SHED, text, job.job_id)


def _other_events(
    before: Governed, after: Governed, reading: Reading, throttling: ThrottlingSettings
) -> Iterator[GovernorEvent]:
    """Events about CPU, politeness and disk, when each begins and when it ends."""
    if after.cpu_reported and not before.cpu_reported:
        limit = f"{throttling.cpu_limit_percent or 0.0:g} % of the CPU"
        yield GovernorEvent(EventKind.THROTTLE, f"Suspending files now and then, to stay within {limit}.")
    if before.polite.share == 1.0 and after.polite.share < 1.0:
        why = f"processes wait {reading.waiting_percent or 0.0:.0f} % of the time"
        yield GovernorEvent(EventKind.YIELD, f"Starting fewer files, to give way to other work: {why}.")
    if before.polite.share < 1.0 and after.polite.share == 1.0:
        yield GovernorEvent(EventKind.RECOVER, "Starting as many files as before: other work waits no longer.")
    if after.disk_low is not before.disk_low:
        free, reserve = memory_size(reading.free_disk_bytes), memory_size(throttling.disk_reserve_bytes)
        low = f"Starting nothing new: the output's disk has {free} left, and {reserve} are to stay free."
        again = f"Starting files again: the output's disk has {free} free."
        yield GovernorEvent(EventKind.DISK, low if after.disk_low else again)
