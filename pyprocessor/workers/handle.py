"""What does the engine know of a worker, wherever that runs? And the one that is a process of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.context import BaseContext
from typing import Any, Protocol

from pyprocessor.models import ProcessIdentity, ProcessReading
from pyprocessor.system.left_behind import kill_marked, mark
from pyprocessor.system.process_trees import ProcessTrees
from pyprocessor.workers.messages import FromWorker, Spawned, ToWorker, WorkerSetup
from pyprocessor.workers.process import NAME_PREFIX, Child
from pyprocessor.workers.worker import worker_main


class WorkerHandle(Protocol):
    """The engine's end of a worker."""

    connection: Any
    """What `multiprocessing.connection.wait` waits for: ready when `receive` has something."""
    identity: ProcessIdentity

    def send(self, message: ToWorker, *more: ToWorker) -> bool:
        """Send messages in one write; False when the worker is gone, which `receive` reports."""

    def receive(self) -> Iterator[FromWorker]:
        """Yield all messages that wait. Raises EOFError when the worker is gone."""

    def usage(self, steps: Iterable[int]) -> Mapping[int, ProcessReading]:
        """What the processes of steps take now, by the pids that the worker reported; without those that have ended."""

    def kill(self) -> None:
        """End the worker and everything that it started, at once."""


class LocalWorker(Child):
    """A worker in a process of its own on this machine."""

    def __init__(self, context: BaseContext, setup: WorkerSetup, name: str) -> None:
        super().__init__(context, worker_main, setup, f"{NAME_PREFIX}{name}")
        self._mark = mark(setup.folder.path, setup.run_id, self.pid)
        self._has_called = False
        self._trees = ProcessTrees()

    def send(self, message: object, *more: object) -> bool:
        return super().send((message, *more))

    def receive(self) -> Iterator[Any]:
        for messages in super().receive():
            self._has_called |= any(isinstance(message, Spawned) and message.call for message in messages)
            yield from messages

    def kill(self) -> None:
        super().kill()
        if self._has_called:  # an ffmpeg does not leave the group, and looking costs some milliseconds
            kill_marked(self._mark)

    def usage(self, steps: Iterable[int]) -> Mapping[int, ProcessReading]:
        return self._trees.processes(steps)
