"""The scout: a process of its own that lists the input and inspects files, so that a hang or crash costs one file.

It lists a little, then serves what the engine asked to inspect, and so on, so that the first files are known while the
listing is still under way. Before it opens a file it says so; the engine charges a death or a silence to that file and
starts another scout, which goes on after the last file reported.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.intake.scan import ScanPlan, walk
from pyprocessor.models import Source
from pyprocessor.system import bounded_memory
from pyprocessor.system.absent_input import absent
from pyprocessor.workers.messages import (
    Candidate,
    Close,
    Compare,
    Compared,
    Found,
    InputAway,
    Inspect,
    Inspected,
    Inspecting,
    InspectorSetup,
    Listed,
    PassedOver,
    Remark,
)

LISTING_CHUNK = 100
LISTING_SECONDS = 1.0
"""What was found for so long is told at once, so that slow entries do not look like a listing that hangs."""
INSPECTIONS_BETWEEN_CHUNKS = 8


def inspector_main(connection: Connection, setup: InspectorSetup) -> None:
    """Entry point of the process; returns when the engine closes the pipe or says `Close`."""
    os.setpgid(0, 0)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _Inspector(connection, setup).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


class _Inspector:
    def __init__(self, connection: Connection, setup: InspectorSetup) -> None:
        self._connection = connection
        self._folders = tuple(dict.fromkeys(given.folder for given in setup.inputs))
        self._limits = setup.profile.input_limits
        self._wanted: deque[Source | Compare] = deque()
        self._entries: Iterator[Candidate | PassedOver | Remark | None] | None = None
        if setup.lists:
            self._entries = walk(
                ScanPlan(setup.inputs, setup.output_root, setup.profile, setup.ages_from_ns, setup.resume_after),
                self._alive,
            )
        self._spoke = time.monotonic()
        self._open = True

    def run(self) -> None:
        while self._open:
            self._receive()
            self._list_some()
            for _ in range(INSPECTIONS_BETWEEN_CHUNKS if self._entries is not None else 1):
                if self._wanted:
                    self._serve(self._wanted.popleft())

    def _receive(self) -> None:
        idle = self._entries is None and not self._wanted
        while idle or self._connection.poll(0):
            idle = False
            match self._connection.recv():
                case Inspect(sources):
                    self._wanted.extend(sources)
                case Compare() as question:
                    self._wanted.append(question)
                case Close():
                    self._open = False

    def _list_some(self) -> None:
        if self._entries is None:
            return
        chunk: list[Candidate | PassedOver | Remark] = []
        until = time.monotonic() + LISTING_SECONDS
        ended = True
        for entry in self._entries:
            if entry is not None:
                chunk.append(entry)
            if len(chunk) == LISTING_CHUNK or time.monotonic() > until:
                ended = False
                break
        if any(isinstance(entry, PassedOver) and entry.failure is FailureKind.PERMISSION for entry in chunk):
            for folder in self._folders:
                self._tell_of_absence(os.path.join(folder.path, b"."))
        if chunk:
            self._connection.send(
                Found(
                    tuple(c for c in chunk if isinstance(c, Candidate)),
                    tuple(p for p in chunk if isinstance(p, PassedOver)),
                    tuple(r for r in chunk if isinstance(r, Remark)),
                )
            )
        else:
            self._alive()
        if ended:
            self._entries = None
            self._connection.send(Listed())

    def _alive(self) -> None:
        """Say that the listing goes on where nothing was found for a while."""
        if time.monotonic() - self._spoke > LISTING_SECONDS:
            self._connection.send(Found((), (), ()))
            self._spoke = time.monotonic()

    def _serve(self, wanted: Source | Compare) -> None:
        if isinstance(wanted, Compare):
            self._connection.send(Inspecting(wanted.source))
            same = _is_or_was(wanted.source.path, wanted.other)
            self._connection.send(Compared(wanted.source, wanted.other, same))
        else:
            self._inspect(wanted)

    def _inspect(self, source: Source) -> None:
        # Here, so that the engine, which names this module's entry point, does without PyAV.
        from pyprocessor.inspect.probe import probe

        self._connection.send(Inspecting(source))
        try:
            with bounded_memory(self._limits.inspect_memory_bytes):
                media = probe(source.path, size_bytes=source.size_bytes, limits=self._limits)
            answer = Inspected(source, media)
        except InspectError as error:
            answer = Inspected(source, None, error.kind, str(error))
            self._tell_of_absence(source.path)
        except Exception as error:  # noqa: BLE001 - the boundary of a process of its own: one file, one sentence
            answer = Inspected(source, None, FailureKind.CRASH, f"Inspecting failed with {error!r}.")
        self._connection.send(answer)

    def _tell_of_absence(self, path: bytes) -> None:
        """Say first that it is the input that is gone, if so: what follows is of no account then."""
        why = absent(path, self._folders)
        if why is not None:
            self._connection.send(InputAway(why))


def _is_or_was(path: bytes, other: bytes) -> bool:
    """Whether `other` is the file at `path`, or nothing is there any more, so that it may have been."""
    try:
        return os.path.samestat(os.stat(path), os.stat(other))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
