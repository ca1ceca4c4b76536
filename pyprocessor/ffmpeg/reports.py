"""What does an ffmpeg report: its progress on standard output, its messages on standard error?"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

LINE_BYTES = 1024
"""Longer lines are cut into pieces of this size, so that an endless one cannot grow."""
HEAD_BYTES = 4 * 1024
TAIL_BYTES = 16 * 1024
_NAMES = frozenset(("frame", "out_time_us", "speed", "total_size", "drop_frames"))


@dataclass(frozen=True, slots=True)
class Progress:
    """ffmpeg's latest report. `speed` is media seconds per second; `done` marks the last report."""

    frame: int = 0
    out_time_seconds: float = 0.0
    """Of the furthest packet written; 0 until there is one."""
    speed: float | None = None
    total_size_bytes: int = 0
    drop_frames: int = 0
    done: bool = False


class ReportReader:
    """Reads ffmpeg's `-progress` lines; a report is whole at its `progress=` line."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self._open = b""
        self._values: dict[str, float] = {}

    def feed(self, data: bytes) -> bool:
        """Read the next bytes; True if they completed a report that got further than the one before."""
        *lines, self._open = (self._open + data).split(b"\n")
        further = False
        for line in lines:
            name, _, value = line.decode("ascii", "replace").partition("=")
            if name in _NAMES:
                with contextlib.suppress(ValueError):  # ffmpeg writes `N/A` for what it does not know
                    self._values[name] = float(value.strip().removesuffix("x"))
            elif name == "progress":
                report, before = self._read(done=value.strip() == "end"), self.latest
                further |= before is None or report.done or _position(report) > _position(before)
                self.latest = report
                self._values = {}
        # Bounded: bytes without line ends are no progress report.
        self._open = self._open[-LINE_BYTES:]
        return further

    def _read(self, *, done: bool) -> Progress:
        values, before = self._values, self.latest or Progress()
        return Progress(
            frame=int(values.get("frame", 0)),
            out_time_seconds=values["out_time_us"] / 1e6 if "out_time_us" in values else before.out_time_seconds,
            speed=values.get("speed"),
            total_size_bytes=int(values.get("total_size", before.total_size_bytes)),
            drop_frames=int(values.get("drop_frames", 0)),
            done=done,
        )


def _position(progress: Progress) -> tuple[float, ...]:
    return (progress.frame + progress.drop_frames, progress.out_time_seconds, progress.total_size_bytes)


class StderrLog:
    """Keeps the first HEAD_BYTES and the last TAIL_BYTES of lines, repeated ones once."""

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        self._on_line = on_line
        self._open = b""
        self._head: list[str] = []
        self._head_bytes = 0
        self._tail: deque[str] = deque()
        self._tail_bytes = 0
        self._last: str | None = None
        self._repeats = 0
        self.dropped_bytes = 0

    def feed(self, data: bytes) -> None:
        """Add the next bytes; a line may be cut anywhere between two calls."""
        *lines, self._open = (self._open + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._open) >= LINE_BYTES:
            lines.append(self._open)
            self._open = b""
        for line in lines:
            for start in range(0, len(line), LINE_BYTES):
                self._add(line[start : start + LINE_BYTES])

    def text(self) -> str:
        """The kept lines, with one between that says how much was dropped."""
        self.feed(b"\n")
        self._end_repeats()
        gap = [f"[... {self.dropped_bytes} bytes left out ...]"] if self.dropped_bytes else []
        return "\n".join([*self._head, *gap, *self._tail])

    def _add(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").rstrip()
        if not text:
            return
        if self._on_line is not None:
            self._on_line(text)
        if text == self._last:
            self._repeats += 1
            return
        self._end_repeats()
        self._last = text
        self._keep(text)

    def _end_repeats(self) -> None:
        if self._repeats:
            self._keep(f"(the line above came {self._repeats} more times)")
            self._repeats = 0

    def _keep(self, text: str) -> None:
        if not self._tail and self._head_bytes + len(text) <= HEAD_BYTES:
            self._head.append(text)
            self._head_bytes += len(text)
            return
        self._tail.append(text)
        self._tail_bytes += len(text)
        while self._tail_bytes > TAIL_BYTES:
            oldest = self._tail.popleft()
            self._tail_bytes -= len(oldest)
            self.dropped_bytes += len(oldest)
