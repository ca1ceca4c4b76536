"""What happens between the options of the main job and its exit code: request, engine, closing summary?

The engine is imported only when the request is sound, so that a mistake on the command line is reported at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from pyprocessor import profiles
from pyprocessor.cli.session import Session, print_result
from pyprocessor.engine.request import run_request
from pyprocessor.errors import ExitCode, JournalError, UsageError
from pyprocessor.journal.database import is_there
from pyprocessor.models import Mode, PlanReport, display
from pyprocessor.models.run import RunRequest
from pyprocessor.report.narration import Level, Lines, Message, RunLog, UnbreakableStream, run_log_name
from pyprocessor.state.state_folder import opened_privately, state_folder

if TYPE_CHECKING:
    from pyprocessor.engine.loop import MakeSource
    from pyprocessor.engine.stopping import RunResult
    from pyprocessor.report.progress import Bars

WRITING_SECONDS = 2.0
"""How long a message of a run that hangs may take: the terminal or the reader may hang as well."""
LEAST_WIDTH, MOST_WIDTH = 60, 120
_ONE_BY_ONE = "does one file after another"
_WITHOUT_EFFECT = {
    (Mode.SEQUENTIAL, "jobs"): _ONE_BY_ONE,
    (Mode.SEQUENTIAL, "batch_size"): _ONE_BY_ONE,
    (Mode.PARALLEL, "batch_size"): "has a batch for each file",
    (Mode.STREAMING, "batch_size"): "waits for no further files",
}
"""Modes with options that say something else, and what the mode does."""
Options = Mapping[str, Any]
"""What stood on the command line, by click's parameters, unchecked beyond its type; None or empty if not given."""


def run(options: Options, session: Session) -> ExitCode:
    """Do the main job, or only plan it; returns the exit code, or raises `PyprocessorError` if nothing was begun."""
    check_contradictions(options)
    loaded = profiles.load(
        options["profile"],
        config_file=options["config"],
        overrides=overrides(options),
        allow_unsafe=options["allow_unsafe_args"],
    )
    request, notices = _request(options, loaded)
    screen = screen_for(options, session, loaded.profile.monitoring.progress_interval_seconds)
    with closing(screen):
        for notice in (*loaded.notices, *notices):
            screen.notice("warning", notice)
        if options["plan"]:
            planned = _plan(request, screen)
        else:
            result = carry_out(request, screen, session)
    if options["plan"]:
        from pyprocessor.report.plan import plan_json, plan_text

        print_result(plan_json(planned) if options["json"] else plan_text(planned, width=_width()))
        return ExitCode.OK
    if options["json"] or not options["quiet"]:
        sum_up(request, result, session, as_json=options["json"], verbose=options["verbose"])
    return result.exit_code


def _plan(request: RunRequest, screen: Bars | Lines) -> PlanReport:
    from pyprocessor.engine.dry_run import plan

    gc.enable()
    return plan(request, screen)


def carry_out(
    request: RunRequest, screen: Bars | Lines, session: Session, *, source: MakeSource | None = None
) -> RunResult:
    """Have the engine do what is asked, with the run's log; `source` makes a further source of jobs."""
    from pyprocessor.engine.engine import execute

    # What was imported stays to the end: collecting garbage need not go through it again and again.
    gc.freeze()
    session.logs = state_folder(request.output).logs
    log_path = os.path.join(session.logs, run_log_name(time.time(), os.getpid()).encode("ascii"))

    def open_log() -> TextIO:
        # A line at a time, so that the log of a run that is killed ends with what it did last.
        return open(log_path, "a", encoding="utf-8", errors="backslashreplace", buffering=1, opener=opened_privately)

    with closing(RunLog(open_log, lambda text: screen.show(Message.notice("warning", text)))) as log:
        screen.log = log.write
        try:
            return execute(request, screen, emergency=Stuck(screen, session), source=source)
        finally:
            screen.log = None


class Stuck:
    """Writes the messages of a run whose disk does not answer: to the screen only, as the log is on that disk."""

    def __init__(self, screen: Bars | Lines, session: Session) -> None:
        self._screen = screen
        self._session = session

    def notify(self, level: str, text: str) -> None:
        """Show one sentence."""
        self._bounded(lambda: self._screen.show(Message.notice(level, text)))

    def leave(self, exit_code: ExitCode, text: str, kill: Callable[[], None]) -> None:
        """Show a last sentence, end the run's processes by `kill`, and end this one."""

        def fail() -> None:
            self._screen.close()
            self._session.fail(text, exit_code)
            sys.stdout.flush()

        self._bounded(fail)
        kill()
        os._exit(exit_code)

    @staticmethod
    def _bounded(write: Callable[[], None]) -> None:
        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        writing.join(WRITING_SECONDS)


