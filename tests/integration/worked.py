"""A worker without an engine: what it is sent, what it sends back, and tasks that a package of others offers."""

from __future__ import annotations

import itertools
import math
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.jobs.timeouts import Timeouts
from pyprocessor.models import ProcessIdentity, ProcessReading, Profile, Source
from pyprocessor.models.run import RunRequest
from pyprocessor.publish.partials import partial_name
from pyprocessor.state.state_folder import prepare_state_folder
from pyprocessor.system.process_trees import ProcessTrees
from pyprocessor.system.processes import process_identity
from pyprocessor.tasks.registry import task
from pyprocessor.workers import messages
from pyprocessor.workers.handle import LocalWorker, WorkerHandle
from pyprocessor.workers.messages import StepOrder, WorkerSetup, WorkItem
from pyprocessor.workers.process import context
from pyprocessor.workers.worker import Worker
from tests.waiting import DEADLINE_SECONDS, until

NAME = "pyprocessor_example"
ENTRY_POINTS = f"""[pyprocessor.tasks]
words = {NAME}:Words
words-once = {NAME}:WordsOnce
count-once = {NAME}:CountOnce
ask = {NAME}:Ask
bad = {NAME}:Bad
sum = {NAME}:Sum
join = {NAME}:Join
reel = {NAME}:Reel
"""


@pytest.fixture
def example_tasks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a package that offers tasks, for this test; yields the folder that it lies in."""
    site = install(tmp_path_factory.mktemp("packages") / "site")
    monkeypatch.syspath_prepend(str(site))
    task.cache_clear()
    yield site
    task.cache_clear()
    sys.modules.pop(NAME, None)


def install(site: Path) -> Path:
    """Install the package in this folder, which is made."""
    info = site / f"{NAME}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    shutil.copy(Path(__file__).parents[1] / "example_tasks" / f"{NAME}.py", site)
    return site


class ThreadWorker:
    """A worker in a thread of this process: another way to run one than `LocalWorker`."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.connection, theirs = Pipe()
        identity = process_identity(os.getpid())
        assert identity is not None
        self.identity: ProcessIdentity = identity
        self._worker = Worker(theirs, setup)
        self._thread = threading.Thread(target=self._run, args=(theirs,))
        self._thread.start()

    def _run(self, theirs: Any) -> None:
        try:
            self._worker.loop()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._worker.abandon()
        finally:
            theirs.close()

    def send(self, message: object, *more: object) -> bool:
        try:
            self.connection.send((message, *more))
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Iterator[Any]:
        while True:
            yield from self.connection.recv()
            if not self.connection.poll(0):
                return

    def usage(self, steps: Iterable[int]) -> Mapping[int, ProcessReading]:
        return ProcessTrees().processes(steps)

    def kill(self) -> None:
        self.connection.close()
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()


class Bench:
    """A worker and all that it has sent; what it verified is granted unless `grants` is false."""

    def __init__(
        self,
        folder: Path,
        *,
        slots: int = 1,
        own_process: bool = False,
        lease_seconds: float = math.inf,
        grants: bool = True,
        tool_path: str = "/no/ffmpeg",
    ) -> None:
        self.output = folder / "out"
        self.output.mkdir(exist_ok=True)
        self.state = prepare_state_folder(os.fsencode(self.output))
        request = RunRequest((), os.fsencode(self.output), Profile("test", "f"), tool_path)
        setup = WorkerSetup(1, slots, request, self.state, b"/no/log", lease_seconds)
        self.worker: WorkerHandle = LocalWorker(context(), setup, "test") if own_process else ThreadWorker(setup)
        self.grants = grants
        self.told: list[Any] = []
        self.gone = False
        self._numbers = itertools.count(1)

    def item(
        self, name: str, params: Any = None, inputs: tuple[Path, ...] = (), *, wall_limit_seconds: float = math.inf
    ) -> WorkItem:
        """A job for the worker, planned as the engine does."""
        number = next(self._numbers)
        job_id, token = f"{number:08x}" * 4, secrets.token_hex(4)
        sources = tuple(_source(path) for path in inputs)
        found = task(name).inspect(sources, params, Profile("test", "f").input_limits)
        plan = task(name).plan(params, sources, found, f"made-{number}.txt".encode())
        limits = Timeouts(math.inf, wall_limit_seconds)
        partial = partial_name(job_id, token)
        return WorkItem(job_id, token, name, params, "p", sources, found, 1, partial, plan.products, limits)

    def ask(self, function: str, *, wall_limit_seconds: float = math.inf, **call: Any) -> WorkItem:
        """Send a job that is one call of a function of the example."""
        item = self.item("ask", {"function": function, **call}, wall_limit_seconds=wall_limit_seconds)
        self.worker.send(item)
        return item

    def order(self, item: WorkItem, act: Any) -> None:
        """Have the process of a job's step suspended, resumed or killed, as the engine does."""
        self.worker.send(StepOrder(item.job_id, item.token, act))

    def end_of(self, item: WorkItem) -> Any:
        """The message that ends a job: Published, Answered or Ended."""
        kinds = (messages.Published, messages.Answered, messages.Ended)
        return self.message(lambda told: isinstance(told, kinds) and told.token == item.token, f"the end of {item}")

    def first(self, kind: type[Any], item: WorkItem) -> Any:
        """The first message of a kind about a job."""
        return self.message(lambda told: isinstance(told, kind) and told.token == item.token, f"{kind} of {item}")

    def message(self, wanted: Callable[[Any], bool], what: str) -> Any:
        """The first message of which this is true, once it was sent."""
        return until(lambda: self._look() or next((told for told in self.told if wanted(told)), None), what)

    def _look(self) -> None:
        if self.gone or not wait([self.worker.connection], 0.2):
            return
        try:
            for told in self.worker.receive():
                self.told.append(told)
                if isinstance(told, messages.Verified) and self.grants:
                    self.worker.send(messages.Grant(told.job_id, told.token, frozenset()))
        except EOFError:
            self.gone = True

    def close(self) -> None:
        """Have the batch end, and wait until it has."""
        self.worker.send(messages.Command.CLOSE)
        until(lambda: self._look() or self.gone, "the end of the worker")
        assert self.told[-1] is messages.Report.CLOSED
        self.worker.kill()

    def log_of(self, item: WorkItem) -> str:
        """What the job's log holds."""
        logs = Path(os.fsdecode(self.state.logs))
        return "".join(path.read_text() for path in logs.glob(f"job-{item.job_id[:16]}*"))

    def left(self) -> list[str]:
        """What lies in the folder of unfinished products."""
        return sorted(os.listdir(os.fsdecode(self.state.partials)))


def _source(path: Path) -> Source:
    found = path.stat()
    return Source(os.fsencode(path), os.fsencode(path.name), found.st_size, found.st_mtime_ns)
