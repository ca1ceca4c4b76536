"""Which command do the arguments name, and which exit code does each exception become?

Imports click and nothing heavy; each command's module is imported when it is called.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click
from click.core import ParameterSource

from pyprocessor import __version__
from pyprocessor.cli.session import INTERRUPTED, Session, Terminated, code_of_stop, silence_output
from pyprocessor.errors import ExitCode, OutputBusy, PyprocessorError

_COMMANDS = {
    "audit": ("pyprocessor.cli.audit", "Export who had what done; prove the records."),
    "chunk": ("pyprocessor.cli.chunk", "Cut one source, or work on it, in chunks."),
    "jobs": ("pyprocessor.cli.jobs", "List single jobs, show, cancel or redo some."),
    "pause": ("pyprocessor.cli.control", "Have a run start nothing more, until resumed."),
    "resume": ("pyprocessor.cli.control", "Have a paused run go on."),
    "status": ("pyprocessor.cli.control", "Show how far the run of an output folder is."),
    "submit": ("pyprocessor.cli.submit", "Take in jobs from a file."),
    "stop": ("pyprocessor.cli.control", "Have a run finish its files, and stop."),
    "doctor": ("pyprocessor.cli.doctor", "Check ffmpeg, memory, folders; say what to do."),
    "probe": ("pyprocessor.cli.probe", "Show what is in a video file."),
    "profiles": ("pyprocessor.cli.profiles", "List, show and check profiles."),
    "prune": ("pyprocessor.cli.prune", "Export finished jobs, then forget them."),
    "report": ("pyprocessor.cli.report", "Sum up the last runs, and say what to change."),
    "retry": ("pyprocessor.cli.dead", "Do all jobs again that failed for good."),
    "run": ("pyprocessor.cli.task_run", "Do a task with each file of a folder."),
    "tasks": ("pyprocessor.cli.tasks", "List the kinds of work, and what each takes."),
}
"""The module of each command, and its help, which stands here so that listing the commands imports none of them."""

TERM_COLUMNS = 24
"""Of the longest option in help; longer ones get a line of their own."""
_TOO_FEW_FILES = (
    "The system lets this program open no more files. Raise the limit (`ulimit -n`, LimitNOFILE= in a systemd unit) or "
    "run fewer at once (--jobs), and run the same command again."
)


def _option(names: str, metavar: str, text: str, kind: type | None = None, *, multiple: bool = False) -> click.Option:
    """An option; `names` is its own and, where that differs, its parameter's."""
    return click.Option(names.split(), metavar=metavar, help=text, type=kind, multiple=multiple)


def _choice(name: str, choices: str, text: str, **more: Any) -> click.Option:
    return click.Option([name], help=text, type=click.Choice(choices.split("|")), **{"metavar": choices, **more})


def _flag(name: str, text: str) -> click.Option:
    return click.Option([name], is_flag=True, help=text)


