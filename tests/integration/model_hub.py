"""A Hugging Face hub on loopback that has one model, as far as fetching it goes."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REPOSITORY = "tests/tiny"
_COMMIT = 40 * "a"


@dataclass
class Hub:
    """`asked` has the method and path of each request, and the range that it asked for."""

    folder: Path
    port: int = 0
    away: bool = False
    """Whether it answers that it is not available."""
    cut: bool = False
    """Whether the model's weights break off half way, once."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What has a program ask it, and keep nothing elsewhere."""
        home = str(self.folder.parent / "hub")
        return {"HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}

    def fetched(self, name: str) -> int:
        """How often the content of a file was asked for."""
        return sum(method == "GET" and path.endswith("/" + name) for method, path, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        hub.asked.append((self.command, path, self.headers.get("Range", "")))
        file = hub.folder / path.rpartition("/")[2]
        if hub.away:
            return self._answer(503, b"", {})
        if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            files = sorted(hub.folder.iterdir())
            tree = [{"type": "file", "path": one.name, "size": one.stat().st_size, "oid": one.name} for one in files]
            return self._answer(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        if path.startswith(f"/api/models/{REPOSITORY}"):
            siblings = [{"rfilename": one.name} for one in sorted(hub.folder.iterdir())]
            about = {"id": REPOSITORY, "sha": _COMMIT, "siblings": siblings, "private": False}
            return self._answer(200, json.dumps(about).encode(), {"Content-Type": "application/json"})
        if not path.startswith(f"/{REPOSITORY}/resolve/") or not file.is_file():
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        content = file.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": _COMMIT}
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if part is None:
            cut = hub.cut and file.name == "model.bin" and self.command == "GET"
            hub.cut &= not cut
            return self._answer(200, content, headers, cut=cut)
        begin = int(part[1])
        headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        return self._answer(206, content[begin:], headers)

    def _answer(self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_model(folder: Path) -> Iterator[Hub]:
    """Serve the model in this folder on a free port."""
    hub = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
