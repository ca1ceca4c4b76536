"""What went wrong with a run as a whole, by the journal's events: a journal that was rebuilt, a full disk?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import EventRow
from pyprocessor.models.wording import one_line, utc

MOST_SHOWN = 5
"""In the closing text; the JSON document has all."""
_LEVELS = ("warning", "error")


def rows(journal: JournalReader, run_id: int) -> tuple[str, ...]:
    """The first errors that concern no single file, a sentence each."""
    errors = [one_line(event.text) for event in _troubles(journal, run_id) if event.kind == "error"]
    return tuple(errors[:MOST_SHOWN])


def not_taken(journal: JournalReader, run_id: int) -> tuple[str, ...]:
    """A sentence for each set of files that seem to be video and were not taken."""
    return tuple(one_line(event.text) for event in journal.events(run_id=run_id) if event.kind == "not_taken")


def entries(journal: JournalReader, run_id: int) -> Iterator[dict[str, Any]]:
    """All warnings and errors that concern no single file, oldest first."""
    for event in _troubles(journal, run_id):
        yield {"at": utc(event.at), "level": event.kind, "text": event.text}


def _troubles(journal: JournalReader, run_id: int) -> Iterator[EventRow]:
    return (event for event in journal.events(run_id=run_id) if event.kind in _LEVELS and event.job_id is None)
