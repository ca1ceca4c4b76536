"""How is a function of the user's own done as a job: called once, or for each request of a chunk?"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Backend, Cost, CostFeatures, InputLimits, Source
from pyprocessor.publish.answers import AnswerLog, Answers, read_answers
from pyprocessor.tasks.base import Call, Done, Plan, Returned, Steps, Work
from pyprocessor.tasks.params import params_as

CALL = "call"
_CPU_SECONDS, _WAIT_SECONDS, _MEMORY_BYTES = 0.001, 1.0, 24 << 20
"""What is expected of a function of which nothing was measured yet."""
MOST_TRIES_ALONE = 2
"""Of a request whose process has ended."""
_GRACE_SECONDS = 10.0
_ANSWER = "pyprocessor.workers.answering:answer"
_OF_A_PROCESS = (FailureKind.CRASH, FailureKind.STALL, FailureKind.RESOURCE)
"""How the failure of a call is called whose process has ended."""


@dataclass(frozen=True, slots=True)
class Takes:
    """Which function is called, and with what."""

    function: str
    """`package.module:function`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """By name, as JSON."""
    coroutine: bool = False
    """Whether the function is `async` and mostly waits, so that up to 64 calls share a process."""
    affinity: str = ""
    """Calls that have it in common share a warm process, one after the other; by default those of one function."""
    memory_mb: int | None = None
    """The most that its process may hold."""

    def __post_init__(self) -> None:
        module, _, function = self.function.partition(":")
        named = all(part.isidentifier() for name in (module, function) for part in name.split("."))
        if not named or module == "__main__":  # the process that calls it does not run the user's script
            raise ValueError(f"`function` is {self.function!r}, but has to be written package.module:function")
        if self.memory_mb is not None and (self.memory_mb < 1 or self.coroutine):
            raise ValueError("`memory_mb` has to be 1 or more, and is not for coroutines, which share a process")


class CallFunction:
    """One call; what it returns is the result."""

    name = CALL
    summary = "Call a Python function of yours in a process of its own"
    takes = Takes
    inputs = (0, 0)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> None:  # noqa: ARG002 - the task's
        params_as(Takes, params)

    def plan(self, params: Any, inputs: tuple[Source, ...], found: None, output: bytes) -> Plan:  # noqa: ARG002
        wanted = params_as(Takes, params)
        memory = _MEMORY_BYTES if wanted.memory_mb is None else wanted.memory_mb << 20
        cost = Cost(_CPU_SECONDS, memory, 0, wait_seconds=_WAIT_SECONDS if wanted.coroutine else 0.0)
        return Plan(cost=CostFeatures(self.name, wanted.affinity or wanted.function, given=cost))

    def run(self, work: Work) -> Steps:
        wanted = params_as(Takes, work.params)
        returned: Returned = yield Call(
            wanted.function,
            wanted.arguments,
            affinity=wanted.affinity,
            coroutine=wanted.coroutine,
            memory_bytes=None if wanted.memory_mb is None else wanted.memory_mb << 20,
        )
        return Done(result=returned.value)


@dataclass(frozen=True, slots=True)
class Asked:
    """A chunk of requests, and who answers them."""

    handler: Mapping[str, Any]
    """As `workers/answering` takes it; where it has `chat`, a list of APIs to choose from, and their `limits`."""
    requests: tuple[tuple[str, str, str, str, Mapping[str, Any] | None], ...]
    """The fields of a BatchRequest each."""
    log: str
    """The path of the file of answers."""
    at_once: int
    """Calls of a function, in threads of one process."""
    timeout_seconds: float
    """For each request."""
    predicted_cpu_seconds: float
    predicted_wait_seconds: float


