"""What a run's outputs lack of their sources: each kind of loss, and how many files have it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pyprocessor.journal.rows import JobRow
from pyprocessor.models import display
from pyprocessor.report.table import wrapped
from pyprocessor.report.wording import count, one_line

MOST_KINDS_TOLD = 10
MOST_NAMES_TOLD = 20
"""Of each kind."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One kind of loss. `files` is how many outputs have it, `names` the first of their sources."""

    kind: str
    files: int
    names: tuple[bytes, ...]


class LossTally:
    """Counts the kinds of loss among jobs that succeeded."""

    def __init__(self) -> None:
        self._files: defaultdict[str, int] = defaultdict(int)
        self._names: defaultdict[str, list[bytes]] = defaultdict(list)

    def take(self, row: JobRow) -> None:
        """Count one succeeded job."""
        for kind in row.produced.losses if row.produced is not None else ():
            self._files[kind] += 1
            if len(self._names[kind]) < MOST_NAMES_TOLD:
                self._names[kind].append(row.source.relative)

    def losses(self) -> tuple[Loss, ...]:
        """Every kind, the most frequent first, those as frequent by their names."""
        kinds = sorted(self._files, key=lambda kind: (-self._files[kind], kind))
        return tuple(Loss(kind, self._files[kind], tuple(self._names[kind])) for kind in kinds)


def rows(losses: Sequence[Loss]) -> list[tuple[str, str]]:
    """Rows of the closing table, one for each kind; only the first has a label."""
    values = [f"{count(loss.files, 'file')}: {one_line(loss.kind)}" for loss in losses[:MOST_KINDS_TOLD]]
    if len(losses) > MOST_KINDS_TOLD:
        values.append(f"... and {count(len(losses) - MOST_KINDS_TOLD, 'more kind')}")
    return [("" if number else "Losses", value) for number, value in enumerate(values)]


def named(losses: Sequence[Loss], width: int) -> list[str]:
    """Lines that name the files of each kind. Only a name may be wider than `width`."""
    lines = ["", "Losses:"] if losses else []
    for loss in losses[:MOST_KINDS_TOLD]:
        lines += ["  " + line for line in wrapped(one_line(loss.kind), width - 2, indent="  ")]
        lines += ["    " + display(name) for name in loss.names]
        if loss.files > len(loss.names):
            lines.append(f"    ... and {count(loss.files - len(loss.names), 'more file')}")
    return lines