_INTERVAL = "Between lines without a terminal.  [default: 10]"
OPTION_GROUPS: dict[str, tuple[click.Option, ...]] = {
    "Options used most": (
        _option("--input", "PATH", "What to read: file or folder; may be given again.", multiple=True),
        _option("--output", "DIR", "Folder to write; it mirrors the input's tree."),
        _option("--profile", "NAME|FILE", "What to make; see `profiles`.  [default: default]"),
        _flag("--plan", "Show what would be done, and do nothing."),
        _option("--jobs", "N", "Batches at once.  [default: by cores and memory]", int),
    ),
    "What is made": (
        _option("--encoder", "NAME", "Video encoder: libx264, libx265, libsvtav1, ..."),
        _option("--preset", "NAME", "The encoder's preset: speed against size."),
        _option("--tune", "NAME", "What it tunes for: film, animation, grain, ..."),
        _option("--crf", "N", "Constant quality; lower is better and larger.", int),
        _option("--fps", "N", "Frames per second: 25, 23.976, 30000/1001."),
        _flag("--no-audio", "Leave the sound out."),
        _choice("--damaged", "keep|refuse", "Damaged sources: make what is there, or fail."),
        _choice("--chunking", "auto|off|always", "Long films in parts: auto, off or always.", metavar="WHEN"),
        _option("--config", "FILE", "Further settings, which the profile goes above."),
        _flag("--allow-unsafe-args", "Pass the profile's table `unsafe` on to ffmpeg."),
    ),
    "Which files": (
        _option("--include", "GLOB", "Only files that match; may be given again.", multiple=True),
        _option("--exclude", "GLOB", "No files that match; may be given again.", multiple=True),
        _option("--min-size min_size_bytes", "SIZE", "Leave out smaller files: 500K, 5M."),
        _option("--max-size max_size_bytes", "SIZE", "Leave out larger files: 6G."),
        _option("--min-age min_age_seconds", "TIME", "Leave files changed less long ago: 90s, 2m."),
        _option("--limit", "N", "Take up at most so many files.", int),
        _flag("--watch", "Go on with what comes into the input folder."),
        _flag("--retry-failed", "Try files again that failed in an earlier run."),
        _flag("--overwrite", "Replace files in the output that no run made."),
        _option("--max-retries", "N", "Tries after a failure that may pass.  [default: 3]", int),
    ),
    "Memory, CPU and disk": (
        _option("--max-memory max_memory_percent", "PCT", "Percent of memory to stay under.  [default: 80]", float),
        _option("--memory-limit memory_limit_bytes", "SIZE", "Also an absolute limit, such as 6G."),
        _flag("--strict-memory", "Fail files that need more; else they run alone."),
        _option("--cpu-limit cpu_limit_percent", "PCT", "Percent of all cores to stay within.", float),
        _option("--nice", "N", "Lower the encoders' CPU priority: 0 to 19.", int),
        _flag("--io-idle", "Use the disk only while nobody else does."),
        _flag("--pressure-polite", "Run fewer files while other work waits."),
        _option("--disk-reserve disk_reserve_bytes", "SIZE", "Room to leave on the disk.  [default: 256M]"),
        _option("--batch-size", "N", "Files in each batch, or auto.  [default: auto]"),
        _choice("--batch-mode", "enabled|disabled", "enabled, or disabled: one file after another.", metavar="MODE"),
    ),
    "Hours, and how a run ends": (
        _option("--window", "HH:MM-HH:MM", "Work only in this part of the day."),
        _option("--until", "HH:MM", "Stop at this time; the rest is for the next run."),
        _choice("--overrun", "finish|requeue", "What running files do then.  [default: finish]"),
        _option("--grace grace_seconds", "TIME", "Time to finish after SIGTERM: 2m.  [default: 10s]"),
    ),
    "Messages": (
        _flag("--quiet", "Show failures and errors only."),
        _flag("--verbose", "Show the start and end of every file, too."),
        _flag("--json", "Print the summary, or plan, as one JSON document."),
        _choice("--log-format", "text|json", "json: each line on standard error is an object.", default="text"),
        _option("--progress-interval progress_interval_seconds", "SECS", _INTERVAL, float),
    ),
}
"""The options of the main job, as help lists them: those used most come first."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the first word for a command where there is one of that name, else all words for paths (`ctx.args`)."""
        words = self.make_parser(ctx).parse_args(list(args))[1]
        if not words or words[0] in _COMMANDS:
            return super().parse_args(ctx, args)
        close = get_close_matches(words[0], _COMMANDS, n=1)
        if close and not os.path.lexists(words[0]):
            raise click.UsageError(f"There is no command or path {words[0]!r}. Did you mean {close[0]!r}?", ctx)
        ctx.allow_interspersed_args = True
        return click.Command.parse_args(self, ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's too
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        formatter.write_usage("pyprocessor", "[OPTIONS] INPUT... OUTPUT")
        formatter.write_usage("pyprocessor", "COMMAND [OPTIONS]", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped = {option.name for group in OPTION_GROUPS.values() for option in group}
        others = [option for option in self.get_params(ctx) if option.name not in grouped]
        lists: dict[str, list[tuple[str, str]]] = {}
        for title, options in {**OPTION_GROUPS, "Other options": others}.items():
            lists[title] = [record for option in options if (record := option.get_help_record(ctx)) is not None]
        lists["Commands"] = [(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)]
        for title, rows in lists.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(TERM_COLUMNS), text) for name, text in rows])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    params=[option for group in OPTION_GROUPS.values() for option in group],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="pyprocessor")
