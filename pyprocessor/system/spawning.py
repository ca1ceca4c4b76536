"""How is a child process started, and what does the operating system say of it?"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Mapping, Sequence

import psutil

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import display
from pyprocessor.system.kernel import entry, read


def spawn(
    argv: Sequence[bytes | str],
    cwd: bytes | str | None,
    env: Mapping[str, str] | None,
    *,
    named: str,
    stderr: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
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


def pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none."""
    with contextlib.suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return None


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """All processes below this one: none below ffmpeg itself, but below a script that runs it."""
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def send_signal(process: psutil.Process, number: int) -> None:
    """Signal that very process, unless it has ended."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def prefer_as_oom_victim(pid: int) -> None:
    """Ask the kernel to kill this process rather than its parent where memory runs out."""
    # Not allowed in some containers, and absent off Linux; memory is watched in any case.
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/oom_score_adj", "rb") as file:
            own = int(file.read())
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as file:
            file.write(str(min(1000, own + 500)).encode())  # on a scale of 0 to 1000


def peak_memory(pid: int) -> int:
    """The process's peak resident bytes; off Linux the resident bytes now. 0 if it has ended."""
    status = read(f"/proc/{pid}/status")
    if status is not None:
        return entry(status, b"VmHWM:") * 1024
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def written_bytes(process: psutil.Process) -> int:
    """All bytes the process passed to write calls, pipes included; 0 where the system does not count them."""
    with contextlib.suppress(psutil.Error, AttributeError):
        return int(process.io_counters().write_chars)
    return 0
