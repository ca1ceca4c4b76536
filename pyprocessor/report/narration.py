"""Listeners that tell how a run goes in lines: plain ones for people, JSON for programs.

All follow `engine.listener.Listener` in shape, as do the bars of `progress`. They hold the names of running files and
nothing for the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Protocol, TextIO

from pyprocessor.models import Outcome, OutcomeKind, RunSnapshot
from pyprocessor.report.wording import about, clock, count, eta, one_line


class Level(IntEnum):
    """How much a message matters. `DEBUG` is told with `--verbose` only, `ERROR` even with `--quiet`."""

    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


class Hearer(Protocol):
    """The same shape as `engine.listener.Listener`, which this room does not import."""

    def found(self, files: int, listing_done: bool) -> None: ...
    def queued(self, jobs: int, media_seconds: float) -> None: ...
    def started(self, job_id: str, name: str, media_seconds: float | None) -> None: ...
    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None: ...
    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None: ...
    def notice(self, level: str, text: str) -> None: ...
    def tick(self, snapshot: RunSnapshot) -> None: ...


class Several:
    """Passes every call on to each of the given listeners, in order."""

    def __init__(self, hearers: Iterable[Hearer]) -> None:
        self._hearers = tuple(hearers)

    def found(self, files: int, listing_done: bool) -> None:
        for hearer in self._hearers:
            hearer.found(files, listing_done)

    def queued(self, jobs: int, media_seconds: float) -> None:
        for hearer in self._hearers:
            hearer.queued(jobs, media_seconds)

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        for hearer in self._hearers:
            hearer.started(job_id, name, media_seconds)

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        for hearer in self._hearers:
            hearer.progressed(job_id, media_seconds_done, speed)

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        for hearer in self._hearers:
            hearer.finished(job_id, outcome, name=name, will_retry=will_retry)

    def notice(self, level: str, text: str) -> None:
        for hearer in self._hearers:
            hearer.notice(level, text)

    def tick(self, snapshot: RunSnapshot) -> None:
        for hearer in self._hearers:
            hearer.tick(snapshot)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing worth a line: `kind` is for programs (`notice`, `started`, `finished`, `retry`), `text` for people."""

    level: Level
    kind: str
    text: str
    fields: tuple[tuple[str, str | float | int | None], ...] = ()


class Narrator:
    """Turns what a run tells into messages, one sentence each; what becomes of them, `say` decides.

    Raises nothing of its own: events about a job whose start was never told are told by their reason alone.
    """

    def __init__(self, least: Level) -> None:
        self._least = least
        self._names: dict[str, str] = {}

    def say(self, message: Message) -> None:
        """Tell one message whose level is high enough."""
        raise NotImplementedError

    def found(self, files: int, listing_done: bool) -> None:
        if listing_done:
            self._tell(
                Message(Level.DEBUG, "found", f"The listing is complete: {count(files, 'file')}.", (("files", files),))
            )

    def queued(self, jobs: int, media_seconds: float) -> None:
        """Totals concern bars only."""

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        shown = one_line(name)
        self._names[job_id] = shown
        fields = (("job", job_id), ("name", shown), ("media_seconds", media_seconds))
        self._tell(Message(Level.DEBUG, "started", f"Started: {shown}", fields))

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        """How far one file is concerns bars only."""

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        name = self._names.pop(job_id, one_line(name))
        reason = one_line(outcome.reason)
        again = " It will be tried again." if will_retry and outcome.kind is OutcomeKind.FAILED else ""
        word = outcome.kind.value.replace("_", " ").capitalize()
        fields = (
            ("job", job_id),
            ("name", name),
            ("outcome", outcome.kind.value),
            ("failure", outcome.failure.value if outcome.failure is not None else None),
            ("reason", reason),
            ("will_retry", will_retry),
        )
        level = _level_of(outcome.kind, will_retry)
        self._tell(
            Message(level, "retry" if will_retry else "finished", f"{word}: {about(name, reason)}{again}", fields)
        )

    def notice(self, level: str, text: str) -> None:
        self._tell(Message(Level[level.upper()], "notice", one_line(text)))

    def tick(self, snapshot: RunSnapshot) -> None:
        raise NotImplementedError

    def _tell(self, message: Message) -> None:
        if message.level >= self._least:
            self.say(message)


def _level_of(kind: OutcomeKind, will_retry: bool) -> Level:
    if kind is OutcomeKind.FAILED:
        return Level.WARNING if will_retry else Level.ERROR
    return Level.ERROR if kind is OutcomeKind.QUARANTINED else Level.DEBUG


