"""Handlers of requests, as users write them: good ones, and ones that fail in every way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from pyprocessor.workers.requests import BatchRequest


class Mute(Exception):
    """One that has no text."""

    def __str__(self) -> str:
        raise RuntimeError


RAISED: dict[str, type[BaseException]] = {
    "value": ValueError,
    "timeout": TimeoutError,
    "lost": ConnectionResetError,
    "cancelled": asyncio.CancelledError,
    "interrupt": KeyboardInterrupt,
    "exit": SystemExit,
    "mute": Mute,
}


def answer(request: BatchRequest) -> Any:
    """Do what the prompt says, by its first word."""
    act, _, rest = request.prompt.partition(" ")
    match act:
        case "raise":
            raise RAISED[rest]("No luck today.")
        case "fail":
            return {"success": 0, "error": "No luck.", "metadata": [rest]}
        case "fork":
            if os.fork() == 0:
                return "twice"
        case "hang":
            time.sleep(3600)
        case "kill":
            os.killpg(0, signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "memory":
            raise MemoryError
        case "number":
            return 5
        case "vector":
            return request.id, [1.0, float(len(request.id))]
        case "mapping":
            return {"content": rest, "metadata": {"model": "m"}}
        case "set":
            return {"content": rest, "metadata": {"model": {1}}}
        case "pid":
            return f"{os.getpid()} {time.monotonic_ns()}"
        case "once":  # hangs the first time
            if not os.path.exists(rest):
                open(rest, "x").close()
                time.sleep(3600)
        case "append":
            with open(rest, "a") as file:
                file.write(f"{request.id}\n")
    return f"{request.id}: {request.prompt}"


async def answer_later(request: BatchRequest) -> Any:
    """The same as a coroutine."""
    if request.prompt == "hang":
        await asyncio.sleep(3600)
    await asyncio.sleep(0.001)
    return answer(request)


def nap(request: BatchRequest) -> str:
    """Wait for so many seconds as the prompt says."""
    time.sleep(float(request.prompt))
    return request.id


async def nap_later(request: BatchRequest) -> str:
    """The same as a coroutine."""
    await asyncio.sleep(float(request.prompt))
    return request.id


def work(request: BatchRequest) -> str:
    """Compute for so many seconds as the prompt says."""
    until = time.thread_time() + float(request.prompt)
    while time.thread_time() < until:
        pass
    return request.id
