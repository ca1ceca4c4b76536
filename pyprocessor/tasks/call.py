"""How is a function of the user's own done as a job?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyprocessor.models import Cost, CostFeatures, InputLimits, Source
from pyprocessor.tasks.base import Call, Done, Plan, Returned, Steps, Work
from pyprocessor.tasks.params import params_as

CALL = "call"
_CPU_SECONDS, _WAIT_SECONDS, _MEMORY_BYTES = 0.001, 1.0, 24 << 20
"""What is expected of a function of which nothing was measured yet."""


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


def lies_in(function: str, packages: Collection[str]) -> bool:
    """Whether a function, `package.module:function`, lies in one of these packages or modules."""
    module = function.partition(":")[0]
    return any(module == package or module.startswith(f"{package}.") for package in packages)
