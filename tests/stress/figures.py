"""What the harness was asked for, and the counts it comes to, all of which must be 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

SHOWN_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """`seed` decides every random choice. `clips`: how many sources `kills` works on. `damaged`: how many damaged files
    are made. `transitions` names kills at writes of the journal (see `transitions.cases`), or of grants (see
    `grants.series`); empty for all. `jobs` and
    `queue_kills`: how many jobs `queue` submits, chains aside, and how often it kills the engine."""

    seed: int
    kills: int = 200
    clips: int = 40
    damaged: int = 1000
    transitions: tuple[str, ...] = ()
    jobs: int = 20_000
    queue_kills: int = 20


class Broken(Exception):
    """A figure that must be 0 is not; the lines that say so were printed."""


@dataclass(slots=True)
class Figures:
    """Counts by name, each found case with a sentence."""

    names: tuple[str, ...]
    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, sentence: str) -> None:
        """Take in one case of what must not be."""
        assert name in self.names, name
        self.found.append((name, sentence))

    def table(self) -> Iterator[str]:
        """A line for every figure, then the cases. Raises Broken behind the last line where there are any."""
        counts = Counter(name for name, _ in self.found)
        width = max(map(len, self.names))
        for name in self.names:
            yield f"{name:<{width}}  {counts[name]}"
        for name, sentence in self.found[:SHOWN_AT_MOST]:
            yield f"FAILED {name}: {sentence}"
        if self.found:
            raise Broken
