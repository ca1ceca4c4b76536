"""A server on loopback that speaks OpenAI's protocol: transcriptions and chats, and what goes wrong with them."""

from __future__ import annotations

import email
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SEGMENTS = [
    {"start": 0.0, "end": 1.5, "text": " hello there", "avg_logprob": -0.1, "no_speech_prob": 0.1},
    {"start": 1.5, "end": 99.0, "text": " general", "avg_logprob": -2.0, "no_speech_prob": 0.5},
    {"start": 2.0, "end": 2.0, "text": "  ", "avg_logprob": -2.0, "no_speech_prob": 0.9},
]


def corrected(text: str) -> str:
    """Every line with a capital letter at its beginning and a full stop at its end, its number before it."""
    lines = []
    for line in text.splitlines():
        number, colon, said = line.partition(": ")
        if not number.isdigit():
            number, colon, said = "", "", line
        stop = "." if said and not said.endswith(".") else ""
        lines.append(f"{number}{colon}{said[:1].upper()}{said[1:]}{stop}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Fault:
    """What is answered instead: a status with headers and a body, or a `way` to break off."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b'{"error": {"message": "no"}}'
    way: str = ""
    """`half` of an answer, `garbage`, `silence`, an answer that is `large`, or broken off by its `length`."""


BUSY = Fault(429, (("Retry-After", "1"),))
BROKEN = Fault(500)
HALF, GARBAGE, SILENCE, LARGE, LENGTH = (Fault(way=way) for way in ("half", "garbage", "silence", "large", "length"))


@dataclass(frozen=True)
class Request:
    """One that came: its path, the key it had, and its fields, of a document or a form."""

    path: str
    key: str
    fields: dict[str, Any]


@dataclass
class ApiServer:
    """Answers as long as it is open; each of `faults` (None: none) once, in order, then with `always` ever after."""

    key: str = ""
    faults: deque[Fault | None] = field(default_factory=deque)
    always: Fault | None = None
    improve: Callable[[str], str] = corrected
    breaks_on: str = ""
    """A message for which there is never an answer."""
    times: bool = True
    """Whether transcriptions may have times; else they are refused."""
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        """What is answered where nothing goes wrong."""
        if self.key and request.key != f"Bearer {self.key}":
            return 401, {}, json.dumps({"error": {"message": f"Wrong key: {request.key}"}}).encode()
        if request.path.endswith("/chat/completions"):
            if self.breaks_on and request.fields["messages"][-1]["content"] == self.breaks_on:
                return BROKEN.status, {}, BROKEN.body
            said = self.improve(request.fields["messages"][-1]["content"])
            return 200, {}, _chat(said, "stop")
        if request.path.endswith("/audio/transcriptions"):
            if request.fields["response_format"] == "json":
                return 200, {}, b'{"text": " hello there general "}'
            if not self.times:
                return 400, {}, b'{"error": {"message": "response_format verbose_json is not for this model"}}'
            return 200, {}, json.dumps({"language": "English", "segments": SEGMENTS, "text": "x"}).encode()
        return 404, {}, b"<html>no such page</html>"


@contextmanager
def api_server(*faults: Fault | None, **settings: Any) -> Iterator[ApiServer]:
    """Open a server on a free port, and close it with all its connections."""
    server = ApiServer(faults=deque(faults), **settings)

    class Handler(_Handler):
        api = server

    with ThreadingHTTPServer(("127.0.0.1", server.port), Handler) as listening:
        server.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            listening.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else b""
        if not body:
            body = self._chunks()
        request = Request(self.path, self.headers.get("Authorization", ""), self._fields(body))
        self.api.requests.append(request)
        fault = self.api.faults.popleft() if self.api.faults else self.api.always
        if fault is None:
            self._send(*self.api.answer(request))
            return
        match fault.way:
            case "silence":
                self.api.closing.wait()
                self.close_connection = True
            case "half":
                self._send(200, {}, _chat("cut", "stop"), length=1000)
            case "garbage":
                self._send(200, {}, b'{"choices": [')
            case "large":
                self._send(200, {}, b" " * (17 << 20))
            case "length":
                self._send(200, {}, _chat("cut", "length"))
            case _:
                self._send(fault.status, dict(fault.headers), fault.body)

    def _send(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            pass  # who asked has heard enough
        self.close_connection = True

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        return found

    def _fields(self, body: bytes) -> dict[str, Any]:
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            document: dict[str, Any] = json.loads(body)
            return document
        form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        found: dict[str, Any] = {}
        for part in form.get_payload():
            data = part.get_payload(decode=True)
            name = part.get_param("name", header="Content-Disposition")
            found[str(name)] = data if part.get_filename() else data.decode()
        return found

    def log_message(self, *_: object) -> None:
        pass


def _chat(text: str, reason: str) -> bytes:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return b"\n\n" + json.dumps({"choices": [choice]}).encode()
