"""The lookout: a process of its own that looks at a folder again and again and tells of files that came or changed.

It looks when something was heard to change (`wakeups`) and in any case every so often, remembers what it saw of each
file (`settling`), and tells the engine of those that have settled, each once. The first look goes by the files' own
times, as a run that does not watch does; later ones by what was seen. It opens pictures, to see whether they move, and
at the first look some files with unknown extensions; inspecting is the scout's. A file system that hangs stops this
process and nothing else.
"""

from __future__ import annotations

import gc
import os
import signal
import stat
import time
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from pyprocessor.intake.file_events import FileEvents
from pyprocessor.intake.scan import YOUNG, ScanPlan, Stills, walk
from pyprocessor.intake.stability import Sighting, mark_of, next_look, settled, sighted, told
from pyprocessor.system import network_filesystem
from pyprocessor.system.open_files import open_for_writing
from pyprocessor.workers.messages import (
    Candidate,
    Close,
    Found,
    Looked,
    Looking,
    PassedOver,
    Reappeared,
    Remark,
    Vanished,
    WatcherSetup,
)

CHUNK = 100
LEAST_PAUSE_SECONDS = 0.5
REST_SHARE = 5.0
"""A look is followed by a pause of so many times as long as it took, at least."""
ABSENT_LOOK_SECONDS = 5.0
"""How often it is seen at least whether a folder that vanished is there again: nothing wakes us then."""
WORD_EVERY_SECONDS = 2.0
"""A look that takes long says that often that it goes on."""


def watcher_main(connection: Connection, setup: WatcherSetup) -> None:
    """Entry point of the process; returns when the engine closes the pipe or says `Close`."""
    os.setpgid(0, 0)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGIO"):
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # see `open_for_writing`
    try:
        _Watcher(connection, setup).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


class _Watcher:
    def __init__(self, connection: Connection, setup: WatcherSetup) -> None:
        self._connection = connection
        self._setup = setup
        self._wakeups = FileEvents(setup.input.path, setup.output_root)
        self._sightings: dict[bytes, Sighting] = {}
        self._stills: Stills = {}
        self._first = True
        self._young = False
        self._device: int | None = None
        self._local = True
        self._vanished = False
        self._spoke = 0.0
        self._open = True

    def run(self) -> None:
        try:
            while self._open:
                began = time.monotonic()
                self._wakeups.drain()
                try:
                    why = self._look(began)
                except (BrokenPipeError, ConnectionResetError):
                    raise
                except OSError as error:
                    why = f"cannot be read ({error.strerror or error})"
                self._presence(why)
                self._rest(time.monotonic(), took=time.monotonic() - began)
        finally:
            self._wakeups.stop()

    # ------------------------------------------------------------ one look

    def _look(self, began: float) -> str | None:
        """Look at everything once; returns why the folder cannot be looked at, if so."""
        self._say(Looking())
        why = self._absent()
        if why is not None:
            return why
        if self._vanished:
            # What could not be reached meanwhile may have failed for that reason: the engine is told of all anew.
            self._sightings.clear()
        profile = self._setup.profile
        if not self._first:
            profile = replace(profile, scan=replace(profile.scan, min_age_seconds=0.0))
        plan = ScanPlan(
            (self._setup.input,), self._setup.output_root, profile, time.time_ns(), opens_unknown=self._first
        )
        seen: dict[bytes, Sighting] = {}
        news: list[Candidate | PassedOver] = []
        remarks: list[Remark] = []
        self._young = False
        for entry in walk(plan, self._alive, self._stills):
            if entry is None:
                self._alive()
                continue
            if isinstance(entry, Remark):
                remarks.append(entry)
                continue
            if isinstance(entry, PassedOver) and entry.relative == b".":
                return entry.reason
            if isinstance(entry, PassedOver) and entry.reason == YOUNG:
                self._young = True
                continue
            relative = entry.relative if isinstance(entry, PassedOver) else entry.source.relative
            seen[relative] = self._seen(relative, entry, began, news)
            if len(news) >= CHUNK:
                self._tell(news, [])
            else:
                self._alive()
        self._tell(news, remarks if self._first else [])
        self._sightings, self._first = seen, False
        return None

    def _alive(self) -> None:
        if time.monotonic() - self._spoke > WORD_EVERY_SECONDS:
            self._say(Looking())

    def _absent(self) -> str | None:
        """Why the folder is not what is to be watched; listens to it otherwise."""
        root = self._setup.input.path
        try:
            status = os.stat(root)
            with os.scandir(root) as entries:
                empty = next(entries, None) is None
        except FileNotFoundError:
            return "does not exist"
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        if not stat.S_ISDIR(status.st_mode):
            return "is no folder any more"
        if empty and self._device not in (None, status.st_dev):
            return "is empty and on another file system than before, as if something were not mounted"
        self._device = status.st_dev
        self._local = not network_filesystem(root)  # elsewhere asking who writes costs much and tells nothing
        self._wakeups.listen(status)
        return None

    def _seen(
        self, relative: bytes, entry: Candidate | PassedOver, began: float, news: list[Candidate | PassedOver]
    ) -> Sighting:
        """The sighting of one entry. It is conservative: unchanged from after this look to before a later one."""
        sighting = sighted(self._sightings.get(relative), mark_of(entry), time.monotonic())
        if not (self._first or settled(sighting, began, self._setup.min_age_seconds)) or sighting.told:
            return sighting
        if self._local and isinstance(entry, Candidate) and open_for_writing(entry.source.path):
            return Sighting(sighting.mark, time.monotonic())
        news.append(entry)
        return told(sighting)

    def _presence(self, why: str | None) -> None:
        """Tell where the folder went or came back."""
        if why is not None and not self._vanished:
            self._say(Vanished(why))
        elif why is None and self._vanished:
            self._say(Reappeared())
        self._vanished = why is not None

    # ------------------------------------------------------------ between looks

    def _rest(self, ended: float, *, took: float) -> None:
        """Wait until it is time to look again, or something was heard."""
        poll = self._setup.profile.watch.poll_seconds
        least = max(LEAST_PAUSE_SECONDS, REST_SHARE * took)
        sightings = () if self._vanished else self._sightings.values()
        at_most = min(poll, ABSENT_LOOK_SECONDS) if self._vanished else LEAST_PAUSE_SECONDS if self._young else poll
        pause = next_look(
            sightings,
            ended,
            min_age_seconds=self._setup.min_age_seconds,
            poll_seconds=at_most,
            least_seconds=least,
        )
        for problem in self._wakeups.problems():
            text = f"{problem}the input is looked at every {poll:g} s instead."
            self._say(Found((), (), (Remark(text),)))
        self._say(Looked(max(poll, pause)))
        heard = False
        while self._open:
            now = time.monotonic()
            due = ended + (least if heard else pause)
            if now >= due:
                return
            sources: list[Any] = [self._connection] if heard else [self._connection, self._wakeups.socket]
            ready = wait(sources, timeout=due - now)
            heard = heard or self._wakeups.socket in ready
            if self._connection in ready and isinstance(self._connection.recv(), Close):
                self._open = False

    def _tell(self, news: list[Candidate | PassedOver], remarks: list[Remark]) -> None:
        if news or remarks:
            candidates = tuple(entry for entry in news if isinstance(entry, Candidate))
            passed_over = tuple(entry for entry in news if isinstance(entry, PassedOver))
            self._say(Found(candidates, passed_over, tuple(remarks)))
            news.clear()

    def _say(self, message: object) -> None:
        self._connection.send(message)
        self._spoke = time.monotonic()
