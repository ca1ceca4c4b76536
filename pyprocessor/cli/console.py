"""How does the command begin and end?

Importing this module blocks SIGINT and SIGTERM, so only the program may import it.
"""
# ruff: noqa: E402 - signals are held back before anything else is imported

import signal

# SIGUSR1 and SIGUSR2 would end the program as well; a run lets them through once it can pause.
_BLOCKED = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2})
"""The signals that the caller had blocked for this process."""

import atexit
import contextlib
import gc
import os
import sys
import threading
import time
import warnings
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from pyprocessor.cli.session import INTERRUPTED, Session, Terminated, code_of_stop

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

LEAVING_SECONDS = 5.0
AGAIN_SECONDS = 0.01
"""Until an exception that was dropped is raised again: the callback that it came in has ended by then."""
_STOPPING = {signal.SIGINT, signal.SIGTERM}


def main() -> NoReturn:
    """Run the command with the arguments of the process and end the process with its exit code."""
    have_standard_streams()
    if not sys.warnoptions:
        # Python's own warnings are for developers, and would be lines that are no JSON where JSON is expected.
        warnings.simplefilter("ignore")
    sys.unraisablehook = _unraisable
    code: int | None = None
    try:
        _answer_signals()
        # Imports leave nearly no garbage, and looking for it takes a tenth of their time. The run begins with it again.
        gc.disable()
        from pyprocessor.cli.main import main as command

        code = command()
        _ignore_signals()
    except BaseException as error:
        stop = code_of_stop(error)
        if stop is None:
            raise
        if code is None:
            code = Session.of(sys.argv[1:]).fail(INTERRUPTED, stop)
    _leave(code)


def _answer_signals() -> None:
    """Let SIGINT and SIGTERM through, those that came before included. One that the caller ignores still is."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller that ignores it leaves us without exit codes
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING - _BLOCKED)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the command by an exception; further signals change nothing, so that they cannot interrupt its answer."""
    del frame
    _ignore_signals()
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _ignore_signals() -> None:
    for number in _STOPPING:
        # Not SIG_IGN: Python prints a warning about a signal that came just before that was set.
        signal.signal(number, _do_nothing)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    pass


def _unraisable(dropped: "UnraisableHookArgs") -> None:
    """Raise a signal's exception again a moment later where Python drops it, as in callbacks and finalisers."""
    ended = dropped.exc_value
    if not isinstance(ended, KeyboardInterrupt | Terminated):
        sys.__unraisablehook__(dropped)
        return

    def again(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise ended

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


def _leave(code: int) -> NoReturn:
    """End this process once all processes of ours have ended; where one cannot be ended, without it.

    Python itself would wait for one that outlives SIGKILL, and would kill this process by SIGINT where a caught
    KeyboardInterrupt passed through `exec` of a string, as in the making of dataclasses.
    """
    processes = sys.modules.get("multiprocessing.process")
    children = processes.active_children if processes is not None else list
    deadline = time.monotonic() + LEAVING_SECONDS
    for child in children():
        child.join(max(0.0, deadline - time.monotonic()))
    if not children() and _stop_helpers(deadline):
        # Clearing all modules, as Python does when it ends, takes 10 ms and serves nothing.
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _stop_helpers(deadline: float) -> bool:
    """Stop the fork server and resource tracker; return whether they ended in time."""
    starter = sys.modules.get("pyprocessor.workers.process")
    if starter is None:
        return True
    dismissing = threading.Thread(target=starter.dismiss, daemon=True)
    dismissing.start()
    dismissing.join(max(0.0, deadline - time.monotonic()))
    return not dismissing.is_alive()


def have_standard_streams() -> None:
    """Open /dev/null for standard streams that the caller closed: else other files would get their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    # Python has None for what was closed when it started.
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
