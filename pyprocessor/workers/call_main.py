"""How is a Python function called for a worker, in a process of its own?

    python -m pyprocessor.workers.call_main REQUESTS ANSWERS [coroutines]

The two numbers are descriptors of pipes. Each line of either is a JSON object. Requests: {"path"} once, what to import
from; {"id", "function", "arguments", "memory"} for a call; {"id", "cancel"} for a coroutine. Answers: {"id",
"progress"}; {"id", "value"}, or {"id", "error", "kind"}, perhaps with "retry_after", or {"id", "errno", "path"}, with
what the call took. Calls are made one after the other, coroutines all at once. The process ends when the requests do.
What a call prints goes to stdout and stderr as ever.

It starts for one call of a few milliseconds, so it imports next to nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import reduce
from importlib import import_module
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.system.own_process import OwnPeak, bounded_data, give_back_memory, own_cpu_seconds

MOST_VALUE_BYTES = 64 * 1024
"""Of a value that a call returns, as JSON. More belongs in a file."""
MOST_LINE_BYTES = MOST_VALUE_BYTES + 16 * 1024
"""Of an answer."""
LONGEST_SENTENCE = 1000
_LASTING = (
    (FileNotFoundError, FailureKind.BAD_INPUT),
    (PermissionError, FailureKind.PERMISSION),
    (ValueError, FailureKind.BAD_INPUT),
)
"""Errors that the next try would meet again."""
_MOST_CAUSES = 8
"""Errors that libraries raise over one another for one lost connection."""
PROGRESS_SECONDS = 0.2
"""Progress that comes faster is left out."""
_READ_BYTES = 64 * 1024
_MUCH_BYTES = 32 << 20
"""After a call that took more than this beside what stays, what it left is given back: some 10 ms."""

_CURRENT: ContextVar[_Call | None] = ContextVar("_CURRENT", default=None)


def progress(done: float, total: float | None = None) -> None:
    """Report how far the call is, in any unit; with `total` that is a share. It may be called as often as you like."""
    call = _CURRENT.get() or _Call.only
    if call is not None:
        call.progress(done, total)


def leave_fork() -> None:
    """End this process where it is a fork that returned from the function, or raised."""
    if os.getpid() != _Call.pid:
        os._exit(0)


class _Refused(Exception):
    """A call that cannot be made or answered; the text continues the function's name."""


class _Answers:
    """The pipe to the worker."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held: list[bytes] = []
        self.later: Callable[[Callable[[], None]], object] | None = None
        """Calls back at the end of this turn of an event loop, where there is one: one write carries what it has."""

    def send(self, line: str) -> None:
        self._held.append(line.encode("ascii"))
        if self.later is None:
            self.flush()
        elif len(self._held) == 1:
            self.later(self.flush)

    def flush(self) -> None:
        data = b"".join(self._held)
        self._held.clear()
        while data:
            data = data[os.write(self._descriptor, data) :]


class _Call:
    """One call: its request, and what it took since the call before it ended."""

    only: _Call | None = None
    """The call that is made now, where they are made one by one: its threads report progress, too."""
    functions: dict[str, Callable[..., Any]] = {}  # noqa: RUF012 - those that were called before
    peak: OwnPeak
    pid = os.getpid()
    cpu_seconds = 0.0

    def __init__(self, request: dict[str, Any], answers: _Answers) -> None:
        self.id: str = request["id"]
        self.name: str = request["function"]
        self.arguments: dict[str, Any] = request["arguments"]
        self.memory: int | None = request.get("memory")
        self.peak_bytes = 0
        self._answers = answers
        self._reported = 0.0

    def progress(self, done: float, total: float | None) -> None:
        now = time.monotonic()
        if now - self._reported >= PROGRESS_SECONDS or done == total:
            self._reported = now
            self._answer({"progress": {"done": float(done), "total": None if total is None else float(total)}})

    def start(self) -> Any:
        """Call the function; returns what it returns. Raises whatever it raises, and _Refused."""
        function = self.functions.get(self.name)
        if function is None:
            function = self.functions[self.name] = self._find()
        return function(**self.arguments)

    def returned(self, value: Any) -> None:
        """Answer with a value. Raises _Refused where it is too large or no JSON."""
        leave_fork()
        try:
            text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise _Refused(f"returned what is no JSON: {error}") from error
        if len(text) > MOST_VALUE_BYTES:
            raise _Refused(f"returned {len(text):,} bytes, of {MOST_VALUE_BYTES:,} that are allowed")
        self._answer({}, text)

    def failed(self, error: BaseException) -> None:
        """Answer with the error, and print its traceback for the log."""
        leave_fork()
        answer: dict[str, Any] = {"kind": FailureKind.CRASH}
        text = text_of(error)
        raised = f"{self.name} raised {type(error).__name__}"
        raised += f": {text}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else "."
        if isinstance(error, JobError):
            answer = {"kind": error.kind, "error": str(error)}
            if error.retry_after_seconds is not None:
                answer["retry_after"] = float(error.retry_after_seconds)
        elif isinstance(error, _Refused):
            answer = {"kind": FailureKind.UNSUPPORTED, "error": f"{self.name} {error}; the task has to be mended."}
        elif isinstance(error, MemoryError):
            answer = {"kind": FailureKind.RESOURCE, "error": f"{self.name} ran out of the memory that it may use."}
        elif isinstance(error, SystemExit):
            answer["error"] = f"{self.name} ended itself with sys.exit({error.code!r})."
        elif _not_reached(error):
            answer = {"kind": FailureKind.UNAVAILABLE, "error": raised}
        elif isinstance(error, OSError) and error.errno is not None and type(error).__module__ == "builtins":
            name = error.filename
            answer = {"errno": error.errno, "path": os.fsdecode(name) if isinstance(name, (str, bytes)) else None}
        else:
            kind = next((kind for type_, kind in _LASTING if isinstance(error, type_)), FailureKind.CRASH)
            answer = {"kind": kind, "error": raised}
        if not isinstance(error, (JobError, _Refused)):
            import traceback

            with contextlib.suppress(Exception):  # whatever the call made of stderr
                traceback.print_exception(error)
        if "error" in answer:
            answer["error"] = " ".join(answer["error"].split())[:LONGEST_SENTENCE]
        self._answer(answer)

    def _answer(self, answer: dict[str, Any], value: str | None = None) -> None:
        if "progress" not in answer:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # likewise
                    stream.flush()
            used = own_cpu_seconds()
            self.peak_bytes = self.peak.bytes()
            answer |= {"cpu": used - _Call.cpu_seconds, "peak": self.peak_bytes}
            _Call.cpu_seconds = used
        line = json.dumps({"id": self.id, **answer}, separators=(",", ":"))
        self._answers.send(f"{line}\n" if value is None else f'{line[:-1]},"value":{value}}}\n')

    def _find(self) -> Callable[..., Any]:
        try:
            found = named(self.name)
        except (ImportError, AttributeError, ValueError) as error:
            raise _Refused(f"cannot be found: {error}") from error
        if not callable(found):
            raise _Refused("is no function")
        function: Callable[..., Any] = found
        return function


def named(name: str) -> Any:
    """Return what `module:function` names, the function maybe within a class. Raises what importing raises."""
    module, _, path = name.partition(":")
    return reduce(getattr, path.split("."), import_module(module))


def _not_reached(error: BaseException | None) -> bool:
    """Whether a server was not reached or went away: by the error, or by what the library that raised it met."""
    from pyprocessor.errors.errnos import UNREACHABLE

    socket = sys.modules.get("socket")
    unknown = () if socket is None else (socket.gaierror, socket.herror)
    for _ in range(_MOST_CAUSES):
        if error is None:
            break
        of_a_server = isinstance(error, (ConnectionError, TimeoutError, *unknown))
        of_a_file = getattr(error, "filename", None) is not None
        if not of_a_file and (of_a_server or getattr(error, "errno", None) in UNREACHABLE):
            return True
        met = error.__context__ if isinstance(error, OSError) and not error.__suppress_context__ else None
        error = error.__cause__ or met
    return False


def text_of(error: BaseException) -> str:
    """Return the text of an error; empty where its class raises another over it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - code of others
        return ""


