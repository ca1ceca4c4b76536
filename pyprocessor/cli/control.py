"""`pyprocessor pause`, `resume` and `stop`: steer the run of an output folder from another terminal, or from cron.

Requests go over the socket in the run's state folder. Where there is none, or no answer, a signal goes to the process
that the journal names, if its start time shows that it is the same one.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import click

from pyprocessor.cli.contact import Contact
from pyprocessor.cli.session import print_result
from pyprocessor.control.client import Request, Verb, signal_engine
from pyprocessor.control.run_mode import Order
from pyprocessor.errors import ExitCode, OutputBusy

NOTED_SECONDS = 10.0
"""How long a run may take to journal that a signal has come."""
LOOK_SECONDS = 0.1
_ENDS = "Exit code: 0 done, 3 nothing runs, 75 the run cannot do it or be reached."

_output = click.option("--output", required=True, metavar="DIR", help="The output folder of the run.")


@click.command(epilog=_ENDS)
@_output
@click.option("--now", is_flag=True, help="Have running files stand still, too; nothing of them is lost.")
def pause(output: str, now: bool) -> int:
    """Have the run of an output folder start nothing more until it is resumed; running files are finished.

    A run that is paused waits for ever. It can be resumed or stopped, and a new run never begins paused.
    """
    return _steer(output, Request(Verb.PAUSE, now))


@click.command(epilog=_ENDS)
@_output
def resume(output: str) -> int:
    """Have a paused run go on: files that stand still are continued, and new ones are started."""
    return _steer(output, Request(Verb.RESUME))


@click.command(epilog=_ENDS)
@_output
@click.option("--now", is_flag=True, help="End running files as well; the next run does them again.")
def stop(output: str, now: bool) -> int:
    """Have the run of an output folder finish its running files and stop, as Ctrl-C does.

    Returns at once; the same command line goes on from there later.
    """
    return _steer(output, Request(Verb.STOP, now))


def _steer(output: str, request: Request) -> int:
    contact = Contact(output)
    answer = contact.ask(request)
    if answer is not None and not answer.ok:
        raise OutputBusy(answer.text)
    done = answer.text if answer is not None else _signal(contact, request)
    if done is None:
        print_result(f"Nothing runs on {contact.shown}.\n")
        return ExitCode.NOT_RUNNING
    print_result(f"{done}\n")
    return ExitCode.OK


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
            f"{named} can be reached by signals only, and those cannot have running files stand still; without --now "
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
            _wait(lambda: contact.events(run, kind) > events or contact.living() is None)
    except PermissionError:
        raise OutputBusy(f"{named} is another user's: ask as that user, or as root.") from None
    by = "by signals" if order is Order.END else "by a signal"
    return f"The run (process {run.engine.pid}) {did}, {by}, because it does not answer."


def _wait(noted: Callable[[], bool]) -> None:
    """Wait until the run has noted a signal, for a limited time."""
    deadline = time.monotonic() + NOTED_SECONDS
    while not noted() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
