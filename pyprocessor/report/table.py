"""How is text laid out in columns, for terminals and mails?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

GAP = "  "
NARROWEST = 20
ELLIPSIS = "..."
NAME_COLUMNS = 32
"""How wide names are where there is no other measure."""


def columns(text: str) -> int:
    """How many terminal columns a printable text takes."""
    if text.isascii():
        return len(text)
    from wcwidth import width  # takes 10 ms to import, and most names are ASCII

    return width(text)


def shortened(text: str, width: int) -> str:
    """The text in at most `width` columns, cut in its middle, because names differ at both ends."""
    taken = columns(text)
    if taken <= width:
        return text
    if width <= len(ELLIPSIS):
        return ELLIPSIS[:width]
    tail = (width - len(ELLIPSIS)) // 2
    head = width - len(ELLIPSIS) - tail
    if text.isascii():
        return text[:head] + ELLIPSIS + text[taken - tail :]
    from wcwidth import clip

    return clip(text, 0, head, fillchar="") + ELLIPSIS + clip(text, taken - tail, taken, fillchar="")


def padded(text: str, width: int) -> str:
    """The text with spaces behind it up to `width` columns."""
    return text + " " * (width - columns(text))


def aligned(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Lines of a table of labels and values; values that are too long go on below themselves."""
    indent = max((columns(label) for label, _ in rows), default=0) + len(GAP)
    lines: list[str] = []
    for label, value in rows:
        first, *rest = wrapped(value, width - indent) or [""]
        lines.append((padded(label, indent) + first).rstrip())
        lines += [" " * indent + line for line in rest]
    return lines


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines of a table with a heading; the columns numbered in `right` are set flush right."""
    widths = [max(columns(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        GAP.join(
            " " * (width - columns(cell)) + cell if i in right else padded(cell, width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def wrapped(text: str, width: int, *, margin: str = "", indent: str = "") -> list[str]:
    """The text in lines of at most `width` columns after `margin`; all but the first are indented further.

    A word that is longer, such as a path, stays whole.
    """
    return textwrap.wrap(
        text,
        max(width, NARROWEST),
        initial_indent=margin,
        subsequent_indent=margin + indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
