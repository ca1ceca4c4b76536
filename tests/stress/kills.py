"""A random one of our processes is killed at random moments through whole runs, again and again.

The same command is run over a fresh output until all is done: begun again whenever it was killed, killed again while it
works. When enough kills were made, what came out is compared with an undisturbed run. All choices follow from the seed,
but what they meet depends on the machine.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from subprocess import TimeoutExpired
from typing import TypeVar

from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.ffmpeg.tool import find
from pyprocessor.models import JobState, display
from tests.stress import audit
from tests.stress.audit import Watch
from tests.stress.clips import PROFILE, make_sources, write_profile
from tests.stress.command import Bench, Process, Role, Run, kill_all
from tests.stress.figures import Asked, Figures

Drawn = TypeVar("Drawn")

WEIGHTS = {
    Role.ENGINE: 3,
    Role.WORKER: 4,
    Role.FFMPEG: 4,
    Role.INSPECTOR: 3,
    Role.FORKSERVER: 2,
}
SIGNALS = {"SIGKILL": 75, "SIGSEGV": 8, "SIGTERM": 9, "SIGSTOP, SIGKILL": 8}
HOW_MANY = {"one": 75, "several": 15, "all": 10}
KILLS_PER_UNDISTURBED_RUN = 25
MEAN_SECONDS_AT_LEAST, MEAN_SECONDS_AT_MOST = 0.5, 4.0
"""Between two kills: in proportion to what the undisturbed run took, so that a slow machine gets as far in between."""
EARLY_SHARE = 0.25
"""Of the runs: their first kill comes within the mean time, while they still start."""
INSPECTOR_SHARE = 0.2
"""Of the runs: its inspector, which lives for moments only, is waited for and killed."""
INSPECTOR_WAITED_SECONDS = 15.0
INSPECTOR_SECONDS = 0.1
"""How long it is left alone, at most."""
STOPPED_SECONDS = (0.05, 0.6)
ORPHAN_SHARE = 0.3
"""Of the engine's own deaths: it is looked whether all it started ends by itself."""
LEFT_SECONDS = 5.0
CLIPS_PER_FILM = 10
"""Films are clips that are made in parts."""
RUN_SECONDS = 300.0
"""A run that takes longer hangs: all files together take a fraction."""
RUNS_PER_ROUND = 400
FINISHING_RUNS = 6
POLL_SECONDS = 0.02


@dataclass(slots=True)
class Tally:
    """What was done to the runs. `events` counts the moments of killing, each of one process or more."""

    events: int = 0
    processes: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    how_many: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0
    runs: int = 0
    rounds: int = 0
    outputs: int = 0


