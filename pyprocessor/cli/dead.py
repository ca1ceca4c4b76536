"""`pyprocessor retry --dead`: which jobs failed for good or were set aside, and which of them are done again?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import click

from pyprocessor.cli.control import Contact, hand_over
from pyprocessor.cli.session import Session, print_result
from pyprocessor.control.client import Request, Verb
from pyprocessor.errors import FailureKind, UsageError
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import JobState, Origin
from pyprocessor.models.wording import count
from pyprocessor.report import jobs as report

DEAD = (JobState.FAILED, JobState.QUARANTINED)
MOST_NAMED = 20

of_tenants = click.option("--tenant", "tenants", multiple=True, metavar="NAME", help="Only jobs of this tenant.")
of_kinds = click.option(
    "--kind", "kinds", multiple=True, type=click.Choice([str(kind) for kind in FailureKind]), help="Only such failures."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are meant; what is empty bounds nothing."""

    states: frozenset[JobState] = frozenset()
    tasks: Sequence[str] = ()
    tenants: Sequence[str] = ()
    kinds: Sequence[str] = ()

    def of(self, journal: JournalReader) -> Iterator[JobRow]:
        """Those of the journal, in the order in which they came."""
        # One state has an index.
        rows = journal.jobs(next(iter(self.states))) if len(self.states) == 1 else journal.jobs()
        return filter(self._has, rows)

    def _has(self, row: JobRow) -> bool:
        bounds = (
            (self.states, row.state),
            (self.tasks, row.task),
            (self.tenants, row.tenant),
            (self.kinds, row.failure),
        )
        return all(not wanted or found in wanted for wanted, found in bounds)


@click.command(epilog="Exit code: 0 done, or nothing to do; 75 a run is on and does not answer.")
@click.option("--output", required=True, metavar="DIR", help="The output folder of the jobs.")
@click.option("--dead", is_flag=True, help="All jobs that failed for good or were set aside; required.")
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Only jobs of this task.")
@of_tenants
@of_kinds
@click.pass_obj
def retry(
    session: Session,
    output: str,
    dead: bool,
    tasks: tuple[str, ...],
    tenants: tuple[str, ...],
    kinds: tuple[str, ...],
) -> None:
    """Do all jobs again that failed for good or were set aside, with the reasons that they have now.

    Their counts of tries begin anew, and what was cancelled for want of them waits again. A run that is on does them
    now, else the next one does. `pyprocessor jobs list --dead` shows them, and changes nothing.
    """
    if not dead:
        raise UsageError("Say --dead to do all jobs again that failed; `pyprocessor jobs retry ID` does single ones.")
    contact = Contact(output)
    with JournalReader.read_only(contact.folder) as journal:
        found = Wanted(frozenset(DEAD), tasks, tenants, kinds).of(journal)
        rows = [row for row in found if row.origin is not Origin.CHILD]  # those are done again with what they are of
    if not rows:
        print_result("No such job failed for good.\n")
        return
    ids = tuple(row.id for row in rows)
    said = hand_over(contact, Request(Verb.RETRY, jobs=ids), lambda journal: do_again(journal, rows), session)
    failures = Counter((row.failure or "unknown").replace("_", " ") for row in rows)
    lines = [report.line(row) for row in islice(rows, MOST_NAMED)]
    lines += [f"... and {len(rows) - MOST_NAMED:,} more"] if len(rows) > MOST_NAMED else []
    kinds_named = ", ".join(f"{number} {kind}" for kind, number in failures.most_common())
    print_result("\n".join([*lines, f"{said} Their failures: {kinds_named}."]) + "\n")


def do_again(journal: Journal, rows: Sequence[JobRow]) -> str:
    """Have jobs done again that ended without success; returns a sentence."""
    again = [row for row in rows if journal.retry(row.id)]
    files = any(row.origin is Origin.FOLDER for row in again)
    over_it = ", files of a folder by the next one over it" if files else ""  # other runs do not look at them
    return f"{len(again)} of {count(len(rows), 'job')} will be done again, by the next run{over_it}."
