"""How is one child of a worker run, from spawn to reaping, by a caller that waits on several in one selector?

    ChildProcess(argv, ...) -> register(selector)
    loop: selector.select(seconds) -> key.data.on_readable(key.fd) -> child.poll(now) -> its end

None of these blocks. The process stays in its parent's process group, so one signal to the group reaches it. Off Linux
it does without pidfd (the loop polls), peak memory (it is sampled), oom_score_adj, and bytes written as a sign of life.
The subclasses interpret its output: `ffmpeg.run` and `workers.call_runner`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import psutil

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import ProcessIdentity, display
from pyprocessor.system.kernel import entry, read

_READ_BYTES = 64 * 1024
"""A pipe's capacity on Linux, so one read empties it."""
_LAST_READS = 64
"""After the end: a pipe holds less, unless another process inherited it and goes on writing."""
_POLL_SECONDS = 0.1
"""The longest sleep of `wait`, in which a process may go beyond its limits."""
GRACE_SECONDS = 5.0
"""From SIGTERM to SIGKILL for one that went over its limits; a working ffmpeg ends within a frame or two."""
_SIGN_OF_LIFE_BYTES = 1 << 20
"""Written since the last progress, it means busy without progress (moving an index to a file's front)."""


class EndedBy(StrEnum):
    """Why a child was made to end, where it did not end by itself."""

    STALL = "stall"
    WALL = "wall"
    SIZE = "size"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class End:
    """How one child ended and what it took."""

    returncode: int
    """Its exit code, or minus the signal that killed it."""
    wall_seconds: float
    """Without the time for which it was suspended."""
    cpu_seconds: float
    peak_memory_bytes: int
    """Of a process that ended before any sample (within some 20 ms) maybe its parent's: a bound, and no measure."""
    ended_by: EndedBy | None

    @property
    def killed(self) -> bool:
        """Whether a SIGKILL that we did not send ended it, or what a script in its place had started."""
        return self.ended_by is None and self.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


Ending = TypeVar("Ending")
"""What `poll` returns at the end: an `End` with what a subclass adds."""


