"""`pyprocessor status`: how far the run of an output folder is, or what the last one came to."""

from __future__ import annotations

import json
import shutil

import click

from pyprocessor.cli.contact import Contact
from pyprocessor.cli.session import Session, print_result
from pyprocessor.control.protocol import Request, Verb
from pyprocessor.errors import ExitCode, NoJournal, OutputBusy
from pyprocessor.journal.rows import Counts, RunRow
from pyprocessor.report import standing

LEAST_WIDTH = 40


@click.command(epilog="Exit code: 0 a run is going on, paused or not; 3 nothing runs.")
@click.option("--output", required=True, metavar="DIR", help="The output folder of the run.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_obj
def status(session: Session, output: str, as_json: bool) -> int:
    """Show how far the run of an output folder is: what it is at, counts, running files, memory, CPU, time left.

    Where nothing runs, tell what the last run came to.
    """
    contact = Contact(output)
    answer = contact.ask(Request(Verb.STATUS))
    if answer is not None and answer.standing is None:
        raise OutputBusy(answer.text)
    if answer is not None and answer.standing is not None:
        width = max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns)
        document, text = standing.document(answer.standing), standing.text(answer.standing, width=width)
        code = ExitCode.OK
    else:
        run, counts, lives = _journaled(contact)
        document, text = standing.last_document(run, counts, lives=lives), _last_text(contact, run, counts, lives=lives)
        code = ExitCode.OK if lives else ExitCode.NOT_RUNNING
    if as_json:
        session.answered = True
        print_result(json.dumps(document, indent=2) + "\n")
    else:
        print_result(text)
    return code


def _last_text(contact: Contact, run: RunRow | None, counts: Counts, *, lives: bool) -> str:
    return standing.last_text(run, counts, lives=lives, output=contact.shown)


def _journaled(contact: Contact) -> tuple[RunRow | None, Counts, bool]:
    """The run to tell of, how many files are in which state, and whether that run's engine lives."""
    living = contact.living()
    try:
        with contact.journal() as journal:
            return living or journal.last_run(), journal.counts(), living is not None
    except NoJournal:
        return None, Counts(), False
