"""An output folder whose journal has submitted jobs, and the documents of jobs that call functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyprocessor.engine.engine import execute
from pyprocessor.errors import ExitCode
from pyprocessor.ffmpeg.tool import find
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import Profile
from pyprocessor.models.run import RunRequest
from pyprocessor.state.journal_opening import change_without_run
from pyprocessor.state.state_folder import prepare_state_folder
from tests.process.runs import Recorder


class Queue:
    """An output folder whose journal has submitted jobs."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "out"
        self.output.mkdir()
        self.folder = prepare_state_folder(os.fsencode(self.output))
        self.listener = Recorder()

    def submit(self, *documents: object) -> None:
        with change_without_run(os.fsencode(self.output), print) as journal:
            journal.submit(submissions(list(documents), queue="q"))

    def run(self, **settings: Any) -> ExitCode:
        inputs, profile = settings.pop("inputs", ()), settings.pop("profile", Profile("test", "f"))
        request = RunRequest(inputs, os.fsencode(self.output), profile, find(os.environ).path, **settings)
        return execute(request, self.listener).exit_code

    def rows(self) -> dict[str, JobRow]:
        with Journal.open(self.folder.path, wal=True) as journal:
            return {row.name: row for row in journal.jobs()}

    def states(self) -> dict[str, str]:
        return {name: row.state.value for name, row in self.rows().items()}


def ask(key: str, *after: str, function: str = "noop", **arguments: object) -> dict[str, object]:
    """The document of a job that calls a function."""
    return {"task": "ask", "key": key, "after": list(after), "params": {"function": function, "arguments": arguments}}
