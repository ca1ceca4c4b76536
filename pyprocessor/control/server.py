"""What do other processes ask of this run over its control socket?

Nothing here blocks. A connection carries one request. One that sends nothing, half a line, too much or nonsense, or
that goes away, is closed; one of too many replaces the oldest. A socket that a killed run left is replaced. Where none
can be made (some network file systems, Windows) the run goes on without, since signals do nearly the same.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from pyprocessor.control.protocol import REQUEST_BYTES, Answer, Request, answer_line, parse_request
from pyprocessor.models import display
from pyprocessor.state.state_folder import CONTROL_SOCKET, remove_socket
from pyprocessor.system.sockets import socket_address

CLIENTS_AT_MOST = 16
BACKLOG = 64
PATIENCE_SECONDS = 5.0
"""How long a connection may take to ask, and to take its answer."""
REFUSING_SECONDS = 1.0
"""How long no connection is accepted after the system had no descriptor for one."""


@dataclass(slots=True, eq=False)
class Client:
    """One connection. `request` is None before it came, `unsent` the rest of its answer, None before there is one."""

    socket: socket.socket
    expires: float
    received: bytearray = field(default_factory=bytearray)
    request: Request | None = None
    unsent: bytes | None = None


class ControlServer:
    """The socket in one state folder, for the loop and for the stall responder's thread.

    `problem` is a sentence where there is no socket.
    """

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
        except (OSError, AttributeError) as error:  # AttributeError: the system has no local sockets
            why = error.strerror if isinstance(error, OSError) and error.strerror else "there are no local sockets here"
            self.problem = (
                f"This run cannot be asked how it stands: no socket could be made in {display(folder)} ({why}). "
                "Signals still reach it: SIGUSR1 pauses, SIGUSR2 resumes, SIGINT and SIGTERM stop."
            )
            self.close()

    def _open(self, folder: bytes) -> None:
        kind = socket.AF_UNIX
        self._folder = os.open(folder, os.O_RDONLY)
        remove_socket(self._folder)
        listener = socket.socket(kind, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            with socket_address(folder, self._folder, CONTROL_SOCKET) as address:
                listener.bind(address)
            # Nobody can connect before it listens, so nobody got in while the mode was another.
            os.chmod(CONTROL_SOCKET, stat.S_IRUSR | stat.S_IWUSR, dir_fd=self._folder)
            self._inode = os.stat(CONTROL_SOCKET, dir_fd=self._folder, follow_symlinks=False).st_ino
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        self._listener = listener

    def sources(self, now: float) -> list[Any]:
        with self._lock:
            asking = [client.socket for client in self._clients if client.unsent is None]
            return [self._listener, *asking] if self._listener is not None and now >= self._refusing_until else asking

    def requests(self, ready: Collection[Any], now: float) -> list[tuple[Client, Request]]:
        """Return the requests of those `sources` that are ready, each to be answered; closes expired connections."""
        with self._lock:
            for client in tuple(self._clients):
                if now > client.expires:
                    self._drop(client)
            readable = [client for client in self._clients if client.socket in ready]
            if self._listener is not None and self._listener in ready:
                # A request is mostly there by the time that its connection is.
                readable += self._accept(self._listener, now)
            found = []
            for client in readable:
                line = self._line(client) if client in self._clients else None
                if line is None:
                    continue
                try:
                    client.request, client.expires = parse_request(line), now + PATIENCE_SECONDS
                    found.append((client, client.request))
                except ValueError as error:
                    self.answer(client, Answer(False, str(error)))
            return found

    def requests_now(self, now: float) -> list[tuple[Client, Request]]:
        """Return the requests that are there, and send the answers that a loop that hangs did not.

        Among them are those for the status that the loop took and hangs over: it looks for the next file's name.
        """
        with self._lock:
            self.send()
            taken = [
                (client, client.request) for client in self._clients if client.request and not client.request.order
            ]
            return [*taken, *self.requests(wait(self.sources(now), timeout=0), now)]

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

    def _accept(self, listener: socket.socket, now: float) -> list[Client]:
        new = []
        for _ in range(BACKLOG):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                break
            except ConnectionError:
                continue
            except OSError:
                self._refusing_until = now + REFUSING_SECONDS
                break
            accepted.setblocking(False)
            client = Client(accepted, now + PATIENCE_SECONDS)
            self._clients.append(client)
            new.append(client)
            if len(self._clients) > CLIENTS_AT_MOST:
                self._drop(self._clients[0])
        return new

    def _line(self, client: Client) -> bytes | None:
        """Return the request once it is complete."""
        try:
            data = client.socket.recv(REQUEST_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        client.received += data
        line, end, _ = client.received.partition(b"\n")
        if end and len(line) < REQUEST_BYTES:
            return bytes(line)
        if not data or len(client.received) >= REQUEST_BYTES:
            self._drop(client)
        return None

    def _drop(self, client: Client) -> None:
        self._clients.remove(client)
        client.socket.close()
