"""How does another process ask a run something? Over its control socket, or where it has none, by signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

from pyprocessor.control.protocol import ANSWER_BYTES, Answer, Request, parse_answer, request_line
from pyprocessor.models import ProcessIdentity
from pyprocessor.state.state_folder import CONTROL_SOCKET
from pyprocessor.system.processes import is_alive
from pyprocessor.system.sockets import socket_address

PATIENCE_SECONDS = 10.0
"""A run looks up twice a second; one that takes so long waits for a disk."""
RETRY_SECONDS = 0.05


class Unanswered(Exception):
    """No run is there, or it does not answer."""


def ask(folder: bytes, request: Request, *, patience_seconds: float = PATIENCE_SECONDS) -> Answer:
    """Send a request to the run that has this state folder; returns its answer or raises `Unanswered`."""
    deadline = time.monotonic() + patience_seconds
    try:
        with contextlib.ExitStack() as stack:
            opened = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, opened)
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            _connect(connection, folder, opened, deadline)
            connection.sendall(request_line(request))
            return parse_answer(_line(connection, deadline))
    except (OSError, AttributeError, ValueError) as error:
        raise Unanswered(str(error)) from error


def _connect(connection: socket.socket, folder: bytes, opened: int, deadline: float) -> None:
    while True:
        connection.settimeout(max(RETRY_SECONDS, deadline - time.monotonic()))
        try:
            with socket_address(folder, opened, CONTROL_SOCKET) as address:
                return connection.connect(address)
        except BlockingIOError:  # the system's queue of connections is full
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_SECONDS)


def _line(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while b"\n" not in received:
        connection.settimeout(max(RETRY_SECONDS, deadline - time.monotonic()))
        data = connection.recv(1 << 16)
        received += data
        if not data or len(received) > ANSWER_BYTES or time.monotonic() > deadline:
            raise ConnectionError("the run gave no whole answer")
    return bytes(received.partition(b"\n")[0])


def signal_engine(engine: ProcessIdentity, number: signal.Signals) -> bool:
    """Send a signal to the engine; False where that very process is gone. Raises PermissionError."""
    if not is_alive(engine):
        return False
    try:
        os.kill(engine.pid, number)
    except ProcessLookupError:
        return False
    return True
