"""Is the run to go on, to pause or to stop, after all that was asked of it? Pure.

A first interrupt drains, a second ends; a terminate drains until its grace is over. Stopping also ends a pause, since
frozen files could not be finished, and a stopping run cannot be paused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from pyprocessor.errors import ExitCode


class Order(Enum):
    """What a user can ask of a run, by a signal (the first three: SIGINT, SIGTERM, SIGHUP) or over the socket."""

    INTERRUPT = "interrupt"
    TERMINATE = "terminate"
    HANG_UP = "hang_up"
    STOP = "stop"
    END = "end"
    PAUSE = "pause"
    FREEZE = "freeze"
    RESUME = "resume"


class StopLevel(IntEnum):
    """Whether a run stops: no, once its running files are finished (drain), or by ending them."""

    GO_ON = 0
    DRAIN = 1
    END = 2


class Pause(IntEnum):
    """Whether a run is paused: no, starting nothing new (hold), or with its running files stopped, too (freeze)."""

    NONE = 0
    HOLD = 1
    FREEZE = 2


@dataclass(frozen=True, slots=True)
class RunMode:
    """Whether the run stops or is paused; `end_at` is the monotonic time at which a drain becomes an end."""

    stop: StopLevel = StopLevel.GO_ON
    pause: Pause = Pause.NONE
    end_at: float = math.inf
    exit_code: ExitCode = ExitCode.INTERRUPTED
    terminated: bool = False
    """Whether SIGTERM came."""

    def after(self, order: Order, now: float, grace_seconds: float) -> RunMode:
        """Return the mode after an order."""
        match order:
            case Order.PAUSE | Order.FREEZE | Order.RESUME if self.stop > StopLevel.GO_ON:
                return self
            case Order.PAUSE:
                return replace(self, pause=max(self.pause, Pause.HOLD))
            case Order.FREEZE:
                return replace(self, pause=Pause.FREEZE)
            case Order.RESUME:
                return replace(self, pause=Pause.NONE)
            case Order.INTERRUPT:
                return self._stopped(StopLevel.DRAIN if self.stop is StopLevel.GO_ON else StopLevel.END)
            case Order.STOP:
                return self._stopped(StopLevel.DRAIN)
            case Order.END:
                return self._stopped(StopLevel.END)
            case Order.HANG_UP:
                return replace(self._stopped(StopLevel.END), exit_code=ExitCode.HUNG_UP)
            case Order.TERMINATE:
                terminated = replace(self, exit_code=ExitCode.TERMINATED, terminated=True)
                if self.terminated or grace_seconds <= 0:
                    return terminated._stopped(StopLevel.END)
                return replace(terminated._stopped(StopLevel.DRAIN), end_at=now + grace_seconds)

    def at(self, now: float) -> RunMode:
        """Return the mode at a time: a drain whose grace is over has become an end."""
        return self._stopped(StopLevel.END) if self.stop is StopLevel.DRAIN and now >= self.end_at else self

    def _stopped(self, level: StopLevel) -> RunMode:
        return replace(self, stop=max(self.stop, level), pause=Pause.NONE)


def notice(before: RunMode, after: RunMode, order: Order | None, grace_seconds: float) -> tuple[str, str, str] | None:
    """Return the kind (for programs), level and sentence of a change, or None; time made it where `order` is None."""
    if after.stop > before.stop or after.end_at < before.end_at:
        return "stopping", "warning", _stopping(after, order, grace_seconds)
    if after.pause is before.pause:
        return None
    if after.pause is Pause.NONE:
        text = "Resumed: work goes on." if order is not None else "The pause is over, since the run stops."
        return "resumed", "info", text
    what = "running files are finished" if after.pause is Pause.HOLD else "running files are suspended"
    return "paused", "warning", f"Paused: {what} and nothing new is started until `pyprocessor resume`."


def _stopping(after: RunMode, order: Order | None, grace_seconds: float) -> str:
    if after.stop is StopLevel.END and order is None:
        return "The time to finish is over: what still runs is ended; the same command goes on from here."
    if after.stop is StopLevel.END:
        return "Stopping now; the same command goes on from here."
    if order is Order.TERMINATE:
        return f"Stopping: running files have {grace_seconds:g} s to finish, then they are ended and wait."
    now = "interrupt again to end" if order is Order.INTERRUPT else "`pyprocessor stop --now` ends"
    return f"Stopping: running files are finished first; {now} them now."


def reply(before: RunMode, after: RunMode, order: Order, pid: int) -> tuple[bool, str]:
    """Return whether an order is carried out, and a sentence for whoever gave it."""
    run = f"The run (process {pid})"
    if order in (Order.PAUSE, Order.FREEZE, Order.RESUME) and after.stop > StopLevel.GO_ON:
        return False, f"{run} is stopping; there is nothing to pause or resume."
    match order:
        case Order.RESUME:
            return True, f"{run} goes on." if before.pause else f"{run} was not paused."
        case Order.PAUSE if before.pause is Pause.FREEZE:
            return True, f"{run} is paused already, and its running files are suspended."
        case Order.PAUSE | Order.FREEZE:
            already = " already" if before.pause is after.pause else ""
            what = "suspended" if after.pause is Pause.FREEZE else "finished"
            return True, f"{run} is paused{already}: running files are {what}, nothing new is started."
        case _ if after.stop is StopLevel.END:
            return True, f"{run} ends its files and stops; the same command goes on from there."
        case _:
            return True, f"{run} finishes its running files and stops; the same command goes on from there."
