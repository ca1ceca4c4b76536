"""Imported by the forkserver of a run under test: batch processes die at one point of a file's way, once.

`STRESS_WORKER` says where: `spawned` (an ffmpeg was just started), `granted` (the grant is there, the file has no name
yet) or `renamed` (it has its name, which nobody was told). With `+engine` the engine is killed in the same moment.
The one that dies makes the file `STRESS_ONCE` and writes into it which output it was at, below the output root.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from pyprocessor.publish.publish import publish
from pyprocessor.workers import attempt, worker

_ENGINE = os.getppid()
"""This is imported in the forkserver, whose parent is the engine."""


def _die(output: bytes, *, engine: bool) -> None:
    try:
        told = os.open(os.environ["STRESS_ONCE"], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.write(told, output)
    os.close(told)
    if engine:
        os.kill(_ENGINE, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _set(named: str) -> None:
    point, _, more = named.partition("+")
    engine = more == "engine"
    spawn: Any = worker._Worker._spawn

    def published(partial: bytes, final: bytes, **options: Any) -> Any:
        output = os.path.relpath(final, options["bounds"].output_root)
        if point == "granted":
            _die(output, engine=engine)
        found = publish(partial, final, **options)
        if point == "renamed":
            _die(output, engine=engine)
        return found

    def spawned(of: Any, begun: Any, step: Any) -> None:
        spawn(of, begun, step)
        if point == "spawned":
            _die(begun.item.output, engine=engine)

    patched: Any = attempt
    patched.publish = published
    patched = worker
    patched._Worker._spawn = spawned


_set(os.environ["STRESS_WORKER"])
