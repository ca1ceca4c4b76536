"""What to do about memory, CPU and disk at each reading: hold, shrink, suspend, shed, and the way back. Pure.

`govern` is given what it decided last (`Governed`), a reading and the files that run, and says what to do now. Memory
is held by one or two gauges: the machine's use against `max_memory_percent`, and ours against `memory_limit_bytes`.

    HOLD     near the budget with more to come, or under pressure: nothing new is started
    SHRINK   over the budget: half as many files from now on, unstarted ones are taken back
    SUSPEND  still rising while over, about to hit the wall, or under pressure: the youngest files are stopped
    SHED     the wall would be hit even so: the youngest are ended, suspended ones first, to be tried again later

Going back takes `release_readings` times the sample interval below `release_percent`, counted in seconds so that it
does not matter how often is looked: suspended files go on one at a time, then files are started again, then as many
as before. The file that has been running longest always goes on and is never shed, unless what *others* use is over
the budget by itself. A single file that is known to need more than the budget, and runs alone
for that reason, is no transgression.

A budget that is filled as planned is no level and no event: `admit` is false while memory is near the budget, and
`room_bytes` says what is left of it once all running files have grown to their predictions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from pyprocessor.governor import events as remarks
from pyprocessor.governor.events import EventKind, GovernorEvent
from pyprocessor.governor.gauges import gauges
from pyprocessor.governor.growth_rate import MAX_STEP_SECONDS, Growth, RunningFile, ahead_bytes, observe
from pyprocessor.governor.throttles import LEAST_SHARE, SHARE_STEP, CpuDebt, Politeness, disk_is_low, give_way, repay
from pyprocessor.governor.victims import Scene, age_order, growing_to_suspend, suspendable, to_resume, to_shed
from pyprocessor.models import BatchSettings, MonitoringSettings, Reading, ThrottlingSettings

__all__ = ["Allowance", "Decision", "EventKind", "Governed", "GovernorEvent", "Level", "RunningFile", "govern"]

SETTLE_SECONDS = 5.0
"""Still over after so long, the share is halved once more."""
SUSPEND_STEP_SECONDS = 1.0
"""Between suspending files that do not grow themselves, while the whole does."""
PRESSURE_STEP_SECONDS = 5.0
"""The kernel's average over ten seconds needs this to show what suspending one file did."""
PRESSURE_CALM = 0.5
"""Pressure has to fall below this part of its threshold before things go back."""
RESUME_STEP_SECONDS = 1.0
"""Between resuming one file and the next: most encoders have grown by then, and so told what they need."""
ORDER_SECONDS = 1.0
"""A file that does not show what it was told for so long did not get the order."""
QUIET_SECONDS = 30.0
"""Holding is not told again within so long."""
UNBOUNDED = 1 << 62


class Level(IntEnum):
    NORMAL = 0
    HOLD = 1
    SHRINK = 2
    SUSPEND = 3
    SHED = 4


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the governor allows until it looks again, `look` being the number of its last look.

    `one_only`: only where nothing runs, and only one job. `room_bytes`: predicted memory of what is started, unless
    nothing runs; `wall_room_bytes`: what is left to where memory ends. `share`: what concurrency and the size of
    batches are multiplied by, at most 1.
    """

    look: int
    admit: bool = True
    one_only: bool = False
    room_bytes: float = math.inf
    wall_room_bytes: float = math.inf
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """A file that was told to stop, to go on or to end, and how long ago."""

    job_id: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Governed:
    """What the governor remembers from reading to reading. A run begins with `Governed()`.

    `share` is the part of the usual number of files that memory allows. What ends in `_seconds` is time that readings
    have seen pass, so that a clock that jumps moves none of it.
    """

    level: Level = Level.NORMAL
    share: float = 1.0
    growth: Growth = field(default_factory=Growth)
    calm_seconds: float = 0.0
    shrunk_seconds: float = 0.0
    """Since the share was halved."""
    suspended_seconds: float = SUSPEND_STEP_SECONDS
    """Since a file was suspended for growth that is not its own."""
    pressed_seconds: float = PRESSURE_STEP_SECONDS
    """Since a file was suspended for pressure."""
    idle_seconds: float = 0.0
    """How long no file has been going on."""
    quiet_seconds: float = QUIET_SECONDS
    """Since holding was told."""
    hold_told: bool = False
    suspending: tuple[Order, ...] = ()
    resuming: tuple[Order, ...] = ()
    shedding: tuple[Order, ...] = ()
    cpu: CpuDebt = field(default_factory=CpuDebt)
    cpu_told: bool = False
    polite: Politeness = field(default_factory=Politeness)
    disk_low: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after a reading.

    `admit`: files may be started as far as `room_bytes` has room for their predicted memory; where no file is running,
    one may be started whatever it needs, and above `Level.NORMAL` only one. `take_back`: take unstarted files back
    from running batches, once. `share`: the part of the usual number of files at once, and of the usual size of a
    batch, to go by; never less than one file. `suspend`, `resume` and `shed` hold ids of jobs.
    """

    state: Governed
    level: Level
    admit: bool
    room_bytes: int
    take_back: bool
    share: float
    suspend: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    shed: tuple[str, ...] = ()
    events: tuple[GovernorEvent, ...] = ()


