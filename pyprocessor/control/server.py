"""The control socket of a run: whoever may use the state folder asks it how it stands, or to pause, go on, or stop.

Nothing here blocks. The loop waits on `sources`, has `hear` give what was asked, and calls `send` once what followed is
in the journal. While the loop hangs its deputy, another thread, uses `listen` and `answer_at_once`. A connection
carries one request. One that says nothing, half a line, too much or nonsense, or that goes away, is closed; one of too
many takes the place of the oldest.

The socket is in place from the start of a run to its end. One that a dead engine left is replaced: only the run that
holds the output gets here. Where a socket cannot be made (some network file systems have none, Windows' Python neither)
the run goes on without; signals do nearly the same.
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
from pyprocessor.system import socket_address

CLIENTS_AT_MOST = 16
BACKLOG = 64
PATIENCE_SECONDS = 5.0
"""How long a connection may take to ask, and to take its answer."""
DEAF_SECONDS = 1.0
"""How long nobody new is let in once the system had no descriptor for them."""


@dataclass(slots=True, eq=False)
class Client:
    """One connection. `to_send` is what is left of its answer, None as long as there is none; `at_once` says that it
    waits for nothing."""

    socket: socket.socket
    expires: float
    received: bytearray = field(default_factory=bytearray)
    to_send: bytes | None = None
    at_once: bool = False


class ControlServer:
    """The socket in one state folder. `problem` tells as a sentence why there is none."""

    def __init__(self, folder: bytes) -> None:
        self.problem: str | None = None
        self._lock = threading.RLock()
        self._listener: socket.socket | None = None
        self._clients: list[Client] = []
        self._deaf_until = 0.0
        self._folder = -1
        self._inode = 0
        try:
            self._open(folder)
        except (OSError, AttributeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "there are no local sockets here"
            self.problem = (
                f"This run cannot be asked how it stands: no socket could be made in {display(folder)} ({why}). "
                "Signals still reach it: SIGUSR1 pauses, SIGUSR2 resumes, SIGINT and SIGTERM stop."
            )
            self.close()

    def _open(self, folder: bytes) -> None:
        """Raises OSError, or AttributeError where the system has no local sockets."""
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
        """What to wait on."""
        with self._lock:
            asking = [client.socket for client in self._clients if client.to_send is None]
            return [self._listener, *asking] if self._listener is not None and now >= self._deaf_until else asking

    def hear(self, heard: Collection[Any], now: float) -> list[tuple[Client, Request]]:
        """What was asked; each is to be answered. Connections that took too long are closed."""
        with self._lock:
            for client in tuple(self._clients):
                if now > client.expires:
                    self._drop(client)
            ready = [client for client in self._clients if client.socket in heard]
            if self._listener is not None and self._listener in heard:
                # A request is mostly there by the time that its connection is.
                ready += self._let_in(self._listener, now)
            asked = []
            for client in ready:
                line = self._line(client) if client in self._clients else None
                if line is None:
                    continue
                try:
                    asked.append((client, parse_request(line)))
                except ValueError as error:
                    self.answer(client, Answer(False, str(error)))
            return asked

    def listen(self, now: float) -> list[tuple[Client, Request]]:
        """What was asked up to now, as `hear` gives it; what is left of earlier answers is sent on."""
        with self._lock:
            for client in tuple(self._clients):
                if client.at_once:
                    self._push(client)
            return self.hear(wait(self.sources(now), timeout=0), now)

    def answer_at_once(self, client: Client, answer: Answer) -> None:
        """Send an answer without waiting for the journal."""
        with self._lock:
            self.answer(client, answer)
            client.at_once = True
            if client in self._clients:
                self._push(client)

    def answer(self, client: Client, answer: Answer) -> None:
        """Have the answer sent by the next `send`."""
        client.to_send = answer_line(answer)

    def send(self) -> None:
        """Send what is to be sent, as far as it is taken; what is left is tried again the next time."""
        with self._lock:
            for client in tuple(self._clients):
                if client.to_send is not None:
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
        assert client.to_send is not None
        try:
            client.to_send = client.to_send[client.socket.send(client.to_send) :]
        except BlockingIOError:
            return
        except OSError:
            client.to_send = b""  # nobody is there to take it
        if not client.to_send:
            self._drop(client)

    def _let_in(self, listener: socket.socket, now: float) -> list[Client]:
        new = []
        for _ in range(BACKLOG):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                break
            except ConnectionError:
                continue
            except OSError:
                self._deaf_until = now + DEAF_SECONDS
                break
            accepted.setblocking(False)
            client = Client(accepted, now + PATIENCE_SECONDS)
            self._clients.append(client)
            new.append(client)
            if len(self._clients) > CLIENTS_AT_MOST:
                self._drop(self._clients[0])
        return new

    def _line(self, client: Client) -> bytes | None:
        """The request, once all of it is there."""
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
