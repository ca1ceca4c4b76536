"""`pyprocessor pause`, `resume`, `stop` and `status`: what is asked of the run of an output folder.

Requests go over the socket in the run's state folder. Where there is none, or no answer, a signal goes to the process
that the journal names, if its start time shows that it is the same one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import time
from collections.abc import Callable

import click

from pyprocessor.cli.session import Session, print_result
from pyprocessor.control.client import PATIENCE_SECONDS, Answer, Request, Unanswered, Verb, ask, signal_engine
from pyprocessor.control.run_mode import Order
from pyprocessor.errors import ExitCode, NoJournal, OutputBusy, UsageError
from pyprocessor.intake.paths import output_folder, output_of_a_run
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import Counts, RunRow
from pyprocessor.models import display
from pyprocessor.report import status as report_status
from pyprocessor.state.journal_opening import change_without_run
from pyprocessor.state.state_folder import state_folder
from pyprocessor.system.processes import is_alive

BETWEEN_SECONDS = 0.5
"""A run that begins or ends right now has no socket for a moment."""
NOTED_SECONDS = 10.0
"""How long a run may take to journal that a signal has come."""
HANDING_SECONDS = 60.0
"""How long a run may take over many jobs that are handed to it at once."""
LOOK_SECONDS = 0.1
LEAST_WIDTH = 40
_ENDS = "Exit code: 0 done, 3 nothing runs, 75 the run cannot do it or be reached."

_output = click.option("--output", required=True, metavar="DIR", help="The output folder of the run.")


@click.command(epilog=_ENDS)
@_output
@click.option("--now", is_flag=True, help="Suspend running files, too; nothing of them is lost.")
def pause(output: str, now: bool) -> int:
    """Have the run of an output folder start nothing more until it is resumed; running files are finished.

    A run that is paused waits for ever. It can be resumed or stopped, and a new run never begins paused.
    """
    return _steer(output, Request(Verb.PAUSE, now))


@click.command(epilog=_ENDS)
@_output
def resume(output: str) -> int:
    """Have a paused run go on: suspended files are continued, and new ones are started."""
    return _steer(output, Request(Verb.RESUME))


@click.command(epilog=_ENDS)
@_output
@click.option("--now", is_flag=True, help="End running files as well; the next run does them again.")
def stop(output: str, now: bool) -> int:
    """Have the run of an output folder finish its running files and stop, as Ctrl-C does.

    Returns at once; the same command line goes on from there later.
    """
    return _steer(output, Request(Verb.STOP, now))


@click.command(epilog="Exit code: 0 a run is going on, paused or not; 3 nothing runs.")
@_output
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
        width = max(LEAST_WIDTH, _columns())
        document, text = report_status.document(answer.standing), report_status.text(answer.standing, width=width)
        runs = True
    else:
        run, counts = contact.living(), Counts()
        runs = run is not None
        with contextlib.suppress(NoJournal), JournalReader.read_only(contact.folder) as journal:
            run, counts = run or journal.last_run(), journal.counts()
        document = report_status.last_document(run, counts, lives=runs)
        text = report_status.last_text(run, counts, lives=runs, output=contact.shown)
    if as_json:
        session.answered = True
        text = json.dumps(document, indent=2) + "\n"
    print_result(text)
    return ExitCode.OK if runs else ExitCode.NOT_RUNNING


def _columns() -> int:
    return shutil.get_terminal_size((80, 24)).columns


class Contact:
    """The run of one output folder, as far as it can be reached.

    Raises `UsageError` where there was none, unless the output `may_be_new`.
    """

    def __init__(self, given: str, *, may_be_new: bool = False) -> None:
        self.output = output_folder(given) if may_be_new else output_of_a_run(given)
        self.folder = state_folder(self.output).path
        self.shown = display(self.output)

    def ask(self, request: Request, *, patience_seconds: float = PATIENCE_SECONDS) -> Answer | None:
        """The run's answer; None where there is none, though a run may be there (see `living`)."""
        for pause_seconds in (BETWEEN_SECONDS, 0.0):
            with contextlib.suppress(Unanswered):
                return ask(self.folder, request, patience_seconds=patience_seconds)
            if self.living() is None:
                break
            time.sleep(pause_seconds)
        return None

    def living(self) -> RunRow | None:
        """The run whose engine lives, by the journal's pid and start time; None also where there is no journal."""
        with contextlib.suppress(NoJournal), JournalReader.read_only(self.folder) as journal:
            return next((run for run in journal.open_runs() if is_alive(run.engine)), None)
        return None

    def events(self, run: RunRow, kind: str) -> int:
        """How many events of this kind the run has journaled."""
        with JournalReader.read_only(self.folder) as journal:
            return sum(event.kind == kind for event in journal.events(run_id=run.id))


