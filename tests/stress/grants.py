"""The kill table of grants: two products, one of them a folder, over free and over existing names, and a kill at every
moment of their way to these names (see `moments`).

Killed are the worker, the engine or both, in what the worker does once it is granted, in what the engine writes and
does from the grant on, and in what the next run does to settle what it finds. Behind every kill the same command must
leave both products whole and of one attempt, which has a receipt, and nothing else.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pyprocessor.errors import ExitCode
from pyprocessor.models import JobState
from pyprocessor.models.products import MAIN
from tests.stress import audit
from tests.stress.command import Run, kill_all
from tests.stress.figures import Asked, Figures
from tests.stress.moments import MOMENT, NO_EXCHANGE, ONCE, ONLY
from tests.stress.submitted import (
    AGAIN,
    FAULTY,
    MIXED,
    NAMES,
    JobsBench,
    attempt_of,
    check_sound,
    rows,
    submit,
    successes,
)

JOB = "reel"
RUN_SECONDS = 120.0
LEFT_SECONDS = 5.0
MOST_MOMENTS = 200
VICTIMS = ("worker", "engine", "both")


class Start(StrEnum):
    """What lies under the names, and what the file system can do."""

    FREE = "free names"
    TAKEN = "existing names"
    NO_EXCHANGE = "existing names, no exchange"


CUT_OFF = {
    Start.FREE: (("before fsync", 1), ("after exclusive rename", 1), ("after exclusive rename", 2)),
    Start.TAKEN: (("before fsync", 1), ("after exchange", 1), ("after exchange", 2)),
    Start.NO_EXCHANGE: (("after rename", 1), ("after exclusive rename", 1)),
}
"""How far the worker has come when it is killed with the engine, so that the next run has a grant to settle."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kill. `folder` is the role of the product that is a folder; where there is something to settle, `cut_off`
    says how far that had come: the nth moment of the worker that begins with a text."""

    start: Start
    folder: str
    where: str
    victims: str
    number: int = 1
    cut_off: tuple[str, int] = ("", 0)

    def __str__(self) -> str:
        text, count = self.cut_off
        where = f"{self.where} of what was cut off {text} {count}" if text else self.where
        return f"{self.start}, folder is {self.folder}: moment {self.number} of {where}, {self.victims}"


def series(names: tuple[str, ...] = ()) -> list[Case]:
    """The first kill of each row of kills; the others follow until there are no further moments."""
    found = [
        Case(start, "parts", where, victims)
        for start in (Start.FREE, Start.TAKEN)
        for where in ("worker", "engine")
        for victims in VICTIMS
    ]
    found += [
        Case(start, folder, where, "both")
        for start, folder in ((Start.TAKEN, MAIN), (Start.NO_EXCHANGE, "parts"))
        for where in ("worker", "engine")
    ]
    found += [
        Case(start, "parts", "recovery", "engine", cut_off=cut_off) for start in Start for cut_off in CUT_OFF[start]
    ]
    return [case for case in found if not names or {case.where, case.victims, case.start.name.lower()} & {*names}]


def measure(folder: Path, asked: Asked) -> Iterator[str]:
    """A line for every kill, then the table; raises Broken behind it where a figure is not 0."""
    began = time.monotonic()
    figures = Figures(NAMES)
    harness = Harness(folder, figures)
    table: dict[tuple[str, str], dict[str, list[bool]]] = {}
    kills = 0
    for first in series(asked.transitions):
        for case in harness.kills(first):
            before, at = len(figures.found), time.monotonic()
            told = harness.kill_at(case)
            if not told:
                break
            kills += 1
            well = len(figures.found) == before
            row = table.setdefault((case.where, told.partition(":")[0]), {})
            row.setdefault(f"{case.start}, {case.victims}", []).append(well)
            yield f"{'ok' if well else 'FAILED'}: {case}: {told} ({time.monotonic() - at:.1f} s)"
    yield from _shown(table)
    yield f"{kills} grants killed in {time.monotonic() - began:.0f} s"
    yield from figures.table()


def _shown(table: dict[tuple[str, str], dict[str, list[bool]]]) -> Iterator[str]:
    """The table: a line for every moment, with how many of its kills were mended."""
    for (where, moment), row in table.items():
        cells = [f"{column} {sum(kills)}/{len(kills)}" for column, kills in row.items()]
        yield f"{where}, {moment} | {' | '.join(cells)}"


class Harness:
    """The folders that runs begin with, and the runs."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self._folder = folder
        self._figures = figures
        self._bench = JobsBench.below(folder)
        sys.path.insert(0, str(folder / "site"))
        try:
            self._prepare()
        finally:
            sys.path.remove(str(folder / "site"))
        self._number = 0

    def _prepare(self) -> None:
        for folder in ("parts", MAIN):
            job = {"task": "reel", "key": JOB, "params": {"version": "first", "folder": folder}}
            anew = {**job, "params": {"version": "second", "folder": folder}}
            submit(self._start_of(Start.FREE, folder), [anew])
            taken = self._start_of(Start.TAKEN, folder)
            submit(taken, [job])
            self.finish(taken, "the run before")
            submit(taken, [anew])

    def _start_of(self, start: Start, folder: str) -> Path:
        return self._folder / f"{'free' if start is Start.FREE else 'taken'}-{folder}"

    def begin(self, case: Case, output: Path) -> None:
        """Make the folder that the run to be killed begins with."""
        text, count = case.cut_off
        if not text:
            shutil.copytree(self._start_of(case.start, case.folder), output)
            return
        cut_off = self._folder / f"{case.start.name}-{text}-{count}".replace(" ", "-").lower()
        if not cut_off.exists():
            shutil.copytree(self._start_of(case.start, case.folder), cut_off)
            once = self._folder / f"{cut_off.name}-once"
            run = self._start(cut_off, replace(case, where="worker", victims="both", number=count), once, only=text)
            assert run.end(RUN_SECONDS) == -signal.SIGKILL, run.text()
            assert self._bench.left_after(RUN_SECONDS) == []
            (cut_off / ".pyprocessor" / "control.sock").unlink()  # which cannot be copied
        shutil.copytree(cut_off, output)

    def _start(self, output: Path, case: Case, once: Path, *, only: str = "") -> Run:
        fault = {MOMENT: f"{case.where}/{case.number}/{case.victims}", ONCE: str(once), ONLY: only}
        if case.start is Start.NO_EXCHANGE:
            fault[NO_EXCHANGE] = "1"
        return self._bench.start(output, program=FAULTY, extra_environment=fault)

    def kills(self, first: Case) -> Iterator[Case]:
        """The kills of a row, one after another."""
        for number in range(1, MOST_MOMENTS):
            yield replace(first, number=number)
        raise AssertionError(f"{first}: it never ended")

    def kill_at(self, case: Case) -> str:
        """Do it, and look at what came out; returns what is told of it, nothing where that moment never came."""
        self._number += 1
        output = self._folder / f"out-{self._number:04}"
        once = self._folder / f"once-{self._number:04}"
        self.begin(case, output)
        try:
            return self._kill_at(case, output, once)
        finally:
            kill_all(self._bench.processes())
            if not any(str(case) in sentence for _, sentence in self._figures.found):
                shutil.rmtree(output)

    def _kill_at(self, case: Case, output: Path, once: Path) -> str:
        told = str(case)
        run = self._start(output, case, once)
        code = run.end(RUN_SECONDS)
        if not once.exists():
            if code != ExitCode.OK:
                self._figures.add(audit.EXITS, f"{told}: undisturbed {code}: {run.text()[-300:]!r}")
            return ""
        expected = ExitCode.OK if case.victims == "worker" else -signal.SIGKILL
        if code is None:
            self._figures.add(audit.HUNG, f"{told}: the run to be killed")
        elif code != expected:
            self._figures.add(audit.EXITS, f"{told}: the run to be killed {code}: {run.text()[-300:]!r}")
        seen = rows(output)[JOB]
        before = audit.outputs(output)
        if case.victims == "worker":
            self.check(case, output, told, swept=not _reported(output))
        # At once: a worker whose engine is gone may still be at work, which the next run is to end first.
        self.finish(output, told)
        self.check(case, output, told)
        now = rows(output)[JOB]
        if seen.state is JobState.SUCCEEDED and (now.attempts, audit.outputs(output)) != (seen.attempts, before):
            self._figures.add(AGAIN, f"{told}: {seen.attempts} attempts, then {now.attempts}")
        if seen.state is JobState.PUBLISHING and now.attempts != 1:
            self._figures.add(AGAIN, f"{told}: {now.attempts} attempts at what was granted")
        return f"{once.read_text()}: {seen.state} at the kill, {now.attempts} attempt(s)"

    def finish(self, output: Path, told: str) -> None:
        """Run the plain command to its end."""
        run = self._bench.start(output)
        code = run.end(RUN_SECONDS)
        if code is None:
            self._figures.add(audit.HUNG, f"{told}: the rerun")
        elif code != ExitCode.OK:
            self._figures.add(audit.EXITS, f"{told}: the rerun {code}: {run.text()[-300:]!r}")
        audit.look_for_traceback(self._figures, run.said, told)

    def check(self, case: Case, output: Path, told: str, *, swept: bool = True) -> None:
        """Nothing runs, and both products are there, whole, of the attempt that has the receipt, and nothing else."""
        for process in self._bench.left_after(LEFT_SECONDS):
            self._figures.add(audit.PROCESSES, f"{told}: {process.role} {process.pid}: {process.line}")
        check_sound(self._figures, output, told, swept=swept)
        row = rows(output)[JOB]
        if row.state is not JobState.SUCCEEDED:
            self._figures.add(audit.LOST, f"{told}: {row.state} {row.reason}")
            return
        folder, file = (JOB, f"{JOB}.parts") if case.folder == MAIN else (f"{JOB}.parts", JOB)
        found = audit.outputs(output)
        wanted = {os.fsencode(path) for path in (file, f"{folder}/one", f"{folder}/deep/two")}
        for name in found.keys() ^ wanted:
            self._figures.add(audit.DUPLICATES if name in found else audit.LOST, f"{told}: {name!r}")
        token = attempt_of(output, row)
        text = f"second {row.id[:20]}-{token}\n" * 1000
        for name in found.keys() & wanted:
            if (output / os.fsdecode(name)).read_text() != text:
                self._figures.add(MIXED, f"{told}: {name!r} is not of attempt {token}")
        if (times := successes(output)[JOB]) != (1 if case.start is Start.FREE else 2):
            self._figures.add(audit.REDONE, f"{told}: it succeeded {times} times")


def _reported(output: Path) -> bool:
    """Whether the worker told the engine that it had published: what it replaced is then its own to remove."""
    attempts = [attempt for _, made in audit.jobs_and_attempts(output) for attempt in made]
    return max(attempts, key=lambda attempt: attempt.id).usage is not None