def sum_up(request: RunRequest, result: RunResult, session: Session, *, as_json: bool, verbose: bool) -> None:
    """Print what the run came to, by its journal."""
    from pyprocessor.cli.run_summary import print_summary
    from pyprocessor.journal.reader import JournalReader
    from pyprocessor.report import summary

    folder = state_folder(request.output).path
    if not is_there(folder):
        raise JournalError(
            f"The journal in {display(folder)} was removed during the run, so there is no summary. "
            "Finished outputs are in their places; run the same command again for the rest."
        )
    with JournalReader.read_only(folder) as journal:
        run = journal.last_run()
        if run is None or run.id != result.run_id:
            raise JournalError("The journal no longer knows the run that has just ended; was it deleted?")
        looked_in = request.input_named if request.inputs else ""
        text = partial(summary.text, width=_width(), looked_in=looked_in, verbose=verbose)
        why_not = "A run does not replay itself; `pyprocessor report` does so."
        print_summary(journal, run, request.output, session, as_json=as_json, text=text, not_replayed=why_not)


def _request(options: Options, loaded: profiles.LoadedProfile) -> tuple[RunRequest, list[str]]:
    """The request, and sentences about its inputs for the user."""
    named, output = options["input"] or (loaded.input,), options["output"] or loaded.output
    given = [path for path in named if path]
    if "" in named or (not given and output is None):
        raise UsageError("No input is named; give --input PATH, a video file or a folder of videos.")
    if options["output"] == "" or output is None:
        raise UsageError("No output is named; give --output DIR, the folder to write.")
    return run_request(
        given,
        output,
        loaded.profile,
        arguments=" ".join(sys.argv[1:]),
        min_age_given=options["min_age_seconds"] is not None,
        **{name: options[name] for name in ("limit", "retry_failed", "overwrite", "watch")},
    )


def check_contradictions(options: Options) -> None:
    """Raise `UsageError` for options that make no sense together or by themselves."""
    for contradiction, sentence in (
        (options["quiet"] and options["verbose"], "--quiet and --verbose contradict each other"),
        (options["plan"] and options["watch"], "--plan shows what would be done now, and --watch waits for what comes"),
        (options["plan"] and options["quiet"], "--plan only shows what would be done, and --quiet shows nothing"),
    ):
        if contradiction:
            raise UsageError(f"{sentence}; give one of them.")
    for option, named in (("--profile", options["profile"]), ("--config", options["config"])):
        if named == "":
            raise UsageError(f"{option} is empty; name what it is to take, or leave the option out.")
    mode = options["mode"] or (Mode.SEQUENTIAL if options["batch_mode"] == "disabled" else Mode.AUTO)
    named = f"--mode {mode}" if options["mode"] else "--batch-mode disabled"
    for option, given in (("--jobs", "jobs"), ("--batch-size", "batch_size")):
        if options[given] is not None and (why := _WITHOUT_EFFECT.get((mode, given))) is not None:
            raise UsageError(f"{option} has no meaning with {named}, which {why}; leave one of them out.")


def overrides(options: Options) -> profiles.Overrides:
    """The settings among the options; raises `ProfileError` naming an option that cannot be read."""
    known, absent = {field.name for field in fields(profiles.Overrides)}, (None, False, ())
    given = {
        name: options[name] for name in options if name in known and not any(options[name] is one for one in absent)
    }
    if options.get("batch_mode") is not None:
        given["batch_enabled"] = options["batch_mode"] == "enabled"
    if "batch_size" in given:
        with contextlib.suppress(ValueError):
            given["batch_size"] = int(given["batch_size"])
    return profiles.overrides_of(given, called=lambda name: f"--{name.rpartition('_')[0].replace('_', '-')}")


def screen_for(options: Options, session: Session, interval_seconds: float) -> Bars | Lines:
    least = Level.ERROR if options["quiet"] else Level.DEBUG if options["verbose"] else Level.INFO
    stream = UnbreakableStream(sys.stderr)
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if terminal and not options["quiet"] and not session.json_lines:
        from pyprocessor.report.progress import Bars

        return Bars(stream, least=least)
    return Lines(stream, interval_seconds=interval_seconds, least=least, as_json=session.json_lines)


def _width() -> int:
    return min(MOST_WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns))
