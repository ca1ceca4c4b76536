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
from pyprocessor.report.table import NAME_COLUMNS, padded, shortened
from pyprocessor.report.wording import eta

MOST_FILE_BARS = 16
ROWS_LEFT_FREE = 4
"""The run's own bar, the cursor's row and two rows of messages stay visible however many files run."""
REDRAW_SECONDS = 0.2


class _Bar(tqdm):  # type: ignore[type-arg]  # generic in the stubs only
    """A tqdm bar with a text of our own behind it, without tqdm's watching thread."""

    monitor_interval: ClassVar[int] = 0
    text = ""

    @property
    def format_dict(self) -> Any:
        return {**super().format_dict, "text": self.text}


# tqdm's own lock is a multiprocessing one, which would fix the start method of the whole process.
_Bar.set_lock(threading.RLock())

_RUN_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {text}"
_FILE_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {text}"


@dataclass(slots=True)
class _Running:
    name: str
    media_seconds: float | None
    done_seconds: float = 0.0
    speed: float | None = None
    row: _Row | None = None


@dataclass(slots=True)
class _Row:
    """A file's bar; without a file it shows the one that ended last."""

    bar: _Bar
    file: _Running | None = None


class Bars(Narrator):
    """Bars on a terminal: one for the run, by media time, and one for each running file; messages go above them.

    A file takes the first row whose file has ended, or one below all others; files beyond the rows that fit get theirs
    as rows become free. A row that nobody took by the next tick is closed up, so that no row among the bars is empty.
    `rows` is the terminal's height.
    """

    def __init__(self, stream: Stream, *, least: Level = Level.INFO, rows: int | None = None) -> None:
        super().__init__(least)
        self._stream = stream
        height = rows if rows is not None else _terminal_rows(stream)
        self._most_rows = min(MOST_FILE_BARS, max(0, height - ROWS_LEFT_FREE))
        self._rows: list[_Row] = []
        self._running: dict[str, _Running] = {}
        self._ended_seconds = 0.0
        self._bar: _Bar | None = None
        self._total_seconds = 0.0
        self._snapshot: RunSnapshot | None = None

    def say(self, message: Message) -> None:
        _Bar.write(encodable(message.text, self._stream), file=self._stream)

    def queued(self, jobs: int, media_seconds: float) -> None:
        self._total_seconds = media_seconds
        if jobs > 0:
            self._draw_run()

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        super().started(job_id, name, media_seconds)
        self._running[job_id] = _Running(one_line(name), media_seconds)
        self._show(self._running[job_id])

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        running = self._running.get(job_id)
        if running is None:
            return
        running.done_seconds, running.speed = media_seconds_done, speed
        if running.row is not None:
            bar = running.row.bar
            bar.text = _speed_and_eta(running)
            bar.update(_shown_seconds(running) - bar.n)
        self._draw_run()

    def finished(self, job_id: str, outcome: Outcome, *, will_retry: bool = False) -> None:
        running = self._running.pop(job_id, None)
        if running is not None:
            if not will_retry:
                self._ended_seconds += running.media_seconds or 0.0
            if running.row is not None:
                running.row.file = None
                waiting = next((other for other in self._running.values() if other.row is None), None)
                if waiting is not None:
                    _draw(running.row, waiting)
        super().finished(job_id, outcome, will_retry=will_retry)
        self._draw_run()

    def tick(self, snapshot: RunSnapshot) -> None:
        self._snapshot = snapshot
        self._close_up()
        self._draw_run()

    def close(self) -> None:
        """Take all bars off the screen; the closing table follows."""
        for row in self._rows:
            row.bar.close()
        self._rows.clear()
        self._running.clear()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, running: _Running) -> None:
        """Give a file a row, if there is one for it."""
        free = next((row for row in self._rows if row.file is None), None)
        if free is not None:
            _draw(free, running)
        elif len(self._rows) < self._most_rows:
            bar = self._new_bar(len(self._rows) + 1, running.media_seconds or None, _FILE_FORMAT, _label(running))
            running.row = _Row(bar, running)
            self._rows.append(running.row)

    def _close_up(self) -> None:
        """Have the last files move up into rows that are free, and take the rows off that are left over."""
        while any(row.file is None for row in self._rows):
            last = self._rows.pop()
            if last.file is not None:
                _draw(next(row for row in self._rows if row.file is None), last.file)
            last.bar.close()

    def _draw_run(self) -> None:
        if self._bar is None:
            if self._total_seconds <= 0 and self._snapshot is None:
                return
            self._bar = self._new_bar(0, self._total_seconds or None, _RUN_FORMAT)
        bar = self._bar
        done = self._ended_seconds + sum(r.done_seconds for r in self._running.values())
        bar.total = self._total_seconds or None
        bar.text = self._standing(min(done, self._total_seconds))
        bar.update(min(done, self._total_seconds) - bar.n)

    def _standing(self, done_seconds: float) -> str:
        snapshot = self._snapshot
        video = f"{done_seconds:.0f}/{self._total_seconds:.0f}s of video"
        if snapshot is None:
            return video
        more = "" if snapshot.total_is_final else "+"
        failed = f", {snapshot.failed} failed" if snapshot.failed else ""
        ending = " | paused" if snapshot.state.paused else " | stopping" if snapshot.draining else ""
        return (
            f"{snapshot.done}/{snapshot.total}{more} files{failed} | {video} | {memory_size(snapshot.memory_bytes)}"
            f" | CPU {snapshot.cpu_percent:.0f}% | ETA {eta(snapshot)}{ending}"
        )

    def _new_bar(self, position: int, total: float | None, bar_format: str, label: str = "") -> _Bar:
        return _Bar(
            desc=label,
            total=total,
            file=self._stream,
            position=position,
            leave=False,
            dynamic_ncols=True,
            bar_format=bar_format,
            mininterval=REDRAW_SECONDS,
            miniters=0,
        )


def _draw(row: _Row, running: _Running) -> None:
    """Have a row show another file, without clearing it in between."""
    row.file, running.row = running, row
    bar = row.bar
    bar.total = running.media_seconds or None
    bar.desc = _label(running)
    bar.text = _speed_and_eta(running)
    bar.n = bar.last_print_n = _shown_seconds(running)
    bar.refresh()


def _shown_seconds(running: _Running) -> float:
    return min(running.done_seconds, running.media_seconds or running.done_seconds)


def _speed_and_eta(running: _Running) -> str:
    if not running.speed:
        return ""
    if not running.media_seconds:
        return f"{running.speed:.2f}x"
    return f"{running.speed:.2f}x ETA {clock((running.media_seconds - running.done_seconds) / running.speed)}"


def _label(running: _Running) -> str:
    return padded(shortened(running.name, NAME_COLUMNS), NAME_COLUMNS)


def _terminal_rows(stream: Stream) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).lines
    except OSError:
        return 24
