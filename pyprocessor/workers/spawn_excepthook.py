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
from typing import Any


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the error as Python does, unless multiprocessing failed to unpickle what the process is to do."""
    innermost = trace
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    code = innermost.tb_frame.f_code if innermost is not None else None
    main: Any = getattr(spawn, "_main", None)
    if main is None or code is not main.__code__ or not isinstance(error, (EOFError, pickle.UnpicklingError)):
        sys.__excepthook__(kind, error, trace)


gc.disable()
sys.excepthook = report
# Ctrl-C reaches the forkserver as well; `process` has it blocked until here.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
