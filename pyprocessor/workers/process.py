"""How does the engine start a process, talk to it over one pipe, and end it with its process group?

End-of-file on the pipe means that the process is gone. The process sentinel is not used, because it fires for every
process when the forkserver dies although they run on. What is started is noted in `state/scratch`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker, spawn, util
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

from pyprocessor.errors import ChildUnstartable
from pyprocessor.models import ProcessIdentity, display
from pyprocessor.state.scratch import PREFIX, forget_process, make_scratch, note_process, sweep_scratch
from pyprocessor.system.processes import is_alive, kill_group, process_identity

PRELOADED = (
    "pyprocessor.workers.spawn_excepthook",
    "pyprocessor.workers.worker",
    "pyprocessor.tasks.transcode",
    "pyprocessor.intake.inspector",
    "pyprocessor.inspect.probe",
    "pyprocessor.inspect.verify",
    "av.subtitles.stream",
    "ffmpeg",
)
"""What a forkserver imports once for all its children; a name that does not exist is skipped silently."""
NAME_PREFIX = "pyprocessor-"
LONGEST_SOCKET_FOLDER = 80
"""Bytes: a socket's path has 107 at most on Linux, 103 on macOS."""
LONGEST_TEMPORARY_FOLDER = 75
"""Bytes: in longer ones multiprocessing has no room for its socket `/pymp-.../listener-...` of 32 bytes."""
START_TRIES = 5
FIRST_PAUSE_SECONDS = 0.05
"""Doubled after each try: 0.75 s in all, enough for a killed forkserver to be back."""
EXIT_SECONDS = 1.0
"""How long a process may take from closing its pipe to having ended."""
UNKNOWN_EXIT_CODE = 255
"""The exit code that multiprocessing invents where the forkserver is gone."""


def context(method: str | None = None) -> BaseContext:
    """Return the multiprocessing context for all our processes. Raises ChildUnstartable."""
    if multiprocessing.current_process().daemon:
        raise ChildUnstartable(
            "This is a daemonic process of multiprocessing, such as those of its Pool, which may start no others; use "
            "concurrent.futures.ProcessPoolExecutor, or processes with daemon=False."
        )
    # On Linux a forkserver starts processes in milliseconds.
    chosen = multiprocessing.get_context(method or ("forkserver" if sys.platform == "linux" else "spawn"))
    _skip_main_module()
    if chosen.get_start_method() != "fork":  # a fork would inherit the lock
        _ensure_scratch()
    if chosen.get_start_method() == "forkserver":
        chosen.set_forkserver_preload(list(PRELOADED))
    return chosen


def warm_up() -> None:
    """Start the forkserver's imports (0.2 s of CPU time) while this process does its own. Raises ChildUnstartable."""
    if context().get_start_method() == "forkserver":
        # No resource tracker (40 ms of CPU time): the command has nothing for it to remove.
        tracker: Any = resource_tracker._resource_tracker
        if tracker._fd is None:
            tracker._fd = os.open(os.devnull, os.O_WRONLY)
        _ensure_forkserver()


def _ensure_forkserver() -> None:
    """Start the forkserver unless it runs, with SIGINT blocked so that Ctrl-C does not interrupt its imports."""
    resource_tracker.ensure_running()  # which changes what is blocked
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _leave_forkserver() -> None:
    """A fork of this program starts a forkserver of its own: it cannot ask whether its parent's still runs."""
    server: Any = forkserver._forkserver
    if server._forkserver_pid is not None:
        os.close(server._forkserver_alive_fd)  # that one ends with its program, though the fork goes on
        server.__init__()


os.register_at_fork(after_in_child=_leave_forkserver)


def dismiss() -> None:
    """End what multiprocessing keeps beside us, and wait: a service manager logs and kills what is left at our end."""
    server: Any = forkserver._forkserver
    tracker: Any = resource_tracker._resource_tracker
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server._forkserver_pid, signal.SIGKILL)
    for helper in (server, tracker) if tracker._pid is not None else (server,):
        with contextlib.suppress(OSError):  # it has ended, or its socket is gone
            helper._stop()


def _ensure_scratch() -> None:
    """Keep the forkserver's socket and notes of what is started in a folder that a later run can remove."""
    known: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if known.get("tempdir") is not None:
        return
    _check_temporary_folder()
    sweep_scratch(_end_left_behind)
    with contextlib.suppress(OSError):  # multiprocessing will say so, if it needs one
        scratch = make_scratch()
        if len(os.fsencode(scratch.path)) > LONGEST_SOCKET_FOLDER:
            scratch.remove()
            return
        known["tempdir"] = scratch.path
        util.Finalize(None, scratch.remove, exitpriority=-100)


def _check_temporary_folder() -> None:
    """Raise `ChildUnstartable` where the system's temporary files have no place, or one too deep for a socket."""
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        raise ChildUnstartable(
            "No process could be started: no folder for temporary files can be written, neither the system's nor the "
            "current one. Set TMPDIR to one that can, and run the same command again."
        ) from None
    if len(os.fsencode(folder)) > LONGEST_TEMPORARY_FOLDER:
        raise ChildUnstartable(
            f"No process could be started: the path of the folder for temporary files, {display(os.fsencode(folder))}, "
            f"is too long for a socket in it. Set TMPDIR to one of {LONGEST_TEMPORARY_FOLDER} bytes at most, and run "
            "the same command again."
        )


