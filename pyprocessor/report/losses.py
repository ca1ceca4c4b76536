"""What do a run's outputs lack of their sources: each kind of loss, and how many files have it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyprocessor.journal.rows import JobRow
from pyprocessor.models.wording import count, display, one_line
from pyprocessor.report.table import wrapped

MOST_KINDS = 10
MOST_NAMES = 20
"""Of each kind, in the closing text."""


@dataclass(slots=True)
class Loss:
    """One kind of loss. `files` is how many outputs have it, `names` the first of their sources."""

    kind: str
    files: int = 0
    names: list[bytes] = field(default_factory=list)


def count_losses(row: JobRow, losses: dict[str, Loss]) -> None:
    """Add the losses of one succeeded job to those of its run, by kind."""
    for kind in row.produced.losses if row.produced is not None else ():
        loss = losses.setdefault(kind, Loss(kind))
        loss.files += 1
        if loss.files <= MOST_NAMES:
            loss.names.append(row.source.relative)


def rows(losses: Sequence[Loss]) -> list[tuple[str, str]]:
    """Rows of the closing table, one for each kind; only the first has a label."""
    values = [f"{count(loss.files, 'file')}: {one_line(loss.kind)}" for loss in losses[:MOST_KINDS]]
    if len(losses) > MOST_KINDS:
        values.append(f"... and {count(len(losses) - MOST_KINDS, 'more kind')}")
    return [("" if number else "Losses", value) for number, value in enumerate(values)]


def named(losses: Sequence[Loss], width: int) -> list[str]:
    """Lines that name the files of each kind. Only a name may be wider than `width`."""
    lines = ["", "Losses:"] if losses else []
    for loss in losses[:MOST_KINDS]:
        lines += wrapped(one_line(loss.kind), width, margin="  ", indent="  ")
        lines += ["    " + display(name) for name in loss.names]
        if loss.files > len(loss.names):
            lines.append(f"    ... and {count(loss.files - len(loss.names), 'more file')}")
    return lines
