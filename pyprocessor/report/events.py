"""What did the governor do in a run, and what went wrong with it as a whole, by the journal's events?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import EventRow
from pyprocessor.models.wording import duration, one_line, utc
from pyprocessor.report.wording import wrapped

MOST_TROUBLES = 5
"""In the closing text; the JSON document has all."""
MOST_SHOWN = 30
SHOWN_AT_THE_START = 10
"""Of more events than are shown: so many of the first; the rest are the last ones."""

PHRASES: dict[str, tuple[str, str]] = {
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
"""How each kind of event is counted in a sentence, once and often; the ways back are not counted."""

_FOR_MEMORY = {"hold", "shrink", "suspend", "shed"}


@dataclass(frozen=True, slots=True)
class Governing:
    """What the governor did in one run. `counts` has each kind of event that there was, in the order of `PHRASES`.

    `held_seconds` is how long nothing new was started for want of memory or disk: from the first event of a hold to
    its recovery, or to the end of the run.
    """

    counts: tuple[tuple[str, int], ...]
    held_seconds: float


def governor_events(journal: JournalReader, run_id: int) -> Iterator[EventRow]:
    """The governor's events of a run, oldest first."""
    return (event for event in journal.events(run_id=run_id) if event.kind in PHRASES)


def governing(journal: JournalReader, run_id: int, ended_at: float) -> Governing:
    """Count what the governor did until `ended_at` (seconds since the epoch)."""
    counts: Counter[str] = Counter()
    reasons: set[str] = set()
    held, since = 0.0, 0.0
    for event in governor_events(journal, run_id):
        if reasons:
            held += max(0.0, event.at - since)
        since = event.at
        if event.kind == "disk" and "disk" in reasons:
            reasons.discard("disk")  # the same kind of event says that there is room again
            continue
        counts[event.kind] += 1
        if event.kind == "disk":
            reasons.add("disk")
        elif event.kind in _FOR_MEMORY:
            reasons.add("memory")
        elif event.kind == "recover":
            reasons.discard("memory")
    if reasons:
        held += max(0.0, ended_at - since)
    return Governing(tuple((kind, counts[kind]) for kind in PHRASES if counts[kind]), held)


def sentence(done: Governing) -> str:
    """One line for the closing table: `held 3 times, suspended 1 file; nothing new was started for 12 s`."""
    counted = [(PHRASES[kind], number) for kind, number in done.counts if PHRASES[kind][0]]
    did = ", ".join(once if number == 1 else often.format(f"{number:,}") for (once, often), number in counted)
    held = f"nothing new was started for {duration(done.held_seconds)}" if done.held_seconds > 0 else ""
    return "; ".join(part for part in (did, held) if part)


def event_lines(journal: JournalReader, run_id: int, width: int) -> list[str]:
    """Each event with its local time of day, at most `width` columns; of very many the first and the last."""
    total = sum(1 for _ in governor_events(journal, run_id))
    dropped = range(SHOWN_AT_THE_START, SHOWN_AT_THE_START + total - MOST_SHOWN)
    lines: list[str] = []
    for number, event in enumerate(governor_events(journal, run_id)):
        if number in dropped:
            if number == dropped.start:
                lines.append(f"  ... {len(dropped):,} more; --format json lists all ...")
            continue
        at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
        text = f"{at} {event.kind}: {one_line(event.text)}"
        lines += wrapped(text, width, margin="  ", indent=" " * 9)
    return lines


def event_entry(event: EventRow) -> dict[str, Any]:
    """One event for a JSON document, with the reading it was decided on."""
    return {
        "kind": event.kind,
        "text": event.text,
        "time": utc(event.at),
        "job": event.job_id,
        "reading": None if event.reading is None else asdict(event.reading),
    }


def troubles(journal: JournalReader, run_id: int) -> Iterator[EventRow]:
    """Warnings and errors that concern no single file, such as a full disk, oldest first."""
    kinds = ("warning", "error")
    return (event for event in journal.events(run_id=run_id) if event.kind in kinds and event.job_id is None)


def sentences(events: Iterable[EventRow], kind: str) -> tuple[str, ...]:
    """The sentences of the events of one kind."""
    return tuple(one_line(event.text) for event in events if event.kind == kind)
