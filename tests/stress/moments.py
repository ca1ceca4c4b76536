"""Faults around a grant: a process counts the moments of its way to the disk, and at one of them somebody is killed.

Before and after each rename, exchange, link, removal and sync of publishing, and each commit of the journal, is a
moment. `STRESS_MOMENT=WHERE/NUMBER/VICTIMS` says which: WHERE is `worker` (from the grant on), `engine` (from the
journal's grant on) or `recovery` (of an engine, while it settles what an earlier run left), and VICTIMS is `worker`,
`engine` or `both`. With `STRESS_ONLY` set, only moments that begin with that text count. Whoever counts it writes what
it was about to do, or just did, to the file `STRESS_ONCE`.
With `STRESS_NO_EXCHANGE` set, names cannot be exchanged, as on NFS.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import psutil

from pyprocessor.publish import renames

MOMENT = "STRESS_MOMENT"
ONLY = "STRESS_ONLY"
ONCE = "STRESS_ONCE"
NO_EXCHANGE = "STRESS_NO_EXCHANGE"
_DEEDS = ("rename", "replace", "link", "unlink", "rmdir", "mkdir", "fsync", "write")
_RENAMES = {0: "rename", 1: "exclusive rename", 2: "exchange"}


class Moments:
    """Counts moments while it is `armed`, and kills at the `number`th, by `kill`, unless somebody did before."""

    def __init__(self, number: int, kill: Callable[[], None]) -> None:
        self.armed = False
        self._left = number
        self._only = os.environ.get(ONLY, "")
        self._kill = kill

    def arm(self, *_: object) -> None:
        self.armed = True

    def around(self, what: str, deed: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """Do it, with a moment before and one after."""
        self.passed(f"before {what}")
        try:
            return deed(*given, **options)
        finally:
            self.passed(f"after {what}")

    def passed(self, moment: str) -> None:
        if not self.armed or not moment.startswith(self._only):
            return
        self._left -= 1
        if self._left == 0:
            try:
                told = os.open(os.environ[ONCE], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                return
            self.armed = False
            os.write(told, moment.encode())
            os.close(told)
            self._kill()


def set_in_engine() -> None:
    """Set what the environment asks for in the process of the engine."""
    _set_no_exchange()
    where, number, victims = _asked()
    if where not in ("engine", "recovery"):
        return

    def kill() -> None:
        if victims != "engine":
            for process in multiprocessing.active_children():
                process.kill()
        if victims != "worker":
            os.kill(os.getpid(), signal.SIGKILL)

    moments = Moments(number, kill)
    _count_commits(moments, arming="grant_job" if where == "engine" else None)
    _count_deeds(moments)
    if where == "recovery":
        _arm_while_recovering(moments)


def set_in_forkserver() -> None:
    """Set what the environment asks for in batch processes, which are forked from this one."""
    _set_no_exchange()
    where, number, victims = _asked()
    if where != "worker":
        return
    from pyprocessor.workers.attempt import Attempt  # which the engine may do without

    engine = os.getppid()

    def kill() -> None:
        if victims != "worker":
            os.kill(engine, signal.SIGKILL)
            with contextlib.suppress(psutil.NoSuchProcess):
                while psutil.Process(engine).status() != psutil.STATUS_ZOMBIE:
                    pass
        if victims != "engine":
            os.kill(os.getpid(), signal.SIGKILL)

    moments = Moments(number, kill)
    _count_deeds(moments)
    publish = Attempt.publish

    def armed(self: Attempt, *given: Any, **options: Any) -> Any:
        moments.arm()
        return publish(self, *given, **options)

    Attempt.publish = armed  # type: ignore[method-assign]


def _asked() -> tuple[str, int, str]:
    where, number, victims = os.environ.get(MOMENT, "nowhere/0/nobody").split("/")
    return where, int(number), victims


def _count_deeds(moments: Moments) -> None:
    """Wrap what changes names or brings them to the disk."""
    for name in _DEEDS:
        deed = getattr(os, name)

        def counted(*given: Any, _name: str = name, _deed: Any = deed, **options: Any) -> Any:
            if not moments.armed:
                return _deed(*given, **options)
            return moments.around(f"{_name} {_told(given)}", _deed, *given, **options)

        setattr(os, name, counted)
    found = renames._renameat2()
    assert found is not None

    def renamed(*given: Any) -> int:
        number: int = moments.around(f"{_RENAMES[given[4]]} {_told((given[1], given[3]))}", found, *given)
        return number

    renames._renameat2 = lambda: renamed  # type: ignore[assignment]


def _told(given: tuple[Any, ...]) -> str:
    """What is done to which file, without what differs from attempt to attempt."""
    path = given[0]
    if isinstance(path, int):
        path = os.readlink(f"/proc/self/fd/{path}")
    told = re.sub(r".*/(out-\d+|free-[^/]*|taken-[^/]*)/?", "", os.fsdecode(path)) or "the output folder"
    folder, name = os.path.split(told)
    if os.path.basename(folder) == "receipts":
        return "the receipt"
    head, dot, tail = name.partition(".")
    return os.path.join(os.path.basename(folder), f"{'ATTEMPT' if '-' in head else head}{dot}{tail}")


def _count_commits(moments: Moments, arming: str | None) -> None:
    """Wrap what writes to the journal; `arming` is the statement that begins the counting."""
    from pyprocessor.journal.database import Database

    write, run = Database.write, Database._run
    written: list[str] = []

    def counted_write(self: Database, name: str, parameters: Any) -> Any:
        if name == arming:
            moments.arm()
        if not self._in_block:
            return moments.around(f"commit of {name}", write, self, name, parameters)
        written.append(name)
        return write(self, name, parameters)

    def counted_run(self: Database, statement: str, *more: Any) -> Any:
        if statement != "COMMIT":
            return run(self, statement, *more)
        told = ", ".join(dict.fromkeys(written)) or "nothing"
        written.clear()
        return moments.around(f"commit of {told}", run, self, statement, *more)

    Database.write = counted_write  # type: ignore[method-assign]
    Database._run = counted_run  # type: ignore[method-assign]


def _arm_while_recovering(moments: Moments) -> None:
    from pyprocessor.engine import loop

    recover = loop.recover

    def armed(*given: Any, **options: Any) -> Any:
        moments.arm()
        try:
            return recover(*given, **options)
        finally:
            moments.armed = False

    loop.recover = armed


def _set_no_exchange() -> None:
    if not os.environ.get(NO_EXCHANGE):
        return
    found = renames._renameat2()
    assert found is not None

    def without(*given: Any) -> int:
        if _RENAMES[given[4]] == "exchange":
            ctypes.set_errno(errno.EINVAL)
            return -1
        return found(*given)

    renames._renameat2 = lambda: without  # type: ignore[assignment]
