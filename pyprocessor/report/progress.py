"""How far are a run and its files, as bars on a terminal? The only user of tqdm."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

from tqdm import tqdm

from pyprocessor.models import Outcome, RunSnapshot
from pyprocessor.models.wording import clock, memory_size, one_line
from pyprocessor.report.narration import Level, Message, Narrator, Stream, encodable
from pyprocessor.report.wording import NAME_COLUMNS, eta, padded, shortened

MOST_FILE_BARS = 16
ROWS_LEFT_FREE = 4
"""The run's own bar, the cursor's row and two rows of messages stay visible however many files run."""
REDRAW_SECONDS = 0.2


_RUN_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {text}"
_FILE_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {text}"


@dataclass(slots=True)
class _File:
    """A file that runs now."""

    name: str
    media_seconds: float | None
    done_seconds: float = 0.0
    speed: float | None = None

    @property
    def shown_seconds(self) -> float:
        return min(self.done_seconds, self.media_seconds or self.done_seconds)

    @property
    def text(self) -> str:
        """Speed and time left, as far as they are known."""
        if not self.speed:
            return ""
        left = f" ETA {clock((self.media_seconds - self.done_seconds) / self.speed)}" if self.media_seconds else ""
        return f"{self.speed:.2f}x{left}"


class _Bar(tqdm):  # type: ignore[type-arg]  # generic in the stubs only
    """A tqdm bar with a text of our own behind it, without tqdm's watching thread; a row for one file at a time."""

    monitor_interval: ClassVar[int] = 0
    text = ""
    running: _File | None = None
    """None where the row shows the file that ended last."""

    @property
    def format_dict(self) -> Any:
        return {**super().format_dict, "text": self.text}

    def draw(self, file: _File) -> None:
        """Show another file, without clearing the row in between."""
        self.running = file
        self.total = file.media_seconds or None
        self.desc = padded(shortened(file.name, NAME_COLUMNS), NAME_COLUMNS)
        self.text = file.text
        self.n = self.last_print_n = file.shown_seconds
        self.refresh()


# tqdm's own lock is a multiprocessing one, which would fix the start method of the whole process.
_Bar.set_lock(threading.RLock())


class Bars(Narrator):
    """Bars on a terminal: one for the run, by media time, and one for each running file; messages go above them.

    A file takes the first row whose file has ended, or a new one below; files beyond the rows that fit get theirs as
    rows become free. Rows that stay free until the next tick are removed. `rows` is the terminal's height.
    """

    def __init__(self, stream: Stream, *, least: Level = Level.INFO, rows: int | None = None) -> None:
        super().__init__(least)
        self._stream = stream
        height = rows if rows is not None else _terminal_rows(stream)
        self._most_rows = min(MOST_FILE_BARS, max(0, height - ROWS_LEFT_FREE))
        self._rows: list[_Bar] = []
        self._running: dict[str, _File] = {}
        self._ended_seconds = 0.0
        self._bar: _Bar | None = None
        self._total_seconds = 0.0
        self._snapshot: RunSnapshot | None = None

    def write(self, message: Message) -> None:
        _Bar.write(encodable(message.text, self._stream), file=self._stream)

    def queued(self, jobs: int, media_seconds: float) -> None:
        self._total_seconds = media_seconds
        if jobs > 0:
            self._draw_run()

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        super().started(job_id, name, media_seconds)
        self._running[job_id] = _File(one_line(name), media_seconds)
        self._fill_rows()

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        file = self._running.get(job_id)
        if file is None:
            return
        file.done_seconds, file.speed = media_seconds_done, speed
        row = self._row_of(file)
        if row is not None:
            row.text = file.text
            row.update(file.shown_seconds - row.n)
        self._draw_run()

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        file = self._running.pop(job_id, None)
        if file is not None:
            if not will_retry:
                self._ended_seconds += file.media_seconds or 0.0
            row = self._row_of(file)
            if row is not None:
                row.running = None
                self._fill_rows()
        super().finished(job_id, outcome, name=name, will_retry=will_retry)
        self._draw_run()

    def tick(self, snapshot: RunSnapshot) -> None:
        self._snapshot = snapshot
        # The last files move up into rows that are free, and the rows that are left over go.
        while any(row.running is None for row in self._rows):
            last = self._rows.pop()
            if last.running is not None:
                next(row for row in self._rows if row.running is None).draw(last.running)
            last.close()
        self._draw_run()

    def close(self) -> None:
        """Take all bars off the screen; the closing table follows."""
        for row in self._rows:
            row.close()
        self._rows.clear()
        self._running.clear()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _row_of(self, file: _File) -> _Bar | None:
        return next((row for row in self._rows if row.running is file), None)

    def _fill_rows(self) -> None:
        """Give rows to running files that have none, as far as there are rows."""
        for file in (file for file in self._running.values() if self._row_of(file) is None):
            row = next((row for row in self._rows if row.running is None), None)
            if row is None:
                if len(self._rows) >= self._most_rows:
                    return
                row = self._new_bar(len(self._rows) + 1, _FILE_FORMAT)
                self._rows.append(row)
            row.draw(file)

    def _draw_run(self) -> None:
        if self._bar is None:
            if self._total_seconds <= 0 and self._snapshot is None:
                return
            self._bar = self._new_bar(0, _RUN_FORMAT)
        bar = self._bar
        done = min(self._ended_seconds + sum(file.done_seconds for file in self._running.values()), self._total_seconds)
        bar.total = self._total_seconds or None
        if self._snapshot is not None and self._total_seconds <= 0:  # nothing has a playing time
            bar.total, done = self._snapshot.total or None, self._snapshot.done
        bar.text = self._run_text(done)
        bar.update(done - bar.n)

    def _run_text(self, done_seconds: float) -> str:
        snapshot = self._snapshot
        video = f"{done_seconds:.0f}/{self._total_seconds:.0f}s of video"
        if snapshot is None:
            return video
        video = f" | {video}" if self._total_seconds > 0 else ""
        more = "" if snapshot.total_is_final else "+"
        failed = f", {snapshot.failed} failed" if snapshot.failed else ""
        ending = " | paused" if snapshot.state.paused else " | stopping" if snapshot.draining else ""
        return (
            f"{snapshot.done}/{snapshot.total}{more} files{failed}{video} | {memory_size(snapshot.memory_bytes)}"
            f" | CPU {snapshot.cpu_percent:.0f}% | ETA {eta(snapshot)}{ending}"
        )

    def _new_bar(self, position: int, bar_format: str) -> _Bar:
        return _Bar(
            file=self._stream,
            position=position,
            leave=False,
            dynamic_ncols=True,
            bar_format=bar_format,
            mininterval=REDRAW_SECONDS,
            miniters=0,
        )


def _terminal_rows(stream: Stream) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).lines
    except OSError:
        return 24
