"""Which files came into a folder or changed? A process of its own that looks at the folder again and again.

It looks when the system reports a change (`file_events`) and in any case every so often, and reports each file once it
has settled. The first look goes by the files' own times, as a run that does not watch does; later ones by what was
seen: times of files are never compared with a clock, since that of a file server may be minutes off. A file system that
hangs stops this process and nothing else.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from pyprocessor.intake.file_events import FileEvents
from pyprocessor.intake.inspector import run_child
from pyprocessor.intake.messages import Candidate, Found, Looked, PassedOver, Remark, ScanPlan, Vanished
from pyprocessor.intake.scan import YOUNG, Stills, walk
from pyprocessor.models import Source
from pyprocessor.system.filesystems import network_filesystem, open_for_writing
from pyprocessor.workers.messages import Report

CHUNK = 100
LEAST_PAUSE_SECONDS = 0.5
REST_SHARE = 5.0
"""A look is followed by a pause of so many times as long as it took, at least."""
ABSENT_LOOK_SECONDS = 5.0
"""The longest pause while the folder is gone: no event will report that it is back."""
ALIVE_SECONDS = 2.0
"""How often a look that takes long reports that it goes on."""


Mark = tuple[int, int] | str
"""What a change of a file would alter: size and mtime, or for one that is passed over, why."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something seen under a path, unchanged `since` a monotonic time; `reported` once the engine knows of it."""

    mark: Mark
    since: float
    reported: bool = False

    def settled(self, now: float, min_age_seconds: float) -> bool:
        """Return whether it is to be reported now."""
        return not self.reported and now - self.since >= min_age_seconds


def mark_of(entry: Candidate | PassedOver) -> Mark:
    if entry.source is not None:
        return entry.source.size_bytes, entry.source.mtime_ns
    assert isinstance(entry, PassedOver)
    return entry.reason


def sighted(before: Sighting | None, mark: Mark, now: float) -> Sighting:
    """Return the sighting after a look; `before` is what the last look left, if anything."""
    return before if before is not None and before.mark == mark else Sighting(mark, now)


def next_look(
    sightings: Iterable[Sighting], now: float, *, min_age_seconds: float, poll_seconds: float, least_seconds: float
) -> float:
    """Return in how many seconds to look again: when the first may have settled, within these bounds."""
    due = min((s.since + min_age_seconds - now for s in sightings if not s.reported), default=poll_seconds)
    return max(least_seconds, min(due, poll_seconds))


def watcher_main(connection: Connection, plan: ScanPlan) -> None:
    """Entry point of the process; returns when the engine closes the pipe."""
    if hasattr(signal, "SIGIO"):
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # see `open_for_writing`
    run_child(lambda: _Watcher(connection, plan).run())


