"""Whether a traceback is printed: none where the engine was killed while it was starting this process.

The forkserver imports this once for all its children (see `child.PRELOADED`), before all else; nothing else does. A
child whose orders end in the middle would print a traceback, though nothing is wrong with it: the engine is gone, and
the next run tells.

It also keeps Python from looking for garbage while the forkserver imports the rest; its children begin to again.
"""

from __future__ import annotations

import gc
import pickle
import signal
import sys
from multiprocessing import spawn
from types import TracebackType


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the error as Python does, unless the orders of multiprocessing ended before they were complete."""
    if not (isinstance(error, (EOFError, pickle.UnpicklingError)) and _reads_orders(trace)):
        sys.__excepthook__(kind, error, trace)


def _reads_orders(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is where multiprocessing unpickles what a process is to do."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    main = getattr(spawn, "_main", None)
    return trace is not None and main is not None and trace.tb_frame.f_code is main.__code__


def ignore_interrupts() -> None:
    """Ignore SIGINT, which `child` has the forkserver block from its start until here: Ctrl-C reaches it as well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


gc.disable()
sys.excepthook = report
ignore_interrupts()