class AnswerRequests:
    """Answers a chunk of requests; the answers are in its log, since there may be more than a result holds.

    Where the process that answers ends by itself, each request that it had in hand is tried alone, twice at most.
    """

    name = "answer-requests"
    takes = Asked
    inputs = (0, 0)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> None:
        """Nothing has to be known."""

    def plan(self, params: Any, inputs: tuple[Source, ...], found: None, output: bytes) -> Plan:  # noqa: ARG002
        asked = params_as(Asked, params)
        cost = Cost(asked.predicted_cpu_seconds, _MEMORY_BYTES, 0, wait_seconds=asked.predicted_wait_seconds)
        backends = tuple(Backend(*limit) for limit in asked.handler.get("limits", ()))
        features = CostFeatures(self.name, _affinity(asked), given=cost)
        return Plan(cost=features, backends=backends, requests=len(asked.requests))

    def run(self, work: Work) -> Steps:
        asked = params_as(Asked, work.params)
        handler = asked.handler
        if "chat" in handler:
            handler = {"chat": next(one for one in handler["chat"] if one["name"] == work.backend)}
        log = AnswerLog(asked.log)
        last: JobError | None = None
        try:
            while len((answers := read_answers(asked.log)).done) < len(asked.requests):
                suspect = next(iter(answers.begun), None)
                if suspect is not None and answers.alone[suspect] >= MOST_TRIES_ALONE:
                    log.answered(suspect, _ended_its_process(last, answers.alone[suspect]))
                    continue
                try:
                    yield _call(asked, handler, answers, suspect)
                except JobError as error:
                    if error.kind not in _OF_A_PROCESS or read_answers(asked.log) == answers:
                        raise
                    last = error
        finally:
            log.close()
        failed = sum("error" in answer for answer in answers.done.values())
        return Done(result={"answered": len(answers.done) - failed, "failed": failed})


def _call(asked: Asked, handler: Mapping[str, Any], answers: Answers, suspect: int | None) -> Call:
    """The call for what is not answered yet, or for a request that is to be tried alone.

    What was given back comes last: where one request is why a server does not answer, the others are answered.
    """
    places = [place for place in range(len(asked.requests)) if place not in answers.done]
    places.sort(key=answers.given_back.__contains__)
    if suspect is not None:
        places = [suspect]
    arguments = {
        "handler": handler,
        "requests": [[place, *asked.requests[place]] for place in places],
        "log": asked.log,
        "at_once": asked.at_once,
        "timeout_seconds": asked.timeout_seconds,
        "alone": suspect is not None,
    }
    # For a function that keeps even the threads beside it from running.
    limit = asked.timeout_seconds * math.ceil(len(places) / asked.at_once) + _GRACE_SECONDS
    return Call(_ANSWER, arguments, affinity=_affinity(asked), timeout_seconds=limit)


def most_seconds(requests: int, timeout_seconds: float) -> float:
    """Return the most that a chunk takes: each request may hang the call for all that are left, and its own calls."""
    together = requests * timeout_seconds + _GRACE_SECONDS
    return requests * (together + MOST_TRIES_ALONE * (timeout_seconds + _GRACE_SECONDS))


def _affinity(asked: Asked) -> str:
    """What tells handlers apart in a few characters: functions go by their names."""
    named = asked.handler.get("function")
    if named is not None:
        return str(named)
    return hashlib.sha256(json.dumps(asked.handler, sort_keys=True).encode("ascii")).hexdigest()[:16]


def _ended_its_process(last: JobError | None, tries: int) -> dict[str, Any]:
    from pyprocessor.workers.answering import failure

    alone = f"{tries} times with nothing else in it."
    if last is None:  # that was in earlier attempts, which were ended whole
        why = "The handler does that, memory ran short (`memory_limit_mb`), or the run was killed."
        return failure("crash", f"The process of the request was ended, {alone} {why}")
    late = last.kind is FailureKind.STALL
    what = "The handler hung and was ended" if late else "The handler ended its process"
    return failure("timeout" if late else "crash", f"{what}, {alone} {last}")


def lies_in(function: str, packages: Collection[str]) -> bool:
    """Whether a function, `package.module:function`, lies in one of these packages or modules."""
    module = function.partition(":")[0]
    return any(module == package or module.startswith(f"{package}.") for package in packages)
