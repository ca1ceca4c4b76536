"""A process of the engine's own: started by multiprocessing, spoken to over one pipe, ended by its process group.

Liveness is the pipe: the other end is held by that process alone, so end-of-file means that it is gone or has given up.
The process sentinel is not used, because it fires for every process when the forkserver dies although they run on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

from pyprocessor.engine.system import kill_group, process_identity
from pyprocessor.models import ProcessIdentity

PRELOADED = ("pyprocessor.engine.worker", "pyprocessor.engine.scout", "ffmpeg")


def start_method() -> str:
    """forkserver on Linux (starts in milliseconds from a clean, single-threaded parent), spawn elsewhere."""
    return "forkserver" if sys.platform == "linux" else "spawn"


def context(method: str | None = None) -> BaseContext:
    """The multiprocessing context for all our processes."""
    chosen = multiprocessing.get_context(method or start_method())
    if chosen.get_start_method() == "forkserver":
        chosen.set_forkserver_preload(list(PRELOADED))
    return chosen


class Child:
    """One process with its pipe. `setup` is what its entry point gets beside the pipe."""

    def __init__(self, context: BaseContext, entry: Callable[[Any, Any], None], setup: object, name: str) -> None:
        ours, theirs = context.Pipe(duplex=True)
        # BaseContext does not declare Process in typeshed, though every concrete context has it.
        self._process = context.Process(target=entry, args=(theirs, setup), name=name)  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()
        self.connection: Connection = ours
        self.pid: int = self._process.pid
        # One that has ended already is told by its pipe; the time only has to differ from any later process's.
        self.identity = process_identity(self.pid) or ProcessIdentity(self.pid, time.time())

    def send(self, message: object) -> bool:
        """False when nobody is at the other end any more; the end-of-file that follows tells the loop."""
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Iterator[Any]:
        """All messages that wait; raises EOFError when the other end is closed and everything was read."""
        try:
            while self.connection.poll(0):
                yield self.connection.recv()
        except (ConnectionResetError, BrokenPipeError) as error:
            raise EOFError from error

    def kill(self) -> None:
        """Kill the process and everything in its group, and let go of the pipe: nothing it says counts any more."""
        with contextlib.suppress(OSError):
            self.connection.close()
        kill_group(self.identity)

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs, or where nobody knows (its forkserver is gone)."""
        code: int | None = self._process.exitcode
        return code

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the process to be gone; True when it is."""
        self._process.join(timeout_seconds)
        return not self._process.is_alive()