def govern(
    state: Governed,
    reading: Reading,
    running: Sequence[RunningFile],
    batch: BatchSettings,
    throttling: ThrottlingSettings,
    monitoring: MonitoringSettings,
) -> Decision:
    """Decide what to do after a reading; see the top of this module."""
    interval = monitoring.sample_interval_seconds
    period = throttling.release_readings * interval
    running = sorted(running, key=age_order)
    growth, elapsed = observe(state.growth, reading, running, max(MAX_STEP_SECONDS, 3 * interval))
    before = _aged(replace(state, growth=growth), elapsed, running)
    scene = _scene(before, reading, running, batch, throttling)

    suspend, after = _suspended(before, scene)
    shed = to_shed(scene, suspend, throttling.max_sheds)
    suspend = tuple(file for file in suspend if file not in shed)
    worse = bool(suspend or shed)
    after, shrink = _shrunk(after, scene, worse=worse)
    calm = not worse and _is_calm(after, scene)
    after = replace(
        after,
        calm_seconds=after.calm_seconds + elapsed if calm else 0.0,
        idle_seconds=after.idle_seconds + elapsed if scene.idle else 0.0,
    )
    resume = () if worse else _resumed(after, scene, period)
    keeps = bool(suspend) or len(scene.paused) > len(resume)
    if resume:
        after = replace(after, calm_seconds=max(0.0, period - RESUME_STEP_SECONDS))
    after, back = _recovered(after, scene, period, keeps=keeps)
    after, held = _levelled(after, scene, shed=bool(shed), keeps=keeps)

    stopped = {file.job_id for file in (*suspend, *shed)}
    going = tuple(file for file in scene.going if file.job_id not in stopped)
    debt = replace(before.cpu, throttled=tuple(file.job_id for file in scene.throttled))
    cpu = repay(debt, reading, going, throttling.cpu_limit_percent, elapsed)
    # Where memory keeps files suspended, one whose CPU debt is paid waits with them for its turn.
    freed = () if keeps or worse else cpu.resume
    pausing = {*cpu.suspend, *(file.job_id for file in suspend)}
    ending = {file.job_id for file in shed}
    resuming = {*freed, *(file.job_id for file in resume)} - pausing - ending
    after = replace(
        after,
        suspending=_ordered(after.suspending, pausing, resuming | ending),
        resuming=_ordered(after.resuming, resuming, pausing | ending),
        shedding=_ordered(after.shedding, ending, ()),
        cpu=cpu.debt,
        cpu_told=before.cpu_told or bool(cpu.suspend),
        polite=give_way(before.polite, reading, throttling, elapsed),
        disk_low=disk_is_low(before.disk_low, reading, throttling),
    )
    return Decision(
        state=after,
        level=max(after.level, Level.HOLD) if after.disk_low else after.level,
        admit=not after.disk_low and not after.cpu.throttled and _admits(after, scene, period),
        room_bytes=max(0, min((g.budget - g.used - scene.committed_bytes for g in scene.gauges), default=UNBOUNDED)),
        take_back=shrink or (after.disk_low and not before.disk_low),
        share=min(after.share, after.polite.share),
        suspend=tuple(sorted(pausing)),
        resume=tuple(sorted(resuming)),
        shed=tuple(sorted(ending)),
        events=(
            *remarks.of_measures(scene, suspend, shed, share=after.share if shrink else None),
            *(remarks.resumed(file, scene) for file in resume),
            *back,
            *held,
            *_asides(before, after, reading, throttling),
        ),
    )


