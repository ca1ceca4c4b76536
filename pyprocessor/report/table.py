"""Text laid out in columns, for terminals and mails."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pyprocessor.report.wording import columns

GAP = "  "
NARROWEST = 20


def aligned(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Lines of a table of labels and values; values that are too long go on below themselves."""
    label_width = max((columns(label) for label, _ in rows), default=0)
    indent = " " * label_width + GAP
    lines: list[str] = []
    for label, value in rows:
        head = label + " " * (label_width - columns(label)) + GAP
        first, *rest = wrapped(value, width - len(indent)) or [""]
        lines.append((head + first).rstrip())
        lines += [indent + line for line in rest]
    return lines


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines of a table with a heading; the columns numbered in `right` are set flush right."""
    widths = [max(columns(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        GAP.join(
            " " * (width - columns(cell)) + cell if i in right else cell + " " * (width - columns(cell))
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    """The text in lines of at most `width` columns, all but the first indented; a longer word (a path) stays whole."""
    return textwrap.wrap(
        text, max(width, NARROWEST), subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
