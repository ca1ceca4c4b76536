"""Is a traceback to be printed? Not where the engine was killed while it was starting this process.

The forkserver imports this before all else (`process.PRELOADED`), without garbage collection meanwhile.
"""

from __future__ import annotations

import gc
import pickle
import signal
import sys
from multiprocessing import spawn
from types import TracebackType


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the error as Python does, unless what multiprocessing sends a new process ended too early."""
    if not (isinstance(error, (EOFError, pickle.UnpicklingError)) and _is_being_prepared(trace)):
        sys.__excepthook__(kind, error, trace)


def _is_being_prepared(trace: TracebackType | None) -> bool:
    """Return whether the innermost frame is where multiprocessing unpickles what a process is to do."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    main = getattr(spawn, "_main", None)
    return trace is not None and main is not None and trace.tb_frame.f_code is main.__code__


gc.disable()
sys.excepthook = report
# Ctrl-C reaches the forkserver as well; `process` has it blocked until here.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
