"""Running the installed command and other programs, with their time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measured:
    """`peak_memory_bytes` is of the process itself, not of its children; `cpu_seconds` is of them together."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    output: str


def measured(command: Sequence[str], *, cwd: Path | None = None, accepted: Sequence[int] = (0,)) -> Measured:
    """Run a command to its end; raises RuntimeError with its output where the exit code is not an accepted one."""
    # What pip installs has its bytecode; a checkout that may not write any would compile itself at every start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode not in accepted:
        raise RuntimeError(f"{command[0]} exited {process.returncode}:\n{output[-4000:]}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


def pyprocessor(*arguments: str | Path) -> list[str]:
    """The command line of the installed command, in this Python."""
    return [str(Path(sys.executable).parent / "pyprocessor"), *map(str, arguments)]
