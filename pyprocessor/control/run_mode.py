"""What a run was asked to do by signals and from other terminals, and what follows from it. Pure.

    go on --interrupt, stop--> drain --interrupt again, end--> end
    go on --terminate--> drain, with a time at which it becomes end --terminate again--> end
    pause: nothing new starts; freeze: running files stand still as well; resume undoes both

Whatever stops a run also ends its pause: files that stand still could not be finished. A run that stops is not paused
any more, and a pause never wakes what was frozen before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from pyprocessor.errors import ExitCode


class Order(Enum):
    """What can be asked of a run."""

    INTERRUPT = "interrupt"
    """SIGINT: stop; the second time at once."""
    TERMINATE = "terminate"
    """SIGTERM: stop within the grace; the second time at once."""
    HANG_UP = "hang_up"
    """SIGHUP: the terminal is gone."""
    STOP = "stop"
    END = "end"
    PAUSE = "pause"
    FREEZE = "freeze"
    RESUME = "resume"


class StopLevel(IntEnum):
    """How a run is asked to stop."""

    GO_ON = 0
    DRAIN = 1
    """Finish what runs, start nothing new."""
    END = 2
    """End what runs."""


class Pause(IntEnum):
    """How a run is paused."""

    NONE = 0
    HOLD = 1
    """What runs is finished, nothing new is started."""
    FREEZE = 2
    """What runs stands still, too."""


@dataclass(frozen=True, slots=True)
class RunMode:
    """What holds now. `end_at` is the monotonic time at which a drain becomes an end; `exit_code` is for a run that
    stops with work left."""

    wish: StopLevel = StopLevel.GO_ON
    pause: Pause = Pause.NONE
    end_at: float = math.inf
    exit_code: ExitCode = ExitCode.INTERRUPTED
    terminated: bool = False
    """Whether SIGTERM came."""

    def after(self, order: Order, now: float, grace_seconds: float) -> RunMode:
        """The course once this was asked for."""
        match order:
            case Order.PAUSE | Order.FREEZE | Order.RESUME if self.wish > StopLevel.GO_ON:
                return self
            case Order.PAUSE:
                return replace(self, pause=max(self.pause, Pause.HOLD))
            case Order.FREEZE:
                return replace(self, pause=Pause.FREEZE)
            case Order.RESUME:
                return replace(self, pause=Pause.NONE)
            case Order.INTERRUPT:
                return self._stopped(StopLevel.DRAIN if self.wish is StopLevel.GO_ON else StopLevel.END)
            case Order.STOP:
                return self._stopped(StopLevel.DRAIN)
            case Order.END:
                return self._stopped(StopLevel.END)
            case Order.HANG_UP:
                return replace(self._stopped(StopLevel.END), exit_code=ExitCode.HUNG_UP)
            case Order.TERMINATE:
                told = replace(self, exit_code=ExitCode.TERMINATED, terminated=True)
                if self.terminated or grace_seconds <= 0:
                    return told._stopped(StopLevel.END)
                return replace(told._stopped(StopLevel.DRAIN), end_at=now + grace_seconds)

    def at(self, now: float) -> RunMode:
        """The course as time has passed."""
        return self._stopped(StopLevel.END) if self.wish is StopLevel.DRAIN and now >= self.end_at else self

    def _stopped(self, wish: StopLevel) -> RunMode:
        return replace(self, wish=max(self.wish, wish), pause=Pause.NONE)


@dataclass(frozen=True, slots=True)
class Remark:
    """What is told and kept of a change: `kind` is for programs, `level` as `Listener.notice` has it."""

    kind: str
    level: str
    text: str


def remark(before: RunMode, after: RunMode, order: Order | None, grace_seconds: float) -> Remark | None:
    """What to tell of a change, `order` being None where time alone made it; None where nothing changed."""
    if after.wish > before.wish or after.end_at < before.end_at:
        return Remark("stopping", "warning", _stopping(after, order, grace_seconds))
    if after.pause is before.pause:
        return None
    if after.pause is Pause.NONE:
        told = "Resumed: work goes on." if order is not None else "The pause is over, since the run stops."
        return Remark("resumed", "info", told)
    what = "running files are finished" if after.pause is Pause.HOLD else "running files stand still"
    return Remark("paused", "warning", f"Paused: {what} and nothing new is started until `pyprocessor resume`.")


def _stopping(after: RunMode, order: Order | None, grace_seconds: float) -> str:
    if after.wish is StopLevel.END and order is None:
        return "The time to finish is over: what still runs is ended; the same command goes on from here."
    if after.wish is StopLevel.END:
        return "Stopping now; the same command goes on from here."
    if order is Order.TERMINATE:
        return f"Stopping: running files have {grace_seconds:g} s to finish, then they are ended and wait."
    now = "interrupt again to end" if order is Order.INTERRUPT else "`pyprocessor stop --now` ends"
    return f"Stopping: running files are finished first; {now} them now."


def reply(before: RunMode, after: RunMode, order: Order, pid: int) -> tuple[bool, str]:
    """What to answer whoever asked: whether it is done, and a sentence."""
    run = f"The run (process {pid})"
    if order in (Order.PAUSE, Order.FREEZE, Order.RESUME) and after.wish > StopLevel.GO_ON:
        return False, f"{run} is stopping; there is nothing to pause or resume."
    match order:
        case Order.RESUME:
            return True, f"{run} goes on." if before.pause else f"{run} was not paused."
        case Order.PAUSE if before.pause is Pause.FREEZE:
            return True, f"{run} is paused already, and its running files stand still."
        case Order.PAUSE:
            already = " already" if before.pause else ""
            return True, f"{run} is paused{already}: running files are finished, nothing new is started."
        case Order.FREEZE:
            already = " already" if before.pause is Pause.FREEZE else ""
            return True, f"{run} is paused{already}: running files stand still, nothing new is started."
        case _ if after.wish is StopLevel.END:
            return True, f"{run} ends its files and stops; the same command goes on from there."
        case _:
            return True, f"{run} finishes its running files and stops; the same command goes on from there."
