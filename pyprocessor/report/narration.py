"""Which lines are written while a run goes on: plain ones for people, JSON for programs?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from importlib import import_module
from typing import Protocol, TextIO

from pyprocessor.models import Outcome, OutcomeKind, RunSnapshot
from pyprocessor.models.run import Listener
from pyprocessor.models.wording import clock, count, one_line, utc
from pyprocessor.report.wording import about, eta


class Level(IntEnum):
    """How much a message matters: `DEBUG` is shown with `--verbose` only, `ERROR` even with `--quiet`."""

    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One line: `kind` is for programs (`notice`, `started`, `finished`, `retry`), `text` for people."""

    level: Level
    kind: str
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def notice(cls, level: str, text: str) -> Message:
        """A sentence that concerns no single file; `level` is a level's name in any case."""
        return cls(Level[level.upper()], "notice", one_line(text))


class Narrator(Listener):
    """Turns the events of a run into messages; a subclass writes those of level `least` and above.

    `log` gets every message, whatever its level. Only the names of running files are kept.
    """

    def __init__(self, least: Level) -> None:
        self._least = least
        self._names: dict[str, str] = {}
        self.log: Callable[[Message], None] | None = None

    def write(self, message: Message) -> None:
        """Write one message."""
        raise NotImplementedError

    def show(self, message: Message) -> None:
        """Write one message where its level is high enough, and leave the log out."""
        if message.level >= self._least:
            self.write(message)

    def _emit(self, message: Message) -> None:
        if self.log is not None:
            self.log(message)
        self.show(message)

    def found(self, files: int, listing_done: bool) -> None:
        # Not logged: a run that finds nothing to do leaves no log.
        if listing_done:
            text = f"The listing is complete: {count(files, 'file')}."
            self.show(Message(Level.DEBUG, "found", text, {"files": files}))

    def queued(self, jobs: int, media_seconds: float) -> None:
        """Only bars show totals."""

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        """Only bars show single files."""

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        shown = one_line(name)
        self._names[job_id] = shown
        fields = {"job": job_id, "name": shown, "media_seconds": media_seconds}
        self._emit(Message(Level.DEBUG, "started", f"Started: {shown}", fields))
        # What the closing summary needs is imported while the first file is encoded.
        import_module("pyprocessor.report.summary")

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        name, reason = self._names.pop(job_id, one_line(name)), one_line(outcome.reason)
        level = Level.DEBUG
        if outcome.kind in (OutcomeKind.FAILED, OutcomeKind.QUARANTINED):
            level = Level.WARNING if will_retry else Level.ERROR
        again = " It will be tried again." if will_retry and outcome.kind is OutcomeKind.FAILED else ""
        word = outcome.kind.value.replace("_", " ").capitalize()
        fields = {
            "job": job_id,
            "name": name,
            "outcome": outcome.kind.value,
            "failure": outcome.failure,
            "reason": reason,
            "will_retry": will_retry,
        }
        kind = "retry" if will_retry else "finished"
        self._emit(Message(level, kind, f"{word}: {about(name, reason)}{again}", fields))

    def notice(self, level: str, text: str) -> None:
        self._emit(Message.notice(level, text))


def progress_line(snapshot: RunSnapshot) -> str:
    """The line that scripts read: success is the share of done files that did not fail, memory in 10^6 bytes."""
    success = 100.0 * (snapshot.done - snapshot.failed) / snapshot.done if snapshot.done else 0.0
    ready = "paused" if snapshot.state.paused else clock(snapshot.eta_seconds)
    return (
        f"Progress: {snapshot.done}/{snapshot.total} ({success:.1f}% success) | Active: {snapshot.active}"
        f" | Failed: {snapshot.failed} | Memory: {snapshot.memory_bytes / 1e6:.1f}MB"
        f" | CPU: {snapshot.cpu_percent:.1f}% | ETA: {ready}"
    )


class Lines(Narrator):
    """Writes messages and, each interval, a progress line to a stream that is no terminal.

    `as_json` makes each line an object. Where `least` is above INFO there are no progress lines. The clock is
    the snapshots' own `elapsed_seconds`; `now` gives the time that JSON lines carry.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        interval_seconds: float,
        least: Level = Level.INFO,
        as_json: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(least)
        self._stream = stream
        self._as_json = as_json
        self._now = now
        self._interval = self._next = interval_seconds
        self._last_done = -1
        self._last: RunSnapshot | None = None

    def write(self, message: Message) -> None:
        write_line(self._stream, json_line(self._now(), message) if self._as_json else message.text)

    def tick(self, snapshot: RunSnapshot) -> None:
        self._last = snapshot
        if snapshot.elapsed_seconds < self._next:
            return
        # Counted from now, so that late ticks are not made up for in a burst.
        self._next = snapshot.elapsed_seconds + self._interval
        self._last_done = snapshot.done
        self.show(_progress(snapshot))
        # The line above is read by scripts and stays as it is; people who asked for more get a second one.
        band = (snapshot.eta_low_seconds, snapshot.eta_high_seconds) != (None, None)
        if band and self._least <= Level.DEBUG and not self._as_json:
            write_line(self._stream, f"Expected to be done in {eta(snapshot)}.")

    def close(self) -> None:
        """Write a last progress line, unless nothing changed since the one before."""
        last, self._last = self._last, None
        if last is not None and last.total > 0 and last.done != self._last_done:
            self.show(_progress(last))


def _progress(snapshot: RunSnapshot) -> Message:
    return Message(Level.INFO, "progress", progress_line(snapshot), asdict(snapshot))


def json_line(now: float, message: Message) -> str:
    """The message as one JSON object; `now` is seconds since the epoch."""
    head: dict[str, object] = {
        "time": utc(now, "milliseconds"),
        "level": message.level.name.lower(),
        "event": message.kind,
        "message": message.text,
    }
    return json.dumps(head | dict(message.fields))


class Stream(Protocol):
    """What lines and bars need of the stream they are written to."""

    @property
    def encoding(self) -> str: ...
    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...
    def fileno(self) -> int: ...


class UnbreakableStream:
    """A text stream that drops what is written once its terminal or reader is gone, so that the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False
        self.encoding = stream.encoding or "utf-8"
        self.fileno = stream.fileno

    def write(self, text: str, /) -> int:
        self._unless_gone(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._unless_gone(self._stream.flush)

    def _unless_gone(self, act: Callable[[], object]) -> None:
        if not self._gone:
            try:
                act()
            except OSError:
                self._gone = True


def write_line(stream: Stream, text: str) -> None:
    """Write one line at once, escaping what the stream's encoding lacks."""
    stream.write(encodable(text, stream) + "\n")
    stream.flush()


def encodable(text: str, stream: Stream) -> str:
    """The text with what the stream's encoding lacks escaped, so that an emoji in a name ends no run."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
