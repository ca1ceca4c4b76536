"""Is a traceback to be printed? Not where the engine was killed while it was starting this process.

The forkserver alone imports this, before all else (see `process.PRELOADED`). It also disables garbage collection while
the forkserver imports the rest, and ignores SIGINT.
"""

from __future__ import annotations

import gc
import pickle
import signal
import sys
from multiprocessing import reduction, spawn
from types import TracebackType

# Where a new process unpickles what it is to do, and where the forkserver receives a request for one.
_RECEIVING = {receive.__code__ for receive in (getattr(spawn, "_main", None), reduction.recvfds) if receive is not None}


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the error as Python does, unless what the engine sends ended too early."""
    innermost = trace
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    receiving = innermost is not None and innermost.tb_frame.f_code in _RECEIVING
    if not (receiving and isinstance(error, (EOFError, pickle.UnpicklingError))):
        sys.__excepthook__(kind, error, trace)


gc.disable()
sys.excepthook = report
# Ctrl-C reaches the forkserver as well; `process` has it blocked until here.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
