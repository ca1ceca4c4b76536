"""How numbers, times and names are written for people: one way each, on one line each.

Sizes are decimal (1 MB is 1,000,000 bytes), as disks and players count them.
"""

from __future__ import annotations

import base64
import unicodedata
from datetime import UTC, datetime

from pyprocessor.models import RunSnapshot

_UNITS = ("kB", "MB", "GB", "TB", "PB")
ELLIPSIS = "..."
NAME_COLUMNS = 32
"""How wide names are where there is no other measure."""


def one_line(text: str) -> str:
    """The text as one printable line: control characters, and bytes that were not UTF-8, come out escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how os.fsdecode carries a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def about(name: str, reason: str) -> str:
    """Return the reason with the name of the file it is about; both printable already."""
    return f"{name}: {reason}" if name and reason else name or reason


def columns(text: str) -> int:
    """How many terminal columns a printable text takes (East Asian wide characters take two, marks on others none)."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(c) for c in unicodedata.normalize("NFC", text))


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, width: int) -> str:
    """The text in at most `width` columns; what is cut is its middle, because names differ at both ends.

    Names are shortened by this wherever they stand in bars and tables, and are whole where they may be copied from.
    """
    if columns(text) <= width:
        return text
    if width <= len(ELLIPSIS):
        return ELLIPSIS[:width]
    room = width - len(ELLIPSIS)
    text = unicodedata.normalize("NFC", text)
    tail = _fitting(text[::-1], room // 2)[::-1]
    while tail and not _columns_of(tail[0]):
        tail = tail[1:]  # a mark whose character was cut off
    head = _fitting(text, room - columns(tail))
    return head + ELLIPSIS + tail


def _fitting(text: str, width: int) -> str:
    taken = 0
    for position, character in enumerate(text):
        taken += _columns_of(character)
        if taken > width:
            return text[:position]
    return text


def size(count: int) -> str:
    """Bytes for people: `512 B`, `3.4 MB`, `1.2 GB`."""
    if abs(count) < 1000:
        return f"{count} B"
    power = 1
    while abs(count) / 1000**power >= 999.95 and power < len(_UNITS):
        power += 1
    return f"{count / 1000**power:.1f} {_UNITS[power - 1]}"


def clock(seconds: float | None) -> str:
    """Seconds as `H:MM:SS`, or `unknown`."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


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


def utc(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601, for programs: `2026-01-31T23:59:59Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """A length of time for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(part: float, whole: float) -> str:
    """A share such as `95.6%`."""
    return f"{100 * part / whole:.1f}%" if whole else "0.0%"


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
