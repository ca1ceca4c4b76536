"""`pyprocessor pause`, `resume` and `stop`: steer the run of an output folder from another terminal, or from cron.

They speak to the run over the socket in its state folder. Where it has none, or does not answer, they send signals to
the process that the journal names, once it is known by its start time to be that very one.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import click

from pyprocessor.cli.contact import Contact
from pyprocessor.cli.session import print_result
from pyprocessor.control.client import signal_engine
from pyprocessor.control.protocol import Request, Verb
from pyprocessor.control.run_mode import Order
from pyprocessor.errors import ExitCode, OutputBusy
from pyprocessor.journal.rows import RunRow

HEARD_SECONDS = 10.0
"""How long a run may take to journal that a signal has come."""
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
    if answer is None:
        return _signal(contact, request)
    if not answer.ok:
        raise OutputBusy(answer.text)
    print_result(answer.text + "\n")
    return ExitCode.OK


def _signal(contact: Contact, request: Request) -> int:
    """Steer by signals a run that does not answer."""
    run = contact.living()
    try:
        done = None if run is None else _SIGNALLED[request.order](contact, run)
    except PermissionError:
        assert run is not None
        raise OutputBusy(
            f"The run on {contact.shown} (process {run.engine.pid}) is another user's: ask as that user, or as root."
        ) from None
    if done is None:
        print_result(f"Nothing runs on {contact.shown}.\n")
        return ExitCode.NOT_RUNNING
    print_result(f"{done}\n")
    return ExitCode.OK


def _paused(contact: Contact, run: RunRow) -> str | None:
    return _sent(contact, run, signal.SIGUSR1, "paused", "was asked to pause")


def _frozen(contact: Contact, run: RunRow) -> str:
    raise OutputBusy(
        f"The run on {contact.shown} (process {run.engine.pid}) can be reached by signals only, and those cannot have "
        "running files stand still; without --now it is paused once they are finished."
    )


def _resumed(contact: Contact, run: RunRow) -> str | None:
    return _sent(contact, run, signal.SIGUSR2, "resumed", "was asked to go on")


def _drained(contact: Contact, run: RunRow) -> str | None:
    if contact.told(run, "stopping"):
        # A second interrupt would end what is being finished.
        return f"The run (process {run.engine.pid}) is stopping already."
    return _sent(contact, run, signal.SIGINT, "stopping", "was asked to finish its files and stop")


def _ended(contact: Contact, run: RunRow) -> str | None:
    # The first has it drain, the second end; one that follows too soon would be the same signal still.
    first = _sent(contact, run, signal.SIGTERM, "stopping", "")
    again = contact.living()
    if first is None or (again is not None and not signal_engine(again.engine, signal.SIGTERM)):
        return None
    return f"The run (process {run.engine.pid}) was asked by signals to end its files and stop."


def _sent(contact: Contact, run: RunRow, number: signal.Signals, kind: str, what: str) -> str | None:
    """Send a signal and wait until the run has taken note; None where the run was gone."""
    noted = _events(contact, run, kind)
    if not signal_engine(run.engine, number):
        return None
    contact.wait(lambda: _events(contact, run, kind) > noted or contact.living() is None, HEARD_SECONDS)
    return f"The run (process {run.engine.pid}) {what}, by a signal, because it does not answer."


def _events(contact: Contact, run: RunRow, kind: str) -> int:
    with contact.journal() as journal:
        return sum(event.kind == kind for event in journal.events(run_id=run.id))


_SIGNALLED: dict[Order | None, Callable[[Contact, RunRow], Any]] = {
    Order.PAUSE: _paused,
    Order.FREEZE: _frozen,
    Order.RESUME: _resumed,
    Order.STOP: _drained,
    Order.END: _ended,
}
