"""`pyprocessor prune`: finished jobs leave the journal once they are safe in a file."""

from __future__ import annotations

import os
import time

import click

from pyprocessor.cli.control import Contact
from pyprocessor.cli.session import Session, print_result
from pyprocessor.errors import UsageError
from pyprocessor.intake.paths import absolute
from pyprocessor.models import display
from pyprocessor.models.wording import count
from pyprocessor.profiles.quantities import parse_duration
from pyprocessor.publish.durable import new_file
from pyprocessor.report.jobs import write_export
from pyprocessor.state.journal_opening import change_without_run


@click.command(epilog="Exit code: 0 done, or nothing to do; 74 the file cannot be written; 75 a run is on.")
@click.option("--output", required=True, metavar="DIR", help="The output folder of the jobs.")
@click.option("--older-than", default="0", metavar="TIME", help="Only jobs that ended longer ago: 30d, 12h.")
@click.option("--keep", default=0, type=click.IntRange(min=0), metavar="N", help="Leave the N jobs that ended last.")
@click.option("--export", required=True, metavar="FILE", help="Where they are written, as JSON lines; a new file.")
@click.pass_obj
def prune(session: Session, output: str, older_than: str, keep: int, export: str) -> None:
    """Write finished jobs to a file and delete them from the journal, while no run is on.

    A job stays that others still need, and so do files of a folder that failed or were left out: their rows are why
    they are not tried again. Outputs stay known, so nothing is made twice.
    """
    try:
        before = time.time() - parse_duration(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than {error}.") from None
    path = absolute(export, "--export")
    if os.path.lexists(path):
        raise UsageError(f"{display(path)} exists already; name a file that does not.")
    contact = Contact(output)
    with change_without_run(contact.output, session.warn) as journal:
        number = journal.select_prunable(before=before, keep=keep)
        if number:
            with new_file(path) as stream:
                write_export(stream, journal.prunable(), journal)
            journal.prune()
    if number:
        print_result(f"{count(number, 'job')} written to {display(path)} and deleted from the journal.\n")
    else:
        print_result("No job is to be pruned.\n")
