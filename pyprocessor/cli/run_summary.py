"""What does a command print of a run that it sums up: text, or the JSON document?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from pyprocessor.cli.session import Session, print_result, standard_output
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import RunRow
from pyprocessor.models import Recommendation
from pyprocessor.plan.admission import memory_limit
from pyprocessor.report import summary
from pyprocessor.state.job_logs import find_job_log
from pyprocessor.system.processes import is_alive


def print_summary(
    journal: JournalReader,
    run: RunRow,
    output: bytes,
    session: Session,
    *,
    as_json: bool,
    text: Callable[[summary.Summary], str],
    advice: Sequence[Recommendation] | None = None,
    not_replayed: str = "",
) -> None:
    """Print what a run came to, by its journal, with recommendations if any; `text` makes the text of it.

    `not_replayed` says why the run was not replayed.
    """
    log_of = partial(find_job_log, output)
    summed = summary.summarise(journal, run, now=until(journal, run), log_of=log_of)
    if not as_json:
        print_result(text(summed))
        return
    session.answered = True
    with standard_output() as stream:
        allowed = memory_allowed(journal, run)
        summary.write_json(
            stream,
            summed,
            journal,
            output_root=output,
            log_of=log_of,
            memory_allowed_bytes=allowed,
            advice=advice,
            not_replayed=not_replayed,
        )


def until(journal: JournalReader, run: RunRow) -> float:
    """Return when a run ended, in seconds since the epoch: now while it goes on, its last entry if it was killed."""
    if run.ended_at is not None:
        return run.ended_at
    return time.time() if is_alive(run.engine) else journal.last_written(run.id)


def memory_allowed(journal: JournalReader, run: RunRow) -> int | None:
    """Bytes that a run could have taken with no other program beside it; None where it left no settings or readings."""
    profile, reading = journal.settings(run.id), next(journal.readings(run.id), None)
    return memory_limit(reading, profile.batch) if profile is not None and reading is not None else None
