"""The control socket by itself: who may use it, where it can be, and callers that mean no good."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from pyprocessor.control import server as control
from pyprocessor.control.client import Unanswered, ask
from pyprocessor.control.protocol import Answer, Request, Verb
from pyprocessor.control.server import CLIENTS_AT_MOST, ControlServer
from pyprocessor.models import ActiveFile, RunSnapshot, RunStatus
from pyprocessor.system.sockets import socket_address
from tests.waiting import DEADLINE_SECONDS, until

STATUS = Request(Verb.STATUS)


@dataclass
class Server:
    """A loop like the engine's around one control socket, in a thread, with a clock of its own."""

    folder: bytes
    reply: Callable[[Request], Answer] = lambda request: Answer(True, f"You said {request.verb}.")
    skew: float = 0.0
    asked: list[Request] = field(default_factory=list)
    longest_turn_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.control = ControlServer(self.folder)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stop.is_set():
            now = time.monotonic() + self.skew
            ready = wait(self.control.sources(now), timeout=0.05)
            began = time.monotonic()
            for client, request in self.control.requests(ready, now):
                self.asked.append(request)
                self.control.answer(client, self.reply(request))
            self.control.send()
            self.longest_turn_seconds = max(self.longest_turn_seconds, time.monotonic() - began)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_SECONDS)
        self.control.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(folder: Path | bytes, **settings: object) -> Server:
            server = Server(os.fsencode(folder), **settings)  # type: ignore[arg-type]
            stack.callback(server.close)
            return server

        yield start


def connected(folder: Path) -> socket.socket:
    """A connection of somebody who does not use our caller."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(DEADLINE_SECONDS)
    until(lambda: made.connect_ex(str(folder / "control.sock")) == 0, "a place in the server's queue")
    return made


def test_it_is_the_owners_alone(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Mode 0600 whatever the umask, gone at the end, and every verb arrives."""
    before = os.umask(0)
    try:
        server = serve(tmp_path)
    finally:
        os.umask(before)
    mode = (tmp_path / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    for verb in Verb:
        assert ask(bytes(tmp_path), Request(verb)) == Answer(True, f"You said {verb}.")
    assert [request.verb for request in server.asked] == list(Verb)
    server.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unanswered):
        ask(bytes(tmp_path), STATUS)


