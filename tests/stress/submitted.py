"""Runs over submitted jobs: the command without an input, over an output whose journal has jobs, and what must hold."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyprocessor.intake.submission import submissions
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import FINAL_STATES, OutcomeKind, ProcessIdentity
from pyprocessor.publish.receipts import matches, read_receipts
from pyprocessor.state.state_folder import prepare_state_folder
from pyprocessor.tasks.registry import task
from tests.integration.worked import install
from tests.stress import audit
from tests.stress.command import COMMAND, ROOT, Bench, Run
from tests.stress.figures import Figures

QUEUE = "q"
FAULTY = ("-m", "tests.stress.faulty")
UNSOUND = "journals that are not sound"
MIXED = "products that are not whole, or not of one attempt"
AGAIN = "jobs run again whose success was committed"
NAMES = (*audit.ALL, UNSOUND, MIXED, AGAIN)


@dataclass(slots=True)
class JobsBench(Bench):
    """Where runs over submitted jobs happen; the package of their tasks is installed in `site`."""

    @classmethod
    def below(cls, folder: Path) -> JobsBench:
        install(folder / "site")
        return cls(folder, folder / "none", folder / "none")

    def environment(self) -> dict[str, str]:
        """Also where the package is found."""
        found = Bench.environment(self)
        return {**found, "PYTHONPATH": os.pathsep.join((str(ROOT), str(self.folder / "site")))}

    def arguments(self, output: Path, *more: str) -> list[str]:
        """Without an input, what was submitted to the output is done."""
        return [f"--output={output}", "--max-memory", "98", *more]

    def prune(
        self,
        output: Path,
        export: Path,
        *,
        program: Sequence[str] = COMMAND,
        extra_environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Begin to delete all finished jobs from the journal."""
        told = ("prune", f"--output={output}", f"--export={export}")
        return self.launch((*program, *told), extra_environment)

    def submit(
        self,
        output: Path,
        file: Path,
        *,
        program: Sequence[str] = COMMAND,
        extra_environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Begin to take in the jobs of a file."""
        told = ("submit", str(file), f"--output={output}", f"--queue={QUEUE}")
        return self.launch((*program, *told), extra_environment)


def submit(output: Path, documents: list[Mapping[str, object]]) -> None:
    """Take jobs in between runs. The tasks of the example must be importable."""
    task.cache_clear()
    output.mkdir(exist_ok=True)
    folder = prepare_state_folder(os.fsencode(output))
    with Journal.open(folder.path, wal=True) as journal:
        run_id = journal.begin_run("submit", ProcessIdentity(os.getpid(), 1.0))
        assert run_id
        journal.submit(submissions(documents, queue=QUEUE))
        journal.end_run(0)


def rows(output: Path) -> dict[str, JobRow]:
    """All jobs by their names."""
    return {row.name: row for row, _ in audit.jobs_and_attempts(output)}


def successes(output: Path) -> Counter[str]:
    """How often each job succeeded, by its name."""
    return Counter(
        row.name
        for row, attempts in audit.jobs_and_attempts(output)
        for attempt in attempts
        if attempt.outcome is OutcomeKind.SUCCEEDED
    )


def check_sound(figures: Figures, output: Path, told: str, *, swept: bool = True) -> None:
    """SQLite finds nothing wrong with the journal, no job is undecided, and once `swept` nothing half-made is left."""
    state = output / ".pyprocessor"
    with sqlite3.connect(f"file:{state / 'journal.sqlite3'}?mode=ro", uri=True) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    connection.close()
    if found != "ok" or broken:
        figures.add(UNSOUND, f"{told}: {found} {broken[:3]}")
    for name in os.listdir(state / "partial") if swept else ():
        figures.add(audit.TEMPORARY, f"{told}: partial {name}")
    for log in (state / "logs").iterdir():
        if not log.name.startswith("job-"):  # which has what the functions of tasks raise
            audit.look_for_traceback(figures, log, told)
    for row, attempts in audit.jobs_and_attempts(output):
        if row.state not in FINAL_STATES or any(attempt.ended_at is None for attempt in attempts):
            figures.add(audit.UNFINAL, f"{told}: {row.name} is {row.state}")


def attempt_of(output: Path, row: JobRow) -> str | None:
    """The token of the attempt whose receipt names what lies under all names of a job now; None where none does."""
    root = os.fsencode(output)
    for receipt in read_receipts(root + b"/.pyprocessor/receipts"):
        if {product for product, _ in receipt.products} == set(row.job.products) and matches(receipt, root):
            return receipt.token
    return None