# ---------------------------------------------------------------- what there is


def _aged(state: Governed, elapsed: float, running: Sequence[RunningFile]) -> Governed:
    """The state with time gone by, and without orders that were carried out or lost."""
    suspended = {file.job_id: file.suspended for file in running}

    def pending(orders: tuple[Order, ...], done_when: bool | None) -> tuple[Order, ...]:
        older = (Order(order.job_id, order.seconds + elapsed) for order in orders)
        return tuple(
            order
            for order in older
            if order.job_id in suspended and suspended[order.job_id] is not done_when and order.seconds < ORDER_SECONDS
        )

    return replace(
        state,
        shrunk_seconds=state.shrunk_seconds + elapsed,
        suspended_seconds=state.suspended_seconds + elapsed,
        pressed_seconds=state.pressed_seconds + elapsed,
        quiet_seconds=state.quiet_seconds + elapsed,
        suspending=pending(state.suspending, True),
        resuming=pending(state.resuming, False),
        shedding=pending(state.shedding, None),
    )


def _scene(
    state: Governed,
    reading: Reading,
    running: Sequence[RunningFile],
    batch: BatchSettings,
    throttling: ThrottlingSettings,
) -> Scene:
    ending = {order.job_id for order in state.shedding}
    stopping = {order.job_id for order in state.suspending}
    resuming = {order.job_id for order in state.resuming}
    staying = [file for file in running if file.job_id not in ending]
    going: list[RunningFile] = []
    paused: list[RunningFile] = []
    throttled: list[RunningFile] = []
    for file in staying:
        stopped = (file.suspended or file.job_id in stopping) and file.job_id not in resuming
        if stopped and file.job_id in state.cpu.throttled:
            throttled.append(file)
        else:
            (paused if stopped else going).append(file)
    leaving = sum(file.memory_bytes for file in running if file.job_id in ending)
    pressure = (reading.memory_pressure_full or 0.0) / throttling.pressure_full_percent
    return Scene(
        gauges=gauges(reading, running, state.growth.others_rate, leaving, batch, throttling),
        going=tuple(going),
        paused=tuple(paused),
        throttled=tuple(throttled),
        ahead=ahead_bytes(staying, state.growth.rates(), throttling.reaction_seconds),
        pressure=pressure,
        shrunk=state.level >= Level.SHRINK and state.shrunk_seconds >= throttling.reaction_seconds,
    )


# ---------------------------------------------------------------- what to do


def _suspended(state: Governed, scene: Scene) -> tuple[tuple[RunningFile, ...], Governed]:
    """The files to suspend now, youngest first."""
    able = suspendable(scene)
    if scene.alarming:
        chosen = growing_to_suspend(scene)
        if not chosen and able and state.suspended_seconds >= SUSPEND_STEP_SECONDS:
            chosen = able[-1:]
        if chosen:
            return chosen, replace(state, suspended_seconds=0.0)
    elif scene.pressure >= 1 and scene.going[1:] and state.pressed_seconds >= PRESSURE_STEP_SECONDS:
        return scene.going[-1:], replace(state, pressed_seconds=0.0)
    return (), state


def _shrunk(state: Governed, scene: Scene, *, worse: bool) -> tuple[Governed, bool]:
    """The state with the share halved: once at the start, and again where that does not help in time."""
    begins = state.level < Level.SHRINK and (scene.over or worse)
    goes_on = state.level >= Level.SHRINK and scene.over and state.shrunk_seconds >= SETTLE_SECONDS
    # With a single file left there are no fewer to go by; what is over then is beyond us, or ends with that file.
    if not begins and not (goes_on and len(scene.files) > 1 and state.share > LEAST_SHARE):
        return state, False
    level = max(state.level, Level.SHRINK)
    return replace(state, level=level, share=max(LEAST_SHARE, state.share / 2), shrunk_seconds=0.0), True


