"""What is in the input? A process of its own that lists it and inspects files, so that a hang or crash costs one file.

It lists a little, then inspects what the engine asked for, and so on, so that the first files are known while the
listing goes on. It reports that it opens a file; the engine blames a crash or a hang on that (`inspector_client`) and
starts another inspector, which goes on after the last file reported.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from pyprocessor.errors import FailureKind, InspectError, JobError, UsageError
from pyprocessor.intake.messages import (
    Candidate,
    Compare,
    DivideJob,
    Found,
    Inspected,
    InspectJob,
    PassedOver,
    Question,
    Remark,
    ScanPlan,
)
from pyprocessor.intake.scan import walk
from pyprocessor.models import FOLDER_TASK, Source
from pyprocessor.models.os_errors import classify_os_error
from pyprocessor.system.absent_input import absent
from pyprocessor.system.processes import bounded_memory
from pyprocessor.tasks.base import ChildJob, Task, is_reusable
from pyprocessor.tasks.registry import task
from pyprocessor.workers.content import digest
from pyprocessor.workers.messages import InputAway, Report

LISTING_CHUNK = 100
LISTING_SECONDS = 1.0
"""What was found for so long is reported at once, so that slow entries do not look like a listing that hangs."""
INSPECTIONS_BETWEEN_CHUNKS = 8


def inspector_main(connection: Connection, plan: ScanPlan) -> None:
    """Entry point of the process; returns when the engine closes the pipe."""
    run_child(lambda: _Inspector(connection, plan).run())


def run_child(run: Callable[[], None]) -> None:
    """Run a process of its own: in a group, with garbage collection, Ctrl-C left to the engine, until the pipe ends."""
    os.setpgid(0, 0)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        run()


class _Inspector:
    def __init__(self, connection: Connection, plan: ScanPlan) -> None:
        self._connection = connection
        self._folders = tuple(dict.fromkeys(given.folder for given in plan.inputs))
        self._profile, self._limits = plan.profile, plan.profile.input_limits
        self._wanted: deque[Question] = deque()
        self._entries: Iterator[Candidate | PassedOver | Remark | None] | None = None
        if plan.lists:
            self._entries = walk(plan, self._report_alive)
        self._reported = time.monotonic()

    def run(self) -> None:
        while True:
            self._receive()
            self._list_some()
            for _ in range(INSPECTIONS_BETWEEN_CHUNKS if self._entries is not None else 1):
                if self._wanted:
                    self._answer(self._wanted.popleft())

    def _receive(self) -> None:
        idle = self._entries is None and not self._wanted
        while idle or self._connection.poll(0):
            idle = False
            self._wanted.extend(self._connection.recv())

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
                self._report_absence(os.path.join(folder.path, b"."))
        if chunk:
            self._connection.send(Found(tuple(chunk)))
        else:
            self._report_alive()
        if ended:
            self._entries = None
            self._connection.send(Report.LISTED)

    def _report_alive(self) -> None:
        if time.monotonic() - self._reported > LISTING_SECONDS:
            self._connection.send(Report.ALIVE)
            self._reported = time.monotonic()

    def _answer(self, wanted: Question) -> None:
        self._connection.send(Report.OPENING)
        if isinstance(wanted, Compare):
            self._connection.send(Inspected(_is_or_was(wanted.source.path, wanted.other)))
        else:
            self._connection.send(self._inspect(wanted))

    def _inspect(self, wanted: Source | InspectJob | DivideJob) -> Inspected:
        try:
            with bounded_memory(self._limits.inspect_memory_bytes):
                if isinstance(wanted, DivideJob):
                    return Inspected(self._divide(wanted))
                if isinstance(wanted, InspectJob):
                    inputs, work = tuple(map(_as_it_is, wanted.inputs)), task(wanted.task)
                    found = json.dumps(work.inspect(inputs, wanted.params, self._limits))
                    return Inspected(found, contents=_contents(work, wanted.inputs))
                work = task(FOLDER_TASK)
                media = work.inspect((wanted,), self._profile, self._limits)
                return Inspected(media, contents=_contents(work, (wanted,)))
        except (JobError, UsageError) as error:
            if isinstance(wanted, Source):
                self._report_absence(wanted.path)
            return Inspected(None, error.kind if isinstance(error, JobError) else FailureKind.UNSUPPORTED, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a process of its own: one file, one sentence
            return Inspected(None, FailureKind.CRASH, f"Inspecting failed with {error!r}.")

    def _divide(self, wanted: DivideJob) -> tuple[ChildJob, ...]:
        if tuple(map(_as_it_is, wanted.inputs)) != wanted.inputs:
            raise JobError(FailureKind.BAD_INPUT, "The source changed since it was inspected.")
        work: Any = task(wanted.task)
        children = work.divide(wanted.params, wanted.inputs, wanted.found, wanted.parts, self._limits)
        for child in children:
            json.dumps(child.params, allow_nan=False)
        return tuple(children)

    def _report_absence(self, path: bytes) -> None:
        """Report first that the input as a whole is gone, if so: what follows does not count then."""
        why = absent(path, self._folders)
        if why is not None:
            self._connection.send(InputAway(why))


def _contents(work: Task, inputs: tuple[Source, ...]) -> tuple[str, ...]:
    """Return what identifies the bytes of each input, where the results of the task may be reused."""
    return tuple(map(digest, inputs)) if is_reusable(work) else ()


def _as_it_is(source: Source) -> Source:
    """Return the source with today's size and time. Raises InspectError."""
    try:
        found = os.stat(source.path)
    except OSError as error:
        raise InspectError(*classify_os_error(error, source.path)) from error
    return replace(source, size_bytes=found.st_size, mtime_ns=found.st_mtime_ns)


def _is_or_was(path: bytes, other: bytes) -> bool:
    """Return whether `other` leads to the file at `path`, or to nothing any more, so that it may have been it."""
    try:
        return os.path.samestat(os.stat(path), os.stat(other))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
