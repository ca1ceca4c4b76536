"""What a hostile file would reach for: a port of this machine that counts who connects, and a file that nobody may
open."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

IN_OPEN = 0x20


class LoopbackListener:
    """Takes every connection to `port` on 127.0.0.1, answers nothing, and counts them; as context."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wake.close()
        self._thread.join(10)
        self._socket.close()
        self._woken.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._woken], [], [])
            if self._woken in ready:
                return
            connection, _ = self._socket.accept()
            self.connections += 1
            connection.close()


class Canary:
    """A file with a text that must turn up nowhere; `opened` says how often somebody opened it (Linux)."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        path.write_text(f"{text}\n" * 3)
        self._descriptor: int | None = None
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            assert libc.inotify_add_watch(self._descriptor, os.fsencode(path), IN_OPEN) >= 0, ctypes.get_errno()

    def opened(self) -> int:
        """How often it was opened since the last call."""
        if self._descriptor is None:
            return 0
        count = 0
        while True:
            try:
                events = os.read(self._descriptor, 64 * 1024)
            except BlockingIOError:
                return count
            at = 0
            while at < len(events):
                (name_length,) = struct.unpack_from("I", events, at + 12)
                at += 16 + name_length
                count += 1

    def found_below(self, folder: Path) -> list[Path]:
        """Files below the folder that hold its text, in plain or as UTF-16."""
        needles = (self.text.encode(), self.text.encode("utf-16-le"))
        return [
            path
            for path in folder.rglob("*")
            if path.is_file() and path != self.path and any(needle in path.read_bytes() for needle in needles)
        ]

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
