"""How are the requests of a chunk answered by a handler, in the process that calls it?

A function is called in a few threads, coroutines all at once. Each answer is written down as it comes
(`publish/answers`), so that the end of the process costs only the requests that it had in hand.

As `workers/call_main` it imports next to nothing.
"""

from __future__ import annotations

import base64
import json
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import partial
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.publish.answers import AnswerLog
from pyprocessor.workers.call_main import leave_fork, named, progress, text_of
from pyprocessor.workers.requests import BatchRequest

MOST_COROUTINES = 64
"""At once in one process."""
LONGEST_ERROR = 1000
_ASYNC = 0x80
"""`inspect.CO_COROUTINE`."""
_KINDS = (
    (TimeoutError, "timeout"),
    (MemoryError, "memory"),
    (ConnectionError, "connection"),
    ((ValueError, TypeError), "validation"),
)
_KINDS_OF_JOBS = {
    FailureKind.STALL: "timeout",
    FailureKind.RESOURCE: "memory",
    FailureKind.UNAVAILABLE: "connection",
    FailureKind.BAD_INPUT: "validation",
}
"""What the failures of jobs are called here; the others by their own names."""
_Handler = Callable[[BatchRequest], Any]


def answer(
    *,
    handler: Mapping[str, Any],
    requests: list[list[Any]],
    log: str,
    at_once: int,
    timeout_seconds: float,
    alone: bool,
) -> None:
    """Have requests answered, each a place in the chunk and the fields of a BatchRequest, and write that to the log.

    Raises JobError where the handler cannot be found, and where a chat API cannot be asked: then what it did not answer
    is left. Ends the process where a function hangs, once all is written.
    """
    call = _found(handler)
    todo = [(place, BatchRequest(*fields)) for place, *fields in requests]
    written = AnswerLog(log)
    try:
        if _is_async(call):
            import asyncio

            most = 1 if at_once == 1 else MOST_COROUTINES
            asyncio.run(_all_at_once(call, todo, written, timeout_seconds, most, alone=alone, leaves="chat" in handler))
        else:
            _Threads(call, deque(todo), written, timeout_seconds, alone).run(at_once)
    finally:
        written.close()


def failure(kind: str, text: str, seconds: float = 0.0) -> dict[str, Any]:
    """Return the answer to a request that failed."""
    return {"error": _sentence(text), "kind": kind, "seconds": round(seconds, 6)}


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST_ERROR else f"{line[: LONGEST_ERROR - 3]}..."
    return line if line.endswith((".", "!", "?")) else f"{line}."


def failure_kind(kind: FailureKind | None) -> str:
    """Return what the failure of a job is called where it is that of a request."""
    return "unknown" if kind is None else _KINDS_OF_JOBS.get(kind, kind.value)


