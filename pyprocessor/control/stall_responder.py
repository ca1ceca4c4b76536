"""Speaks for the engine's loop while that waits for a disk.

The journal lies in the output folder, so a disk that takes no writes, or a server that is gone, holds the loop up in
the midst of a turn, and there is no way around it: what follows from a turn may only be sent once it is written.
Meanwhile a thread of its own answers who asks over the control socket, takes down orders for the loop, tells the user,
and ends a run that was told to end and cannot do so itself. It touches neither the disk nor what the loop works with.

A turn may be long for other reasons: nobody reads what is printed, a process takes its time to end, much is reckoned.
The deputy does the same then, but blames no disk, and ends no run whose loop is at work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from pyprocessor.control.protocol import Answer
from pyprocessor.control.run_mode import RunMode, StopLevel
from pyprocessor.control.steering import Steering
from pyprocessor.errors import ExitCode
from pyprocessor.models import ProcessIdentity, RunStatus, display
from pyprocessor.system import kill_group, thread_seconds, waits_for_disk

POLL_SECONDS = 0.5
SILENT_SECONDS = 4.0
"""How long a turn of the loop may take before somebody else answers: less than those who ask wait for an answer."""
TELL_SECONDS = 20.0
"""How long it may take before the user is told. A disk that was asleep takes ten."""
SETTLE_SECONDS = 10.0
"""How long a run that was told to end may wait for the disk before it is ended without."""
STEP_SECONDS = 1.0
"""What one look counts for at most: a machine that slept was not waiting."""
AT_WORK_SHARE = 0.1
"""A loop that takes more CPU time than this part of the time that goes by does not hang. One that waits takes none."""


class Emergency(Protocol):
    """How a run whose loop hangs reaches its user. Called on another thread; must not touch the output's disk."""

    def tell(self, level: str, text: str) -> None:
        """One sentence; `level` is "warning" or "error"."""

    def leave(self, exit_code: ExitCode, text: str, kill: Callable[[], None]) -> None:
        """Tell a sentence, call `kill`, which ends what belongs to the run, and end this program right after."""


class StallResponder:
    """The thread, from `start` to `stop`. `standing` is where the run stood last, and
    `processes` are those to be killed with the run. Without a `emergency` nothing is told and nothing ended."""

    def __init__(
        self,
        steering: Steering,
        output: bytes,
        emergency: Emergency | None,
        standing: Callable[[], RunStatus],
        processes: Callable[[], Iterable[ProcessIdentity]],
    ) -> None:
        self._steering = steering
        self._named = display(output)
        self._emergency = emergency
        self._last_standing = standing
        self._processes = processes
        self._gate = threading.Lock()
        """Held while the loop's place is taken, and while the program is ended: the loop, should it be back, neither
        goes to wait for its connections nor begins another turn meanwhile."""
        self._waiting = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="deputy", daemon=True)
        self._looked_at = time.monotonic()
        self._silent = 0.0
        self._course = RunMode()
        """What was asked for as the turn began; from when the deputy took over, what is asked for now."""
        self._took_over = False
        self._ending = 0.0
        self._told = False
        self._went_on: str | None = None
        self._loop_thread = threading.current_thread()
        self._loop_seconds = 0.0
        self._disk = True
        """Whether it is the disk that the loop waits for."""

    def start(self) -> None:
        """To be called by the thread that the loop runs on."""
        self._loop_thread = threading.current_thread()
        self._thread.start()

    def stop(self) -> None:
        """The loop is done. What the thread is about to do it does no more."""
        with self._gate:
            self._over.set()

    def waits(self, waits: bool) -> None:
        """Take note that the loop goes to wait for its connections, or has something to do again."""
        with self._gate:
            if self._told:
                what = f"The disk of {self._named} answers again" if self._disk else "The run is not held up any more"
                self._went_on = f"{what}, after {self._silent:.0f} s; the run goes on."
            self._told = False
            self._silent = self._ending = 0.0
            self._course, self._took_over = self._steering.course, False
            self._waiting = waits

    def went_on(self) -> str | None:
        """A sentence for the user, once the loop goes on that the user was told to hang; else None."""
        sentence, self._went_on = self._went_on, None
        return sentence

    def _watch(self) -> None:
        self._steering.leave_to_responder()
        while not self._over.wait(POLL_SECONDS):
            with self._gate:
                said = [] if self._over.is_set() else self._look(time.monotonic())
            if self._emergency is None:
                continue
            for level, text in said:
                self._emergency.tell(level, text)
            with self._gate:
                if self._ending >= SETTLE_SECONDS and not self._over.is_set():
                    self._leave(self._emergency)

    def _look(self, now: float) -> list[tuple[str, str]]:
        """Do what the loop should have done, if it hangs; returns what is to be told."""
        step = min(now - self._looked_at, STEP_SECONDS)
        self._looked_at = now
        worked = thread_seconds(self._loop_thread) - self._loop_seconds
        self._loop_seconds += worked
        if self._waiting:
            return []
        if self._silent < SILENT_SECONDS:
            self._silent += step
            return []
        self._silent += step
        self._disk = waits_for_disk(self._loop_thread)
        before = self._course
        if not self._took_over:
            # What the loop took in may be what it hangs in telling.
            self._course, self._took_over = self._steering.course, True
        self._obey(now)
        said = []
        if self._course.wish > before.wish:
            said.append(("warning", self._stopping()))
            self._told = True
        elif not self._told and self._silent >= TELL_SECONDS:
            said.append(("warning", f"{self._trouble()} Nothing is started or finished until {self._then()}."))
            self._told = True
        if self._course.wish is StopLevel.END and worked <= AT_WORK_SHARE * step:
            self._ending += step
        return said

    def _obey(self, now: float) -> None:
        """Take down what was asked since the last look, and answer."""
        for signalled in self._steering.pending_orders():  # also those of the last look, once more
            self._course = self._course.after(signalled, now, self._steering.grace_seconds)
        for client, request in self._steering.control.listen(now):
            order = request.order
            if order is None:
                answer = self._tells()
            else:
                ok, text, self._course = self._steering.ordered(self._course, order, now)
                answer = Answer(ok, f"{text} {self._trouble()} It does so when {self._then()}." if ok else text)
            self._steering.control.answer_at_once(client, answer)
        self._course = self._course.at(now)

    def _tells(self) -> Answer:
        return Answer(
            True, standing=replace(self._last_standing(), disk_silent_seconds=self._silent if self._disk else 0.0)
        )

    def _trouble(self) -> str:
        if self._disk:
            return f"The run has waited for the disk of {self._named} for {self._silent:.0f} s."
        return f"The run has been held up for {self._silent:.0f} s."

    def _then(self) -> str:
        """When what was asked is done, after `_trouble`."""
        return "that answers" if self._disk else "it goes on"

    def _stopping(self) -> str:
        if self._course.wish is StopLevel.END:
            what = "that does not answer" if self._disk else "it does not go on"
            return f"{self._trouble()} If {what} within {SETTLE_SECONDS:.0f} s, the run ends without it."
        return f"{self._trouble()} The run stops when {self._then()}; asked once more, it ends without it."

    def _leave(self, emergency: Emergency) -> None:
        # Killed last: a loop that is back by then must not take their end for a death and charge it to their files.
        emergency.leave(
            self._course.exit_code,
            f"{self._trouble()} The run was ended without it; the same command goes on from here"
            f"{' when it answers' if self._disk else ''}.",
            self._kill,
        )

    def _kill(self) -> None:
        for process in self._processes():
            kill_group(process)
