"""Where the command begins. It imports next to nothing, so that a signal during the imports ends in a sentence, too."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from types import FrameType

FAREWELL_SECONDS = 5.0


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

        return _leave(command())
    except (KeyboardInterrupt, Terminated) as ended:
        from pyprocessor.cli.session import INTERRUPTED, Session
        from pyprocessor.errors import ExitCode

        code = ExitCode.TERMINATED if isinstance(ended, Terminated) else ExitCode.INTERRUPTED
        return Session.of(sys.argv[1:]).fail(INTERRUPTED, code)


def _leave(code: int) -> int:
    """The exit code, once all processes of ours have ended; where one cannot be ended, end without it.

    One that waits for a file system that no longer answers outlives even SIGKILL, and Python would wait for it.
    """
    processes = sys.modules.get("multiprocessing.process")
    if processes is None:
        return code
    deadline = time.monotonic() + FAREWELL_SECONDS
    for child in processes.active_children():
        child.join(max(0.0, deadline - time.monotonic()))
    if not processes.active_children() and _dismissed(deadline):
        return code
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _dismissed(deadline: float) -> bool:
    """Whether the processes that start ours have ended."""
    starter = sys.modules.get("pyprocessor.engine.child")
    if starter is None:
        return True
    farewell = threading.Thread(target=starter.dismiss, daemon=True)
    farewell.start()
    farewell.join(max(0.0, deadline - time.monotonic()))
    return not farewell.is_alive()


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