def measure(folder: Path, asked: Asked) -> Iterator[str]:
    """Lines of the table; raises Broken behind them where a figure is not 0."""
    began = time.monotonic()
    random = Random(asked.seed)
    ffmpeg = find(os.environ).path
    inputs, films = folder / "in", max(1, asked.clips // CLIPS_PER_FILM)
    make_sources(inputs, asked.clips, ffmpeg, random, films=films)
    bench = Bench(folder, inputs, write_profile(folder / "profile.yaml", f"{PROFILE}chunking: always\n"))
    yield f"seed {asked.seed}; {asked.clips} clips; kills of {asked.kills} moments"
    reference = folder / "reference"
    run = bench.start(reference)
    at = time.monotonic()
    assert run.end(RUN_SECONDS) == 0, run.text()
    undisturbed = time.monotonic() - at
    pace = min(max(undisturbed / KILLS_PER_UNDISTURBED_RUN, MEAN_SECONDS_AT_LEAST), MEAN_SECONDS_AT_MOST)
    whole = folder / "whole"
    run = bench.start(whole, "--chunking", "off")
    assert run.end(RUN_SECONDS) == 0, run.text()
    # A film of which a part failed for good is made whole.
    in_parts, at_once = (audit.all_frames(made, ffmpeg) for made in (reference, whole))
    frames = {name: {in_parts[name], at_once[name]} for name in in_parts}
    assert len(frames) == asked.clips, sorted(frames)
    assert sum(len(digests) > 1 for digests in frames.values()) == films
    yield f"{films} films are made in parts"
    yield f"the undisturbed run took {undisturbed:.1f} s on one core; a kill every {pace:.1f} s on average"
    figures, tally = Figures(audit.ALL), Tally()
    while tally.events < asked.kills:
        tally.rounds += 1
        before, output = tally.events, folder / f"out-{tally.rounds}"
        try:
            _Round(bench, output, random, figures, tally, asked.kills, pace).go()
        finally:
            kill_all(bench.processes())
        told = f"round {tally.rounds}"
        audit.compare(figures, output, frames, ffmpeg, told)
        audit.inspect_state(figures, output, told)
        tally.outputs += len(frames)
        yield f"{told}: {tally.events - before} kills, {len(figures.found)} cases so far"
    for said in sorted(folder.glob("said-*.txt")):
        audit.look_for_traceback(figures, said, "standard error")
    yield from _told(tally, time.monotonic() - began)
    yield from figures.table()


def _told(tally: Tally, seconds: float) -> Iterator[str]:
    yield f"{tally.events} kills in {tally.runs} runs over {tally.rounds} fresh outputs took {seconds:.0f} s"
    for what, counter in (
        ("killed processes", tally.processes),
        ("by", tally.signals),
        ("at once", tally.how_many),
        ("runs ended with", tally.exits),
    ):
        yield f"{what}: " + ", ".join(f"{name} {count}" for name, count in counter.most_common())
    yield f"files set aside after two deaths of ours, and done with --retry-failed: {tally.quarantined}"
    yield f"outputs fully decoded and compared: {tally.outputs}"


class _Round:
    """One fresh output, until all of it is done."""

    def __init__(
        self, bench: Bench, output: Path, random: Random, figures: Figures, tally: Tally, kills: int, pace: float
    ) -> None:
        self._bench = bench
        self._output = output
        self._random = random
        self._figures = figures
        self._tally = tally
        self._kills = kills
        self._pace = pace
        self._told = f"round {tally.rounds}"
        self._engine_signals: set[int] = set()

    def go(self) -> None:
        more: tuple[str, ...] = ()
        calm = 0
        with Watch(self._output) as watch:
            for _ in range(RUNS_PER_ROUND):
                disturbed = self._tally.events < self._kills
                calm += not disturbed
                run = self._bench.start(self._output, *more)
                self._tally.runs += 1
                code = self._through(run) if disturbed else run.end(RUN_SECONDS)
                watch.look()
                if code is None:
                    self._figures.add(audit.HUNG, f"{self._told}: {run.said.name}")
                    kill_all(self._bench.processes())
                    continue
                if code == 0:
                    break
                more = self._what_more(run, code)
                if calm > FINISHING_RUNS:
                    self._figures.add(audit.EXITS, f"{self._told}: {calm} undisturbed runs did not get all done")
                    break
            self._look_for_left("after the last run")
        for path, (first, last) in watch.changed.items():
            self._figures.add(audit.REDONE, f"{self._told}: {display(path)} was {first} and is {last}")
        for left in os.listdir(self._bench.temporary):
            self._figures.add(audit.TEMPORARY, f"{self._told}: {left} in the folder for temporary files")

    def _look_for_left(self, when: str) -> None:
        left = self._bench.left_after(LEFT_SECONDS)
        for process in left:
            self._figures.add(audit.PROCESSES, f"{self._told}, {when}: {process.role} {process.pid}: {process.line}")
        kill_all(left)

    def _what_more(self, run: Run, code: int) -> tuple[str, ...]:
        """See whether the exit code is explained by what was done; returns the options of the next run."""
        self._tally.exits[_name(code)] += 1
        sent = self._engine_signals
        if -code in sent or (code == ExitCode.TERMINATED and signal.SIGTERM in sent):
            return ()
        if code == ExitCode.SOME_FAILED:
            aside = 0
            for row, _ in audit.jobs_and_attempts(self._output):
                if row.state in (JobState.FAILED, JobState.QUARANTINED):
                    aside += 1
                    if row.failure is not FailureKind.CRASH:
                        self._figures.add(
                            audit.EXITS, f"{self._told}: {display(row.source.relative)} {row.failure}: {row.reason}"
                        )
            self._tally.quarantined += aside
            if aside:
                return ("--retry-failed",)
        self._figures.add(audit.EXITS, f"{self._told}: exit code {code}: {run.text()[-300:]!r}")
        return ()

    # ------------------------------------------------------------ killing

    def _through(self, run: Run) -> int | None:
        """Kill at random moments until the run has ended; its exit code, or None where it hangs."""
        self._engine_signals = set()
        hung_at = time.monotonic() + RUN_SECONDS
        early = self._random.random() < EARLY_SHARE
        if self._random.random() < INSPECTOR_SHARE:
            self._kill_inspector(run)
        while True:
            wait = self._random.uniform(0, self._pace) if early else self._random.expovariate(1 / self._pace)
            early = False
            at = time.monotonic() + wait
            while time.monotonic() < at:
                if (code := run.ended()) is not None:
                    return code
                time.sleep(POLL_SECONDS)
            if time.monotonic() > hung_at:
                return run.end(0.0)
            if self._tally.events >= self._kills:
                return run.end(RUN_SECONDS)
            hit = self._kill(run)
            if hit == {Role.ENGINE} and run.ended() is not None and self._random.random() < ORPHAN_SHARE:
                self._look_for_left("after the engine's death alone")

    def _kill(self, run: Run) -> set[Role]:
        """Kill one process, several or all; returns the roles that were hit."""
        how_many = _drawn(self._random, HOW_MANY)
        processes = sorted(self._bench.processes(self._output), key=lambda p: p.pid)
        if how_many == "one":
            there = {role: weight for role, weight in WEIGHTS.items() if any(p.role is role for p in processes)}
            if not there:
                return set()
            role = _drawn(self._random, there)
            chosen = [self._random.choice([p for p in processes if p.role is role])]
        elif how_many == "several":
            chosen = [p for p in processes if self._random.random() < 0.5]
        else:
            chosen = processes
        by = _drawn(self._random, SIGNALS)
        hit = self._signal(chosen, by, run)
        self._count(hit, by, how_many)
        if any(process.pid == run.pid for process in hit) and by != "SIGTERM":
            with suppress(TimeoutExpired):
                run.process.wait(LEFT_SECONDS)
        return {process.role for process in hit}

    def _kill_inspector(self, run: Run) -> None:
        """Kill the inspector soon after it has come, if it is seen."""
        end = time.monotonic() + INSPECTOR_WAITED_SECONDS
        while time.monotonic() < end and run.ended() is None:
            found = self._bench.processes(self._output)
            inspectors = [process for process in found if process.role is Role.INSPECTOR]
            if not inspectors and any(process.role is Role.WORKER for process in found):
                return  # it has come and gone
            if inspectors:
                time.sleep(self._random.uniform(0, INSPECTOR_SECONDS))
                by = _drawn(self._random, SIGNALS)
                self._count(self._signal(inspectors[:1], by, run), by, "one")
                return

    def _count(self, hit: Sequence[Process], by: str, how_many: str) -> None:
        if hit:
            self._tally.events += 1
            self._tally.how_many[how_many] += 1
            self._tally.signals[by] += 1
            self._tally.processes.update(process.role.value for process in hit)

    def _signal(self, chosen: Sequence[Process], by: str, run: Run) -> list[Process]:
        numbers = [getattr(signal, name) for name in by.split(", ")]
        hit = [process for process in chosen if self._bench.send(process, numbers[0])]
        if len(numbers) > 1:
            time.sleep(self._random.uniform(*STOPPED_SECONDS))
            for process in hit:
                self._bench.send(process, numbers[1])
        if any(process.pid == run.pid for process in hit):
            self._engine_signals.add(numbers[-1])
        return hit


def _drawn(random: Random, weights: Mapping[Drawn, int]) -> Drawn:
    return random.choices(list(weights), list(weights.values()))[0]


def _name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