class ChildProcess(ABC, Generic[Ending]):
    """A running child, which construction spawns; raises JobError if it cannot.

    It may go on for `stall_seconds` without progress and for `wall_limit_seconds` in all, not counting time for which
    it was suspended. Besides stdout and stderr it is read from the descriptors `reads`, which it closes at the end.
    """

    def __init__(
        self,
        argv: Sequence[bytes | str],
        *,
        named: str,
        cwd: bytes | str | None = None,
        env: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        stall_seconds: float = math.inf,
        wall_limit_seconds: float = math.inf,
        merge_output: bool = False,
        pass_fds: Sequence[int] = (),
        reads: Sequence[int] = (),
    ) -> None:
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._wall_limit_seconds = wall_limit_seconds
        stderr = subprocess.STDOUT if merge_output else subprocess.PIPE
        self._process = _spawn(argv, cwd, env, named=named, stderr=stderr, pass_fds=pass_fds)
        self._child = psutil.Process(self._process.pid)
        self._began = self._alive_at = clock()
        self.identity = ProcessIdentity(self._child.pid, self._child.create_time())
        _prefer_as_oom_victim(self._child.pid)
        streams = (self._process.stdout, self._process.stderr)
        self._streams = {stream.fileno(): stream for stream in streams if stream is not None}
        self.stdout = next(iter(self._streams))
        """Its descriptor, as `_take` gets it."""
        self._pipes = (*self._streams, *reads)
        for fd in self._pipes:
            os.set_blocking(fd, False)
        self._open = set(self._pipes)
        with contextlib.suppress(AttributeError, OSError):  # where the system has it, it becomes readable at the end
            self._open.add(os.pidfd_open(self._child.pid))
        self._selector: selectors.BaseSelector | None = None
        self._drained_bytes = 0
        self._written_bytes = 0
        self._peak_memory_bytes = 0
        self._suspended_at: float | None = None
        self._suspended_seconds = 0.0
        self._ended_by: EndedBy | None = None
        self._kill_at: float | None = None
        self._asked_to_end: set[psutil.Process] = set()
        self._finished: Ending | None = None

    @abstractmethod
    def _take(self, fd: int, data: bytes) -> bool:
        """Take in what it wrote to a pipe; True if that shows that it got further."""

    @abstractmethod
    def _ended(self, end: End) -> Ending:
        """What `poll` returns from now on."""

    def _exceeds(self, now: float) -> EndedBy | None:  # noqa: ARG002
        """Which limit it is over that this class does not know, if any; asked while it is not suspended."""
        return None

    def register(self, selector: selectors.BaseSelector) -> None:
        """Have `selector` watch this process, with this object as the key's data, until it has ended."""
        self._selector = selector
        for fd in self._open:
            selector.register(fd, selectors.EVENT_READ, self)

    def on_readable(self, fd: int) -> None:
        """Read once from the pipe `fd`, which is readable."""
        # Once only: a process that writes without end must not keep the loop from its other work.
        if fd in self._pipes and fd in self._open:
            self._read(fd)

    def poll(self, now: float) -> Ending | None:
        """Reap the process if it has ended, and enforce its limits if not."""
        if self._finished is not None:
            return self._finished
        pid, status, usage = os.wait4(self._child.pid, os.WNOHANG)
        if pid:
            self._finished = self._collect(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, now)
            return self._finished
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._signal(signal.SIGKILL)
                self._kill_at = now + GRACE_SECONDS
        elif self._suspended_at is None:
            reason = self._over_limit(now)
            if reason is not None:
                self.stop(reason=reason)
        return None

    def suspend(self) -> None:
        """Stop it where it stands, unless it is being ended; time until `resume` counts for no limit."""
        if self._finished is None and self._suspended_at is None and self._kill_at is None:
            self._suspended_at = self._clock()
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue it after `suspend`."""
        if self._suspended_at is not None:
            stopped = self._clock() - self._suspended_at
            self._suspended_seconds += stopped
            self._alive_at += stopped
            self._suspended_at = None
            if self._finished is None:
                self._signal(signal.SIGCONT)

    def stop(self, grace_seconds: float = GRACE_SECONDS, reason: EndedBy = EndedBy.STOP) -> None:
        """Ask it to end (SIGTERM); a `poll` after `grace_seconds` kills it if it has not."""
        if self._finished is None:
            self._ended_by = self._ended_by or reason
            kill_at = self._clock() + grace_seconds
            self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
            self._signal(signal.SIGTERM)
            # A stopped process acts on SIGTERM only once it runs again.
            self.resume()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._finished is None:
            self._ended_by = self._ended_by or EndedBy.STOP
            self._kill_at = self._clock() + GRACE_SECONDS
            self._signal(signal.SIGKILL)

    def wait(self) -> Ending:
        """Wait for its end, by itself or by its limits; an interruption of the waiting kills it."""
        with selectors.DefaultSelector() as selector:
            self.register(selector)
            try:
                while (finished := self.poll(self._clock())) is None:
                    for key, _ in selector.select(_POLL_SECONDS):
                        self.on_readable(key.fd)
            except BaseException:
                self.kill()
                while self.poll(self._clock()) is None:
                    selector.select(_POLL_SECONDS)
                raise
        return finished

    def _signal(self, number: int) -> None:
        # A script in ffmpeg's place may run it below itself, and die of a signal without passing it on.
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = self._child.children(recursive=True)
        for process in (self._child, *below):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        if number in (signal.SIGTERM, signal.SIGKILL):
            self._asked_to_end.update(below)

    def active_seconds(self, now: float) -> float:
        """Seconds since it began, without those for which it was suspended."""
        suspended = self._suspended_seconds
        if self._suspended_at is not None:
            suspended += max(0.0, now - self._suspended_at)
        return now - self._began - suspended

    def _over_limit(self, now: float) -> EndedBy | None:
        if self.active_seconds(now) >= self._wall_limit_seconds:
            return EndedBy.WALL
        reason = self._exceeds(now)
        if reason is not None:
            return reason
        if now - self._alive_at < self._stall_seconds:
            return None
        written = _written_bytes(self._child) - self._drained_bytes
        if written - self._written_bytes < _SIGN_OF_LIFE_BYTES:
            return EndedBy.STALL
        self._written_bytes, self._alive_at = written, now
        return None

    def _read(self, fd: int) -> bool:
        """Process what one read gives; True if there may be more."""
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close(fd)
            return False
        self._drained_bytes += len(data)
        if self._take(fd, data):
            self._alive_at = self._clock()
            self._written_bytes = _written_bytes(self._child) - self._drained_bytes
            self.sample_memory()
        return True

    def sample_memory(self) -> None:
        """Read its memory now, which nobody can do once it has died."""
        self._peak_memory_bytes = max(self._peak_memory_bytes, _peak_memory(self._child))

    def _close(self, fd: int) -> None:
        self._open.discard(fd)
        if self._selector is not None:
            self._selector.unregister(fd)
        if fd in self._streams:
            self._streams[fd].close()
        else:
            os.close(fd)

    def _collect(self, status: int, cpu_seconds: float, maxrss: int, now: float) -> Ending:
        for process in self._asked_to_end:
            with contextlib.suppress(psutil.Error):
                process.kill()  # it has outlived the script that started it
        # Popen did not see the process being reaped and would otherwise report exit code 0.
        self._process.returncode = os.waitstatus_to_exitcode(status)
        for fd in self._pipes:
            for _ in range(_LAST_READS):
                if fd not in self._open or not self._read(fd):
                    break
        for fd in tuple(self._open):
            self._close(fd)
        maxrss_bytes = maxrss * 1024 if sys.platform == "linux" else maxrss
        # The kernel's figure is the larger of the child's peak and what the parent held when it spawned. Above the
        # parent's own peak it is the child's, exactly; below, it still bounds one that ended before any sample.
        if maxrss_bytes > _peak_memory(psutil.Process()) or self._peak_memory_bytes == 0:
            self._peak_memory_bytes = max(self._peak_memory_bytes, maxrss_bytes)
        end = End(
            self._process.returncode, self.active_seconds(now), cpu_seconds, self._peak_memory_bytes, self._ended_by
        )
        return self._ended(end)


def _spawn(
    argv: Sequence[bytes | str],
    cwd: bytes | str | None,
    env: Mapping[str, str] | None,
    *,
    named: str,
    stderr: int,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    """Start a child with pipes for its output and no input; raises JobError, of what is `named`, where it cannot be."""
    try:
        # Without preexec_fn, and so by vfork: a fork of a large parent would copy its page tables.
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=pass_fds,
            bufsize=0,
        )
    except OSError as error:
        scarce = error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
        kind = FailureKind.RESOURCE if scarce else FailureKind.INFRASTRUCTURE
        what = display(os.fsencode(error.filename or argv[0]))
        raise JobError(kind, f"{named} could not be started: {error.strerror} ({what}).") from error


def _prefer_as_oom_victim(pid: int) -> None:
    """Ask the kernel to kill this process rather than its parent where memory runs out."""
    # Not allowed in some containers, and absent off Linux; memory is watched in any case.
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/oom_score_adj", "rb") as file:
            own = int(file.read())
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as file:
            file.write(str(min(1000, own + 500)).encode())  # on a scale of 0 to 1000


def _peak_memory(process: psutil.Process) -> int:
    """The process's peak resident bytes; off Linux the resident bytes now. 0 if it has ended."""
    status = read(f"/proc/{process.pid}/status")
    if status is not None:
        return entry(status, b"VmHWM:") * 1024
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _written_bytes(process: psutil.Process) -> int:
    """All bytes the process passed to write calls, pipes included; 0 where the system does not count them."""
    with contextlib.suppress(psutil.Error, AttributeError):
        return int(process.io_counters().write_chars)
    return 0
