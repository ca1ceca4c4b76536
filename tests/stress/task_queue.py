"""A program with a queue of tasks is killed while it adds and while it works, and begun anew with the same tasks.

What it was told to be added is in the journal, whenever the kill came. Nothing may be lost, nothing whose success was
committed may run again, and chains must keep their order.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.stress import audit
from tests.stress.command import Run, kill_all
from tests.stress.figures import Asked, Figures
from tests.stress.queue import (
    DISORDER,
    NEVER,
    POLL_SECONDS,
    RUN_SECONDS,
    Done,
    all_done,
    chains_of,
    check_calls,
    check_not_again,
    killed,
    lines_of,
    run_to_the_end,
)
from tests.stress.submitted import NAMES, JobsBench, check_sound, rows

FORGOTTEN = "tasks that were added, and that the journal does not have"


def measure(folder: Path, asked: Asked) -> Iterator[str]:
    """A line for every kill, then the figures; raises Broken behind them where one is not 0."""
    began = time.monotonic()
    figures = Figures((*NAMES, DISORDER, NEVER, FORGOTTEN))
    bench = JobsBench.below(folder)
    output, log, added = folder / "out", folder / "log", folder / "added"
    log.touch()
    added.touch()
    chains = chains_of(asked.jobs)
    count = asked.jobs + sum(map(len, chains))
    program = ("-m", "tests.stress.queue_program", str(output), str(asked.jobs), str(log), str(added))
    done: dict[str, Done] = {}
    try:
        run = bench.launch(program)
        if not _killed_while_adding(run, added, asked.jobs // 2):
            figures.add(NEVER, f"while adding: exit code {run.ended()}: {run.text()[-300:]!r}")
        _check_added(figures, output, added, "while adding")
        yield f"killed while adding: {lines_of(added)} tasks added"
        for number in range(1, asked.queue_kills + 1):
            run = bench.launch(program)
            if not killed(run, log, number * count // (asked.queue_kills + 1)):
                figures.add(NEVER, f"kill {number}: exit code {run.ended()}: {run.text()[-300:]!r}")
                break
            before, done = done, all_done(output, log)
            check_not_again(figures, before, done, f"kill {number}")
            _check_added(figures, output, added, f"kill {number}")
            yield f"kill {number}: {len(done)} tasks done, {lines_of(log)} calls made"
        run_to_the_end(figures, bench, bench.launch(program))
    finally:
        kill_all(bench.processes())
    check_sound(figures, output, "at the end")
    calls = check_calls(figures, output, log, chains)
    check_not_again(figures, done, all_done(output, log), "the last run")
    if len(rows(output)) != count:
        figures.add(audit.LOST, f"{len(rows(output))} tasks of {count} in the journal")
    seconds = time.monotonic() - began
    made = f"{calls} calls, of which {calls - count} repeat one whose end was not committed at a kill"
    yield f"{count} tasks, {asked.queue_kills + 1} kills, {made}, {seconds:.0f} s"
    yield from figures.table()


def _killed_while_adding(run: Run, added: Path, lines: int) -> bool:
    deadline = time.monotonic() + RUN_SECONDS
    while lines_of(added) < lines and run.ended() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if run.ended() is None:
        run.process.send_signal(signal.SIGKILL)
    return run.end(RUN_SECONDS) == -signal.SIGKILL


def _check_added(figures: Figures, output: Path, added: Path, told: str) -> None:
    known = set(rows(output))
    for name in sorted(set(added.read_text().split()) - known):
        figures.add(FORGOTTEN, f"{told}: {name}")
