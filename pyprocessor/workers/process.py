"""A process of the engine's own: started by multiprocessing, spoken to over one pipe, ended by its process group.

Liveness is the pipe: the other end is held by that process alone, so end-of-file means that it is gone or has given up.
The process sentinel is not used, because it fires for every process when the forkserver dies although they run on.

What is started is noted among the system's temporary files (`state/scratch`), for the next run to end what stands
still when this one is killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
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
from pyprocessor.system import is_alive, kill_group, process_identity

PRELOADED = (
    "pyprocessor.workers.spawn_excepthook",
    "pyprocessor.workers.worker",
    "pyprocessor.intake.inspector",
    "pyprocessor.inspect.covers",
    "pyprocessor.inspect.probe",
    "pyprocessor.inspect.verify",
    "av.subtitles.stream",
    "ffmpeg",
)
"""What a forkserver imports once for all its children; a name that does not exist is passed over without a word."""
NAME_PREFIX = "pyprocessor-"
LONGEST_SOCKET_FOLDER = 80
"""Bytes: a socket's path has 107 at most on Linux, 103 on macOS."""
LONGEST_TEMPORARY_FOLDER = 75
"""Bytes: in longer ones multiprocessing finds no room for its socket either, `/pymp-.../listener-...` of 32 bytes."""
START_TRIES = 5
FIRST_PAUSE_SECONDS = 0.05
"""Doubled after each try: together 0.75 s, in which a forkserver that was killed is back."""
FAREWELL_SECONDS = 1.0
"""How long a process may take from closing its pipe to having ended."""
NOBODY_KNOWS = 255
"""The exit code that multiprocessing makes up where the forkserver, which alone would know, is gone."""


def start_method() -> str:
    """forkserver on Linux (starts in milliseconds from a clean, single-threaded parent), spawn elsewhere."""
    return "forkserver" if sys.platform == "linux" else "spawn"


def context(method: str | None = None) -> BaseContext:
    """The multiprocessing context for all our processes. Raises `ChildUnstartable` where there can be none."""
    chosen = multiprocessing.get_context(method or start_method())
    _spare_the_main_module()
    if sys.platform != "win32" and chosen.get_start_method() != "fork":  # a fork would hold the lock, too
        _have_scratch()
    if chosen.get_start_method() == "forkserver":
        chosen.set_forkserver_preload(list(PRELOADED))
    return chosen


def warm_up() -> None:
    """Have the process that starts ours begin with its imports (0.2 s of CPU time) while this one does its own.

    Raises `ChildUnstartable` where its socket has no place.
    """
    if context().get_start_method() == "forkserver":
        _do_without_a_tracker()
        _have_forkserver()


def _have_forkserver() -> None:
    """Start the forkserver unless it runs, with SIGINT blocked: Ctrl-C is not to interrupt its imports."""
    resource_tracker.ensure_running()  # which changes what is blocked
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _do_without_a_tracker() -> None:
    """Have multiprocessing start no resource tracker, a process of 40 ms of CPU time that removes what a killed program
    leaves of semaphores and shared memory. The command has neither; other programs may."""
    tracker: Any = resource_tracker._resource_tracker
    if tracker._fd is None:
        tracker._fd = os.open(os.devnull, os.O_WRONLY)


def dismiss() -> None:
    """End the processes that multiprocessing keeps beside ours, and wait for their end.

    They would end by themselves soon after us. But a service manager looks at the moment of our end at what is left of
    the service, kills it, and writes that down. A tracker is last, as all others hold its pipe.
    """
    server: Any = forkserver._forkserver
    tracker: Any = resource_tracker._resource_tracker
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            # It has nothing to put in order, and takes as long to forget its imports as it took to make them.
            os.kill(server._forkserver_pid, signal.SIGKILL)
    for helper in (server, tracker) if tracker._pid is not None else (server,):
        with contextlib.suppress(OSError):  # it has ended, or its socket is gone
            helper._stop()


def _have_scratch() -> None:
    """Keep the forkserver's socket, and notes of what is started, in a folder that a later run removes, should this one
    be killed.

    multiprocessing would make one itself, `pymp-...`, that nobody could tell to be left behind.
    """
    known: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if known.get("tempdir") is not None:
        return
    _check_temporary_folder()
    sweep_scratch(_end_left_behind)
    try:
        scratch = make_scratch()
    except OSError:
        return  # there is no room: multiprocessing will say so, if it needs one
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
    """End a process whose engine is gone: one that leads its group is killed with it. The forkserver and the resource
    tracker, which lead none, end by themselves once they are woken and nothing of the rest holds their pipes."""
    if not is_alive(process):
        return
    with contextlib.suppress(OSError):
        if os.getpgid(process.pid) == process.pid:
            kill_group(process)
        else:
            os.kill(process.pid, signal.SIGCONT)


