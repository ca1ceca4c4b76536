"""What is in the input? A process of its own that lists it and inspects files, so that a hang or crash costs one file.

It lists a little, then inspects what the engine asked for, and so on, so that the first files are known while the
listing goes on. Before it opens a file it reports the file; the engine blames a crash or a hang on it and starts
another inspector, which goes on after the last file reported.
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

from pyprocessor.errors import FailureKind, InspectError, JobError, UsageError
from pyprocessor.intake.messages import (
    Candidate,
    Compare,
    Compared,
    Found,
    Inspected,
    InspectedJob,
    InspectJob,
    PassedOver,
    Remark,
    ScanPlan,
)
from pyprocessor.intake.scan import walk
from pyprocessor.models import Source
from pyprocessor.models.os_errors import classify_os_error
from pyprocessor.system.absent_input import absent
from pyprocessor.system.processes import bounded_memory
from pyprocessor.tasks.registry import FOLDER_TASK, task
from pyprocessor.workers.messages import Command, InputAway, Report

LISTING_CHUNK = 100
LISTING_SECONDS = 1.0
"""What was found for so long is reported at once, so that slow entries do not look like a listing that hangs."""
INSPECTIONS_BETWEEN_CHUNKS = 8


def inspector_main(connection: Connection, plan: ScanPlan) -> None:
    """Entry point of the process; returns when the engine closes the pipe or sends CLOSE."""
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
        self._wanted: deque[Source | Compare | InspectJob] = deque()
        self._entries: Iterator[Candidate | PassedOver | Remark | None] | None = None
        if plan.lists:
            self._entries = walk(plan, self._report_alive)
        self._reported = time.monotonic()
        self._open = True

    def run(self) -> None:
        while self._open:
            self._receive()
            self._list_some()
            for _ in range(INSPECTIONS_BETWEEN_CHUNKS if self._entries is not None else 1):
                if self._wanted:
                    self._answer(self._wanted.popleft())

    def _receive(self) -> None:
        idle = self._entries is None and not self._wanted
        while idle or self._connection.poll(0):
            idle = False
            match self._connection.recv():
                case Command.CLOSE:
                    self._open = False
                case wanted:
                    self._wanted.extend(wanted)

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

    def _answer(self, wanted: Source | Compare | InspectJob) -> None:
        if isinstance(wanted, InspectJob):
            self._connection.send(wanted.job_id)
            self._connection.send(self._inspect_job(wanted))
        elif isinstance(wanted, Compare):
            self._connection.send(wanted.source)
            same = _is_or_was(wanted.source.path, wanted.other)
            self._connection.send(Compared(wanted.source, same))
        else:
            self._connection.send(wanted)
            self._connection.send(self._inspect(wanted))

    def _inspect(self, source: Source) -> Inspected:
        try:
            with bounded_memory(self._limits.inspect_memory_bytes):
                return Inspected(source, task(FOLDER_TASK).inspect((source,), self._profile, self._limits))
        except InspectError as error:
            self._report_absence(source.path)
            return Inspected(source, None, error.kind, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a process of its own: one file, one sentence
            return Inspected(source, None, FailureKind.CRASH, f"Inspecting failed with {error!r}.")

    def _inspect_job(self, job: InspectJob) -> InspectedJob:
        try:
            inputs = tuple(_as_it_is(source) for source in job.inputs)
            with bounded_memory(self._limits.inspect_memory_bytes):
                found = task(job.task).inspect(inputs, job.params, self._limits)
            return InspectedJob(job.job_id, inputs, json.dumps(found))
        except (JobError, UsageError) as error:
            kind = error.kind if isinstance(error, JobError) else FailureKind.UNSUPPORTED
            return InspectedJob(job.job_id, failure=kind, reason=str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a process of its own: one job, one sentence
            return InspectedJob(job.job_id, failure=FailureKind.CRASH, reason=f"Inspecting failed with {error!r}.")

    def _report_absence(self, path: bytes) -> None:
        """Report first that the input as a whole is gone, if so: what follows does not count then."""
        why = absent(path, self._folders)
        if why is not None:
            self._connection.send(InputAway(why))


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