def hand_over(contact: Contact, request: Request, directly: Callable[[Journal], str], session: Session) -> str:
    """Have the run do what concerns single jobs, or do it `directly` in the journal where none is on.

    Returns what is to be shown. Raises OutputBusy where a run is on that does not do it.
    """
    answer = contact.ask(request, patience_seconds=HANDING_SECONDS)
    if answer is not None and answer.ok:
        return answer.text
    if answer is not None:
        raise UsageError(answer.text) if answer.mistaken else OutputBusy(answer.text)
    run = contact.living()
    if run is not None:
        raise OutputBusy(
            f"The run on {contact.shown} (process {run.engine.pid}) does not answer, so this cannot be handed to it. "
            "Try again, or stop that run first."
        )
    with change_without_run(contact.output, session.warn) as journal, journal.transaction():
        return directly(journal)


def _steer(output: str, request: Request) -> int:
    contact = Contact(output)
    answer = contact.ask(request)
    if answer is not None and not answer.ok:
        raise OutputBusy(answer.text)
    done = answer.text if answer is not None else _signal(contact, request)
    print_result(f"{done or f'Nothing runs on {contact.shown}.'}\n")
    return ExitCode.NOT_RUNNING if done is None else ExitCode.OK


_SIGNALS = {
    Order.PAUSE: (signal.SIGUSR1, "paused", "was asked to pause"),
    Order.RESUME: (signal.SIGUSR2, "resumed", "was asked to go on"),
    Order.STOP: (signal.SIGINT, "stopping", "was asked to finish its files and stop"),
    Order.END: (signal.SIGTERM, "stopping", "was asked to end its files and stop"),
}
"""For each order: the signal, the event that the run journals when it comes, and what the user is shown."""


def _signal(contact: Contact, request: Request) -> str | None:
    """Send the signal for a request to a run that does not answer; returns a sentence, or None where nothing runs."""
    run, order = contact.living(), request.order
    if run is None or order is None:
        return None
    named = f"The run on {contact.shown} (process {run.engine.pid})"
    if order is Order.FREEZE:
        raise OutputBusy(
            f"{named} can be reached by signals only, and those cannot suspend running files; without --now "
            "it is paused once they are finished."
        )
    number, kind, did = _SIGNALS[order]
    events = contact.events(run, kind)
    if order is Order.STOP and events:
        # A second interrupt would end what is being finished.
        return f"The run (process {run.engine.pid}) is stopping already."
    try:
        # A first SIGTERM has it finish its files, a second one ends them. One sent too soon would be the same signal.
        for first in (True, False) if order is Order.END else (True,):
            if not signal_engine(run.engine, number) and first:
                return None
            deadline = time.monotonic() + NOTED_SECONDS
            while contact.events(run, kind) <= events and contact.living() and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
    except PermissionError:
        raise OutputBusy(f"{named} is another user's: ask as that user, or as root.") from None
    by = "by signals" if order is Order.END else "by a signal"
    return f"The run (process {run.engine.pid}) {did}, {by}, because it does not answer."
