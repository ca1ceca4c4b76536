"""What do the engine and its workers send each other? Each worker has a pipe of its own.

What goes through it is a tuple of messages, so that one write carries all of one turn. A message about a job
has the token of the attempt, which the engine draws when it sends the job; both sides ignore one that has another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from operator import attrgetter
from typing import Any, Literal

from pyprocessor.jobs.timeouts import Timeouts
from pyprocessor.models import Outcome, OutputFacts, ProcessIdentity, Reusable, Source, Usage
from pyprocessor.models.products import Intent, Product
from pyprocessor.models.run import RunRequest
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.tasks.base import ChildEnd


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is started with; `journal_log` is the write-ahead log to sync before publishing, if any."""

    run_id: int
    slots: int
    request: RunRequest
    folder: StateFolder
    journal_log: bytes
    lease_seconds: float = math.inf
    """For how long after a message of the engine it may publish; infinite where a kill is sure to reach it."""


@cache
def _values_of(kind: Any) -> Callable[[object], tuple[Any, ...]]:
    return attrgetter(*kind.__match_args__)


@dataclass(frozen=True, slots=True)
class OfAttempt:
    """A message about one attempt at a job."""

    job_id: str
    token: str
    """8 hex characters."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A fifth of the time that pickling takes by the slots of a frozen dataclass.
        kind: Any = type(self)
        return kind, _values_of(kind)(self)


class Params(Enum):
    """Stands for params that a worker has already: the profile of the run it was started for."""

    OF_THE_RUN = auto()


@dataclass(frozen=True, slots=True)
class WorkItem(OfAttempt):
    """One job to do, see `tasks.base.Work`. `fingerprint` is that of `params`, `partial` the attempt's name.

    With `reused` it is to get a copy of that, and fails where it cannot.
    """

    task: str
    params: Any
    fingerprint: str
    inputs: tuple[Source, ...]
    found: Any
    threads: int
    partial: str
    products: tuple[Product, ...]
    limits: Timeouts
    children: tuple[ChildEnd, ...] = ()
    deadline: float | None = None
    backend: str = ""
    reused: Reusable | None = None


@dataclass(frozen=True, slots=True)
class Grant(OfAttempt):
    """The publish is journaled: go. What lies under the names in `replace` may be replaced."""

    replace: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Discard(OfAttempt):
    """It is journaled that all was published: what the products replaced may go."""


class Command(Enum):
    """What a process is to do as a whole.

    DRAIN: start nothing more, hand back what was not started, finish what runs. END: end the steps and report their
    jobs as interrupted. CLOSE: exit when the last job is done. HOLD: start nothing until RELEASE. TAKE_BACK: hand back
    what was not started. FREE: end call runners that are idle. RENEW: nothing, but its lease is renewed.
    """

    DRAIN = auto()
    END = auto()
    CLOSE = auto()
    HOLD = auto()
    RELEASE = auto()
    TAKE_BACK = auto()
    FREE = auto()
    RENEW = auto()


@dataclass(frozen=True, slots=True)
class StepOrder(OfAttempt):
    """Do this to the process of the attempt's step; `kill` frees its memory, and the attempt is reported as shed."""

    act: Literal["suspend", "resume", "kill"]


@dataclass(frozen=True, slots=True)
class Started(OfAttempt):
    """Sent before the first step begins, so that a death in between is charged to the right job."""


@dataclass(frozen=True, slots=True)
class Spawned(OfAttempt):
    """The process of the attempt's step, an ffmpeg or, for a call, its runner, `warm` where that is not new."""

    process: ProcessIdentity
    call: bool = False
    warm: bool = False


@dataclass(frozen=True, slots=True)
class Progressed(OfAttempt):
    """`done` is media seconds of an ffmpeg, `speed` media seconds per second; of a call what it reports, of `total`."""

    done: float
    speed: float | None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Encoded(OfAttempt):
    """The attempt's last step has ended: its slot and memory are free, while products are still to be verified."""


@dataclass(frozen=True, slots=True)
class Verified(OfAttempt):
    """The products are whole and on the disk; they wait for the grant. `result` is the job's result as JSON."""

    facts: OutputFacts
    """Of the main product."""
    intents: tuple[Intent, ...] = ()
    result: str = "null"


@dataclass(frozen=True, slots=True)
class Published(OfAttempt):
    """All products have their names. `displaced` asks for a `Discard`."""

    facts: OutputFacts
    usage: Usage
    displaced: bool = False


@dataclass(frozen=True, slots=True)
class Answered(OfAttempt):
    """The attempt succeeded and has no product, so nothing is to be granted. `result` is the job's result as JSON."""

    result: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Ended(OfAttempt):
    """The attempt is over without success: `killed` by a SIGKILL from outside, `unopened` by ffmpeg."""

    outcome: Outcome
    usage: Usage | None
    killed: bool = False
    unopened: bool = False


@dataclass(frozen=True, slots=True)
class HandedBack:
    """These were not started: the answer to DRAIN and TAKE_BACK."""

    jobs: tuple[OfAttempt, ...]


@dataclass(frozen=True, slots=True)
class InputAway:
    """The input as a whole is gone, with why as a sentence; the inspector sends it, too."""

    reason: str


class Report(Enum):
    """What any process of ours reports without details.

    CLOSED is the last of a worker that ends as it should. The inspector sends LISTED, and OPENING before each file or
    job that it inspects; the watcher REAPPEARED.
    """

    ALIVE = auto()
    CLOSED = auto()
    LISTED = auto()
    OPENING = auto()
    REAPPEARED = auto()


ToWorker = WorkItem | Grant | Discard | Command | StepOrder
FromWorker = (
    Started | Spawned | Progressed | Encoded | Verified | Published | Answered | Ended | HandedBack | InputAway | Report
)
