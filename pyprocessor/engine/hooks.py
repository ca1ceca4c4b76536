"""Which of the user's programs are called as files end and as the run ends, and for how long?

They run beside the loop, without a shell, a few at a time, each for a limited time, and never hold the run up. File
names are passed as data: in environment variables, exactly as the disk has them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pyprocessor.control.run_mode import Order
from pyprocessor.control.signals import SignalQueue
from pyprocessor.jobs.tally import Tally
from pyprocessor.models import HookSettings, Outcome, OutcomeKind, ProcessIdentity, display
from pyprocessor.models.profile import HOOK_VARIABLES
from pyprocessor.models.run import RunRequest
from pyprocessor.state.job_logs import HOOKS_LOG_NAME, write_hooks_log
from pyprocessor.system.processes import kill_group, process_identity

AT_ONCE = 4
MOST_WAITING = 10_000
"""Calls that wait; further ones are dropped, with a warning."""
KEPT_BYTES = 16 * 1024
"""Of the output of one call."""
_READ_BYTES = 64 * 1024
_READS_AT_ONCE = 32
"""A pipe holds one; more only help one that prints while it is read."""
_LOOK_SECONDS = 0.05
_HOOKS = {
    OutcomeKind.SUCCEEDED: "on_success",
    OutcomeKind.FAILED: "on_failure",
    OutcomeKind.QUARANTINED: "on_failure",
}
_STOPS = frozenset({Order.INTERRUPT, Order.TERMINATE, Order.HANG_UP})
_VARIABLES = "PYPROCESSOR_"
COUNTS = ("succeeded", "failed", "skipped", "done_before", "failed_before")
"""Counts that the hook of the run's end gets, each as a variable."""
_OURS = frozenset(_VARIABLES + name for name in HOOK_VARIABLES)
Notify = Callable[[str, str], None]  # with a level and a sentence


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make."""

    hook: str
    about: str
    """What the call is about, printable."""
    variables: Mapping[str, bytes]


@dataclass(slots=True)
class _Running:
    call: Call
    process: subprocess.Popen[bytes]
    identity: ProcessIdentity
    ends_by: float
    output: bytearray = field(default_factory=bytearray)


def file_call(source: bytes, output: bytes, outcome: Outcome) -> Call:
    """The call for a file that ended; `output` is the absolute path its output has, or would have."""
    variables = {
        "SOURCE": source,
        "OUTPUT": output,
        "OUTCOME": outcome.kind.value.encode(),
        "FAILURE": (outcome.failure.value if outcome.failure is not None else "").encode(),
        "REASON": outcome.reason.encode("utf-8", "backslashreplace").replace(b"\0", b"\\x00"),
    }
    return Call(_HOOKS[outcome.kind], display(source), variables)


@dataclass(eq=False)
class Hooks:
    """The calls of one run, logged in `logs`; `notify` gets a sentence about each that failed."""

    settings: HookSettings
    logs: bytes
    notify: Notify
    spent_seconds: float = 0.0
    """How long `finish` took."""
    _waiting: deque[Call] = field(default_factory=deque)
    _running: list[_Running] = field(default_factory=list)
    _dropped: int = 0

    @property
    def identities(self) -> list[ProcessIdentity]:
        """Processes that run now; each leads a group."""
        return [running.identity for running in tuple(self._running)]

    def wants(self, kind: OutcomeKind) -> bool:
        """Whether a hook is called for a file that ends so."""
        return kind in _HOOKS and bool(getattr(self.settings, _HOOKS[kind]))

    def add(self, call: Call) -> None:
        """Queue a call."""
        if len(self._waiting) >= MOST_WAITING:
            if not self._dropped:
                self.notify(
                    "warning", f"The hook {call.hook} is too slow for the run: calls are left out from here on."
                )
            self._dropped += 1
            return
        self._waiting.append(call)

    def poll(self, now: float) -> None:
        """Read from running calls, end those that took too long, and start waiting ones; returns at once."""
        for running in tuple(self._running):
            self._read(running)
            code = running.process.poll()
            if code is None and now < running.ends_by:
                continue
            self._running.remove(running)
            self._ended(running, code)
        while self._waiting and len(self._running) < AT_ONCE:
            self._start(self._waiting.popleft(), now)

    def finish(self, go_on: Callable[[], bool]) -> None:
        """Make the calls that are left, for as long as one may take; half of that if another follows."""
        began = time.monotonic()
        most = self.settings.timeout_seconds
        self.wait(most / 2 if self.settings.on_end else most, go_on)
        self.spent_seconds = time.monotonic() - began

    def wait(self, most_seconds: float, go_on: Callable[[], bool]) -> None:
        """Make the calls that are left, while `go_on`, and warn of those that were not made or did not end."""
        ends_by = time.monotonic() + most_seconds
        while self._waiting or self._running:
            now = time.monotonic()
            if not go_on():
                break
            self.poll(now)
            if now > ends_by + 2 * _LOOK_SECONDS:  # so that a call that takes all of its time is reported as that
                break
            time.sleep(_LOOK_SECONDS)
        left = len(self._waiting) + len(self._running) + self._dropped
        for running in self._running:
            self._read(running)
            self._log(running, "did not end before the run")
        self.abandon()
        if left:
            calls = "1 call was" if left == 1 else f"{left} calls were"
            self.notify("warning", f"The run ended before its hooks did: {calls} not made or not finished.")

    def abandon(self) -> None:
        """End what runs and forget what waits."""
        self._waiting.clear()
        for running in self._running:
            self._kill(running)
        self._running.clear()

    def _start(self, call: Call, now: float) -> None:
        words = getattr(self.settings, call.hook)
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(call),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            what = f"{display(os.fsencode(words[0]))} could not be started"
            self.notify("warning", f"The hook {call.hook} for {call.about}: {what}: {why}.")
            return
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        identity = process_identity(process.pid) or ProcessIdentity(process.pid, time.time())
        self._running.append(_Running(call, process, identity, now + self.settings.timeout_seconds))

    def _read(self, running: _Running) -> None:
        """Read its output, a bounded number of reads at a time, and keep the beginning."""
        pipe = running.process.stdout
        assert pipe is not None
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READS_AT_ONCE):
                data = os.read(pipe.fileno(), _READ_BYTES)
                running.output += data[: KEPT_BYTES - len(running.output)]
                if not data:
                    return

    def _ended(self, running: _Running, code: int | None) -> None:
        call, problem = running.call, None
        if code is None:
            problem = f"took longer than {self.settings.timeout_seconds:.3g} s and was ended"
        elif code < 0:
            problem = f"was ended by signal {-code}"
        elif code:
            problem = f"ended with exit code {code}"
        self._read(running)
        self._kill(running)  # also what it left behind in its group
        if running.output.strip() or problem is not None:
            self._log(running, problem or "succeeded")
        if problem is not None:
            log = display(os.path.join(self.logs, HOOKS_LOG_NAME))
            self.notify("warning", f"The hook {call.hook} for {call.about} {problem}; its output is in {log}.")

    def _log(self, running: _Running, how: str) -> None:
        printed = running.output.decode("utf-8", "backslashreplace").strip()
        write_hooks_log(self.logs, f"{running.call.hook} for {running.call.about} {how}", printed)

    def _kill(self, running: _Running) -> None:
        with running.process:  # which closes its pipe and waits
            kill_group(running.identity)


def call_at_end(before: Hooks, request: RunRequest, exit_code: int, tally: Tally, notify: Notify) -> None:
    """Call the hook for the end of the run, if there is one, and wait for it; a signal that stops runs ends it.

    Together with `before.finish` it takes no longer than one call may.
    """
    settings = before.settings
    if not settings.on_end:
        return
    variables = {
        "SOURCE": b"\n".join(given.path for given in request.inputs),
        "OUTPUT": request.output,
        "OUTCOME": b"succeeded" if exit_code == 0 else b"failed",
        "EXIT_CODE": str(int(exit_code)).encode(),
        **{name.upper(): str(getattr(tally, name)).encode() for name in COUNTS},
    }
    left = max(0.0, settings.timeout_seconds - before.spent_seconds)
    hooks = Hooks(replace(settings, timeout_seconds=left), before.logs, notify)
    hooks.add(Call("on_end", display(request.output), variables))
    # The run's own queue has ended, so some signals are blocked again: a hook is to start with none blocked.
    with SignalQueue() as interrupts:
        try:
            hooks.wait(left, lambda: not _STOPS.intersection(interrupts.take()))
        finally:
            hooks.abandon()


def _environment(call: Call) -> dict[bytes, bytes]:
    """The environment of pyprocessor with the call's variables; none of an earlier hook's."""
    inherited = {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items() if name not in _OURS}
    own = {f"{_VARIABLES}{name}".encode(): value for name, value in call.variables.items()}
    return {**inherited, b"PYPROCESSOR_HOOK": call.hook.encode(), **own}
