"""How are processes found and ended that outlive the one that started them, even where they left its group?

A worker adopts what is orphaned below it (Linux), and gives its steps a mark in their environment. At its end it kills
what is below it; where it was killed itself, whoever ends it or runs next kills what has the mark.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Container, Iterator

import psutil

from pyprocessor.system.kernel import read

MARK = "PYPROCESSOR_WORKER"
"""The variable that holds the mark of the worker that a process was started by."""
_POLL_SECONDS = 0.005
_LONGEST_SECONDS = 5.0
"""A killed process that is still there then hangs in a call to a disk."""


def mark(state_folder: bytes, run_id: int | None = None, pid: int | None = None) -> str:
    """Return the mark of a worker of that run; without run and pid, what the marks of all of that folder begin with."""
    found = os.stat(state_folder)
    start = f"{found.st_dev:x}-{found.st_ino:x}-"
    return start if run_id is None else f"{start}{run_id}-{pid}."


def kill_marked(start: str) -> int:
    """Kill all processes whose mark begins like that; returns how many there were."""
    killed = 0
    for pid in _marked(start):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def kill_all_below(own_mark: str) -> None:
    """Kill and reap all that this process and those below it have started; it has no other children then."""
    until = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < until:
        children = psutil.Process().children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        marked = kill_marked(own_mark)
        reap_others(())
        if not children and not marked:
            return
        time.sleep(_POLL_SECONDS)


def reap_others(own: Container[int]) -> None:
    """Wait for children that have ended, but not for `own`, which are waited for where they were started."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in own:
                return
            os.waitpid(ended.si_pid, 0)


def _marked(start: str) -> Iterator[int]:
    if not os.path.isdir("/proc/self"):
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK, "").startswith(start):
                    yield process.pid
        return
    wanted = f"{MARK}={start}".encode("ascii")
    for name in os.listdir("/proc"):
        if name.isdigit():
            variables = read(f"/proc/{name}/environ") or b""
            if variables.startswith(wanted) or b"\0" + wanted in variables:
                yield int(name)
