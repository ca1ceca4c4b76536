"""How does a program run the main job? `run`, exported by the package, is the command as one call."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyprocessor import profiles
from pyprocessor.engine.engine import execute
from pyprocessor.engine.request import run_request
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.intake.paths import AnyPath
from pyprocessor.journal.database import FILE_NAME
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import Counts
from pyprocessor.models import JobState, Outcome, RunSnapshot, events
from pyprocessor.models.run import Listener
from pyprocessor.state.state_folder import state_folder

_log = logging.getLogger("pyprocessor")


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file; `output` is None where it has none, and `reason` a sentence that does not name it."""

    source: Path
    output: Path | None
    state: JobState
    reason: str
    failure: FailureKind | None
    notes: tuple[str, ...]
    """What was lost or mended, one sentence each."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended; `exit_code` is that of the command."""

    exit_code: ExitCode
    run_id: int
    journal: Path
    counts: Counts
    """The files that this run settled, by their state."""
    done_before: int
    """Files that earlier runs had done, as for `failed_before`, and that still hold."""
    failed_before: int
    _output: Path = field(repr=False)

    def outcomes(self) -> Iterator[FileOutcome]:
        """Yield what became of each file that this run settled, read from the journal. Raises JournalError."""
        with JournalReader.read_only(os.fsencode(self.journal.parent)) as journal:
            for row in journal.jobs(run_id=self.run_id):
                made = row.produced if row.state is JobState.SUCCEEDED else None
                yield FileOutcome(
                    source=Path(os.fsdecode(row.source.path)),
                    output=None if made is None else self._output / os.fsdecode(row.output),
                    state=row.state,
                    reason=row.reason,
                    failure=row.failure,
                    notes=() if made is None else made.notes,
                )


def run(
    input: AnyPath | Sequence[AnyPath],  # noqa: A002 - as the option is called
    output: AnyPath,
    *,
    profile: str | None = "default",
    on_event: Callable[[events.Event], object] | None = None,
    config: str | None = None,
    watch: bool = False,
    limit: int | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    allow_unsafe_args: bool = False,
    **settings: Any,
) -> RunResult:
    """Convert the videos of a file, a folder or several into the folder `output`, and wait until that is done.

    `profile` names a built-in profile or a file. `settings` are options of the command by the names in
    `profiles.Overrides`, such as `crf=20`, `jobs=2` or `memory_limit_bytes="2G"`. `on_event` is called in the calling
    thread with each event of `pyprocessor.models.events` and has to return at once; where it raises, that is logged and
    the run goes on. Sentences of the run are logged to `pyprocessor`, too.

    Raises PyprocessorError where nothing was begun. Files that fail are no error: see `RunResult.exit_code`. In the
    main thread SIGINT and SIGTERM stop the run as they stop the command, and are raised again once it has stopped.
    """
    loaded = profiles.load(
        profile,
        config_file=config,
        overrides=profiles.overrides_of(settings, called=lambda name: name),
        allow_unsafe=allow_unsafe_args,
    )
    inputs = [input] if isinstance(input, str | bytes | os.PathLike) else list(input)
    request, notices = run_request(
        [os.fsdecode(path) for path in inputs],
        os.fsdecode(output),
        loaded.profile,
        arguments="pyprocessor.run",
        limit=limit,
        retry_failed=retry_failed,
        overwrite=overwrite,
        watch=watch,
        min_age_given="min_age_seconds" in settings,
    )
    listener = _Events(on_event)
    for sentence in (*loaded.notices, *notices):
        listener.notice("warning", sentence)
    ended = execute(request, listener)
    folder = state_folder(request.output).path
    with JournalReader.read_only(folder) as journal:
        counts = journal.counts(run_id=ended.run_id)
    if ended.stopped_by is not None and threading.current_thread() is threading.main_thread():
        signal.raise_signal(ended.stopped_by)
    return RunResult(
        exit_code=ended.exit_code,
        run_id=ended.run_id,
        journal=Path(os.fsdecode(folder)) / os.fsdecode(FILE_NAME),
        counts=counts,
        done_before=ended.done_before,
        failed_before=ended.failed_before,
        _output=Path(os.fsdecode(request.output)),
    )


class _Events(Listener):
    """Hands events to a caller's function."""

    def __init__(self, on_event: Callable[[events.Event], object] | None) -> None:
        self._on_event = on_event
        self._names: dict[str, str] = {}

    def _send(self, event: events.Event) -> None:
        try:
            if self._on_event is not None:
                self._on_event(event)
        except Exception:  # noqa: BLE001 - a caller's function must not end the run
            _log.exception("The function given as on_event failed; the run goes on.")

    def found(self, files: int, listing_done: bool) -> None:
        self._send(events.Found(files, listing_done))

    def queued(self, jobs: int, media_seconds: float) -> None:
        self._send(events.Queued(jobs, media_seconds))

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        self._names[job_id] = name
        self._send(events.Started(job_id, name, media_seconds))

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        self._send(events.Progressed(job_id, media_seconds_done, speed))

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        name = self._names.pop(job_id, name)
        if outcome.kind.is_failure:
            _log.log(logging.INFO if will_retry else logging.WARNING, "%s: %s", name, outcome.reason)
        self._send(events.Ended(job_id, name, outcome.kind, outcome.reason, outcome.failure, will_retry))

    def notice(self, level: str, text: str) -> None:
        super().notice(level, text)
        self._send(events.Notice(level, text))

    def tick(self, snapshot: RunSnapshot) -> None:
        self._send(events.Tick(snapshot))