class _Watcher:
    def __init__(self, connection: Connection, plan: ScanPlan) -> None:
        self._connection = connection
        self._plan = plan
        self._root = plan.inputs[0].path
        self._min_age_seconds = plan.profile.scan.min_age_seconds
        self._events = FileEvents(self._root, plan.output_root)
        self._sightings: dict[bytes, Sighting] = {}
        self._stills: Stills = {}
        self._first = True
        self._young = False
        self._device: int | None = None
        self._local = True
        self._vanished = False
        self._reported = 0.0

    def run(self) -> None:
        try:
            while True:
                began = time.monotonic()
                self._events.drain()
                try:
                    why = self._look(began)
                except (BrokenPipeError, ConnectionResetError):
                    raise
                except OSError as error:
                    why = f"cannot be read ({error.strerror or error})"
                if why is not None and not self._vanished:
                    self._send(Vanished(why))
                elif why is None and self._vanished:
                    self._send(Report.REAPPEARED)
                self._vanished = why is not None
                self._rest(time.monotonic(), took=time.monotonic() - began)
        finally:
            self._events.stop()

    # ------------------------------------------------------------ one look

    def _look(self, began: float) -> str | None:
        """Look at everything once; returns why the folder cannot be looked at, if so."""
        self._send(Report.ALIVE)
        why = self._absent()
        if why is not None:
            return why
        if self._vanished:
            # Files may have failed for that reason: report all of them again.
            self._sightings.clear()
        profile = self._plan.profile
        if not self._first:
            profile = replace(profile, scan=replace(profile.scan, min_age_seconds=0.0))
        plan = replace(self._plan, profile=profile, ages_from_ns=time.time_ns(), opens_unknown=self._first)
        seen: dict[bytes, Sighting] = {}
        news: list[Candidate | PassedOver | Remark] = []
        self._young = False
        for entry in walk(plan, self._report_alive, self._stills):
            match entry:
                case Remark():
                    news += [entry] if self._first else []
                case PassedOver(b".", reason):
                    return reason
                case PassedOver(reason=reason) if reason == YOUNG:
                    self._young = True
                case PassedOver(relative) | Candidate(Source(relative=relative)):
                    seen[relative] = self._seen(relative, entry, began, news)
            if len(news) >= CHUNK:
                self._send(Found(tuple(news)))
                news.clear()
            else:
                self._report_alive()
        self._send(Found(tuple(news)))
        self._sightings, self._first = seen, False
        return None

    def _report_alive(self) -> None:
        if time.monotonic() - self._reported > ALIVE_SECONDS:
            self._send(Report.ALIVE)

    def _absent(self) -> str | None:
        """Return why the folder is not what is to be watched; otherwise have its events reported."""
        try:
            status = os.stat(self._root)
            with os.scandir(self._root) as entries:
                empty = next(entries, None) is None
        except FileNotFoundError:
            return "does not exist"
        if empty and self._device not in (None, status.st_dev):
            return "is empty and on another file system than before, as if something were not mounted"
        self._device = status.st_dev
        self._local = not network_filesystem(self._root)  # elsewhere asking who writes is slow and useless
        self._events.listen(status)
        return None

    def _seen(
        self, relative: bytes, entry: Candidate | PassedOver, began: float, news: list[Candidate | PassedOver | Remark]
    ) -> Sighting:
        """Return the sighting of an entry, its time unchanged counted from the end of one scan to another's start."""
        sighting = sighted(self._sightings.get(relative), mark_of(entry), time.monotonic())
        if sighting.reported or not (self._first or sighting.settled(began, self._min_age_seconds)):
            return sighting
        if self._local and isinstance(entry, Candidate) and open_for_writing(entry.source.path):
            return Sighting(sighting.mark, time.monotonic())
        news.append(entry)
        return replace(sighting, reported=True)

    # ------------------------------------------------------------ between looks

    def _rest(self, ended: float, *, took: float) -> None:
        """Wait until it is time to look again, or an event came."""
        poll = self._plan.profile.watch.poll_seconds
        least = max(LEAST_PAUSE_SECONDS, REST_SHARE * took)
        at_most = min(poll, ABSENT_LOOK_SECONDS) if self._vanished else LEAST_PAUSE_SECONDS if self._young else poll
        pause = next_look(
            () if self._vanished else self._sightings.values(),
            ended,
            min_age_seconds=self._min_age_seconds,
            poll_seconds=at_most,
            least_seconds=least,
        )
        for problem in self._events.problems():
            self._send(Found((Remark(f"{problem}the input is looked at every {poll:g} s instead."),)))
        self._send(Looked(max(poll, pause)))
        changed = False
        while True:
            now = time.monotonic()
            due = ended + (least if changed else pause)
            if now >= due:
                return
            sources: list[Any] = [self._connection] if changed else [self._connection, self._events.socket]
            ready = wait(sources, timeout=due - now)
            changed = changed or self._events.socket in ready
            if self._connection in ready:
                self._connection.recv()  # the engine sends nothing: this raises EOFError

    def _send(self, message: object) -> None:
        self._connection.send(message)
        self._reported = time.monotonic()