def _end_left_behind(process: ProcessIdentity) -> None:
    """Kill a group leader with its group; only send SIGCONT to multiprocessing's helpers."""
    if not is_alive(process):
        return
    with contextlib.suppress(OSError):
        if os.getpgid(process.pid) == process.pid:
            kill_group(process)
        else:
            os.kill(process.pid, signal.SIGCONT)


def _scratch_folder() -> str | None:
    """Return the folder of `_ensure_scratch`, where there is one."""
    folder: str | None = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    return folder if folder is not None and os.path.basename(folder).startswith(PREFIX) else None


def _note(process: ProcessIdentity) -> None:
    """Note that a process was started, and by which helpers; a full disk does not matter."""
    server: Any = forkserver._forkserver
    tracker: Any = resource_tracker._resource_tracker
    folder = _scratch_folder()
    if folder is not None:
        helpers = [process_identity(pid) for pid in (server._forkserver_pid, tracker._pid) if pid is not None]
        with contextlib.suppress(OSError):
            for identity in (process, *helpers):
                if identity is not None:
                    note_process(folder, identity)


def _skip_main_module() -> None:
    """Keep multiprocessing from importing the program's main module in our processes (20 ms and 6 MB each, measured).

    Nothing they run is in there, and a program without `if __name__ == "__main__":` would start itself over and over.
    """
    describe = spawn.get_preparation_data
    if getattr(describe, "skips_the_main_module", False):
        return

    def described(name: str) -> dict[str, Any]:
        data = describe(name)
        ours = name.startswith(NAME_PREFIX)
        return {key: value for key, value in data.items() if not (ours and key.startswith("init_main_from_"))}

    described.skips_the_main_module = True  # type: ignore[attr-defined]
    spawn.get_preparation_data = described


class Child:
    """One process with its pipe; `name` begins with NAME_PREFIX. Raises ChildUnstartable."""

    def __init__(self, context: BaseContext, entry: Callable[[Any, Any], None], setup: object, name: str) -> None:
        self._process, self.connection = _started(context, entry, setup, name)
        self._has_sent = False
        self._readable = select.poll()
        self._readable.register(self.connection, select.POLLIN)
        self.pid: int = self._process.pid
        # For one that has ended already any time will do that differs from later processes'.
        self.identity = process_identity(self.pid) or ProcessIdentity(self.pid, time.time())
        _note(self.identity)

    def send(self, message: object) -> bool:
        """Send a message; False when the process is gone, which the loop learns by the end-of-file."""
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Iterator[Any]:
        """Yield all messages that wait. Raises EOFError, or ChildUnstartable where it failed before its first one."""
        try:
            while True:
                message = self.connection.recv()
                self._has_sent = True
                yield message
                if not self._readable.poll(0):  # `Connection.poll` takes ten times as long
                    return
        except (EOFError, ConnectionResetError, BrokenPipeError) as error:
            if not self._has_sent and self.join(EXIT_SECONDS):
                code = self.exit_code
                if code is not None and 0 < code != UNKNOWN_EXIT_CODE:
                    raise ChildUnstartable(
                        f"A process that pyprocessor started ended at once, with exit code {code}; its output above "
                        "shows why. If it says nothing, see that memory and the installation are in order "
                        "(`pyprocessor doctor`), and run the same command again."
                    ) from error
            raise EOFError from error

    def kill(self) -> None:
        """Kill the process and everything in its group, and close the pipe."""
        with contextlib.suppress(OSError):
            self.connection.close()
        kill_group(self.identity)
        self._forget()

    @property
    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs, or where it is lost with the forkserver."""
        code: int | None = self._process.exitcode
        return code

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the process to end; True when it has."""
        self._process.join(timeout_seconds)
        if self._process.is_alive():
            return False
        self._forget()
        return True

    def _forget(self) -> None:
        if (folder := _scratch_folder()) is not None:
            with contextlib.suppress(OSError):
                forget_process(folder, self.identity)

    def remove_dead(self, timeout_seconds: float) -> bool:
        """Wait for a killed process; True when it is gone. One that hangs in a call to a disk is left to the system."""
        gone = self.join(timeout_seconds)
        if not gone:
            multiprocessing.process._children.discard(self._process)  # type: ignore[attr-defined]
        return gone


def _started(
    context: BaseContext, entry: Callable[[Any, Any], None], setup: object, name: str
) -> tuple[Any, Connection]:
    """Start a process, if need be by a new forkserver, each try with a pipe of its own; returns it and our end."""
    pause = FIRST_PAUSE_SECONDS
    for left in reversed(range(START_TRIES)):
        ours, theirs = context.Pipe(duplex=True)
        # BaseContext does not declare Process in typeshed, though every concrete context has it.
        process = context.Process(target=entry, args=(theirs, setup), name=name)  # type: ignore[attr-defined]
        try:
            if context.get_start_method() == "forkserver":
                _ensure_forkserver()
            process.start()
        except (EOFError, OSError) as error:
            ours.close()
            if not left:
                why = getattr(error, "strerror", None) or "the process that starts them is gone again and again"
                raise ChildUnstartable(
                    f"No process could be started: {why}. See that memory and what this system allows in processes are "
                    "not used up, and run the same command again."
                ) from error
            time.sleep(pause)
            pause *= 2
        else:
            return process, ours
        finally:
            theirs.close()
    raise AssertionError("the last try returns or raises")
