"""How are names, sizes and times written for people? One way each, for every room."""

from __future__ import annotations

import os
from datetime import UTC, datetime


def one_line(text: str) -> str:
    """The text as one printable line: control characters, and bytes that are not UTF-8, come out escaped."""
    if text.isprintable():
        return text
    # os.fsdecode carries bytes that are not UTF-8 as \udc80 to \udcff.
    return "".join(c if c.isprintable() else ascii(c)[1:-1].replace("\\udc", "\\x") for c in text)


def sentence(text: str, most: int) -> str:
    """The text as one line of at most so many characters that ends a sentence."""
    line = one_line(" ".join(text.split()))
    if len(line) > most:
        line = line[: most - 3] + "..."
    return line if line.endswith((".", "!", "?")) else f"{line}."


def display(path: bytes) -> str:
    """The path as one printable line."""
    return one_line(os.fsdecode(path))


def size(count: int) -> str:
    """The size of a file or disk, in decimal units as disks and players count: `512 B`, `3.4 MB`."""
    if abs(count) < 1000:
        return f"{count} B"
    power = next(power for power in range(1, 6) if power == 5 or abs(count) / 1000**power < 999.95)
    return f"{count / 1000**power:.1f} {' kMGTP'[power]}B"


def memory_size(count: float) -> str:
    """An amount of memory, in the units that limits are written in: `1,064 MiB`, `12.3 GiB`."""
    mebibytes = count / (1 << 20)
    return f"{mebibytes:,.0f} MiB" if mebibytes < 10 * 1024 else f"{mebibytes / 1024:,.1f} GiB"


def clock(seconds: float | None) -> str:
    """Seconds as `H:MM:SS`, or `unknown`."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def progress_line(
    completed: int, total: int, *, active: int, failed: int, memory_bytes: float, cpu_percent: float
) -> str:
    """The line that scripts read: success is what is completed of the total, memory in 10^6 bytes."""
    success = 100.0 * completed / total if total > 0 else 0.0
    return (
        f"Progress: {completed}/{total} ({success:.1f}% success) | Active: {active} | Failed: {failed}"
        f" | Memory: {memory_bytes / 1e6:.1f}MB | CPU: {cpu_percent:.1f}%"
    )


_EARLIEST, _LATEST = -62_135_510_400.0, 253_402_214_400.0
"""In seconds since 1970: the years 1 to 9999, without a day at either end for the zones."""


def duration(seconds: float) -> str:
    """A length of time: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(given: str | float) -> float:
    """Return seconds since 1970: of an ISO time, by the local clock where it names no zone, or of such a number.

    Raises ValueError for what is no time, or one that cannot be shown in every zone.
    """
    try:
        seconds = datetime.fromisoformat(given).timestamp() if isinstance(given, str) else float(given)
    except (OverflowError, OSError) as error:
        raise ValueError(given) from error
    if not _EARLIEST <= seconds <= _LATEST:
        raise ValueError(given)
    return seconds


def utc(seconds: float, precision: str = "seconds") -> str:
    """Seconds since the epoch as ISO 8601, for programs: `2026-01-31T23:59:59Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 file`, `2,000 files`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
