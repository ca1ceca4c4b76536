"""Bars on a terminal. The only user of tqdm."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

from tqdm import tqdm

from pyprocessor.models import Outcome, RunSnapshot
from pyprocessor.report.narration import Level, Message, Narrator, Stream, encodable
from pyprocessor.report.wording import clock, columns, eta, one_line, shortened, size

MOST_FILE_BARS = 16
NAME_COLUMNS = 32
ROWS_LEFT_FREE = 4
"""The run's own bar, the cursor's row and two rows of messages stay visible however many files run."""
REDRAW_SECONDS = 0.2


class _Bar(tqdm):  # type: ignore[type-arg]  # generic in the stubs only
    """A tqdm bar with a text of our own behind it, without tqdm's watching thread."""

    monitor_interval: ClassVar[int] = 0
    told = ""

    @property
    def format_dict(self) -> Any:
        return {**super().format_dict, "told": self.told}


# tqdm's own lock is a multiprocessing one, whose making would settle the start method of the whole process.
_Bar.set_lock(threading.RLock())

_RUN_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {told}"
_FILE_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {told}"


@dataclass(slots=True)
class _Running:
    name: str
    media_seconds: float | None
    done_seconds: float = 0.0
    bar: _Bar | None = None
    position: int = 0


class Bars(Narrator):
    """Bars on a terminal: one for the run, by media time, and one for each running file; messages go above them.

    A file's bar takes the lowest free row; files beyond the rows that fit get theirs as rows become free. `rows` is the
    terminal's height.
    """

    def __init__(self, stream: Stream, *, least: Level = Level.INFO, rows: int | None = None) -> None:
        super().__init__(least)
        self._stream = stream
        height = rows if rows is not None else _terminal_rows(stream)
        self._free = list(range(min(MOST_FILE_BARS, max(0, height - ROWS_LEFT_FREE)), 0, -1))
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
        self._give_rows()

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        running = self._running.get(job_id)
        if running is None:
            return
        running.done_seconds = media_seconds_done
        if running.bar is not None:
            running.bar.told = _speed_and_eta(running, speed)
            running.bar.update(min(media_seconds_done, running.bar.total or media_seconds_done) - running.bar.n)
        self._draw_run()

    def finished(self, job_id: str, outcome: Outcome, *, will_retry: bool = False) -> None:
        running = self._running.pop(job_id, None)
        if running is not None:
            if not will_retry:
                self._ended_seconds += running.media_seconds or 0.0
            if running.bar is not None:
                running.bar.close()
                self._free.append(running.position)
                self._free.sort(reverse=True)
                self._give_rows()
        super().finished(job_id, outcome, will_retry=will_retry)
        self._draw_run()

    def tick(self, snapshot: RunSnapshot) -> None:
        self._snapshot = snapshot
        self._draw_run()

    def close(self) -> None:
        """Take all bars off the screen; the closing table follows."""
        for running in self._running.values():
            if running.bar is not None:
                running.bar.close()
        self._running.clear()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _give_rows(self) -> None:
        for running in self._running.values():
            if not self._free:
                return
            if running.bar is None:
                running.position = self._free.pop()
                running.bar = self._new_bar(running.position, running.media_seconds or None, _FILE_FORMAT)
                running.bar.set_description_str(_padded(running.name, NAME_COLUMNS), refresh=False)
                running.bar.update(running.done_seconds)

    def _draw_run(self) -> None:
        if self._bar is None:
            if self._total_seconds <= 0 and self._snapshot is None:
                return
            self._bar = self._new_bar(0, self._total_seconds or None, _RUN_FORMAT)
        bar = self._bar
        done = self._ended_seconds + sum(r.done_seconds for r in self._running.values())
        bar.total = self._total_seconds or None
        bar.told = self._standing(min(done, self._total_seconds))
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
            f"{snapshot.done}/{snapshot.total}{more} files{failed} | {video} | {size(snapshot.memory_bytes)}"
            f" | CPU {snapshot.cpu_percent:.0f}% | ETA {eta(snapshot)}{ending}"
        )

    def _new_bar(self, position: int, total: float | None, bar_format: str) -> _Bar:
        return _Bar(
            total=total,
            file=self._stream,
            position=position,
            leave=False,
            dynamic_ncols=True,
            bar_format=bar_format,
            mininterval=REDRAW_SECONDS,
            miniters=0,
        )


def _speed_and_eta(running: _Running, speed: float | None) -> str:
    if not speed:
        return ""
    if not running.media_seconds:
        return f"{speed:.2f}x"
    return f"{speed:.2f}x ETA {clock((running.media_seconds - running.done_seconds) / speed)}"


def _padded(text: str, width: int) -> str:
    fitted = shortened(text, width)
    return fitted + " " * (width - columns(fitted))


def _terminal_rows(stream: Stream) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).lines
    except OSError:
        return 24
