"""What is a task asked, what is it given, and what does it answer?

A task is asked in three places: `inspect` in the inspector's process, `plan` in the engine, `run` in a worker. It never
waits and never spawns: `run` is a generator that yields one step for each ffmpeg or call it needs, and is resumed with
how that ended. So one single-threaded worker drives several jobs at once.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pyprocessor.ffmpeg.invocation import Invocation
from pyprocessor.models import WHOLE, Backend, Cost, CostFeatures, Division, InputLimits, OutputFacts, Source
from pyprocessor.models.products import MAIN, Product

MOST_RESULT_BYTES = 64 * 1024
"""Of a job's result, as JSON. More belongs in a product."""


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a job ended that another one was made of. `products` are paths by role, `result` is JSON."""

    role: str
    succeeded: bool
    reason: str = ""
    products: Mapping[str, bytes] = field(default_factory=dict)
    result: Any = None


@dataclass(frozen=True, slots=True)
class Work:
    """One job in its worker.

    Every file that the attempt makes lies in `folder`, under a name that begins with `name`, so that it is removed
    whatever happens. What the next attempt is to go on with has a name that begins with `publish.kept.kept_name` of the
    job: it stays until the job has ended, or is the product (`take_kept`). `KeptAnswers` is such a file.
    """

    job_id: str
    params: Any
    """What is to be made; for a transcode its Profile."""
    inputs: tuple[Source, ...]
    found: Any
    """What `Task.inspect` answered."""
    threads: int
    folder: bytes
    name: str
    products: tuple[Product, ...] = ()
    """As `Task.plan` named them."""
    children: tuple[ChildEnd, ...] = ()
    """How the jobs ended that `Task.plan` made, in their order."""
    backend: str = ""
    """The name of the back end, of those that `Task.plan` named, that this attempt is to use."""

    def path(self, name: str) -> bytes:
        """The path of a file in the folder."""
        return self.folder + b"/" + name.encode("ascii")


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """An ffmpeg to run, in the folder of the work; the task is resumed with `ffmpeg.run.Finished`, however it ended."""

    invocation: Invocation
    last: bool = True
    """Whether no other step follows, so that the slot may be filled while the products are verified."""
    output_limit_bytes: float = math.inf
    """Of its output; one that writes more is ended."""


@dataclass(frozen=True, slots=True)
class Call:
    """A Python function to call in a process of its own; the task is resumed with `Returned`.

    A call that fails raises its JobError in the task, at the `yield`; one that met an OSError with a number, that.
    A server that was not reached is a JobError, and the job is tried again.
    """

    function: str
    """`module:function`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """By name; values are JSON."""
    last: bool = True
    affinity: str = ""
    """Calls of one affinity may share a process, one after the other; by default those of one function."""
    coroutine: bool = False
    """Whether the function is `async` and only waits, so that many share a process at the same time."""
    memory_bytes: int | None = None
    """The most that its process may hold; beyond that it gets a MemoryError. Not for coroutines."""
    timeout_seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Returned:
    """What a call returned, and what it took; `printed` is the end of what it wrote to stdout and stderr."""

    value: Any
    """JSON."""
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    printed: str = ""


Step = Ffmpeg | Call


@dataclass(frozen=True, slots=True)
class Made:
    """A verified product, by its temporary name in the folder of the work and its role in `Work.products`."""

    temporary: str
    role: str = MAIN


@dataclass(frozen=True, slots=True)
class Done:
    """What a job answers: its products, facts of the main one where it is media, and a result that is JSON."""

    facts: OutputFacts | None = None
    products: tuple[Made, ...] = ()
    result: Any = None


Steps = Generator[Step, Any, Done]
"""What `Task.run` returns."""


@dataclass(frozen=True, slots=True)
class ChildJob:
    """A job that another one is made of. `role` and its place among those of the role tell it apart.

    Its products lie in the folder of the state until the job that made it has ended. That job runs once all of these
    have ended, whether or not they succeeded. Where `params` name the fingerprint of a profile as `profile`, the task
    gets the Profile in its place.
    """

    role: str
    task: str
    params: Any
    inputs: tuple[Source, ...] = ()


_NOTHING = Cost(0.0, 0, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job will make, and what it will take."""

    products: tuple[Product, ...] = ()
    cost: CostFeatures | Cost = _NOTHING
    """What its cost is predicted from, or the cost itself."""
    children: tuple[ChildJob, ...] = ()
    division: Division = WHOLE
    skip: str = ""
    """Why there is nothing to do, as a sentence; empty where there is."""
    already_right: bool = False
    """Of a skip: what the job was to make is there, so that what waits for it may go on."""
    backends: tuple[Backend, ...] = ()
    """Services that can do it, the preferred one first; the engine chooses one for each attempt."""
    requests: int = 1
    """How many requests of its back end an attempt makes."""


class Task(Protocol):
    """A kind of work. All three methods raise `errors.JobError` for a job that cannot be done.

    It may also have `summary`, `takes`, `inputs`, `extensions`, `except_endings`, `products_of` and `reusable`, see
    docs/api.md, and a method `whole`: it returns the params with what they name, such as a profile, in its place, when
    a job is submitted; and `fetches`: it yields task and params of jobs that fetch what it needs besides its inputs,
    each once for all jobs that wait for it.
    """

    name: str

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        """What `plan` and `run` have to know of the inputs: a MediaInfo, or JSON. The only one that may read files."""

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        """What the job will make and take. `output` is the name below the output root that the run has for it."""

    def run(self, work: Work) -> Steps:
        """Yield the steps to run; return what was made and verified."""


def is_reusable(work: Task) -> bool:
    """Whether all that a task makes follows from the bytes of its inputs, its params and what `inspect` found."""
    return bool(getattr(work, "reusable", False))


class Divisible(Task, Protocol):
    """A kind of work whose plans may have a `Division` of several parts."""

    def divide(
        self, params: Any, inputs: tuple[Source, ...], found: Any, parts: int, limits: InputLimits
    ) -> tuple[ChildJob, ...]:
        """The jobs that a job is made of: `parts` or fewer, of near equal predicted cost, and what goes beside them.

        Like `inspect` it runs in the inspector's process and may read the inputs. Raises JobError with why the job is
        to be done whole.
        """
