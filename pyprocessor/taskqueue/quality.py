"""How good is what tasks made, on the average? By what their results say of it."""

from __future__ import annotations

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

    def named(self, name: str) -> tuple[str, float]:
        """Numbers are averaged, of what is true or false the percentage is taken."""
        mean = self.total / self.count
        return (name, 100.0 * mean) if self.is_share else (f"avg_{name}", mean)


@dataclass(slots=True)
class Quality:
    """The averages of all tasks, those of each type, and warnings, each once."""

    _sums: defaultdict[str, dict[str, _Sums]] = field(default_factory=lambda: defaultdict(dict))
    _warnings: dict[str, None] = field(default_factory=dict)

    def add(self, task_type: str, result: object) -> None:
        """Take in the result of a task; what is no quality as agreed is passed over."""
        if not isinstance(result, Mapping):
            return
        quality, warnings = result.get("quality"), result.get("warnings")
        for name, value in quality.items() if isinstance(quality, Mapping) else ():
            if isinstance(value, int | float) and abs(value) <= sys.float_info.max:
                for kind in (task_type, _ALL):
                    self._sums[kind].setdefault(str(name), _Sums()).add(value)
        for warning in warnings if isinstance(warnings, list) else ():
            self._warnings[str(warning)] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    def metrics(self) -> dict[str, Any]:
        """The averages over all tasks, with those of each type in `by_task`."""
        by_task = {kind: dict(one.named(name) for name, one in sums.items()) for kind, sums in self._sums.items()}
        return {**by_task.pop(_ALL, {}), "by_task": by_task}
