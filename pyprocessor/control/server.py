"""What do other processes ask of this run over its control socket? Nothing here blocks.

A connection that sends nothing, half a line, too much or nonsense is closed; one of too many replaces the oldest. All
requests that are not complete have the memory of a single one between them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from dataclasses import dataclass, field
from typing import Any

from pyprocessor.control.client import REQUEST_BYTES, Answer, Request, answer_line, parse_request
from pyprocessor.models import display
from pyprocessor.state.state_folder import CONTROL_SOCKET, remove_socket
from pyprocessor.system.sockets import socket_address

CLIENTS_AT_MOST = 16
BACKLOG = 64
PATIENCE_SECONDS = 5.0
"""How long a connection may take to ask, and to take its answer."""
READ_BYTES = 1 << 20
"""How much of a request is read in one turn."""
REFUSING_SECONDS = 1.0
"""How long no connection is accepted after the system had no descriptor for one."""


@dataclass(slots=True, eq=False)
class Client:
    """One connection; `unsent` is the rest of its answer, None before there is one."""

    socket: socket.socket
    expires: float
    received: bytearray = field(default_factory=bytearray)
    unsent: bytes | None = None


class ControlServer:
    """The socket in one state folder, used by two threads; `problem` is a sentence where there is none."""

    def __init__(self, folder: bytes) -> None:
        self.problem: str | None = None
        self._lock = threading.RLock()
        self._listener: socket.socket | None = None
        self._clients: list[Client] = []
        self._refusing_until = 0.0
        self._folder = -1
        self._inode = 0
        try:
            self._open(folder)
        except OSError as error:
            self.problem = (
                f"This run cannot be asked how it stands: no socket could be made in {display(folder)} "
                f"({error.strerror or error}). "
                "Signals still reach it: SIGUSR1 pauses, SIGUSR2 resumes, SIGINT and SIGTERM stop."
            )
            self.close()

    def _open(self, folder: bytes) -> None:
        self._folder = os.open(folder, os.O_RDONLY)
        remove_socket(self._folder)
        with contextlib.ExitStack() as undoing:
            listener = undoing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.setblocking(False)
            with socket_address(folder, self._folder, CONTROL_SOCKET) as address:
                listener.bind(address)
            # Nobody can connect before it listens, so nobody got in while the mode was another.
            os.chmod(CONTROL_SOCKET, stat.S_IRUSR | stat.S_IWUSR, dir_fd=self._folder)
            self._inode = os.stat(CONTROL_SOCKET, dir_fd=self._folder, follow_symlinks=False).st_ino
            listener.listen(BACKLOG)
            undoing.pop_all()
        self._listener = listener

    def sources(self, now: float) -> list[Any]:
        with self._lock:
            asking = [client.socket for client in self._clients if client.unsent is None]
            return [self._listener, *asking] if self._listener is not None and now >= self._refusing_until else asking

    def requests(self, now: float) -> list[tuple[Client, Request]]:
        """Return the requests that are there, each to be answered; closes expired connections."""
        with self._lock:
            for client in tuple(self._clients):
                if now > client.expires:
                    self._drop(client)
            if self._listener is not None and now >= self._refusing_until:
                self._accept(self._listener, now)
            found = []
            for client in tuple(self._clients):
                line = self._line(client) if client.unsent is None else None
                if line is None:
                    continue
                try:
                    found.append((client, parse_request(line)))
                    client.expires = now + PATIENCE_SECONDS
                except ValueError as error:
                    self.answer(client, Answer(False, str(error)))
            return found

    def answer(self, client: Client, answer: Answer, *, at_once: bool = False) -> None:
        """Have the answer sent by the next `send`, or at once."""
        with self._lock:
            client.unsent = answer_line(answer)
            if at_once and client in self._clients:
                self._push(client)

    def send(self) -> None:
        """Send all answers, as far as the callers take them; the rest is sent the next time."""
        with self._lock:
            for client in tuple(self._clients):
                if client.unsent is not None:
                    self._push(client)

    def close(self) -> None:
        """Close all connections and remove the socket, unless another is there by now."""
        with self._lock:
            self.send()
            for client in tuple(self._clients):
                self._drop(client)
            if self._listener is not None:
                self._listener.close()
                self._listener = None
                with contextlib.suppress(OSError):
                    remove_socket(self._folder, inode=self._inode)
            if self._folder >= 0:
                os.close(self._folder)
                self._folder = -1

    def _push(self, client: Client) -> None:
        assert client.unsent is not None
        try:
            client.unsent = client.unsent[client.socket.send(client.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            client.unsent = b""  # the caller is gone
        if not client.unsent:
            self._drop(client)

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(BACKLOG):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:
                self._refusing_until = now + REFUSING_SECONDS
                return
            accepted.setblocking(False)
            self._clients.append(Client(accepted, now + PATIENCE_SECONDS))
            if len(self._clients) > CLIENTS_AT_MOST:
                self._drop(self._clients[0])

    def _line(self, client: Client) -> bytes | None:
        """Return the request once it is complete."""
        try:
            data = client.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        client.received += data
        if b"\n" in data:
            line, _, _ = client.received.partition(b"\n")
            client.received.clear()
            if len(line) < REQUEST_BYTES:
                return bytes(line)
            data = b""
        if not data or sum(len(other.received) for other in self._clients) >= REQUEST_BYTES:
            self._drop(client)
        return None

    def _drop(self, client: Client) -> None:
        self._clients.remove(client)
        client.socket.close()
