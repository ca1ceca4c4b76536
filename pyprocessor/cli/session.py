"""What one call of the command has in common: how it speaks on standard error and standard output."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TextIO

from pyprocessor.errors import ExitCode, OutputUnwritable

ERROR_DOCUMENT_VERSION = 1
INTERRUPTED = "Interrupted; the same command goes on from here."


class Terminated(BaseException):
    """SIGTERM came while no run was there to act on it."""


def code_of_stop(error: BaseException | None) -> ExitCode | None:
    """Return the exit code of the signal that caused an error, or None where no signal did.

    The exception of a signal can come wrapped in another: Python does so while a class is made, libraries while they
    import.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        if isinstance(error, Terminated):
            return ExitCode.TERMINATED
        error = error.__cause__ or error.__context__
    return None


@dataclass(slots=True)
class Session:
    """Carried as click's `ctx.obj`. `logs` is the run's logs folder, once there is one.

    `json_document` says that the caller waits for one JSON document on standard output, and `answered` that writing it
    has begun.
    """

    json_lines: bool = False
    json_document: bool = False
    verbose: bool = False
    quiet: bool = False
    logs: bytes | None = None
    answered: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Session:
        """What the arguments ask for; looked at by hand so that errors in reading them keep to it too."""
        told = list(arguments)
        if "--" in told:
            del told[told.index("--") :]
        document = "--json" in told or ("report" in told and _has(told, "--format", "json"))
        return cls(_has(told, "--log-format", "json"), document, "--verbose" in told, "--quiet" in told)

    def fail(self, text: str, code: ExitCode, *, silent: bool = False) -> ExitCode:
        """Tell why the command ends without a result, in the document that is waited for as well; returns the code.

        `silent` keeps it off standard error.
        """
        if not silent:
            self.complain(text)
        if self.json_document and not self.answered:
            self.answered = True
            document = {"version": ERROR_DOCUMENT_VERSION, "error": text, "exit_code": int(code)}
            try:
                print_result(json.dumps(document) + "\n")
            except OutputUnwritable as error:
                self.complain(str(error))
        return code

    def complain(self, text: str) -> None:
        """Tell an error on standard error, as a line of text or of JSON."""
        # Imported here: an answer to --help needs none of it.
        from pyprocessor.report.narration import Level, Message, json_line, write_line
        from pyprocessor.report.wording import one_line

        # What was typed or stands in a profile may hold escapes for the terminal. Several errors are several lines.
        text = "\n".join(one_line(line) for line in text.split("\n"))

        if self.json_lines:
            line = json_line(time.time(), Message(Level.ERROR, "error", text))
        else:
            line = f"pyprocessor: error: {text}"
        try:
            write_line(sys.stderr, line)
        except OSError:
            return  # nobody is left to tell


def _has(arguments: Sequence[str], option: str, value: str) -> bool:
    return f"{option}={value}" in arguments or (option, value) in pairwise(arguments)


def silence_output() -> None:
    """Send standard output nowhere: what is still buffered would fail again when Python ends."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


class StandardOutput:
    """Standard output for results, as context. A reader that went away is no error; a full disk is.

    Raises `OutputUnwritable` where the result could not be written.
    """

    def __enter__(self) -> TextIO:
        return sys.stdout

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            try:
                sys.stdout.flush()
            except OSError as failed:
                return self._failed(failed)
            return False
        if isinstance(error, OSError):
            return self._failed(error)
        return False

    def _failed(self, error: OSError) -> bool:
        # A terminal that was closed answers so; a file whose disk is broken does, too.
        terminal = stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
        silence_output()
        if error.errno in (errno.EPIPE, errno.ESHUTDOWN) or (error.errno == errno.EIO and terminal):
            return True
        raise OutputUnwritable(f"The result could not be written to standard output: {error.strerror}.") from error


def print_result(text: str) -> None:
    """Write a result to standard output, escaping what its encoding lacks."""
    from pyprocessor.report.narration import encodable

    with StandardOutput() as stream:
        stream.write(encodable(text, stream))
