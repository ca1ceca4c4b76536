"""What a call costs between the engine's pipe and the function: a worker alone with calls that do nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from pyprocessor.workers.messages import Answered, Ended
from tests.integration.worked import Bench, install

CALLS = 10_000
START_ROUNDS = 20
AHEAD = 2
"""Jobs that the worker has for each slot, as the engine sends them."""
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "one by one": (1, {"function": "noop"}),
    "coroutines, 64 at once": (64, {"function": "nap", "arguments": {"seconds": 0.0}, "coroutine": True}),
}


def measure(folder: Path) -> Iterator[str]:
    """Calls a second, and CPU time of a call in the worker and in the process that makes it; the start of that."""
    sys.path.insert(0, str(install(folder / "site")))
    for kind, (slots, params) in KINDS.items():
        bench = Bench(folder, slots=slots, own_process=True)
        bench.end_of(bench.ask(**params))
        yield f"{kind}: {_measured(bench, slots, params)}"
        bench.close()
    for name, command in (("a process for calls", "import pyprocessor.workers.call_main"), ("Python alone", "pass")):
        took = sorted(_seconds_of(command) * 1000 for _ in range(START_ROUNDS))
        yield f"start and end of {name}: {took[0]:.0f} ms at best, {took[len(took) // 2]:.0f} median"


def _measured(bench: Bench, slots: int, params: dict[str, Any]) -> str:
    items = [bench.item("ask", params) for _ in range(CALLS)]
    worker = psutil.Process(bench.worker.identity.pid)
    makers = worker.children()
    before = [_cpu_seconds(process) for process in (worker, *makers)]
    began, sent, done = time.perf_counter(), 0, 0
    while done < CALLS:
        more = items[sent : done + AHEAD * slots]
        if more:
            bench.worker.send(*more)
            sent += len(more)
        wait([bench.worker.connection])
        for told in bench.worker.receive():
            assert not isinstance(told, Ended), told
            done += isinstance(told, Answered)
    seconds = time.perf_counter() - began
    after = [_cpu_seconds(process) for process in (worker, *makers)]
    in_worker, *in_makers = (late - early for late, early in zip(after, before, strict=True))
    each = 1e6 / CALLS
    return (
        f"{CALLS / seconds:,.0f} calls/s, {in_worker * each:.0f} us of CPU time each in the worker and "
        f"{sum(in_makers) * each:.0f} in the process that makes it"
    )


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _seconds_of(command: str) -> float:
    began = time.perf_counter()
    psutil.Popen([sys.executable, "-c", command]).wait()
    return time.perf_counter() - began
