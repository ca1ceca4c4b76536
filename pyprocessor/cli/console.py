"""Where the command begins. It imports next to nothing, so that a signal during the imports ends in a sentence, too."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import FrameType


class Terminated(BaseException):
    """SIGTERM came while no run was there to heed it."""


def main() -> int:
    """Run the command with the arguments of the process and return its exit code."""
    _have_standard_streams()
    if not sys.warnoptions:
        # Python's own warnings are for developers, and would stand between lines that are promised to be JSON.
        warnings.simplefilter("ignore")
    try:
        if hasattr(signal, "pthread_sigmask"):
            # They would end the program; a run lets them through once it can pause.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
        signal.signal(signal.SIGTERM, _terminate)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        from pyprocessor.cli.main import main as command

        return command()
    except (KeyboardInterrupt, Terminated) as ended:
        from pyprocessor.cli.session import INTERRUPTED, Session
        from pyprocessor.errors import ExitCode

        code = ExitCode.TERMINATED if isinstance(ended, Terminated) else ExitCode.INTERRUPTED
        return Session.of(sys.argv[1:]).fail(INTERRUPTED, code)


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    _deafen()
    raise Terminated


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    _deafen()
    raise KeyboardInterrupt


def _deafen() -> None:
    """Whoever asks a second time gets the sentence that the first is answered by, and no traceback from within it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _have_standard_streams() -> None:
    """Open nothing in the place of standard streams that the caller closed.

    Else their numbers would go to the next files that are opened, and what is printed would end up in those.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    # Python has None for what was closed when it started.
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
