"""What one call of the command has in common: how it speaks on standard error and standard output."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TextIO

from pyprocessor.errors import OutputUnwritable

JSON_OPTION = "--log-format"


@dataclass(slots=True)
class Session:
    """Carried as click's `ctx.obj`. `logs` is the run's logs folder, once there is one."""

    json_lines: bool = False
    verbose: bool = False
    logs: bytes | None = None

    def complain(self, text: str) -> None:
        """Tell an error on standard error, as a line of text or of JSON."""
        # Imported here: an answer to --help needs none of it.
        from pyprocessor.report.narration import Level, Message, json_line, write_line

        if self.json_lines:
            line = json_line(time.time(), Message(Level.ERROR, "error", text))
        else:
            line = f"pyprocessor: error: {text}"
        try:
            write_line(sys.stderr, line)
        except OSError:
            return  # nobody is left to tell


def wants_json_lines(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for JSON lines; looked at by hand so that errors in reading them keep to it too."""
    return any(
        argument == f"{JSON_OPTION}=json" or (argument == JSON_OPTION and following == "json")
        for argument, following in zip_longest(arguments, arguments[1:])
    )


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
        silence_output()
        if error.errno in (errno.EPIPE, errno.ESHUTDOWN):
            return True
        raise OutputUnwritable(f"The result could not be written to standard output: {error.strerror}.") from error


def print_result(text: str) -> None:
    """Write a result to standard output, escaping what its encoding lacks."""
    from pyprocessor.report.narration import encodable

    with StandardOutput() as stream:
        stream.write(encodable(text, stream))