@pytest.mark.parametrize("name", [b"n" * 200, b"latin-\xe9 %d\n", b"n" * 250 + b"\xff"], ids=["long", "odd", "both"])
@pytest.mark.parametrize("by_descriptor", [None, True, False], ids=["as it is", "descriptor", "current folder"])
def test_folders_of_any_name(
    name: bytes,
    by_descriptor: bool | None,
    tmp_path: Path,
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Paths beyond the 107 bytes of an address, and bytes that are not UTF-8; also without /proc."""
    if by_descriptor and not os.path.exists("/proc/self/fd"):
        pytest.skip("this system does not show descriptors as paths")
    folder = os.path.join(bytes(tmp_path), name, name)
    os.makedirs(folder)
    if by_descriptor is not None:

        def address(folder: bytes, opened: int, name: bytes) -> contextlib.AbstractContextManager[bytes]:
            return socket_address(folder, opened, name, by_descriptor=by_descriptor)

        monkeypatch.setattr(control, "socket_address", address)
        monkeypatch.setattr("pyprocessor.control.client.socket_address", address)
    here = os.getcwd()
    server = serve(folder)
    assert server.control.problem is None
    assert ask(folder, STATUS).ok
    assert os.getcwd() == here
    server.close()
    assert os.listdir(folder) == []


def test_a_dead_engines_socket_is_replaced(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """It refuses connections, which says so; the next run takes its place, and does not remove a newer one."""
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(tmp_path / "control.sock"))
    dead.close()
    with pytest.raises(Unanswered):
        ask(bytes(tmp_path), STATUS)
    first = serve(tmp_path)
    assert ask(bytes(tmp_path), STATUS).ok
    second = serve(tmp_path)
    first.close()
    assert ask(bytes(tmp_path), STATUS).ok
    assert len(second.asked) == 1


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """A run goes on without a socket, tells why, and has nothing to wait on."""
    (tmp_path / "control.sock").write_text("mine")
    server = serve(tmp_path)
    assert server.control.problem is not None
    assert "control.sock" in server.control.problem
    assert "SIGUSR1" in server.control.problem
    assert server.control.sources(0.0) == []
    server.close()
    assert (tmp_path / "control.sock").read_text() == "mine"


def test_a_file_system_without_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network mounts refuse: the reason is told, and no descriptor stays open."""

    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(95, "Operation not supported")

    monkeypatch.setattr(control.socket, "socket", Refusing)
    before = len(os.listdir("/dev/fd"))
    made = ControlServer(bytes(tmp_path))
    assert made.problem is not None
    assert "(Operation not supported)" in made.problem
    made.close()
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize(
    "said",
    [b"", b"\n", b"garbage\n", b'{"do": "status"', b"\x00\xff" * 100 + b"\n", b"x" * (1 << 20), b"[" * 3000 + b"\n"],
    ids=["nothing", "empty line", "garbage", "half a line", "binary", "a megabyte", "nesting"],
)
def test_callers_that_mean_no_good(said: bytes, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Whatever is said, with the caller going away or waiting, others are answered and nothing is asked of the run."""
    server = serve(tmp_path)
    stays, goes = connected(tmp_path), connected(tmp_path)
    for caller in (stays, goes):
        # One that sends too much is cut off while it sends.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            caller.sendall(said)
    goes.close()
    assert ask(bytes(tmp_path), STATUS).ok
    assert server.asked == [STATUS]
    with contextlib.suppress(ConnectionResetError):
        if said.endswith(b"\n"):
            assert b'"ok":false' in stays.recv(1 << 16)
    server.skew = control.PATIENCE_SECONDS + 1
    with contextlib.suppress(ConnectionResetError):
        assert stays.recv(1 << 16) == b""
    stays.close()
    assert server.longest_turn_seconds < DEADLINE_SECONDS / 2


def hung_up(caller: socket.socket) -> bool:
    """Whether the server has closed this connection."""
    poll = select.poll()
    poll.register(caller, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def test_two_hundred_idle_callers(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """They do not keep anybody out, and no more than a few are held."""
    serve(tmp_path)
    idle = [connected(tmp_path) for _ in range(200)]
    assert ask(bytes(tmp_path), STATUS).ok
    # Those that the system still queues are accepted, and dropped for newer ones, before the one who asks.
    assert sum(not hung_up(caller) for caller in idle) <= CLIENTS_AT_MOST
    for caller in idle:
        caller.close()
    assert ask(bytes(tmp_path), STATUS).ok


def test_a_caller_that_takes_its_time_gets_all_of_a_long_answer(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """More than a socket holds, read slowly, while others are answered; one that does not read at all is dropped."""
    snapshot = RunSnapshot(0, 1, True, 0, 0, 0, 1, 0, 0.0, 0.0, None, False)
    files = tuple(ActiveFile(f"{number}-" + "\udce9" * 200, 1.0, 0.0, None, 0.0) for number in range(1000))
    answer = Answer(True, standing=RunStatus(1, 1.0, snapshot, files=files))
    server = serve(tmp_path, reply=lambda _: answer)
    slow, mute = connected(tmp_path), connected(tmp_path)
    for caller in (slow, mute):
        caller.sendall(b'{"do": "status"}\n')
    assert ask(bytes(tmp_path), STATUS) == answer
    received = bytearray()
    while data := slow.recv(50_000):
        received += data
    assert received.endswith(b"\n")
    assert len(received) > 1 << 20
    server.skew = control.PATIENCE_SECONDS + 1
    until(lambda: hung_up(mute), "the caller that does not read to be dropped")
    for caller in (slow, mute):
        caller.close()


def test_an_engine_that_hangs(tmp_path: Path) -> None:
    """A socket that lets in and does not answer is told apart from one that does, in bounded time."""
    silent = ControlServer(bytes(tmp_path))
    began = time.monotonic()
    with pytest.raises(Unanswered):
        ask(bytes(tmp_path), STATUS, patience_seconds=0.2)
    assert time.monotonic() - began < DEADLINE_SECONDS
    silent.close()


def test_requests_that_a_loop_took_before_it_hung(tmp_path: Path) -> None:
    """The status is asked for once more, by the thread that stands in; an order is not, as it would count twice."""
    server = ControlServer(bytes(tmp_path))
    asking, ordering = connected(tmp_path), connected(tmp_path)
    asking.sendall(b'{"do": "status"}\n')
    ordering.sendall(b'{"do": "pause"}\n')
    taken: set[Verb] = set()

    def both() -> bool:
        taken.update(request.verb for _, request in server.requests_now(time.monotonic()))
        return taken == {Verb.STATUS, Verb.PAUSE}

    until(both, lambda: taken)
    ((client, request),) = server.requests_now(time.monotonic())
    assert request.verb is Verb.STATUS
    server.answer(client, Answer(True, "Here."), at_once=True)
    assert b"Here." in asking.recv(1 << 16)
    assert server.requests_now(time.monotonic()) == []
    for caller in (asking, ordering):
        caller.close()
    server.close()


def test_it_is_closed_while_another_thread_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is back and at its end: nothing that is being waited on is closed before the waiting is over."""
    listening = ControlServer(bytes(tmp_path))
    waits, closed = threading.Event(), threading.Event()
    heard: list[object] = []
    send = listening.send

    def slow_wait(sources: list[object], timeout: float) -> list[object]:
        waits.set()
        closed.wait(1.0)
        return wait(sources, timeout)

    def listen() -> None:
        try:
            heard.append(listening.requests_now(time.monotonic()))
        except ValueError as error:
            heard.append(error)

    def send_and_be_overtaken() -> None:
        send()
        if other.ident is None:  # what the other thread asks for sends, too
            other.start()
            waits.wait(1.0)

    other = threading.Thread(target=listen)
    monkeypatch.setattr(control, "wait", slow_wait)
    monkeypatch.setattr(listening, "send", send_and_be_overtaken)
    listening.close()
    closed.set()
    other.join(DEADLINE_SECONDS)
    assert heard == [[]]
    assert list(tmp_path.iterdir()) == []
