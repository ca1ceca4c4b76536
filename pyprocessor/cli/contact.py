"""Which run is at work on an output folder: by its control socket, else by the journal?"""

from __future__ import annotations

import contextlib
import time

from pyprocessor.cli.paths import output_of_a_run
from pyprocessor.control.client import Answer, Request, Unanswered, ask
from pyprocessor.errors import NoJournal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import RunRow
from pyprocessor.models import display
from pyprocessor.state.state_folder import state_folder
from pyprocessor.system.processes import is_alive

TRIES = 2
BETWEEN_SECONDS = 0.5
"""A run that begins or ends right now has no socket for a moment."""


class Contact:
    """The run of one output folder, as far as it can be reached; raises `UsageError` where there was none."""

    def __init__(self, given: str) -> None:
        self.output = output_of_a_run(given)
        self.folder = state_folder(self.output).path
        self.shown = display(self.output)

    def ask(self, request: Request) -> Answer | None:
        """The run's answer; None where there is none, though a run may be there (see `living`)."""
        for left in reversed(range(TRIES)):
            try:
                return ask(self.folder, request)
            except Unanswered:
                if self.living() is None:
                    return None
                if left:
                    time.sleep(BETWEEN_SECONDS)
        return None

    def living(self) -> RunRow | None:
        """The run whose engine lives, by the journal's pid and start time; None also where there is no journal."""
        with contextlib.suppress(NoJournal), self.journal() as journal:
            for run in journal.open_runs():
                if is_alive(run.engine):
                    return run
        return None

    def journal(self) -> JournalReader:
        """The journal, to be closed by the caller. Raises `NoJournal`: it was removed, or a first run has not begun."""
        return JournalReader.read_only(self.folder)

    def events(self, run: RunRow, kind: str) -> int:
        """How many events of this kind the run has journaled."""
        with self.journal() as journal:
            return sum(event.kind == kind for event in journal.events(run_id=run.id))
