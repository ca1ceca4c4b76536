"""How is one ffmpeg run, and what did it report?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyprocessor.ffmpeg.damage import NO_DAMAGE, Damage, DamageCounter
from pyprocessor.ffmpeg.reports import Progress, ReportReader, StderrLog
from pyprocessor.system.child_process import ChildProcess, End, EndedBy


@dataclass(frozen=True, slots=True)
class Finished(End):
    """How one ffmpeg ended, what it took, and what it reported."""

    stderr_text: str = ""
    progress: Progress | None = None
    damage: Damage = NO_DAMAGE


class FfmpegRun(ChildProcess[Finished]):
    """A running ffmpeg, which construction spawns in the output's folder, and which may write `output_limit_bytes`."""

    def __init__(
        self,
        argv: Sequence[bytes | str],
        *,
        cwd: bytes | str | None = None,
        env: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        stall_seconds: float = math.inf,
        wall_limit_seconds: float = math.inf,
        output_limit_bytes: float = math.inf,
    ) -> None:
        self._output_limit_bytes = output_limit_bytes
        self._damage = DamageCounter()
        self._log = StderrLog(self._damage.add)
        self._report = ReportReader()
        super().__init__(
            argv,
            named="ffmpeg",
            cwd=cwd,
            env=env,
            clock=clock,
            stall_seconds=stall_seconds,
            wall_limit_seconds=wall_limit_seconds,
        )

    @property
    def progress(self) -> Progress | None:
        """The latest report; None before the first."""
        return self._report.latest

    def _take(self, fd: int, data: bytes) -> bool:
        if fd == self.stdout:
            return self._report.feed(data)
        self._log.feed(data)
        return False

    def _exceeds(self, now: float) -> EndedBy | None:  # noqa: ARG002
        over = self.progress is not None and self.progress.total_size_bytes > self._output_limit_bytes
        return EndedBy.SIZE if over else None

    def _ended(self, end: End) -> Finished:
        return Finished(
            end.returncode,
            end.wall_seconds,
            end.cpu_seconds,
            end.peak_memory_bytes,
            end.ended_by,
            self._log.text(),
            self._report.latest,
            self._damage.total(),
        )