def _call_one_by_one(lines: Iterator[dict[str, Any]], answers: _Answers) -> None:
    most = _MUCH_BYTES
    for request in lines:
        call = _Call.only = _Call(request, answers)
        call.peak.reset()
        try:
            with bounded_data(call.memory):
                value = call.start()
            if hasattr(value, "__await__"):
                raise _Refused("is async, and was not called as a coroutine")
            call.returned(value)
        except BaseException as error:  # noqa: BLE001 - the boundary: whatever the function raises, it is answered
            call.failed(error)
        _Call.only = None
        if call.peak_bytes > most:
            give_back_memory()  # else it would count as the next one's, and stay while the process is idle
            call.peak.reset()
            most = call.peak.bytes() + _MUCH_BYTES


async def _call_at_once(requests: int, answers: _Answers) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    answers.later = loop.call_soon
    ended = loop.create_future()
    tasks: dict[str, asyncio.Task[None]] = {}
    buffer = _Lines()

    async def run(call: _Call) -> None:
        _CURRENT.set(call)
        try:
            value = call.start()
            if not hasattr(value, "__await__"):
                raise _Refused("is not async, and was called as a coroutine")
            value = await value
            call.returned(value)
        except BaseException as error:  # noqa: BLE001 - as above
            call.failed(error)
        tasks.pop(call.id, None)

    def on_readable() -> None:
        data = os.read(requests, _READ_BYTES)
        if not data:
            loop.remove_reader(requests)
            ended.set_result(None)
        for request in buffer.feed(data):
            if "cancel" in request:
                if request["id"] in tasks:
                    # Behind its first step: a task that was cancelled before that would never answer.
                    loop.call_soon(tasks[request["id"]].cancel)
            else:
                call = _Call(request, answers)
                tasks[call.id] = loop.create_task(run(call))

    loop.add_reader(requests, on_readable)
    await ended


class _Lines:
    """Takes requests out of what is read."""

    def __init__(self) -> None:
        self._open = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        *lines, self._open = (self._open + data).split(b"\n")
        for line in lines:
            request: dict[str, Any] = json.loads(line)
            if "path" in request:
                sys.path[:] = request["path"]
            else:
                yield request

    def read(self, descriptor: int) -> Iterator[dict[str, Any]]:
        while data := os.read(descriptor, _READ_BYTES):
            yield from self.feed(data)


def main(arguments: list[str]) -> None:
    """Make the calls that the worker asks for, until it closes its pipe."""
    requests, descriptor = int(arguments[0]), int(arguments[1])
    for fd in (requests, descriptor):
        os.set_inheritable(fd, False)
    answers, _Call.peak = _Answers(descriptor), OwnPeak()
    if "coroutines" in arguments[2:]:
        import asyncio

        asyncio.run(_call_at_once(requests, answers))
    else:
        _call_one_by_one(_Lines().read(requests), answers)


if __name__ == "__main__":
    # Not from here, since functions import this module by its name to report progress.
    from pyprocessor.workers import call_main

    call_main.main(sys.argv[1:])
