"""How does a command write results to standard output and errors to standard error?"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TextIO

from pyprocessor.errors import ExitCode, OutputUnwritable

INTERRUPTED = "Interrupted; the same command goes on from here."


class Terminated(BaseException):
    """SIGTERM came outside of a run."""


def code_of_stop(error: BaseException | None) -> ExitCode | None:
    """Return the exit code of the signal that caused an error, itself or wrapped in others; None where none did."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        if isinstance(error, Terminated):
            return ExitCode.TERMINATED
        error = error.__cause__ or error.__context__
    return None


@dataclass(slots=True)
class Session:
    """What one call of the command was asked for; click's `ctx.obj`.

    `json_document`: the caller expects one on standard output. `answered`: writing it has begun. `logs` is the run's
    folder, once there is one.
    """

    json_lines: bool = False
    json_document: bool = False
    verbose: bool = False
    quiet: bool = False
    logs: bytes | None = None
    answered: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Session:
        """What the arguments ask for; read by hand, so that it holds for errors in reading them, too."""
        given = list(arguments)
        if "--" in given:
            del given[given.index("--") :]
        document = "--json" in given or ("report" in given and _has(given, "--format", "json"))
        return cls(_has(given, "--log-format", "json"), document, "--verbose" in given, "--quiet" in given)

    def fail(self, text: str, code: ExitCode, *, silent: bool = False) -> ExitCode:
        """Write why the command ends, also as the JSON document if one is expected; `silent`: not on standard error."""
        if not silent:
            self.complain(text)
        if self.json_document and not self.answered:
            self.answered = True
            document = {"version": 1, "error": text, "exit_code": int(code)}
            try:
                print_result(json.dumps(document) + "\n")
            except OutputUnwritable as error:
                self.complain(str(error))
        return code

    def warn(self, text: str) -> None:
        """Write a warning to standard error, as a line of text or of JSON."""
        self.complain(text, level="warning")

    def complain(self, text: str, *, level: str = "error") -> None:
        """Write an error to standard error, as a line of text or of JSON."""
        # Imported here, because --help needs none of it.
        from pyprocessor.models.wording import one_line
        from pyprocessor.report.narration import Level, Message, json_line, write_line

        # What was typed or is in a profile may hold escapes for the terminal. Several errors are several lines.
        text = "\n".join(one_line(line) for line in text.split("\n"))
        line = f"pyprocessor: {level}: {text}"
        if self.json_lines:
            line = json_line(time.time(), Message(Level[level.upper()], level, text))
        with contextlib.suppress(OSError):
            write_line(sys.stderr, line)


def _has(arguments: Sequence[str], option: str, value: str) -> bool:
    return f"{option}={value}" in arguments or (option, value) in pairwise(arguments)


def silence_output() -> None:
    """Send standard output nowhere: what is still buffered would fail again when Python ends."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


@contextlib.contextmanager
def standard_output() -> Iterator[TextIO]:
    """Standard output, for results. A reader that went away is no error; a full disk raises `OutputUnwritable`."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        # EIO is the answer of a terminal that was closed, but also of a file whose disk is broken.
        terminal = stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
        silence_output()
        if error.errno not in (errno.EPIPE, errno.ESHUTDOWN) and not (error.errno == errno.EIO and terminal):
            text = f"The result could not be written to standard output: {error.strerror}."
            raise OutputUnwritable(text) from error


def print_result(text: str) -> None:
    """Write a result to standard output, escaping what its encoding lacks."""
    from pyprocessor.report.narration import encodable

    with standard_output() as stream:
        stream.write(encodable(text, stream))
