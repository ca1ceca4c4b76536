"""What does a command print of a run that it sums up: text, or the JSON document?"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from pyprocessor.cli.session import Session, print_result, standard_output
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import RunRow
from pyprocessor.report import summary
from pyprocessor.state.job_logs import find_job_log


def print_summary(
    journal: JournalReader,
    run: RunRow,
    output: bytes,
    session: Session,
    *,
    as_json: bool,
    text: Callable[[summary.Summary], str],
) -> None:
    """Print what a run came to, by its journal; `text` makes the text of it."""
    log_of = partial(find_job_log, output)
    summed = summary.summarise(journal, run, now=time.time(), log_of=log_of)
    if not as_json:
        print_result(text(summed))
        return
    session.answered = True
    with standard_output() as stream:
        summary.write_json(stream, summed, journal, output_root=output, log_of=log_of)
