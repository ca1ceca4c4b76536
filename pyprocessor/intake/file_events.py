"""Did something change below a folder, as far as the system reports that?

A thread in `watchfiles` writes a byte to a socket. It only saves waiting: events end silently when the folder is
removed and made again, and never come for what other machines do on a network file system.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pyprocessor.models import display
from pyprocessor.system.filesystems import network_filesystem

STOP_LOOKED_AT_MS = 500


class FileEvents:
    """Events of one folder at a time, without those below `outputs`."""

    def __init__(self, root: bytes, outputs: bytes) -> None:
        self._root = os.fsdecode(root)
        self._outputs = os.path.join(os.path.realpath(os.fsdecode(outputs)), "")
        self.socket, self._writer = socket.socketpair()
        """The first becomes readable when something changed."""
        self.socket.setblocking(False)
        self._writer.setblocking(False)
        self._identity: tuple[int, int] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: str | None = None
        self._yielded: set[str] = set()

    def drain(self) -> None:
        """Empty the socket."""
        with suppress(BlockingIOError):
            while self.socket.recv(512):
                pass

    def listen(self, status: os.stat_result) -> None:
        """Have events of the folder reported, again where its `status` shows another one."""
        identity = (status.st_dev, status.st_ino)
        alive = self._thread is not None and self._thread.is_alive()
        if identity == self._identity and (alive or self._problem is not None):
            return
        self._stop.set()
        self._identity, self._problem = identity, None
        if network_filesystem(os.fsencode(self._root)):
            self._problem = (
                f"{display(os.fsencode(self._root))} is on a network file system, which does not report changes; "
            )
            return
        try:
            import watchfiles
        except ImportError:
            self._problem = "The package watchfiles is not installed (pip install 'pyprocessor[watch]'); "
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receive, args=(watchfiles, self._stop), daemon=True)
        self._thread.start()

    def problems(self) -> Iterator[str]:
        """Yield why no events come, as the beginning of a sentence; each reason once."""
        if self._problem is not None and self._problem not in self._yielded:
            self._yielded.add(self._problem)
            yield self._problem

    def stop(self) -> None:
        self._stop.set()
        self.socket.close()
        self._writer.close()

    def _receive(self, watchfiles: Any, stop: threading.Event) -> None:
        try:
            changes = watchfiles.watch(
                self._root,
                watch_filter=lambda _, path: not path.startswith(self._outputs),
                stop_event=stop,
                rust_timeout=STOP_LOOKED_AT_MS,
                raise_interrupt=False,
                force_polling=False,
                ignore_permission_denied=True,
            )
            for events in changes:
                with suppress(BlockingIOError):
                    self._writer.send(b"w")
                if any(path == self._root and change is watchfiles.Change.deleted for change, path in events):
                    return
        except (OSError, RuntimeError) as error:  # among them: no more folders can be watched
            if not stop.is_set() and os.path.isdir(self._root):
                self._problem = f"The system does not report changes ({str(error).rstrip('.')}); "
