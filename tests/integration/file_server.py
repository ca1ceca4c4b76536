"""A web server on loopback that has one file, and answers each request as a test wants it."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """How one request is answered; by default with the file, or the part that is asked for."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """Beside, or instead of, the usual ones; an empty text leaves one out."""
    cut_at: int | None = None
    """After so many bytes of the body the connection is closed."""
    whole: bool = False
    """Whether the file is sent from its beginning whatever is asked for."""
    endless: bool = False
    """Whether the body goes on until nobody reads it."""
    hold: threading.Event | None = None
    """What is waited for where the body is cut, before the connection is closed."""


@dataclass
class FileServer:
    """`answers` are for the requests in turn, then come usual ones. What was asked is in `asked`."""

    content: bytes
    etag: str = '"one"'
    answers: list[Answer] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request, their names in lower case, with its path as `path`."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_GET(self) -> None:
        files = self.files
        files.asked.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
        answer = files.answers.pop(0) if files.answers else Answer()
        body, headers = files.content, {"ETag": files.etag, "Content-Type": "video/mp4"}
        status = answer.status
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        unchanged = self.headers.get("If-Range", files.etag) == files.etag
        if status == 200 and part and unchanged and not answer.whole:
            begin = int(part[1])
            status, body = (206, body[begin:]) if begin < len(body) else (416, b"")
            place = f"{begin}-{len(files.content) - 1}" if body else "*"
            headers["Content-Range"] = f"bytes {place}/{len(files.content)}"
        elif status >= 300:
            body = b""
        headers |= {"Content-Length": str(len(body)), **answer.headers}
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body if answer.cut_at is None else body[: answer.cut_at])
            self.wfile.flush()
            while answer.endless:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass
        if answer.hold is not None:
            answer.hold.wait(240)
        self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the other side went away, as tests have it do


@contextmanager
def serving(content: bytes, *answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """Serve this content on a free port."""
    files = FileServer(content, answers=list(answers))
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": files}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    files.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
