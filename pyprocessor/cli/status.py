"""`pyprocessor status`: how far is the run of an output folder, or what did the last one come to?"""

from __future__ import annotations

import json
import shutil

import click

from pyprocessor.cli.contact import Contact
from pyprocessor.cli.session import Session, print_result
from pyprocessor.control.client import Request, Verb
from pyprocessor.errors import ExitCode, NoJournal, OutputBusy
from pyprocessor.journal.rows import Counts, RunRow
from pyprocessor.report import status as report_status

LEAST_WIDTH = 40


@click.command(epilog="Exit code: 0 a run is going on, paused or not; 3 nothing runs.")
@click.option("--output", required=True, metavar="DIR", help="The output folder of the run.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_obj
def status(session: Session, output: str, as_json: bool) -> int:
    """Show how far the run of an output folder is: what it is at, counts, running files, memory, CPU, time left.

    Where nothing runs, show what the last run came to.
    """
    contact = Contact(output)
    answer = contact.ask(Request(Verb.STATUS))
    if answer is not None:
        if answer.standing is None:
            raise OutputBusy(answer.text)
        width = max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns)
        document, text = report_status.document(answer.standing), report_status.text(answer.standing, width=width)
        runs = True
    else:
        run, counts, runs = _journaled(contact)
        document = report_status.last_document(run, counts, lives=runs)
        text = report_status.last_text(run, counts, lives=runs, output=contact.shown)
    if as_json:
        session.answered = True
        text = json.dumps(document, indent=2) + "\n"
    print_result(text)
    return ExitCode.OK if runs else ExitCode.NOT_RUNNING


def _journaled(contact: Contact) -> tuple[RunRow | None, Counts, bool]:
    """The newest run, how many files are in which state, and whether that run's engine lives."""
    living = contact.living()
    try:
        with contact.journal() as journal:
            return living or journal.last_run(), journal.counts(), living is not None
    except NoJournal:
        return None, Counts(), False
