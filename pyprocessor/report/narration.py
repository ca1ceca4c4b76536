"""Which lines are written while a run goes on: plain ones for people, JSON for programs, and its log?"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from importlib import import_module
from typing import Protocol, TextIO

from pyprocessor.models import Outcome, OutcomeKind, RunSnapshot
from pyprocessor.models.run import Listener
from pyprocessor.models.wording import clock, count, display, one_line, progress_line, utc
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
    """Turns the events of a run into messages: `log` gets all, `write` those of level `least` and above."""

    def __init__(self, least: Level) -> None:
        self._least = least
        self._names: dict[str, str] = {}
        self._listed: int | None = None
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
        # Not logged: a run that finds nothing to do leaves no log. A listing is open again while a film is divided.
        if listing_done and files != self._listed:
            self._listed = files
            text = f"The listing is complete: {count(files, 'file')}."
            self.show(Message(Level.DEBUG, "found", text, {"files": files}))

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
        if outcome.kind.is_failure:
            level = Level.WARNING if will_retry else Level.ERROR
        again = " It will be tried again." if will_retry and outcome.kind is OutcomeKind.FAILED else ""
        word = outcome.kind.value.replace("_", " ").capitalize()
        fields: dict[str, object] = {"job": job_id, "name": name, "outcome": outcome.kind.value}
        fields |= {"failure": outcome.failure, "reason": reason, "will_retry": will_retry}
        kind = "retry" if will_retry else "finished"
        self._emit(Message(level, kind, f"{word}: {about(name, reason)}{again}", fields))

    def notice(self, level: str, text: str) -> None:
        self._emit(Message.notice(level, text))


def snapshot_line(snapshot: RunSnapshot) -> str:
    """The progress line of a run, with when it will be done."""
    line = progress_line(
        snapshot.completed,
        snapshot.total,
        active=snapshot.active,
        failed=snapshot.failed,
        memory_bytes=snapshot.memory_bytes,
        cpu_percent=snapshot.cpu_percent,
    )
    return f"{line} | ETA: {'paused' if snapshot.state.paused else clock(snapshot.eta_seconds)}"


class Lines(Narrator):
    """Writes messages and, each interval of the snapshots' own clock, a progress line to a stream that is no terminal.

    `as_json` makes each line an object. Where `least` is above INFO there are no progress lines.
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
    return Message(Level.INFO, "progress", snapshot_line(snapshot), asdict(snapshot))


def json_line(now: float, message: Message) -> str:
    """The message as one JSON object; `now` is seconds since the epoch."""
    head = {"time": utc(now, "milliseconds"), "level": message.level.name.lower()}
    return json.dumps({**head, "event": message.kind, "message": message.text, **message.fields})


def run_log_name(started_at: float, pid: int) -> str:
    """Name of a run's log, in order of time: `run-20260131-235959-4711.log` (UTC)."""
    return f"run-{datetime.fromtimestamp(started_at, UTC):%Y%m%d-%H%M%S}-{pid}.log"


class RunLog:
    """Writes the messages of a run to a file opened at the first; on an error the log ends, and the run goes on."""

    def __init__(
        self, open_log: Callable[[], TextIO], on_trouble: Callable[[str], None], now: Callable[[], float] = time.time
    ) -> None:
        self._open_log = open_log
        self._on_trouble = on_trouble
        self._now = now
        self._log: TextIO | None = None
        self._broken = False

    def write(self, message: Message) -> None:
        """Write one message."""
        if self._broken:
            return
        try:
            self._log = self._log or self._open_log()
            self._log.write(f"{utc(self._now())} {message.level.name.lower():<7} {one_line(message.text)}\n")
        except OSError as error:
            # Whether a full disk ends the run is decided by the engine.
            self._broken = True
            self._report("cannot be written and ends here", error)

    def close(self) -> None:
        """Close the file, if there is one."""
        log, self._log = self._log, None
        try:
            if log is not None:
                log.close()
        except OSError as error:
            self._report("could not be completed", error)

    def _report(self, what: str, error: OSError) -> None:
        file = f" ({display(os.fsencode(error.filename))})" if error.filename else ""
        self._on_trouble(f"The run's log {what}: {error.strerror or 'the system does not say why'}{file}.")


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
