"""What the governor did in a run, from the journal's events: how often, for how long, and each time in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from pyprocessor.journal.rows import EventRow
from pyprocessor.report import wording
from pyprocessor.report.table import wrapped

MOST_TOLD = 30
TOLD_AT_THE_START = 10
"""Of more events than are told: so many of the first; the rest are the last ones."""

_TELLING: dict[str, tuple[str, str]] = {
    "hold": ("held once", "held {} times"),
    "shrink": ("shrank once", "shrank {} times"),
    "suspend": ("suspended 1 file", "suspended {} files"),
    "shed": ("ended 1 file to be tried again", "ended {} files to be tried again"),
    "throttle": ("kept to the CPU limit", "kept to the CPU limit {} times"),
    "yield": ("gave way to other work once", "gave way to other work {} times"),
    "disk": ("waited for room on the disk", "waited for room on the disk {} times"),
    "resume": ("", ""),
    "recover": ("", ""),
}
"""How each kind of event is counted in a sentence. The ways back are not: they are as many as the ways there."""

_FOR_MEMORY = {"hold", "shrink", "suspend", "shed"}
_RELEASING = "recover"
_FOR_DISK = "disk"
"""Told when room becomes scarce and again when it is back."""


class Eventful(Protocol):
    """What is asked of a journal here."""

    def events(self, run_id: int | None = None) -> Iterator[EventRow]: ...


@dataclass(frozen=True, slots=True)
class Governing:
    """What the governor did in one run. `counts` has each kind of event that there was, in the order of `_TELLING`.

    `held_seconds` is how long nothing new was started for want of memory or disk: from the first event of a hold to
    its recovery, or to the end of the run.
    """

    counts: tuple[tuple[str, int], ...]
    held_seconds: float

    def __bool__(self) -> bool:
        return bool(self.counts)


def governor_events(journal: Eventful, run_id: int) -> Iterator[EventRow]:
    """The governor's events of a run, oldest first; all else that is journaled is left out."""
    return (event for event in journal.events(run_id=run_id) if event.kind in _TELLING)


def governing(journal: Eventful, run_id: int, ended_at: float) -> Governing:
    """Count what the governor did in a run that ended, or is looked at, then (seconds since the epoch)."""
    counts: Counter[str] = Counter()
    reasons: set[str] = set()
    held, since = 0.0, 0.0
    for event in governor_events(journal, run_id):
        if reasons:
            held += max(0.0, event.at - since)
        since = event.at
        if event.kind == _FOR_DISK and _FOR_DISK in reasons:
            reasons.discard(_FOR_DISK)
            continue
        counts[event.kind] += 1
        if event.kind == _FOR_DISK:
            reasons.add(_FOR_DISK)
        elif event.kind in _FOR_MEMORY:
            reasons.add("memory")
        elif event.kind == _RELEASING:
            reasons.discard("memory")
    if reasons:
        held += max(0.0, ended_at - since)
    return Governing(tuple((kind, counts[kind]) for kind in _TELLING if counts[kind]), held)


def sentence(done: Governing) -> str:
    """One line for the closing table: `held 3 times (0:02:10 in all), suspended 1 file`."""
    parts = []
    for kind, number in done.counts:
        once, often = _TELLING[kind]
        if once:
            parts.append(once if number == 1 else often.format(f"{number:,}"))
    held = f"nothing new was started for {wording.duration(done.held_seconds)}" if done.held_seconds > 0 else ""
    return ", ".join(parts) + ("; " if parts and held else "") + held


def event_lines(journal: Eventful, run_id: int, width: int) -> list[str]:
    """Each event with its local time of day, at most `width` columns; of very many the first and the last."""
    total = sum(1 for _ in governor_events(journal, run_id))
    dropped = range(TOLD_AT_THE_START, TOLD_AT_THE_START + total - MOST_TOLD)
    lines: list[str] = []
    for number, event in enumerate(governor_events(journal, run_id)):
        if number in dropped:
            if number == dropped.start:
                lines.append(f"  ... {len(dropped):,} more; --format json lists all ...")
            continue
        at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
        told = f"{at} {event.kind}: {wording.one_line(event.text)}"
        lines += ["  " + line for line in wrapped(told, width - 2, indent=" " * 9)]
    return lines


def event_entry(event: EventRow) -> dict[str, Any]:
    """One event for a JSON document, with the reading it was decided on."""
    return {
        "kind": event.kind,
        "text": event.text,
        "time": wording.utc(event.at),
        "job": event.job_id,
        "reading": None if event.reading is None else asdict(event.reading),
    }
