"""What happens between the options of the main job and its exit code: request, engine, closing summary?

The engine is imported only when the request is sound, so that a mistake on the command line is told at once.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO, TypeVar

from pyprocessor import profiles
from pyprocessor.cli.joblogs import job_logs
from pyprocessor.cli.options import RunOptions
from pyprocessor.cli.paths import gather, output_folder
from pyprocessor.cli.session import Session, StandardOutput, print_result
from pyprocessor.errors import ExitCode, JournalError, ProfileError, UsageError
from pyprocessor.ffmpeg import tool, trial
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.journal.database import is_there
from pyprocessor.models import PlanReport, Profile, display
from pyprocessor.models.listener import RunRequest
from pyprocessor.profiles.quantities import parse_duration, parse_size
from pyprocessor.report.logs import RunLog, run_log_name
from pyprocessor.report.narration import Hardy, Level, Lines, Message
from pyprocessor.state.state_folder import opened_privately, state_folder

if TYPE_CHECKING:
    from pyprocessor.engine.loop import RunResult
    from pyprocessor.report.progress import Bars

Parsed = TypeVar("Parsed")
WATCHED_MIN_AGE_SECONDS = 10.0
"""How long a file that comes into a watched folder has to stay as it is, where nothing else is asked for."""
WRITING_SECONDS = 2.0
"""How long a message of a run that hangs may take: the terminal, or whoever reads, may hang as well."""
LEAST_WIDTH, MOST_WIDTH = 60, 120


def run(options: RunOptions, session: Session) -> ExitCode:
    """Do the main job, or only plan it; returns the exit code.

    Raises `PyprocessorError` where nothing could be begun, with the sentence to show and the exit code.
    """
    check_contradictions(options)
    loaded = profiles.load(
        options.profile,
        config_file=options.config,
        overrides=overrides(options),
        allow_unsafe=options.allow_unsafe_args,
    )
    request, notices = _request(options, loaded, os.environ)
    screen = _screen(options, session, loaded.profile.monitoring.progress_interval_seconds)
    with closing(screen):
        for notice in (*loaded.notices, *notices):
            screen.notice("warning", notice)
        if options.plan:
            planned = _plan(request, screen)
        else:
            result = _execute(request, screen, session)
    if options.plan:
        from pyprocessor.report.plan import plan_json, plan_text

        print_result(plan_json(planned) if options.json else plan_text(planned, width=_width()))
        return ExitCode.OK
    if options.json or not options.quiet:
        _sum_up(request, result, session, as_json=options.json, verbose=options.verbose)
    return result.exit_code


def _plan(request: RunRequest, screen: Bars | Lines) -> PlanReport:
    from pyprocessor.engine.dry_run import plan

    gc.enable()
    return plan(request, screen)


def _execute(request: RunRequest, screen: Bars | Lines, session: Session) -> RunResult:
    from pyprocessor.engine.engine import Engine

    session.logs = state_folder(request.output).logs
    log_path = os.path.join(session.logs, run_log_name(time.time(), os.getpid()).encode("ascii"))

    def open_log() -> TextIO:
        # A line at a time, so that the log of a run that is killed ends with what it did last.
        return open(log_path, "a", encoding="utf-8", errors="backslashreplace", buffering=1, opener=opened_privately)

    with closing(RunLog(open_log, lambda text: screen.show(Message.notice("warning", text)))) as log:
        screen.log = log.write
        try:
            return Engine(request, screen, emergency=_Stuck(screen, session)).run()
        finally:
            screen.log = None


class _Stuck:
    """Writes the messages of a run whose disk does not answer: to the screen only, as the log is on that disk."""

    def __init__(self, screen: Bars | Lines, session: Session) -> None:
        self._screen = screen
        self._session = session

    def tell(self, level: str, text: str) -> None:
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


def _sum_up(request: RunRequest, result: RunResult, session: Session, *, as_json: bool, verbose: bool) -> None:
    from pyprocessor.journal.reader import JournalReader
    from pyprocessor.report import summary

    output = request.output
    if not is_there(state_folder(output).path):
        raise JournalError(
            f"The journal in {display(state_folder(output).path)} was removed during the run, so there is no summary. "
            "Finished outputs are in their places; run the same command again for the rest."
        )
    with JournalReader.read_only(state_folder(output).path) as journal:
        row = journal.last_run()
        if row is None or row.id != result.run_id:
            raise JournalError("The journal no longer knows the run that has just ended; was it deleted?")
        log_of = job_logs(output)
        summed = summary.summarise(
            journal,
            row,
            now=time.time(),
            log_of=log_of,
            exit_code=result.exit_code,
            done_before=result.done_before,
            failed_before=result.failed_before,
        )
        if as_json:
            session.answered = True
            with StandardOutput() as stream:
                summary.write_json(stream, summed, journal, output_root=output, log_of=log_of)
        else:
            print_result(summary.text(summed, width=_width(), looked_in=request.input_named, verbose=verbose))


def _request(
    options: RunOptions, loaded: profiles.LoadedProfile, variables: Mapping[str, str]
) -> tuple[RunRequest, list[str]]:
    """The request, and sentences about its inputs for the user."""
    named, named_output = options.input or (loaded.input,), options.output or loaded.output
    given = [path for path in named if path]
    if len(given) < len(named):
        raise UsageError("No input is named; give --input PATH, a video file or a folder of videos.")
    if options.output == "" or named_output is None:
        raise UsageError("No output is named; give --output DIR, the folder to write.")
    output = output_folder(named_output)
    paths, notices = gather(given, output, loaded.profile.extension)
    if options.watch and len(paths) > 1:
        raise UsageError(f"--watch watches one folder, and {len(paths)} inputs are named; start a run for each.")
    if options.watch and not os.path.isdir(paths[0]):
        raise UsageError(f"--watch watches a folder, and the input {display(paths[0])} is a file; name its folder.")
    found = tool.find(variables)
    tool.require(found, loaded.profile)
    trial.require_working(found, loaded.profile)
    request = RunRequest(
        inputs=inputs_of(paths),
        output=output,
        profile=_settling(loaded.profile) if options.watch and options.min_age is None else loaded.profile,
        tool_path=found.path,
        arguments=_arguments(),
        limit=options.limit,
        retry_failed=options.retry_failed,
        overwrite=options.overwrite,
        watch=options.watch,
    )
    return request, notices


def _settling(profile: Profile) -> Profile:
    """The profile with an age at which files are taken while a folder is watched, where it says none."""
    if profile.scan.min_age_seconds > 0:
        return profile
    return replace(profile, scan=replace(profile.scan, min_age_seconds=WATCHED_MIN_AGE_SECONDS))


def _arguments() -> str:
    """The command line for the journal, which holds text: bytes that are not UTF-8 come out escaped."""
    line = " ".join(sys.argv[1:])
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


# ---------------------------------------------------------------- options


def check_contradictions(options: RunOptions) -> None:
    """Raise `UsageError` for options that make no sense together or by themselves."""
    if options.quiet and options.verbose:
        raise UsageError("--quiet and --verbose contradict each other; give one of them.")
    if options.plan and options.watch:
        raise UsageError("--plan tells what would be done now, and --watch waits for what comes; give one of them.")
    if options.plan and options.quiet:
        raise UsageError("--plan only tells, and --quiet is to tell nothing; give one of them.")
    for option, named in (("--profile", options.profile), ("--config", options.config)):
        if named == "":
            raise UsageError(f"{option} is empty; name what it is to take, or leave the option out.")
    if options.batch_mode == "disabled":
        for option, given in (("--jobs", options.jobs), ("--batch-size", options.batch_size)):
            if given is not None:
                raise UsageError(
                    f"{option} has no meaning with --batch-mode disabled, which does one file after another; "
                    "leave one of them out."
                )
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit is {options.limit}, but must be 1 or more.")


def overrides(options: RunOptions) -> profiles.Overrides:
    """The settings among the options; raises `ProfileError` naming an option that cannot be read."""
    size = options.batch_size
    return profiles.Overrides(
        encoder=options.encoder,
        preset=options.preset,
        tune=options.tune,
        fps=options.fps,
        crf=options.crf,
        no_audio=options.no_audio or None,
        damaged=options.damaged,
        batch_enabled=None if options.batch_mode is None else options.batch_mode == "enabled",
        batch_size=_whole_number_or_text(size) if size is not None else None,
        max_memory_percent=_as_written(options.max_memory),
        memory_limit_bytes=_parsed("--memory-limit", options.memory_limit, parse_size),
        jobs=options.jobs,
        include=options.include or None,
        exclude=options.exclude or None,
        min_size_bytes=_parsed("--min-size", options.min_size, parse_size),
        max_size_bytes=_parsed("--max-size", options.max_size, parse_size),
        min_age_seconds=_parsed("--min-age", options.min_age, parse_duration),
        progress_interval_seconds=_as_written(options.progress_interval),
        max_retries=options.max_retries,
        cpu_limit_percent=_as_written(options.cpu_limit),
        strict_memory=options.strict_memory or None,
        disk_reserve_bytes=_parsed("--disk-reserve", options.disk_reserve, parse_size),
        nice=options.nice,
        io_idle=options.io_idle or None,
        pressure_polite=options.pressure_polite or None,
        window=options.window,
        until=options.until,
        overrun=options.overrun,
        grace_seconds=_parsed("--grace", options.grace, parse_duration),
    )


def _whole_number_or_text(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _as_written(number: float | None) -> float | None:
    """A whole number as such, so that an error says 0 where the user wrote 0."""
    return int(number) if number is not None and number.is_integer() else number


def _parsed(option: str, text: str | None, parse: Callable[[object], Parsed]) -> Parsed | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise ProfileError(f"{option} is {json.dumps(text)}, but {error}.") from None


# ---------------------------------------------------------------- the screen


def _screen(options: RunOptions, session: Session, interval_seconds: float) -> Bars | Lines:
    least = Level.ERROR if options.quiet else Level.DEBUG if options.verbose else Level.INFO
    stream = Hardy(sys.stderr)
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if terminal and not options.quiet and not session.json_lines:
        from pyprocessor.report.progress import Bars

        return Bars(stream, least=least)
    return Lines(stream, interval_seconds=interval_seconds, least=least, as_json=session.json_lines)


def _width() -> int:
    return min(MOST_WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns))
