"""`pyprocessor jobs`: which jobs does an output's journal know, and which are cancelled or done again?"""

from __future__ import annotations

import json
import shutil
from itertools import islice

import click

from pyprocessor.cli.control import Contact, hand_over
from pyprocessor.cli.dead import DEAD, Wanted, do_again, of_kinds, of_tenants
from pyprocessor.cli.session import Session, print_result, standard_output
from pyprocessor.control.client import Request, Verb
from pyprocessor.errors import UsageError
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import IN_HAND, JobState
from pyprocessor.models.wording import count, one_line
from pyprocessor.report import jobs as report
from pyprocessor.report.narration import encodable

MOST_NAMED = 20
"""Of jobs that one word may mean, so many are listed."""
LEAST_WIDTH = 40
_AGAIN = frozenset({JobState.SKIPPED, JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED})
"""The states of jobs that `retry` does again."""

_output = click.option("--output", required=True, metavar="DIR", help="The output folder of the jobs.")
_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True)
_ENDS = "Exit code: 0 done, 2 there is no such job, 75 a run is on and does not answer."


@click.group(invoke_without_command=True)
@click.pass_context
def jobs(ctx: click.Context) -> None:
    """List single jobs of an output folder, show one, cancel some or do them again.

    An ID may be cut short as long as it names one job, and a job's name will do where no other has it.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@jobs.command("list")
@_output
@click.option(
    "--state", "states", multiple=True, type=click.Choice([str(state) for state in JobState]), help="Only these."
)
@click.option("--dead", is_flag=True, help="Those that failed for good or were set aside.")
@click.option("--task", metavar="NAME", help="Only jobs of this task.")
@of_tenants
@of_kinds
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_jobs(
    session: Session,
    output: str,
    states: tuple[str, ...],
    dead: bool,
    task: str | None,
    tenants: tuple[str, ...],
    kinds: tuple[str, ...],
    limit: int | None,
    as_json: bool,
) -> None:
    """List jobs in the order in which they came: id, state, task, name, and why."""
    wanted = Wanted(
        frozenset((*map(JobState, states), *(DEAD if dead else ()))), [task] if task else (), tenants, kinds
    )
    with JournalReader.read_only(Contact(output).folder) as journal:
        found = wanted.of(journal)
        session.answered = True
        with standard_output() as stream:
            for row in islice(found, limit):
                stream.write(json.dumps(report.entry(row)) if as_json else encodable(report.line(row), stream))
                stream.write("\n")


@jobs.command()
@click.argument("job", metavar="ID|NAME")
@_output
@of_tenants
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_obj
def show(session: Session, job: str, output: str, tenants: tuple[str, ...], as_json: bool) -> None:
    """Show one job: what it is to do, what it waits for, how it went, and what it left."""
    with JournalReader.read_only(Contact(output).folder) as journal:
        details = report.JobDetails.of(journal, _one(journal, job, tenants))
    width = max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns)
    session.answered = as_json
    document = json.dumps(report.document(details), indent=2) + "\n" if as_json else ""
    print_result(document or report.text(details, width=width))


@jobs.command(epilog=_ENDS)
@_ids
@_output
@of_tenants
@click.pass_obj
def cancel(session: Session, ids: tuple[str, ...], output: str, tenants: tuple[str, ...]) -> None:
    """Cancel jobs, and what waits for them; one that is being worked on is ended."""
    contact = Contact(output)
    rows = _all(contact, ids, tenants)
    said = hand_over(contact, Request(Verb.CANCEL, jobs=tuple(rows)), lambda journal: _cancel(journal, rows), session)
    done = [f"{row.name} has ended already, as {_called(row)}." for row in rows.values() if row.final]
    print_result("\n".join([said, *done]) + "\n")


@jobs.command(epilog=_ENDS)
@_ids
@_output
@of_tenants
@click.pass_obj
def retry(session: Session, ids: tuple[str, ...], output: str, tenants: tuple[str, ...]) -> None:
    """Do jobs again that ended without success; what was cancelled for want of them waits again."""
    contact = Contact(output)
    rows = _all(contact, ids, tenants)
    said = hand_over(
        contact, Request(Verb.RETRY, jobs=tuple(rows)), lambda journal: do_again(journal, tuple(rows.values())), session
    )
    others = [f"{row.name} is {_called(row)}." for row in rows.values() if row.state not in _AGAIN]
    print_result("\n".join([said, *others]) + "\n")


def _cancel(journal: Journal, rows: dict[str, JobRow]) -> str:
    cancelled = [job_id for job_id in rows if journal.cancel(job_id)]
    for job_id in cancelled:
        journal.follow(job_id)
    lines = [f"{len(cancelled)} of {count(len(rows), 'job')} cancelled."]
    lines += [
        f"{row.name} was being worked on when its run was killed; cancel it once the next run has begun."
        for row in rows.values()
        if row.state in IN_HAND and row.id not in cancelled
    ]
    return "\n".join(lines)


def _called(row: JobRow) -> str:
    return row.state.replace("_", " ")


def _all(contact: Contact, given: tuple[str, ...], tenants: tuple[str, ...]) -> dict[str, JobRow]:
    """The jobs that these words name, by id, each once. Raises UsageError for a word that names none or several."""
    with JournalReader.read_only(contact.folder) as journal:
        rows = [_one(journal, word, tenants) for word in given]
    return {row.id: row for row in rows}


def _one(journal: JournalReader, word: str, tenants: tuple[str, ...]) -> JobRow:
    """The job that a word names, of these tenants where some are given."""
    found = journal.find(word, MOST_NAMED + 1, tenants)
    if len(found) == 1:
        return found[0]
    called = one_line(word)
    if not found:
        raise UsageError(f"There is no job {called}; `pyprocessor jobs list` shows all that there are.")
    more = ["... and more"] if len(found) > MOST_NAMED else []
    named = [f"  {report.line(row)}" for row in found[:MOST_NAMED]]
    raise UsageError("\n".join([f"Several jobs are called {called}; name one of them by its id:", *named, *more]))
