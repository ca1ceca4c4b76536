"""What do other processes ask a run over its control socket, and how? One line of JSON each way.

{"do": "status"}                      {"do": "pause", "now": true}
{"ok": true, "standing": {...}}       {"ok": true, "text": "The run (process 4711) is paused: ..."}
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
from pyprocessor.journal.records import decode, encode
from pyprocessor.models import ProcessIdentity, RunStatus
from pyprocessor.state.state_folder import CONTROL_SOCKET
from pyprocessor.system.processes import is_alive
from pyprocessor.system.sockets import socket_address

REQUEST_BYTES = 4096
ANSWER_BYTES = 4 << 20
"""Limits with the end of line; a status names every running file."""


class Verb(StrEnum):
    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Request:
    """What one connection asks; `now` makes a pause freeze running files and a stop end them."""

    verb: Verb
    now: bool = False

    @property
    def order(self) -> Order | None:
        """The order it is to the run; None for a status."""
        gentle, at_once = _ORDERS.get(self.verb, (None, None))
        return at_once if self.now else gentle


_ORDERS = {
    Verb.PAUSE: (Order.PAUSE, Order.FREEZE),
    Verb.RESUME: (Order.RESUME, Order.RESUME),
    Verb.STOP: (Order.STOP, Order.END),
}
"""By verb: without `now` and with it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the run answers to one request: a sentence, or for a status `standing`."""

    ok: bool
    text: str = ""
    standing: RunStatus | None = None


def request_line(request: Request) -> bytes:
    document = {"do": request.verb.value, **({"now": True} if request.now else {})}
    return json.dumps(document).encode("ascii") + b"\n"


def parse_request(line: bytes) -> Request:
    """Parse a line; raises ValueError with a sentence for its sender."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("The request is no line of JSON.") from None
    if not isinstance(document, dict):
        raise ValueError('The request is no JSON object such as {"do": "status"}.')
    verb, now = document.get("do"), document.get("now", False)
    if (
        document.keys() - {"do", "now"}
        or not isinstance(verb, str)
        or verb not in set(Verb)
        or not isinstance(now, bool)
    ):
        raise ValueError(
            f'The request is not understood: "do" is one of {", ".join(Verb)}, and "now" is true or false.'
        )
    if now and verb in (Verb.STATUS, Verb.RESUME):
        raise ValueError(f'"now" has no meaning for {verb}.')
    return Request(Verb(verb), now)


def answer_line(answer: Answer) -> bytes:
    return encode(answer).encode("ascii") + b"\n"


def parse_answer(line: bytes) -> Answer:
    """Parse an answer; raises ValueError where it is none."""
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
    """Send a request to the run that has this state folder; returns its answer or raises `Unanswered`."""
    try:
        with contextlib.ExitStack() as stack:
            opened = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, opened)
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(patience_seconds)
            _connect(connection, folder, opened, time.monotonic() + patience_seconds)
            connection.sendall(request_line(request))
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
