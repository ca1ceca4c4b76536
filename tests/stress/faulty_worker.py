"""Imported by the forkserver of a run under test: batch processes die at one point of a file's way, once.

`STRESS_WORKER` says where: `spawned` (an ffmpeg was just started), `granted` (the grant is there, the file has no name
yet) or `renamed` (it has its name, which nobody was told). With `+engine` the engine is killed in the same moment.
The one that dies makes the file `STRESS_ONCE` and writes into it which output it was at, below the output root.
`STRESS_MOMENT` is for `moments`.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from pyprocessor.workers.attempt import Attempt
from pyprocessor.workers.attempts import Attempts
from tests.stress import moments

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
    publish: Any = Attempt.publish
    spawn: Any = Attempts._spawn

    def published(of: Attempt, *given: Any, **options: Any) -> Any:
        output = of.item.products[0].name
        if point == "granted":
            _die(output, engine=engine)
        found = publish(of, *given, **options)
        if point == "renamed":
            _die(output, engine=engine)
        return found

    def spawned(of: Any, begun: Attempt, step: Any) -> Any:
        run = spawn(of, begun, step)
        if point == "spawned":
            _die(begun.item.products[0].name, engine=engine)
        return run

    patched: Any = Attempt
    patched.publish = published
    patched = Attempts
    patched._spawn = spawned


if os.environ.get("STRESS_WORKER"):
    _set(os.environ["STRESS_WORKER"])
if os.environ.get(moments.MOMENT):
    moments.set_in_forkserver()
