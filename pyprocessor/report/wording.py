"""How are names, times and tables written for people, and paths and numbers for programs?"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Sequence
from datetime import datetime

from pyprocessor.models import RunSnapshot
from pyprocessor.models.wording import clock

GAP = "  "
NARROWEST = 20
ELLIPSIS = "..."
NAME_COLUMNS = 32
"""How wide names are where there is no other measure."""


def about(name: str, reason: str) -> str:
    """Return the reason with the name of the file it is about; both printable already."""
    return f"{name}: {reason}" if name and reason else name or reason


def eta(snapshot: RunSnapshot) -> str:
    """When the run will be done, with its band: `0:12:30 (0:10:00-0:15:40)`, `over 0:10:00`, or `unknown`."""
    low, high = snapshot.eta_low_seconds, snapshot.eta_high_seconds
    if snapshot.state.paused:
        return "when resumed"
    if snapshot.eta_seconds is None:
        return "unknown" if low is None else f"over {clock(low)}"
    if low is None or high is None:
        return clock(snapshot.eta_seconds)
    return f"{clock(snapshot.eta_seconds)} ({clock(low)}-{clock(high)})"


def local_time(seconds: float) -> str:
    """Seconds since the epoch, by the local clock: `2026-01-31 23:59:59`."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def path_entry(key: str, path: bytes | None) -> dict[str, str | None]:
    """A path for a JSON document: as UTF-8, or escaped together with its exact bytes under `<key>_bytes_base64`."""
    if path is None:
        return {key: None}
    try:
        return {key: path.decode("utf-8")}
    except UnicodeDecodeError:
        return {
            key: path.decode("utf-8", "backslashreplace"),
            f"{key}_bytes_base64": base64.b64encode(path).decode("ascii"),
        }


def rounded(number: float | None) -> float | None:
    """A number for a JSON document; None stays None."""
    return None if number is None else round(number, 3)


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
    """The text in lines of at most `width` columns, all but the first indented; a longer word stays whole."""
    return textwrap.wrap(
        text,
        max(width, NARROWEST),
        initial_indent=margin,
        subsequent_indent=margin + indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