@click.pass_context
def pyprocessor(ctx: click.Context, /, **values: Any) -> int:
    """Transcode video files, or whole folders of them, filling the machine without drowning it.

    Inputs may be named by --input and the output by --output instead. Stop it at any time; the same command line goes
    on where it stopped. `pyprocessor COMMAND --help` explains a command; a folder of such a name is ./COMMAND.
    """
    given = [p for p in ctx.command.params if ctx.get_parameter_source(p.name or "") is ParameterSource.COMMANDLINE]
    if ctx.invoked_subcommand is not None:
        if given:
            raise click.UsageError(
                f"{given[0].opts[0]} stands before the command {ctx.invoked_subcommand!r}, where it has no effect; "
                f"put the options of a command after its name."
            )
        return ExitCode.OK
    if not given and not ctx.args:
        click.echo(ctx.get_help())
        return ExitCode.OK
    paths = import_module("pyprocessor.intake.paths")
    values["input"], values["output"] = paths.inputs_and_output(values["input"], values["output"], ctx.args)
    if paths.all_exist([path for path in values["input"] if path][:1]):
        # There is likely to be something to do: what our processes need is imported beside what is needed here.
        import_module("pyprocessor.workers.process").warm_up()
    run: Callable[[dict[str, Any], Session], ExitCode] = import_module("pyprocessor.cli.run").run
    return run(values, ctx.obj)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (those of the process by default) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    session = Session.of(given)
    try:
        with pyprocessor.make_context("pyprocessor", given, obj=session) as ctx:
            return int(pyprocessor.invoke(ctx) or ExitCode.OK)
    except click.exceptions.Exit as wanted:
        return wanted.exit_code
    except click.ClickException as error:
        return session.fail(_sentence(error), ExitCode.USAGE)
    except OutputBusy as error:
        # From a crontab that is no news: the other run does the work, and the exit code says so.
        return session.fail(str(error), error.exit_code, silent=session.quiet)
    except PyprocessorError as error:
        return session.fail(str(error), error.exit_code)
    except BrokenPipeError:
        silence_output()
        return ExitCode.OK
    except (Exception, KeyboardInterrupt, Terminated) as error:  # noqa: BLE001 - nothing above makes a sentence of it
        code = code_of_stop(error)
        if code is not None:
            return session.fail(INTERRUPTED, code)
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return session.fail(_TOO_FEW_FILES, ExitCode.TRY_AGAIN)
        return session.fail(_crash(error, session), ExitCode.INTERNAL)


def _sentence(error: click.ClickException) -> str:
    command = "pyprocessor"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        command = error.ctx.command_path
    message = error.format_message().rstrip(".")
    return f"{message}{'' if message.endswith('?') else '.'} See `{command} --help`."


def _crash(error: BaseException, session: Session) -> str:
    """Keep the traceback in the logs folder, and return a sentence that names the file."""
    details = "".join(traceback.format_exception(error))
    what = f"Something went wrong inside pyprocessor ({type(error).__name__}), which is a defect to report"
    if session.logs is not None:
        path = os.path.join(session.logs, f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log".encode())
        with contextlib.suppress(OSError):
            created = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(created, "w", encoding="utf-8", errors="backslashreplace") as log:
                log.write(details)
            return f"{what}; the details are in {os.fsdecode(path)}."
    if session.verbose:
        return f"{what}:\n{details.rstrip()}"
    return f"{what}: {error}. Run it again with --verbose to see where."
