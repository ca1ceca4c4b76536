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
from pyprocessor.cli.options import OPTION_GROUPS
from pyprocessor.cli.session import INTERRUPTED, Session, Terminated, code_of_stop, silence_output
from pyprocessor.errors import ExitCode, OutputBusy, PyprocessorError

_COMMANDS = {
    "pause": ("pyprocessor.cli.control", "Have a run start nothing more, until resumed."),
    "resume": ("pyprocessor.cli.control", "Have a paused run go on."),
    "status": ("pyprocessor.cli.control", "Show how far the run of an output folder is."),
    "stop": ("pyprocessor.cli.control", "Have a run finish its files, and stop."),
    "doctor": ("pyprocessor.cli.doctor", "Check ffmpeg, memory, folders; say what to do."),
    "probe": ("pyprocessor.cli.probe", "Show what is in a video file."),
    "profiles": ("pyprocessor.cli.profiles", "List, show and check profiles."),
    "report": ("pyprocessor.cli.control", "Sum up the last run of an output folder."),
}
"""The module of each command, and its help, which stands here so that listing the commands imports none of them."""

TERM_COLUMNS = 24
"""Of the longest option in help; longer ones get a line of their own."""
_TOO_FEW_FILES = (
    "The system lets this program open no more files. Raise the limit (`ulimit -n`, LimitNOFILE= in a systemd unit) or "
    "run fewer at once (--jobs), and run the same command again."
)


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
    paths = import_module("pyprocessor.cli.paths")
    values["input"], values["output"] = paths.named(values["input"], values["output"], ctx.args)
    if paths.answers([path for path in values["input"] if path][:1]):
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