@dataclass(eq=False)
class _Threads:
    """Calls of a function in threads; the thread that made this one watches them."""

    _call: _Handler
    _left: deque[tuple[int, BatchRequest]]
    _log: AnswerLog
    _timeout_seconds: float
    _alone: bool
    _running: dict[int, float] = field(default_factory=dict)
    """Places, and since when; guarded by `_changed`."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _threads: int = 0
    _hung: int = 0
    _error: BaseException | None = None

    def run(self, at_once: int) -> None:
        self._count = len(self._left)
        self._threads = min(at_once, self._count)
        for _ in range(self._threads):
            threading.Thread(target=self._work, daemon=True).start()
        with self._changed:
            while self._threads > self._hung:
                oldest = min(self._running.values(), default=None)
                left = None if oldest is None else max(0.0, oldest + self._timeout_seconds - time.monotonic())
                self._changed.wait(1.0 if left is None else min(left, threading.TIMEOUT_MAX))
                self._give_up_late()
        if self._error is not None:
            raise self._error
        if self._hung:
            # Threads cannot be ended, and what hangs in one would go on beside the requests that follow.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    def _give_up_late(self) -> None:
        now = time.monotonic()
        for place in [place for place, began in self._running.items() if now - began >= self._timeout_seconds]:
            seconds = now - self._running.pop(place)
            self._log.answered(place, _late(self._timeout_seconds, seconds))
            self._hung += 1
            self._left.clear()  # those are answered by the next process

    def _work(self) -> None:
        try:
            while self._left:
                try:
                    place, request = self._left.popleft()
                except IndexError:  # another thread took it
                    break
                with self._changed:
                    self._running[place] = time.monotonic()
                    self._log.begun(place, alone=self._alone)
                found = _outcome(self._call, request)
                leave_fork()
                with self._changed:
                    if self._running.pop(place, None) is None:
                        return  # given up meanwhile, and counted
                    self._log.answered(place, found)
                progress(self._count - len(self._left), self._count)
        except BaseException as error:  # noqa: BLE001 - the log cannot be written: raised by `run`
            self._error = error
        with self._changed:
            self._threads -= 1
            self._changed.notify()


def _is_async(call: Any) -> bool:
    """Whether a function, a partial one, or the `__call__` of an object is async."""
    call = getattr(call, "func", call)
    code = getattr(call, "__code__", None) or getattr(type(call).__call__, "__code__", None)
    return code is not None and bool(code.co_flags & _ASYNC)


async def _all_at_once(
    call: _Handler,
    todo: list[tuple[int, BatchRequest]],
    log: AnswerLog,
    timeout_seconds: float,
    most: int,
    *,
    alone: bool,
    leaves: bool,
) -> None:
    """Call coroutines; with `leaves` begin none more once one raised JobError as UNAVAILABLE, then raise that."""
    import asyncio

    gate = asyncio.Semaphore(most)
    done = 0
    unavailable: JobError | None = None

    async def one(place: int, request: BatchRequest) -> None:
        nonlocal done, unavailable
        async with gate:
            if unavailable is not None:
                return
            log.begun(place, alone=alone)
            began = time.monotonic()
            limit = asyncio.timeout(timeout_seconds if timeout_seconds < math.inf else None)
            try:
                async with limit:
                    found = {**_answer_of(await call(request)), "seconds": _since(began)}
            except BaseException as error:  # the boundary: whatever a handler raises is its request's failure
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # cancelled by the group, as the log could not be written
                if leaves and isinstance(error, JobError) and error.kind is FailureKind.UNAVAILABLE:
                    log.given_back(place)
                    unavailable = error
                    return
                seconds = time.monotonic() - began
                found = _late(timeout_seconds, seconds) if limit.expired() else _failure_of(error, seconds)
            leave_fork()
            log.answered(place, found)
            done += 1
            progress(done, len(todo))

    async with asyncio.TaskGroup() as group:
        for place, request in todo:
            group.create_task(one(place, request))
    if unavailable is not None:
        raise unavailable


def _outcome(call: _Handler, request: BatchRequest) -> dict[str, Any]:
    """Call a function; return its answer, or its failure."""
    began, cpu_began = time.monotonic(), time.thread_time()
    try:
        found = _answer_of(call(request))
        return {**found, "seconds": _since(began), "cpu": round(time.thread_time() - cpu_began, 6)}
    except BaseException as error:  # noqa: BLE001 - the boundary, as above; signals do not come to threads
        return _failure_of(error, time.monotonic() - began)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 6)


def _answer_of(value: Any) -> dict[str, Any]:
    """Return what a handler answered as JSON: content, vector, metadata, or its own error. Raises TypeError."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, tuple) and len(value) == 2:
        value = dict(zip(("content", "hrv_vector"), value, strict=True))
    elif isinstance(value, str) or value is None:
        value = {"content": value}
    if not isinstance(value, Mapping):
        raise _wrong_type(f"{type(value).__name__}")
    content, vector, metadata = value.get("content"), value.get("hrv_vector"), value.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise _wrong_type(f"{type(metadata).__name__} as its metadata")
    json.dumps(metadata, allow_nan=False)  # whose error says what is no JSON
    if not value.get("success", True) or value.get("error"):
        error = value.get("error") or "The handler says that it failed, and not why."
        return {"error": _sentence(str(error)), "kind": _kind_of_text(str(error)), "metadata": metadata}
    if not isinstance(content, str):
        raise _wrong_type(f"{type(content).__name__} as its content")
    if isinstance(vector, str | bytes | Mapping):  # whose parts may be numbers
        raise _wrong_type(f"{type(vector).__name__} as its vector")
    if vector is not None:
        vector = [float(number) for number in vector]
        if not all(map(math.isfinite, vector)):
            raise ValueError("The handler answered a vector with a number that is not finite.")
    return {"content": content, "vector": vector, "metadata": metadata}


def _wrong_type(what: str) -> TypeError:
    return TypeError(
        f"The handler answered {what}; it has to answer a text, a text and a vector, or a mapping with `content`."
    )


def _late(timeout_seconds: float, seconds: float) -> dict[str, Any]:
    return failure("timeout", f"The handler did not answer within {timeout_seconds:g} s.", seconds)


def _failure_of(error: BaseException, seconds: float) -> dict[str, Any]:
    if isinstance(error, JobError):
        return failure(failure_kind(error.kind), str(error), seconds)
    text = text_of(error)
    kind = next((kind for kinds, kind in _KINDS if isinstance(error, kinds)), None) or _kind_of_text(text)
    said = text if isinstance(error, TypeError) and text.startswith("The handler answered") else ""
    return failure(kind, said or f"{type(error).__name__}{f': {text}' if text else ''}", seconds)


def _kind_of_text(text: str) -> str:
    """Return the kind of a failure of which only a text is known."""
    words = text.lower()
    for kind, signs in (
        ("timeout", ("timeout", "timed out")),
        ("memory", ("memory",)),
        ("connection", ("connection", "network")),
        ("profile", ("profile",)),
        ("validation", ("invalid", "validation")),
    ):
        if any(sign in words for sign in signs):
            return kind
    return "unknown"


def _found(handler: Mapping[str, Any]) -> _Handler:
    if "chat" in handler:
        return partial(_chat, handler["chat"])
    try:
        if "pickled" in handler:
            import pickle

            found: Any = pickle.loads(base64.b64decode(handler["pickled"]))  # noqa: S301 - the caller's own function
        else:
            found = named(handler["function"])
    except Exception as error:  # modules of others run as they are imported
        what = f"The handler {handler.get('function', '')}".rstrip()
        raised = f"{type(error).__name__}: {text_of(error)}"
        raise JobError(FailureKind.UNSUPPORTED, _sentence(f"{what} cannot be loaded: {raised}")) from error
    called: _Handler = found
    return called


async def _chat(service: Mapping[str, Any], request: BatchRequest) -> str:
    """The handler that is there by default: a chat API."""
    from pyprocessor.net.chat import complete

    style = f"Answer in the style of this profile: {request.profile_name.replace('_', ' ')}."
    asked = {name: value for name, value in service.items() if name != "name"}
    return await complete([("system", style), ("user", request.prompt)], **asked)
