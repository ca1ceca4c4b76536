"""What do other processes ask a run over its control socket, and how? One line of JSON each way.

{"do": "status"}                      {"do": "pause", "now": true}
{"ok": true, "standing": {...}}       {"ok": true, "text": "The run (process 4711) is paused: ..."}

{"do": "cancel", "jobs": [ID, ...]}   {"do": "submit", "submissions": "..."}
{"ok": true, "text": "2 of 3 ..."}    {"ok": false, "mistaken": true, "text": "b waits for a job ..."}
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.control.run_mode import Order
from pyprocessor.errors import UsageError
from pyprocessor.journal.records import decode, encode
from pyprocessor.journal.submissions import submissions_from, submissions_text
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import ProcessIdentity, RunStatus
from pyprocessor.models.wording import one_line
from pyprocessor.state.state_folder import CONTROL_SOCKET
from pyprocessor.system.processes import is_alive
from pyprocessor.system.sockets import socket_address

REQUEST_BYTES = 16 << 20
ANSWER_BYTES = 4 << 20
"""Limits with the end of line; a submission is many jobs, and a status names every running file."""


class Verb(StrEnum):
    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CANCEL = "cancel"
    RETRY = "retry"
    SUBMIT = "submit"


@dataclass(frozen=True, slots=True)
class Request:
    """What one connection asks; `now` makes a pause freeze running files and a stop end them.

    `jobs` are the ids of those to cancel or to do again, `submissions` the jobs to take in.
    """

    verb: Verb
    now: bool = False
    jobs: tuple[str, ...] = ()
    submissions: tuple[Submission, ...] = ()

    @property
    def order(self) -> Order | None:
        """The order it is to the run as a whole; None for a status, and for what is asked of single jobs."""
        gentle, at_once = _ORDERS.get(self.verb, (None, None))
        return at_once if self.now else gentle


_ORDERS = {
    Verb.PAUSE: (Order.PAUSE, Order.FREEZE),
    Verb.RESUME: (Order.RESUME, Order.RESUME),
    Verb.STOP: (Order.STOP, Order.END),
}
"""By verb: without `now` and with it."""
_MORE = {Verb.PAUSE: "now", Verb.STOP: "now", Verb.CANCEL: "jobs", Verb.RETRY: "jobs", Verb.SUBMIT: "submissions"}
"""What a request of each verb has beside the verb."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the run answers to one request: a sentence, or for a status `standing`.

    `mistaken` says that the request makes no sense, where it is not that the run cannot do it now.
    """

    ok: bool
    text: str = ""
    standing: RunStatus | None = None
    mistaken: bool = False


def request_line(request: Request) -> bytes:
    submissions = submissions_text(request.submissions) if request.submissions else ""
    more = {"now": request.now, "jobs": request.jobs, "submissions": submissions}
    document = {"do": request.verb.value} | {name: value for name, value in more.items() if value}
    return json.dumps(document).encode("ascii") + b"\n"


def parse_request(line: bytes) -> Request:
    """Parse a line; raises ValueError with a sentence for its sender."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("The request is no line of JSON.") from None
    if not isinstance(document, dict):
        raise ValueError('The request is no JSON object such as {"do": "status"}.')
    try:
        verb = Verb(str(document.get("do")))
    except ValueError:
        raise ValueError(f'The request is not understood: "do" is one of {", ".join(Verb)}.') from None
    if unknown := document.keys() - {"do", _MORE.get(verb, "do")}:
        raise ValueError(f'"{one_line(min(unknown))}" has no meaning for {verb}.')
    now, jobs, given = (
        document.get(name, empty) for name, empty in (("now", False), ("jobs", []), ("submissions", ""))
    )
    if not isinstance(now, bool):
        raise ValueError('The request is not understood: "now" is true or false.')
    if not isinstance(jobs, list) or not all(isinstance(job, str) for job in jobs):
        raise ValueError('The request is not understood: "jobs" is a list of ids.')
    try:
        return Request(verb, now, tuple(jobs), submissions_from(given) if given else ())
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"The jobs submitted are not understood ({error}); is the run of another version?") from None


def answer_line(answer: Answer) -> bytes:
    return encode(answer).encode("ascii") + b"\n"


def parse_answer(line: bytes) -> Answer:
    """Parse an answer; raises ValueError where the line is no answer."""
    try:
        return decode(Answer, line.decode("ascii"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("The run answered something that is not understood; is it of another version?") from error


PATIENCE_SECONDS = 10.0
"""A run answers twice a second; one that takes longer waits for a disk."""
RETRY_SECONDS = 0.05


class Unanswered(Exception):
    """No run is there, or it does not answer."""


def ask(folder: bytes, request: Request, *, patience_seconds: float = PATIENCE_SECONDS) -> Answer:
    """Send a request to the run that has this state folder; returns its answer or raises `Unanswered`.

    Raises UsageError for more than one request may hold.
    """
    line = request_line(request)
    if len(line) > REQUEST_BYTES:
        raise UsageError(
            f"This is more than a run takes in at once ({len(line):,} bytes of {REQUEST_BYTES:,}); hand it over in "
            "parts."
        )
    try:
        with contextlib.ExitStack() as stack:
            opened = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, opened)
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(patience_seconds)
            _connect(connection, folder, opened, time.monotonic() + patience_seconds)
            connection.sendall(line)
            with connection.makefile("rb") as reading:
                return parse_answer(reading.readline(ANSWER_BYTES))
    except (OSError, AttributeError, ValueError) as error:
        raise Unanswered(str(error)) from error


def _connect(connection: socket.socket, folder: bytes, opened: int, deadline: float) -> None:
    while True:
        try:
            with socket_address(folder, opened, CONTROL_SOCKET) as address:
                return connection.connect(address)
        except BlockingIOError:  # the system's queue of connections is full
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_SECONDS)


def signal_engine(engine: ProcessIdentity, number: signal.Signals) -> bool:
    """Send a signal to the engine; False where that very process is gone. Raises PermissionError."""
    with contextlib.suppress(ProcessLookupError):
        if is_alive(engine):
            os.kill(engine.pid, number)
            return True
    return False
