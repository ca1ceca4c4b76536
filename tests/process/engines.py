"""Runs in processes of their own, so that all of one can be killed: `Undertaking` starts them and finds their parts."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from pyprocessor.errors import ExitCode, JournalError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.profiles import load
from tests.waiting import DEADLINE_SECONDS, until

MARK = "MARK_OF_A_RUN_UNDER_TEST"
ROOT = Path(__file__).parents[2]


@dataclass
class Undertaking:
    """Runs over one input folder, one after another. `errors` and `batch` replace settings of the profile `fast`."""

    inputs: Path
    output: Path
    start_method: str
    errors: dict[str, Any] = field(default_factory=dict)
    batch: dict[str, Any] = field(default_factory=dict)
    tool_path: str | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    engine: subprocess.Popen[str] | None = None

    def start(self, *, retry_failed: bool = False) -> subprocess.Popen[str]:
        """Start a run."""
        asked = {
            "inputs": str(self.inputs),
            "output": str(self.output),
            "start_method": self.start_method,
            "errors": self.errors,
            "batch": self.batch,
            "tool_path": self.tool_path,
            "retry_failed": retry_failed,
        }
        path = os.pathsep.join((str(Path(__file__).parent / "site"), str(ROOT)))
        self.engine = subprocess.Popen(
            [sys.executable, "-m", "tests.process.engines", json.dumps(asked)],
            env={**os.environ, MARK: self.mark, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self.engine

    def finish(self, exit_code: int = ExitCode.OK, *, retry_failed: bool = False) -> None:
        """Start a run unless one is under way, wait for its end, and see that it ends with this exit code."""
        engine = self.engine or self.start(retry_failed=retry_failed)
        said, _ = engine.communicate(timeout=DEADLINE_SECONDS)
        self.engine = None
        assert "Traceback" not in said, said
        assert engine.returncode == exit_code, said

    def freeze(self) -> None:
        """Stop the engine alone, so that it does not see what happens meanwhile."""
        engine = psutil.Process(self.engine_pid)
        engine.suspend()
        until(lambda: engine.status() == psutil.STATUS_STOPPED, "the engine to stand still")

    def kill(self) -> None:
        """Kill the engine alone, and take note of its end."""
        assert self.engine is not None
        self.engine.kill()
        self.engine.wait(DEADLINE_SECONDS)
        assert self.engine.stdout is not None
        self.engine.stdout.close()  # a child that was stopped holds its other end open
        self.engine = None

    # ------------------------------------------------------------ what the journal says

    @contextlib.contextmanager
    def journal(self) -> Iterator[JournalReader | None]:
        """The journal, or None where there is none yet."""
        try:
            reader = JournalReader.read_only(os.fsencode(self.output / ".pyprocessor"))
        except JournalError:
            yield None
            return
        with reader:
            yield reader

    def attempts(self) -> list[AttemptRow]:
        """All that were ever begun."""
        with self.journal() as journal:
            return [] if journal is None else list(journal.attempts())

    def encoding(self, count: int = 1) -> list[AttemptRow]:
        """Wait until so many attempts have an ffmpeg that runs; returns them."""

        def look() -> list[AttemptRow] | None:
            assert self.engine is None or self.engine.poll() is None, self.engine.communicate()[0]
            with self.journal() as journal:
                opened = [] if journal is None else [a for a in journal.attempts() if a.ended_at is None]
            running = [a for a in opened if a.ffmpeg is not None and alive(a.ffmpeg.pid)]
            return running if len(running) >= count else None

        return until(look, f"{count} running ffmpeg(s)")

    # ------------------------------------------------------------ its processes

    def processes(self) -> list[psutil.Process]:
        """Every process of these runs that lives: they all inherit the mark."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def forkserver(self) -> psutil.Process:
        """The process that starts the others."""
        found = []
        for process in psutil.Process(self.engine_pid).children():
            with contextlib.suppress(psutil.Error):  # another may end while it is looked at
                if "multiprocessing.forkserver" in " ".join(process.cmdline()):
                    found.append(process)
        (one,) = found
        return one

    @property
    def engine_pid(self) -> int:
        assert self.engine is not None
        return self.engine.pid

    def nothing_left(self) -> None:
        """Wait until no process of these runs is there; raise where one stays."""
        shown = ["pid", "status", "cmdline"]
        until(lambda: not self.processes(), lambda: [process.as_dict(shown) for process in self.processes()])

    def end(self) -> None:
        """Kill whatever is left."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self.engine is not None:
            self.engine.communicate(timeout=DEADLINE_SECONDS)
            self.engine = None


def alive(pid: int) -> bool:
    """Whether a process runs under this pid."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def main() -> None:
    """One run, as the argument says."""
    from tests.process.runs import Recorder, request, run

    asked = json.loads(sys.argv[1])
    profile = load("fast", environment={}).profile
    profile = replace(
        profile, errors=replace(profile.errors, **asked["errors"]), batch=replace(profile.batch, **asked["batch"])
    )
    changes = {"retry_failed": asked["retry_failed"]}
    if asked["tool_path"] is not None:
        changes["tool_path"] = asked["tool_path"]
    wanted = request(Path(asked["inputs"]), Path(asked["output"]), profile=profile, **changes)
    sys.exit(run(wanted, Recorder(), start_method=asked["start_method"]).exit_code)


if __name__ == "__main__":
    main()