def _scratch_folder() -> str | None:
    """The folder of `_have_scratch`, where there is one."""
    folder: str | None = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    return folder if folder is not None and os.path.basename(folder).startswith(PREFIX) else None


def _note(process: ProcessIdentity) -> None:
    """Note that a process was started, and by which others; where there is no room for that, the run goes on."""
    folder = _scratch_folder()
    if folder is None:
        return
    helpers = (
        getattr(forkserver._forkserver, "_forkserver_pid", None),
        getattr(resource_tracker._resource_tracker, "_pid", None),
    )
    known = [process_identity(pid) for pid in helpers if pid is not None]
    with contextlib.suppress(OSError):
        for identity in (process, *known):
            if identity is not None:
                note_process(folder, identity)


def _spare_the_main_module() -> None:
    """Have our processes not import the main module of the program anew, as multiprocessing has every process do.

    Nothing they run is in there. It takes a program without an `if __name__ == "__main__":` to start itself over and
    over, and the command 20 ms and 6 MB a process (measured, of 28 ms and 9.5 MB). Other processes are not concerned.
    """
    describe = spawn.get_preparation_data
    if getattr(describe, "spares_the_main_module", False):
        return

    def described(name: str) -> dict[str, Any]:
        data = describe(name)
        if name.startswith(NAME_PREFIX):
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    described.spares_the_main_module = True  # type: ignore[attr-defined]
    spawn.get_preparation_data = described


class Child:
    """One process with its pipe. `setup` is what its entry point gets beside the pipe; `name` begins with NAME_PREFIX.

    Raises `ChildUnstartable` where the system starts no process, or only ones that end before their first word.
    """

    def __init__(self, context: BaseContext, entry: Callable[[Any, Any], None], setup: object, name: str) -> None:
        self._process, self.connection = _started(context, entry, setup, name)
        self._spoke = False
        self.pid: int = self._process.pid
        # One that has ended already is told by its pipe; the time only has to differ from any later process's.
        self.identity = process_identity(self.pid) or ProcessIdentity(self.pid, time.time())
        _note(self.identity)

    def send(self, message: object) -> bool:
        """False when nobody is at the other end any more; the end-of-file that follows tells the loop."""
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Iterator[Any]:
        """All messages that wait, of which there must be one; raises EOFError when the other end is closed.

        Raises `ChildUnstartable` instead where the process ended by itself without a word: the next one would, too.
        """
        try:
            while True:
                message = self.connection.recv()
                self._spoke = True
                yield message
                if not self.connection.poll(0):
                    return
        except (EOFError, ConnectionResetError, BrokenPipeError) as error:
            if not self._spoke and self.join(FAREWELL_SECONDS):
                code = self.exit_code
                if code is not None and 0 < code != NOBODY_KNOWS:
                    raise ChildUnstartable(
                        f"A process that pyprocessor started ended at once, with exit code {code}; what it said above "
                        "tells why. If it says nothing, see that memory and the installation are in order "
                        "(`pyprocessor doctor`), and run the same command again."
                    ) from error
            raise EOFError from error

    def kill(self) -> None:
        """Kill the process and everything in its group, and let go of the pipe: nothing it says counts any more."""
        with contextlib.suppress(OSError):
            self.connection.close()
        kill_group(self.identity)
        self._forget()

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs, or where nobody knows (its forkserver is gone)."""
        code: int | None = self._process.exitcode
        return code

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the process to be gone; True when it is."""
        self._process.join(timeout_seconds)
        gone = not self._process.is_alive()
        if gone:
            self._forget()
        return gone

    def _forget(self) -> None:
        folder = _scratch_folder()
        if folder is not None:
            with contextlib.suppress(OSError):
                forget_process(folder, self.identity)

    def remove_dead(self, timeout_seconds: float) -> bool:
        """Wait for a process that was killed; True when it is gone.

        One that hangs in a call to a disk that does not answer is not: it is left to the system, and multiprocessing is
        told not to wait for it when this program ends, which it would do for ever.
        """
        gone = self.join(timeout_seconds)
        if not gone:
            with contextlib.suppress(KeyError):
                multiprocessing.process._children.remove(self._process)  # type: ignore[attr-defined]
        return gone


def _started(
    context: BaseContext, entry: Callable[[Any, Any], None], setup: object, name: str
) -> tuple[Any, Connection]:
    """A process that was started, if need be by a new forkserver, and our end of its pipe.

    A forkserver that is killed may have started the process and not have said so. So each try has a pipe of its own:
    what came of a try that failed finds its pipe closed and ends, and does not speak for the process of the next.
    """
    pause = FIRST_PAUSE_SECONDS
    for left in reversed(range(START_TRIES)):
        ours, theirs = context.Pipe(duplex=True)
        # BaseContext does not declare Process in typeshed, though every concrete context has it.
        process = context.Process(target=entry, args=(theirs, setup), name=name)  # type: ignore[attr-defined]
        try:
            if context.get_start_method() == "forkserver":
                _have_forkserver()
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
