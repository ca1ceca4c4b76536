"""How does a worker have functions called? By processes that it keeps warm for further calls of the same kind."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.reports import StderrLog
from pyprocessor.models.wording import duration
from pyprocessor.system.child_process import GRACE_SECONDS, ChildProcess, End, EndedBy
from pyprocessor.tasks.base import Call, Returned
from pyprocessor.workers.call_main import MOST_LINE_BYTES

MOST_COROUTINES = 64
"""At once in one process."""
MOST_ARGUMENT_BYTES = 1 << 20
"""Of the arguments of a call, as JSON. More belongs in a file."""


@dataclass(slots=True)
class CallInHand:
    """A call that was sent; times are the process's active seconds."""

    token: str
    call: Call
    began: float
    limit_seconds: float
    until: float
    progress: tuple[float, float | None] | None = None
    cancelled: bool = False
    """It is over its limit and was asked to end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: with what it returned, or with the error that is raised in its task."""

    token: str
    ending: Returned | Exception
    cpu_seconds: float
    peak_memory_bytes: int
    printed: str


class CallRunner(ChildProcess[End]):
    """A process that makes calls of one affinity: one by one, or many coroutines at once."""

    def __init__(self, call: Call, alone: bool, *, env: Mapping[str, str], clock: Callable[[], float]) -> None:
        self.affinity = affinity_of(call)
        self.alone = alone
        """Whether it is for one call only."""
        self.calls: dict[str, CallInHand] = {}
        """By token: what was asked and not answered."""
        self._answers: list[Answer] = []
        self._log = StderrLog()
        self._open_line = b""
        self._answered_cpu_seconds = 0.0
        self._nonsense = ""
        self._unsent = b""
        self._retired = self._watches_requests = False
        theirs, self._requests = os.pipe()
        self._answered_on, answering = os.pipe()
        program = [sys.executable, "-P", "-m", "pyprocessor.workers.call_main", str(theirs), str(answering)]
        try:
            super().__init__(
                [*program, *(["coroutines"] if call.coroutine else [])],
                named="a process for calls",
                env=env,
                clock=clock,
                merge_output=True,
                pass_fds=(theirs, answering),
                reads=(self._answered_on,),
            )
        except JobError:
            os.close(self._requests)
            os.close(self._answered_on)
            raise
        finally:
            os.close(theirs)
            os.close(answering)
        os.set_blocking(self._requests, False)
        self._send({"path": sys.path})

    @property
    def usable(self) -> bool:
        """Whether it takes calls: it is neither suspended nor ending."""
        return not self._retired and self._kill_at is None and self._suspended_at is None and self._finished is None

    def has_room_for(self, call: Call) -> bool:
        """Whether it may make this call beside those that it has in hand."""
        most = MOST_COROUTINES if call.coroutine else 1
        return not self.alone and self.usable and self.affinity == affinity_of(call) and len(self.calls) < most

    def ask(self, token: str, call: Call, limit_seconds: float) -> None:
        """Ask for a call, which is sent with the next `flush`. Raises JobError where its arguments are no JSON."""
        request = {"id": token, "function": call.function, "arguments": call.arguments, "memory": call.memory_bytes}
        if not self.calls:
            self._log, self._peak_memory_bytes = StderrLog(), 0
        self._send(request)
        began = self.active_seconds(self._clock())
        self.calls[token] = CallInHand(token, call, began, limit_seconds, began + limit_seconds)

    def flush(self) -> None:
        """Send what is asked for, as far as the pipe takes it; the selector calls again for the rest."""
        if not self._unsent:
            return
        with contextlib.suppress(BlockingIOError):
            try:
                while self._unsent:
                    self._unsent = self._unsent[os.write(self._requests, self._unsent) :]
            except BrokenPipeError:
                self._unsent = b""  # it has ended, which `poll` reports
        self._watch_requests(bool(self._unsent))

    def on_readable(self, fd: int) -> None:
        if fd == self._requests:
            self.flush()
        else:
            super().on_readable(fd)

    def answers(self) -> list[Answer]:
        """Return the calls that have ended since the last time."""
        answers, self._answers = self._answers, []
        return answers

    def retire(self) -> None:
        """Have it end by itself, being idle; it is killed where it does not."""
        if not self._retired and self._finished is None:
            self._close_requests()
            self._kill_at = self._clock() + GRACE_SECONDS
            self.resume()

    def left(self, end: End) -> list[tuple[Answer, bool]]:
        """Return the calls that it had in hand when it ended, each with whether another may be to blame."""
        calls, self.calls = list(self.calls.values()), {}
        printed = self._log.text()
        share = max(0.0, end.cpu_seconds - self._answered_cpu_seconds) / max(1, len(calls))
        over = {call.token for call in calls if end.ended_by is EndedBy.WALL and end.wall_seconds >= call.until}
        left = []
        for call in calls:
            error = self._late(call) if call.token in over else self._died(call, end)
            blameless = len(calls) > 1 and call.token not in over
            left.append((Answer(call.token, error, share, end.peak_memory_bytes // len(calls), printed), blameless))
        return left

    def _send(self, request: dict[str, Any]) -> None:
        try:
            text = json.dumps(request, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            what = f"{request['function']} is to be called with arguments that are no JSON: {error}"
            raise JobError(FailureKind.UNSUPPORTED, f"{what}; the task has to be mended.") from error
        if "arguments" in request and len(text) > MOST_ARGUMENT_BYTES:
            what = f"{request['function']} is to be called with arguments of {len(text):,} bytes"
            allowed = f"of {MOST_ARGUMENT_BYTES:,} that are allowed; the task has to be mended."
            raise JobError(FailureKind.UNSUPPORTED, f"{what}, {allowed}")
        self._unsent += text.encode("ascii") + b"\n"

    def _take(self, fd: int, data: bytes) -> bool:
        if fd == self.stdout:
            self._log.feed(data)
            return False
        *lines, self._open_line = (self._open_line + data).split(b"\n")
        for line in (*lines, self._open_line):
            if len(line) > MOST_LINE_BYTES:
                self._refuse(f"an answer of more than {MOST_LINE_BYTES:,} bytes")
                return False
        for line in lines:
            if not self._nonsense and not self._understood(line):
                self._refuse(f"what is no answer, {line[:60]!r}")
        return False

    def _refuse(self, what: str) -> None:
        self._nonsense, self._open_line = self._nonsense or what, b""
        self.kill()

    def _understood(self, line: bytes) -> bool:
        """Take in one answer; False where the line is no answer."""
        try:
            answer = json.loads(line)
            call = self.calls[answer["id"]]
            progress = answer.get("progress")
            if progress is not None:
                total = progress["total"]
                call.progress = float(progress["done"]), None if total is None else float(total)
                return True
            # Of coroutines the process knows its peak as a whole.
            cpu_seconds, peak = float(answer["cpu"]), int(answer["peak"]) // len(self.calls)
            ending = self._ending(call, answer, cpu_seconds, peak)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        del self.calls[call.token]
        self._answered_cpu_seconds += cpu_seconds
        self._answers.append(Answer(call.token, ending, cpu_seconds, peak, self._printed()))
        return True

    def _ending(self, call: CallInHand, answer: dict[str, Any], cpu_seconds: float, peak: int) -> Returned | Exception:
        if call.cancelled and "value" not in answer:
            return self._late(call)
        if "errno" in answer:
            number = int(answer["errno"])
            path = None if answer["path"] is None else os.fsencode(answer["path"])
            return OSError(number, os.strerror(number), path)
        if "error" in answer:
            asked = answer.get("retry_after")
            seconds = None if asked is None else max(0.0, float(asked))
            return JobError(FailureKind(answer["kind"]), str(answer["error"]), retry_after_seconds=seconds)
        wall_seconds = self.active_seconds(self._clock()) - call.began
        return Returned(answer["value"], wall_seconds, cpu_seconds, peak, self._printed())

    def _printed(self) -> str:
        """What it printed; that is in the pipe before the answer is."""
        if self.stdout in self._open:
            self._read(self.stdout)
        return self._log.text()

    def _exceeds(self, now: float) -> EndedBy | None:
        active = self.active_seconds(now)
        for call in self.calls.values():
            if active < call.until:
                continue
            if not call.call.coroutine or call.cancelled:
                return EndedBy.WALL
            call.cancelled, call.until = True, active + GRACE_SECONDS
            self._send({"id": call.token, "cancel": True})
            self.flush()
        return None

    def _late(self, call: CallInHand) -> JobError:
        limit = duration(call.limit_seconds) if call.limit_seconds < math.inf else "its time"
        return JobError(FailureKind.STALL, f"{call.call.function} did not return within {limit} and was ended.")

    def _died(self, call: CallInHand, end: End) -> JobError:
        if self._nonsense:
            what = f"The process that called {call.call.function} sent {self._nonsense}"
            return JobError(FailureKind.UNSUPPORTED, f"{what}; the task has to be mended.")
        if end.returncode >= 0:
            how = f"ended with exit code {end.returncode}"
        elif -end.returncode in set(signal.Signals):
            how = f"was killed by {signal.Signals(-end.returncode).name}"
        else:
            how = f"was killed by signal {-end.returncode}"
        return JobError(FailureKind.CRASH, f"The process that called {call.call.function} {how}.")

    def _ended(self, end: End) -> End:
        self._close_requests()
        return end

    def _watch_requests(self, wanted: bool) -> None:
        """Have the selector call `on_readable` when the pipe takes more, or no longer."""
        if self._selector is None or wanted is self._watches_requests:
            return
        self._watches_requests = wanted
        if wanted:
            self._selector.register(self._requests, selectors.EVENT_WRITE, self)
        else:
            self._selector.unregister(self._requests)

    def _close_requests(self) -> None:
        if not self._retired:
            self._retired = True
            self._watch_requests(False)
            os.close(self._requests)
            self._unsent = b""


def affinity_of(call: Call) -> tuple[str, bool]:
    """Return what calls that share a process have in common."""
    return call.affinity or call.function, call.coroutine
