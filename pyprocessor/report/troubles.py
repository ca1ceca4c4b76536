"""What went wrong with a run as a whole, from the journal's events: a journal that had to be rebuilt, a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from pyprocessor.journal.rows import EventRow
from pyprocessor.report.wording import one_line, utc

MOST_TOLD = 5
"""In the closing text; the JSON document has all."""
_LEVELS = ("warning", "error")


class Eventful(Protocol):
    """What is asked of a journal."""

    def events(self, run_id: int | None = None) -> Iterator[EventRow]: ...


def rows(journal: Eventful, run_id: int) -> tuple[str, ...]:
    """The first errors that concern no single file, a sentence each."""
    told = [one_line(event.text) for event in _troubles(journal, run_id) if event.kind == "error"]
    return tuple(told[:MOST_TOLD])


def not_taken(journal: Eventful, run_id: int) -> tuple[str, ...]:
    """What was said of files that were not taken although they seem to be video, a sentence each."""
    return tuple(one_line(event.text) for event in journal.events(run_id=run_id) if event.kind == "not_taken")


def entries(journal: Eventful, run_id: int) -> Iterator[dict[str, Any]]:
    """All warnings and errors that concern no single file, oldest first."""
    for event in _troubles(journal, run_id):
        yield {"at": utc(event.at), "level": event.kind, "text": event.text}


def _troubles(journal: Eventful, run_id: int) -> Iterator[EventRow]:
    return (event for event in journal.events(run_id=run_id) if event.kind in _LEVELS and event.job_id is None)
