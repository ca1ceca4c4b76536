"""The command under faults: started with a mark in its environment, by which all its processes are found again.

It runs on one core, and its batches have a fixed size: so every file is encoded with one thread, whatever else is left
to do, and outputs of two runs can be compared frame by frame.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pyprocessor.errors import PyprocessorError
from pyprocessor.journal.reader import JournalReader

MARK = "STRESS_MARK"
ROOT = Path(__file__).parents[2]
COMMAND = ("-m", "pyprocessor")
JOBS, BATCH_SIZE = 3, 3


class Role(StrEnum):
    ENGINE = "engine"
    WORKER = "batch process"
    FFMPEG = "ffmpeg"
    INSPECTOR = "inspector"
    FORKSERVER = "forkserver"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of ours. `line` is its command line, for sentences."""

    pid: int
    role: Role
    line: str


@dataclass(slots=True)
class Bench:
    """Where the runs of one measurement happen: private folders for state, settings and temporary files.

    `mark` tells its processes from those of others, and `runs` counts the runs begun."""

    folder: Path
    inputs: Path
    profile: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    runs: int = 0

    @property
    def temporary(self) -> Path:
        """What stands for /tmp: nothing may be left there."""
        return self.folder / "tmp"

    def environment(self) -> dict[str, str]:
        """What every run sees."""
        self.temporary.mkdir(exist_ok=True)
        home = self.folder / "home"
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYPROCESSOR_")},
            **{name: value for name, value in os.environ.items() if name == "PYPROCESSOR_FFMPEG"},
            **{name: str(home / name) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")},
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            MARK: self.mark,
        }

    def arguments(self, output: Path, *more: str) -> list[str]:
        """What stands on the command line behind the program."""
        fixed = ["--jobs", str(JOBS), "--batch-size", str(BATCH_SIZE), "--max-memory", "98"]
        return [f"--input={self.inputs}", f"--output={output}", f"--profile={self.profile}", *fixed, *more]

    def start(
        self,
        output: Path,
        *more: str,
        program: Sequence[str] = COMMAND,
        extra_environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Begin a run; what it says goes to a file of its own."""
        return self.launch((*program, *self.arguments(output, *more)), extra_environment)

    def launch(self, arguments: Sequence[str], extra_environment: Mapping[str, str] | None = None) -> Run:
        """Start Python with these arguments."""
        self.runs += 1
        said = self.folder / f"said-{self.mark}-{self.runs:04}.txt"
        allowed = os.sched_getaffinity(0)
        core = sorted(allowed)[int(self.mark, 16) % len(allowed)]
        os.sched_setaffinity(0, {core})  # of this thread, and so of what it starts
        try:
            with said.open("wb") as stream:
                process = subprocess.Popen(
                    [sys.executable, *arguments],
                    cwd=ROOT,
                    env={**self.environment(), **(extra_environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, allowed)
        return Run(process, said)

    def processes(self, output: Path | None = None) -> list[Process]:
        """All processes that bear the mark and run. With `output` its journal tells the inspector from the others."""
        workers = _workers(output) if output is not None else frozenset()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                process = self._process(int(name), workers)
                if process is not None:
                    found.append(process)
        return found

    def _process(self, pid: int, workers: frozenset[int]) -> Process | None:
        try:
            environment = _read(f"/proc/{pid}/environ")
            if f"{MARK}={self.mark}".encode() not in environment.split(b"\0"):
                return None
            line = _read(f"/proc/{pid}/cmdline")
            group = int(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[2])
        except (OSError, IndexError, ValueError):
            return None  # it has just ended, or is somebody else's
        if not line:
            return None
        return Process(pid, _role(line, pid, group, workers), line.replace(b"\0", b" ").decode(errors="replace")[:200])

    def send(self, process: Process, number: int) -> bool:
        """Signal one of ours; False where it is gone, even if its number was given to somebody else since."""
        return self._process(process.pid, frozenset()) is not None and send(process.pid, number)

    def left_after(self, seconds: float) -> list[Process]:
        """What still runs after so many seconds; returns as soon as nothing does."""
        deadline = time.monotonic() + seconds
        while left := self.processes():
            if time.monotonic() > deadline:
                return left
            time.sleep(0.05)
        return []


@dataclass(slots=True)
class Run:
    """A run that was begun."""

    process: subprocess.Popen[bytes]
    said: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> int | None:
        """Its exit code, negative for a signal, or None while it runs."""
        return self.process.poll()

    def end(self, timeout: float) -> int | None:
        """Wait for its end; None where it did not come in time, and it was killed."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def text(self) -> str:
        """What it said."""
        return self.said.read_text(encoding="utf-8", errors="replace")


def send(pid: int, number: int) -> bool:
    """Signal a process; False where it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_all(processes: Sequence[Process]) -> None:
    """End what should not be there any more, so that the next measurement begins clean."""
    for process in processes:
        send(process.pid, signal.SIGKILL)


def _role(line: bytes, pid: int, group: int, workers: frozenset[int]) -> Role:
    if b"multiprocessing.forkserver" in line:
        if group != pid:
            return Role.FORKSERVER  # what it forked leads a group of its own
        return Role.WORKER if pid in workers else Role.INSPECTOR
    return Role.ENGINE if group == pid else Role.FFMPEG


def _workers(output: Path) -> frozenset[int]:
    try:
        with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
            return frozenset(worker.pid for worker in journal.open_workers())
    except PyprocessorError:
        return frozenset()  # it is only being made


def _read(path: str) -> bytes:
    with open(path, "rb") as reading:
        return reading.read()