def _is_calm(state: Governed, scene: Scene) -> bool:
    """Whether things may go back, if this lasts."""
    if scene.pressure >= PRESSURE_CALM or scene.alarming:
        return False
    if state.level >= Level.SHRINK:
        return scene.below_release
    return not scene.near and not scene.overcommitted


def _resumed(state: Governed, scene: Scene, period: float) -> tuple[RunningFile, ...]:
    """The file to resume now: whichever is the oldest where nothing goes on, else when there is room for it."""
    if scene.idle:
        able = scene.others_calm or (state.idle_seconds >= period and not scene.others_over)
        return scene.paused[:1] if able else ()
    return to_resume(scene) if state.calm_seconds >= period else ()


def _recovered(
    state: Governed, scene: Scene, period: float, *, keeps: bool
) -> tuple[Governed, tuple[GovernorEvent, ...]]:
    """One step back towards normal, after a calm period in which no file was kept suspended (`keeps`)."""
    if keeps or state.calm_seconds < period:
        return state, ()
    if state.level >= Level.SHRINK:
        calm = replace(state, level=Level.NORMAL, calm_seconds=0.0, hold_told=False)
        return calm, (remarks.recovered(scene, state.share),)
    if state.level == Level.NORMAL and state.share < 1.0:
        share = min(1.0, state.share * SHARE_STEP)
        return replace(state, share=share, calm_seconds=0.0), (remarks.recovered(scene, share),)
    return state, ()


def _levelled(state: Governed, scene: Scene, *, shed: bool, keeps: bool) -> tuple[Governed, tuple[GovernorEvent, ...]]:
    """The level as of now; entering and leaving HOLD is told here, as nothing else shows it."""
    if shed or keeps:
        return replace(state, level=Level.SHED if shed else Level.SUSPEND), ()
    if state.level >= Level.SHRINK:
        return replace(state, level=Level.SHRINK), ()
    short = scene.near and (scene.overcommitted or not scene.files) and not scene.planned_alone
    if short or scene.pressure >= 1:
        if state.hold_told or state.quiet_seconds < QUIET_SECONDS:
            return replace(state, level=Level.HOLD), ()
        told = replace(state, level=Level.HOLD, hold_told=True, quiet_seconds=0.0)
        return told, (remarks.held(scene, short=short),)
    if state.level == Level.HOLD and not (scene.below_release and scene.pressure < PRESSURE_CALM):
        return state, ()
    if state.level == Level.HOLD and state.hold_told:
        return replace(state, level=Level.NORMAL, hold_told=False), (remarks.recovered(scene, state.share),)
    return replace(state, level=Level.NORMAL), ()


def _admits(state: Governed, scene: Scene, period: float) -> bool:
    """Whether files may be started, as far as memory is concerned."""
    if not scene.files:
        return scene.others_calm or (state.idle_seconds >= period and not scene.others_over)
    return state.level == Level.NORMAL and not scene.near and not scene.overcommitted


def _ordered(orders: tuple[Order, ...], new: Iterable[str], undone: Iterable[str]) -> tuple[Order, ...]:
    """The orders with new ones added and those dropped that were undone."""
    added = set(new)
    dropped = added | set(undone)
    return (*(order for order in orders if order.job_id not in dropped), *(Order(job_id) for job_id in sorted(added)))


def _asides(
    before: Governed, after: Governed, reading: Reading, throttling: ThrottlingSettings
) -> tuple[GovernorEvent, ...]:
    """What is told of CPU, politeness and disk, when it begins and when it ends."""
    told = []
    if after.cpu_told and not before.cpu_told:
        told.append(remarks.cpu_limited(throttling.cpu_limit_percent or 0.0))
    if before.polite.share == 1.0 and after.polite.share < 1.0:
        told.append(remarks.gave_way(reading.waiting_percent or 0.0))
    if before.polite.share < 1.0 and after.polite.share == 1.0:
        told.append(remarks.no_longer_gives_way())
    if after.disk_low is not before.disk_low:
        told.append(remarks.disk(reading.free_disk_bytes, throttling.disk_reserve_bytes, low=after.disk_low))
    return tuple(told)
