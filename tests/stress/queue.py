"""The engine is killed again and again midway through many short submitted jobs, and begun anew by the same command.

Each job appends its number to one file. Half as many jobs again stand in chains, each waiting for the one before it.
Nothing may be lost, nothing whose success was committed may run again, and chains must keep their order.
"""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pyprocessor.errors import ExitCode
from pyprocessor.models import JobState
from tests.stress import audit
from tests.stress.command import Run, kill_all
from tests.stress.figures import Asked, Figures
from tests.stress.submitted import AGAIN, NAMES, JobsBench, check_sound, rows, submit, successes

DISORDER = "jobs of a chain that ran before the one they wait for"
NEVER = "kills that came too late"
RUN_SECONDS = 1800.0
LEFT_SECONDS = 5.0
POLL_SECONDS = 0.01

Done = tuple[int, int]
"""Attempts at a job, and calls that were made for it."""


def measure(folder: Path, asked: Asked) -> Iterator[str]:
    """A line for every kill, then the figures; raises Broken behind them where one is not 0."""
    began = time.monotonic()
    figures = Figures((*NAMES, DISORDER, NEVER))
    bench = JobsBench.below(folder)
    output, log = folder / "out", folder / "log"
    log.touch()
    chains = chains_of(asked.jobs)
    documents = [*jobs(asked.jobs, log), *(job for chain in chains for job in chain_jobs(chain, log))]
    sys.path.insert(0, str(folder / "site"))
    try:
        submit(output, documents)
    finally:
        sys.path.remove(str(folder / "site"))
    yield f"{len(documents)} jobs submitted, {sum(map(len, chains))} of them in {len(chains)} chains"
    done: dict[str, Done] = {}
    try:
        for number in range(1, asked.queue_kills + 1):
            run = bench.start(output)
            if not killed(run, log, number * len(documents) // (asked.queue_kills + 1)):
                figures.add(NEVER, f"kill {number}: exit code {run.ended()}: {run.text()[-300:]!r}")
                break
            before, done = done, all_done(output, log)
            check_not_again(figures, before, done, f"kill {number}")
            yield f"kill {number}: {len(done)} jobs done, {lines_of(log)} calls made"
        run_to_the_end(figures, bench, bench.start(output))
    finally:
        kill_all(bench.processes())
    check_sound(figures, output, "at the end")
    calls = check_calls(figures, output, log, chains)
    check_not_again(figures, done, all_done(output, log), "the last run")
    seconds = time.monotonic() - began
    made = f"{calls} calls, of which {calls - len(documents)} repeat one whose end was not committed at a kill"
    yield f"{len(documents)} jobs, {asked.queue_kills} kills, {made}, {seconds:.0f} s"
    yield from figures.table()


def run_to_the_end(figures: Figures, bench: JobsBench, run: Run) -> None:
    """Wait for a run that is not killed; it succeeds and leaves nothing running."""
    code = run.end(RUN_SECONDS)
    if code != ExitCode.OK:
        figures.add(audit.HUNG if code is None else audit.EXITS, f"the last run: {code} {run.text()[-300:]!r}")
    for process in bench.left_after(LEFT_SECONDS):
        figures.add(audit.PROCESSES, f"{process.role} {process.pid}: {process.line}")


def chains_of(count: int) -> list[range]:
    """The numbers of the jobs in chains beside so many that are in none: as many chains as each is long."""
    length = round(math.sqrt(count / 2))
    return [range(count + place * length, count + (place + 1) * length) for place in range(length)]


def jobs(count: int, log: Path) -> Iterator[Mapping[str, object]]:
    """Jobs that wait for nothing."""
    return (_job(number, log) for number in range(count))


def chain_jobs(chain: range, log: Path) -> Iterator[Mapping[str, object]]:
    """Jobs of which each waits for the one before it."""
    return (_job(number, log, *([str(number - 1)] if number > chain.start else [])) for number in chain)


def _job(number: int, log: Path, *after: str) -> Mapping[str, object]:
    params = {"function": "note", "arguments": {"log": str(log), "text": str(number)}}
    return {"task": "ask", "key": str(number), "after": list(after), "params": params}


def killed(run: Run, log: Path, lines: int) -> bool:
    """Kill the engine, and nothing else, once so many calls were made; False where it ended before."""
    deadline = time.monotonic() + RUN_SECONDS
    while lines_of(log) < lines and run.ended() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if run.ended() is None:
        run.process.send_signal(signal.SIGKILL)
    return run.end(RUN_SECONDS) == -signal.SIGKILL


def lines_of(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def all_done(output: Path, log: Path) -> dict[str, Done]:
    """The jobs whose success is committed, by their names, with what was done for them."""
    path = output / ".pyprocessor" / "journal.sqlite3"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT relative, attempts FROM jobs WHERE state = 'succeeded'"
        found = {os.fsdecode(name): int(attempts) for name, attempts in connection.execute(query)}
    finally:
        connection.close()
    calls = Counter(log.read_text().split())
    return {name: (attempts, calls[name]) for name, attempts in found.items()}


def check_not_again(figures: Figures, before: dict[str, Done], now: dict[str, Done], told: str) -> None:
    for name, done in before.items():
        if now.get(name) != done:
            figures.add(
                AGAIN, f"{told}: {name} had taken {done} attempts and calls when it was done, now {now.get(name)}"
            )


def check_calls(figures: Figures, output: Path, log: Path, chains: list[range]) -> int:
    """Every job has succeeded once, in the order of its chain; returns how many calls were made for that."""
    made = log.read_text().split()
    calls, times = Counter(made), successes(output)
    first = {number: place for place, number in reversed(list(enumerate(made)))}
    last = {number: place for place, number in enumerate(made)}
    for name, row in rows(output).items():
        if row.state is not JobState.SUCCEEDED or times[name] != 1 or not calls[name]:
            figures.add(audit.LOST, f"{name}: {row.state} {row.reason}, {times[name]} successes, {calls[name]} calls")
    for chain in chains:
        for number in chain[1:]:
            if last.get(str(number - 1), len(made)) > first.get(str(number), -1):
                figures.add(DISORDER, f"{number} before {number - 1}")
    return len(made)
