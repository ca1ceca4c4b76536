"""The control socket by itself: who may use it, where it can be, and callers that mean no good."""

from __future__ import annotations

import contextlib
import json
import os
import re
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
from pyprocessor.control.client import (
    REQUEST_BYTES,
    Answer,
    Request,
    Unanswered,
    Verb,
    ask,
    parse_request,
    request_line,
)
from pyprocessor.control.server import CLIENTS_AT_MOST, ControlServer
from pyprocessor.errors import UsageError
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import ActiveFile, RunSnapshot, RunStatus
from pyprocessor.system import sockets
from tests.integration.worked import example_tasks
from tests.waiting import DEADLINE_SECONDS, until

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")

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
            wait(self.control.sources(now), timeout=0.05)
            began = time.monotonic()
            for client, request in self.control.requests(now):
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


def jobs(count: int) -> tuple[Submission, ...]:
    """Jobs to submit, with params of some length."""
    return submissions(
        [{"task": "ask", "key": str(number), "params": {"text": "x" * 1000}} for number in range(count)],
        queue="q",
    )


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
    asked = [Request(Verb.CANCEL, jobs=("one", "two")), Request(Verb.SUBMIT, submissions=jobs(2))]
    for request in asked:
        assert ask(bytes(tmp_path), request).ok
    assert server.asked == [*map(Request, Verb), *asked]
    server.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unanswered):
        ask(bytes(tmp_path), STATUS)


@pytest.mark.parametrize("name", [b"n" * 200, b"latin-\xe9 %d\n", b"n" * 250 + b"\xff"], ids=["long", "odd", "both"])
@pytest.mark.parametrize("by_descriptor", [True, False], ids=["descriptor", "current folder"])
def test_folders_of_any_name(
    name: bytes, by_descriptor: bool, tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths beyond the 107 bytes of an address, and bytes that are not UTF-8; also without /proc."""
    if by_descriptor and not os.path.exists("/proc/self/fd"):
        pytest.skip("this system does not show descriptors as paths")
    folder = os.path.join(bytes(tmp_path), name, name)
    os.makedirs(folder)
    if not by_descriptor:
        monkeypatch.setattr(sockets, "DESCRIPTORS", "/nowhere")
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


def test_a_request_of_many_jobs(tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes are read a part at a time, beside others; more than the limit is not even sent."""
    monkeypatch.setattr(control, "PATIENCE_SECONDS", DEADLINE_SECONDS)  # a busy machine reads them for seconds
    server, many = serve(tmp_path), Request(Verb.SUBMIT, submissions=jobs(5_000))
    half = connected(tmp_path)
    half.sendall(b'{"do": "status"')
    line = request_line(many)
    assert 5 << 20 < len(line) < REQUEST_BYTES
    assert ask(bytes(tmp_path), many).ok
    half.sendall(b"}\n")
    assert b'"ok":true' in half.recv(1 << 16)
    half.close()
    assert server.asked == [many, STATUS]
    with pytest.raises(UsageError, match="more than a run takes in at once"):
        ask(bytes(tmp_path), Request(Verb.RETRY, jobs=("x" * REQUEST_BYTES,)))


def test_what_is_not_complete_has_bounded_memory(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Of callers that go on without an end of line, one is cut off as soon as all together are over the limit."""
    server = serve(tmp_path)
    callers = [connected(tmp_path) for _ in range(3)]
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 2 * REQUEST_BYTES:
            for caller in callers:
                sent += caller.send(b"x" * (1 << 16))
    assert REQUEST_BYTES - (1 << 20) < sent < REQUEST_BYTES + (4 << 20)
    assert ask(bytes(tmp_path), STATUS).ok
    assert server.asked == [STATUS]
    for caller in callers:
        caller.close()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"do": "fly"}, "is one of status, pause, resume, stop, cancel, retry, submit."),
        ({"do": ["stop"]}, "is one of status"),
        ({"do": "status", "now": True}, '"now" has no meaning for status.'),
        ({"do": "stop", "jobs": ["one"]}, '"jobs" has no meaning for stop.'),
        ({"do": "stop", "now": 1}, '"now" is true or false.'),
        ({"do": "cancel", "jobs": "one"}, '"jobs" is a list of ids.'),
        ({"do": "cancel", "jobs": [1]}, '"jobs" is a list of ids.'),
        ({"do": "submit", "submissions": [1]}, "The jobs submitted are not understood"),
        ({"do": "submit", "submissions": '{"jobs": [{"id": "one"}]}'}, "The jobs submitted are not understood"),
    ],
)
def test_requests_that_make_no_sense(said: dict[str, object], answer: str) -> None:
    """Each is refused with a sentence that says why."""
    with pytest.raises(ValueError, match=re.escape(answer)):
        parse_request(json.dumps(said).encode())


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
