"""Who answers for the run while its loop waits for a disk? A thread that touches neither the disk nor the loop's data.

It answers requests, stores orders for the loop, informs the user, and ends a run that was asked to end and cannot. The
disk is blamed only while the loop's thread waits for it; a run whose loop uses CPU time is not ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from pyprocessor.control.client import Answer, Verb
from pyprocessor.control.run_mode import RunMode, StopLevel, reply
from pyprocessor.control.server import ControlServer
from pyprocessor.control.signals import SignalQueue
from pyprocessor.errors import ExitCode
from pyprocessor.models import ProcessIdentity, RunStatus
from pyprocessor.system.processes import kill_group, thread_seconds, waits_for_disk

POLL_SECONDS = 0.5
SILENT_SECONDS = 4.0
"""How long a turn of the loop may take before this thread answers: less than callers wait for an answer."""
INFORM_SECONDS = 20.0
"""How long it may take before the user is informed. A disk that was asleep takes ten."""
SETTLE_SECONDS = 10.0
"""How long a run that was asked to end may wait for the disk before it is ended without."""
STEP_SECONDS = 1.0
"""What one check counts for at most: a machine that slept was not waiting."""
AT_WORK_SHARE = 0.1
"""A loop that takes more than this share of a core does not hang."""


class Emergency(Protocol):
    """How a run whose loop hangs informs the user and ends. Called in another thread, must not touch the output."""

    def notify(self, level: str, text: str) -> None:
        """Show one sentence; `level` is "warning" or "error"."""

    def leave(self, exit_code: ExitCode, text: str, kill: Callable[[], None]) -> None:
        """Show one sentence, call `kill`, which ends the run's processes, and end this program right after."""


@dataclass(eq=False)
class StallResponder:
    """The thread, as context. Without an `emergency` nobody is informed and nothing ended.

    `loop_mode` is what the loop knows that the run was asked for, `processes` what is to be killed with it.
    """

    server: ControlServer
    signals: SignalQueue
    output: str
    grace_seconds: float
    emergency: Emergency | None
    loop_mode: Callable[[], RunMode]
    last_status: Callable[[], RunStatus]
    processes: Callable[[], Iterable[ProcessIdentity]]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Held during a check and while the program is ended, so that a loop that is back begins no turn meanwhile."""
    _waiting: bool = False
    _over: threading.Event = field(default_factory=threading.Event)
    _checked_at: float = field(default_factory=lambda: time.monotonic())
    _silent: float = 0.0
    _mode: RunMode = field(default_factory=RunMode)
    """What was asked as the turn began; once this thread answers, what is asked now."""
    _answers: bool = False
    _ending: float = 0.0
    _informed: bool = False
    _recovered: str | None = None
    _loop_thread: threading.Thread = field(default_factory=threading.current_thread)
    _loop_seconds: float = 0.0
    _disk: bool = True
    """Whether it is the disk that the loop waits for."""

    def __enter__(self) -> None:
        """Start; to be called by the loop's thread, which it watches."""
        self._loop_thread = threading.current_thread()
        threading.Thread(target=self._watch, name="stall-responder", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over.set()

    def set_waiting(self, waiting: bool) -> None:
        """Note that the loop begins to wait for its connections, or begins a turn."""
        with self._lock:
            if self._informed:
                what = f"The disk of {self.output} answers again" if self._disk else "The run is not held up any more"
                self._recovered = f"{what}, after {self._silent:.0f} s; the run goes on."
            self._informed = False
            self._silent = self._ending = 0.0
            self._mode, self._answers = self.loop_mode(), False
            self._waiting = waiting

    def recovered(self) -> str | None:
        """Return a sentence once, after the loop went on of which the user was informed that it hangs."""
        sentence, self._recovered = self._recovered, None
        return sentence

    @property
    def must_end(self) -> bool:
        """Whether the run was asked to end and has not for too long."""
        return self._ending >= SETTLE_SECONDS

    def _watch(self) -> None:
        self.signals.block_in_this_thread()
        while not self._over.wait(POLL_SECONDS):
            with self._lock:
                sentence = None if self._over.is_set() else self.check(time.monotonic())
            if self.emergency is None:
                continue
            if sentence is not None:
                self.emergency.notify("warning", sentence)
            with self._lock:
                if self.must_end and not self._over.is_set():
                    again = " when it answers" if self._disk else ""
                    text = f"{self._trouble()} The run was ended without it; the same command goes on from here{again}."
                    # Killed last: a loop that is back by then must not charge their end to their files.
                    self.emergency.leave(self._mode.exit_code, text, self._kill)

    def check(self, now: float) -> str | None:
        """Do what a hanging loop should have done; returns a sentence for the user where there is news."""
        step = min(now - self._checked_at, STEP_SECONDS)
        self._checked_at = now
        worked = thread_seconds(self._loop_thread) - self._loop_seconds
        self._loop_seconds += worked
        if self._waiting:
            return None
        self._silent += step
        if self._silent - step < SILENT_SECONDS:
            return None
        self._disk = waits_for_disk(self._loop_thread)
        then = "that answers" if self._disk else "it goes on"
        before = self._mode
        if not self._answers:
            # The loop may hang in announcing an order that it took in this turn.
            self._mode, self._answers = self.loop_mode(), True
        self._take_orders(now, then)
        sentence = None
        if self._mode.stop > before.stop:
            sentence = self._stopping(then)
        elif not self._informed and self._silent >= INFORM_SECONDS:
            sentence = f"{self._trouble()} Nothing is started or finished until {then}."
        self._informed = self._informed or sentence is not None
        if self._mode.stop is StopLevel.END and worked <= AT_WORK_SHARE * step:
            self._ending += step
        return sentence

    def _take_orders(self, now: float, then: str) -> None:
        """Store what was asked since the last check for the loop, and answer."""
        for order in self.signals.peek():  # among them those put below at the last check, which changes nothing
            self._mode = self._mode.after(order, now, self.grace_seconds)
        for client, request in self.server.requests(now):
            if request.verb is Verb.STATUS:
                silent = self._silent if self._disk else 0.0
                answer = Answer(True, standing=replace(self.last_status(), disk_silent_seconds=silent))
            elif request.order is None:
                answer = Answer(False, f"{self._trouble()} Nothing was changed; ask again when {then}.")
            else:
                after = self._mode.after(request.order, now, self.grace_seconds)
                accepted, text = reply(self._mode, after, request.order, os.getpid())
                self.signals.put(request.order)
                self._mode = after
                answer = Answer(accepted, f"{text} {self._trouble()} It does so when {then}." if accepted else text)
            self.server.answer(client, answer)
        self.server.send()
        self._mode = self._mode.at(now)

    def _trouble(self) -> str:
        if self._disk:
            return f"The run has waited for the disk of {self.output} for {self._silent:.0f} s."
        return f"The run has been held up for {self._silent:.0f} s."

    def _stopping(self, then: str) -> str:
        if self._mode.stop is StopLevel.END:
            what = "that does not answer" if self._disk else "it does not go on"
            return f"{self._trouble()} If {what} within {SETTLE_SECONDS:.0f} s, the run ends without it."
        return f"{self._trouble()} The run stops when {then}; asked once more, it ends without it."

    def _kill(self) -> None:
        for process in self.processes():
            kill_group(process)
