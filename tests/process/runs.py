"""What the tests of whole runs share: a listener that remembers, a request, and a look at the journal."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyprocessor.engine.engine import execute
from pyprocessor.engine.loop import RunResult
from pyprocessor.ffmpeg.tool import find
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import Input, InputFolder, JobState, Outcome, OutcomeKind, Profile, RunSnapshot
from pyprocessor.models.listener import RunRequest
from pyprocessor.profiles import load
from pyprocessor.publish.durable import TEMPORARY_PREFIX


@dataclass
class Recorder:
    """A listener that records its calls and calls `on_started` when a file starts.

    What it is told, and how files ended that were not done, is printed too: pytest shows that where a test fails.
    """

    on_started: Callable[[str], None] = lambda name: None
    names: dict[str, str] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    outcomes: list[tuple[str, Outcome, bool]] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    snapshots: list[RunSnapshot] = field(default_factory=list)
    files: int = 0

    def found(self, files: int, listing_done: bool) -> None:
        self.files = files

    def queued(self, jobs: int, media_seconds: float) -> None:
        pass

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        self.names[job_id] = name
        self.starts.append(name)
        self.on_started(name)

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        pass

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        name = self.names.get(job_id, job_id)
        self.outcomes.append((name, outcome, will_retry))
        if outcome.kind is not OutcomeKind.SUCCEEDED:
            print(f"{name!a} {outcome.kind.value}: {outcome.reason!a}", flush=True)

    def notice(self, level: str, text: str) -> None:
        self.notices.append((level, text))
        print(f"{level}: {text!a}", flush=True)

    def tick(self, snapshot: RunSnapshot) -> None:
        self.snapshots.append(snapshot)


def whole(folder: Path) -> Input:
    """The folder as the only input; it is not looked at, since it may not answer."""
    path = os.fsencode(folder)
    return Input(path, b"", InputFolder(path))


def request(inputs: Path, output: Path, *, profile: Profile | None = None, **changes: object) -> RunRequest:
    """A request over a folder, or a file, whose name has an extension; with the profile `fast` unless another is given.

    Neither is looked at here: it may be on a share that does not answer.
    """
    asked = RunRequest(
        inputs=inputs_of([os.fsencode(inputs)]) if inputs.suffix else (whole(inputs),),
        output=os.fsencode(output),
        profile=profile or load("fast", environment={}).profile,
        tool_path=find(os.environ).path,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def run(asked: RunRequest, recorder: Recorder | None = None, *, start_method: str | None = None) -> RunResult:
    """One run, in this process and thread."""
    return execute(asked, recorder or Recorder(), start_method=start_method)


def run_in_thread(asked: RunRequest, recorder: Recorder) -> tuple[threading.Thread, list[RunResult]]:
    """One run in a thread of its own; the result is in the list when the thread has ended."""
    results: list[RunResult] = []
    thread = threading.Thread(target=lambda: results.append(run(asked, recorder)), daemon=True)
    thread.start()
    return thread, results


def rows(output: Path) -> dict[bytes, JobRow]:
    """The journal's jobs by their source's relative path."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return {row.source.relative: row for row in journal.jobs()}


def states(output: Path) -> dict[bytes, JobState]:
    """State by relative path."""
    return {relative: row.state for relative, row in rows(output).items()}


def published(output: Path) -> set[str]:
    """Every file below the output folder that bears a final name, as relative paths."""
    return {
        str(path.relative_to(output))
        for path in output.rglob("*")
        if path.is_file() and ".pyprocessor" not in path.relative_to(output).parts
    }


def has_begun(partials: Path) -> bool:
    """Whether an unfinished output with something in it lies in this folder, which may not be there yet."""
    with contextlib.suppress(FileNotFoundError):  # the folder, or a file that is published or removed just now
        prefix = os.fsdecode(TEMPORARY_PREFIX)  # of the file by which a run sees, at its start, that it may write there
        return any(path.stat().st_size for path in partials.iterdir() if not path.name.startswith(prefix))
    return False


def partials(output: Path) -> list[str]:
    """What lies in the partials folder."""
    return sorted(os.listdir(output / ".pyprocessor" / "partial"))
