"""What does a call cost that does nothing? Of a worker alone, and of the whole command with many submitted jobs."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from pyprocessor.intake.submission import submissions
from pyprocessor.state.journal_opening import change_without_run
from pyprocessor.workers.messages import Answered, Ended
from tests.benchmarks.command import pyprocessor
from tests.integration.worked import Bench, install

CALLS = 10_000
JOBS = 100_000
LOOK_SECONDS = 0.1
START_ROUNDS = 20
AHEAD = 2
"""Jobs that the worker has for each slot, as the engine sends them."""
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "one by one": (1, {"function": "noop"}),
    "coroutines, 64 at once": (64, {"function": "nap", "arguments": {"seconds": 0.0}, "coroutine": True}),
}


def measure(folder: Path) -> Iterator[str]:
    """Calls a second, and CPU time of a call in the worker and in the process that makes it; the start of that."""
    site = str(install(folder / "site"))
    sys.path.insert(0, site)
    for kind, (slots, params) in KINDS.items():
        bench = Bench(folder, slots=slots, own_process=True)
        bench.end_of(bench.ask(**params))
        yield f"{kind}: {_measured(bench, slots, params)}"
        bench.close()
    for name, command in (("a process for calls", "import pyprocessor.workers.call_main"), ("Python alone", "pass")):
        took = sorted(_seconds_of(command) * 1000 for _ in range(START_ROUNDS))
        yield f"start and end of {name}: {took[0]:.0f} ms at best, {took[len(took) // 2]:.0f} median"
    yield _whole(folder / "whole", site)


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


def _whole(output: Path, site: str) -> str:
    """Have the command do many jobs that do nothing; what it took is looked at until just before its end."""
    output.mkdir()
    with change_without_run(os.fsencode(output), lambda *_: None) as journal:
        job = {"task": "ask", "params": {"function": "noop"}}
        journal.submit(submissions([{**job, "key": str(number)} for number in range(JOBS)], queue="q"))
    began = time.perf_counter()
    engine = psutil.Popen(pyprocessor("--output", output), env={**os.environ, "PYTHONPATH": site}, stdout=sys.stderr)
    taken: dict[int, tuple[str, float]] = {}
    peak = 0
    while engine.poll() is None:
        for process in (engine, *engine.children(recursive=True)):
            try:
                caller = any("call_main" in part for part in process.cmdline())
                part = "the engine" if process == engine else "processes for calls" if caller else "workers"
                taken[process.pid] = part, _cpu_seconds(process)
                peak = max(peak, engine.memory_info().rss)
            except psutil.Error:
                continue  # it has just ended
        time.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - began
    assert engine.returncode == 0, engine.returncode
    each: defaultdict[str, float] = defaultdict(float)
    for part, cpu_seconds in taken.values():
        each[part] += cpu_seconds * 1e6 / JOBS
    told = ", ".join(f"{cost:.0f} us in {part}" for part, cost in sorted(each.items()))
    return f"{JOBS:,} jobs by the command: {JOBS / seconds:,.0f}/s, of CPU time each {told}; at most {peak >> 20} MiB"


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _seconds_of(command: str) -> float:
    began = time.perf_counter()
    psutil.Popen([sys.executable, "-c", command]).wait()
    return time.perf_counter() - began
