"""How good is what tasks made, on the average? By what their results say of it."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ALL = ""
"""Stands for all types of tasks."""


@dataclass(slots=True)
class _Sums:
    """Of one quality: how many results have it, and the sum of its values."""

    count: int = 0
    total: float = 0.0
    is_share: bool = True
    """All values were true or false."""

    def add(self, value: float | bool) -> None:
        self.count += 1
        self.total += value
        self.is_share &= isinstance(value, bool)

    @property
    def mean(self) -> float:
        return self.total / self.count

    def named(self, name: str) -> tuple[str, float]:
        """Numbers are averaged, of what is true or false the percentage is taken."""
        return (name, 100.0 * self.mean) if self.is_share else (f"avg_{name}", self.mean)


@dataclass(slots=True)
class Quality:
    """The averages of all tasks, and those of each type."""

    _sums: defaultdict[str, dict[str, _Sums]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, task_type: str, result: Mapping[str, Any]) -> None:
        """Take in the result of a task; what is no quality as agreed is passed over."""
        quality = result.get("quality")
        for name, value in quality.items() if isinstance(quality, Mapping) else ():
            if isinstance(value, int | float) and abs(value) <= sys.float_info.max:
                for kind in (task_type, _ALL):
                    self._sums[kind].setdefault(str(name), _Sums()).add(value)

    def mean(self, task_type: str, name: str) -> tuple[int, float]:
        """Return how many results of a type have this quality, and their average; 0 where none has."""
        sums = self._sums[task_type].get(name) if task_type in self._sums else None
        return (0, 0.0) if sums is None else (sums.count, sums.mean)

    def metrics(self) -> dict[str, Any]:
        """The averages over all tasks, with those of each type in `by_task`."""
        by_task = {kind: dict(one.named(name) for name, one in sums.items()) for kind, sums in self._sums.items()}
        return {**by_task.pop(_ALL, {}), "by_task": by_task}


def tells(result: str | None) -> bool:
    """Return whether a result, which is JSON, may say how good it is, or warn of something."""
    return result is not None and ('"quality"' in result or '"warnings"' in result)


def told(result: str | None) -> Mapping[str, Any]:
    """Return a result that may say how good it is, or warn of something; of any other one nothing."""
    found = json.loads(result) if result is not None and tells(result) else None
    return found if isinstance(found, Mapping) else {}


def warnings_of(result: Mapping[str, Any]) -> list[str]:
    """Return what the task that made a result warns of; what is no list of texts is passed over."""
    found = result.get("warnings")
    return list(map(str, found)) if isinstance(found, list) else []