def progress_line(snapshot: RunSnapshot) -> str:
    """The line that scripts read. Success is the share of the files done that did not fail, none before the first;
    memory is in 10^6 bytes."""
    success = 100.0 * (snapshot.done - snapshot.failed) / snapshot.done if snapshot.done else 0.0
    ready = "paused" if snapshot.state.paused else clock(snapshot.eta_seconds)
    return (
        f"Progress: {snapshot.done}/{snapshot.total} ({success:.1f}% success) | Active: {snapshot.active}"
        f" | Failed: {snapshot.failed} | Memory: {snapshot.memory_bytes / 1e6:.1f}MB"
        f" | CPU: {snapshot.cpu_percent:.1f}% | ETA: {ready}"
    )


class _Metronome:
    """Says when a progress line is due: once an interval, and once more at the end for what came after the last."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._next = interval_seconds
        self._told = -1
        self._last: RunSnapshot | None = None

    def due(self, snapshot: RunSnapshot) -> bool:
        self._last = snapshot
        if snapshot.elapsed_seconds < self._next:
            return False
        # Counted from now, so that ticks that came late are not made up for in a burst.
        self._next = snapshot.elapsed_seconds + self._interval
        self._told = snapshot.done
        return True

    def closing(self) -> RunSnapshot | None:
        last, self._last = self._last, None
        return last if last is not None and last.total > 0 and last.done != self._told else None


class Lines(Narrator):
    """Plain lines on a stream that is no terminal: messages, and one `Progress:` line an interval.

    Where `least` is above INFO there are no progress lines. The clock is the snapshots' own `elapsed_seconds`.
    """

    def __init__(self, stream: Stream, *, interval_seconds: float, least: Level = Level.INFO) -> None:
        super().__init__(least)
        self._stream = stream
        self._metronome = _Metronome(interval_seconds)

    def say(self, message: Message) -> None:
        write_line(self._stream, message.text)

    def tick(self, snapshot: RunSnapshot) -> None:
        if not self._metronome.due(snapshot) or self._least > Level.INFO:
            return
        write_line(self._stream, progress_line(snapshot))
        # The line above is read by scripts and stays as it is; people who asked for more get a second one.
        if self._least <= Level.DEBUG and (snapshot.eta_low_seconds, snapshot.eta_high_seconds) != (None, None):
            write_line(self._stream, f"Expected to be done in {eta(snapshot)}.")

    def close(self) -> None:
        last = self._metronome.closing()
        if last is not None and self._least <= Level.INFO:
            write_line(self._stream, progress_line(last))


class JsonLines(Narrator):
    """One JSON object a line: `time` (UTC, ISO 8601), `level`, `event`, `message`, and what else the event has."""

    def __init__(
        self,
        stream: Stream,
        *,
        interval_seconds: float,
        least: Level = Level.INFO,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(least)
        self._stream = stream
        self._metronome = _Metronome(interval_seconds)
        self._now = now

    def say(self, message: Message) -> None:
        write_line(self._stream, json_line(self._now(), message))

    def tick(self, snapshot: RunSnapshot) -> None:
        if self._metronome.due(snapshot) and self._least <= Level.INFO:
            self.say(_progress_message(snapshot))

    def close(self) -> None:
        last = self._metronome.closing()
        if last is not None and self._least <= Level.INFO:
            self.say(_progress_message(last))


def json_line(now: float, message: Message) -> str:
    """The message as one JSON object; `now` is seconds since the epoch."""
    head: dict[str, object] = {
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": message.level.name.lower(),
        "event": message.kind,
        "message": message.text,
    }
    return json.dumps(head | dict(message.fields))


def _progress_message(snapshot: RunSnapshot) -> Message:
    names = (
        *("done", "total", "total_is_final", "succeeded", "failed", "skipped", "active", "memory_bytes"),
        *("cpu_percent", "elapsed_seconds", "eta_seconds", "eta_low_seconds", "eta_high_seconds", "draining"),
    )
    fields = (*((name, getattr(snapshot, name)) for name in names), ("state", snapshot.state.value))
    return Message(Level.INFO, "progress", progress_line(snapshot), fields)


class Stream(Protocol):
    """What lines and bars need of the stream they are written to."""

    @property
    def encoding(self) -> str: ...
    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...
    def fileno(self) -> int: ...


class Hardy:
    """A text stream that takes whatever it is given: when the terminal or reader behind it is gone, the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    @property
    def encoding(self) -> str:
        return self._stream.encoding or "utf-8"

    def write(self, text: str, /) -> int:
        if not self._gone:
            try:
                self._stream.write(text)
            except OSError:
                self._gone = True
        return len(text)

    def flush(self) -> None:
        if not self._gone:
            try:
                self._stream.flush()
            except OSError:
                self._gone = True

    def fileno(self) -> int:
        return self._stream.fileno()


def write_line(stream: Stream, text: str) -> None:
    """Write one line at once, escaping what the stream's encoding lacks."""
    stream.write(encodable(text, stream) + "\n")
    stream.flush()


def encodable(text: str, stream: Stream) -> str:
    """The text with what the stream's encoding lacks escaped, so that an emoji in a name ends no run."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
