"""Where do the jobs of a run come from? A folder, a folder that is watched, the journal, or several of these."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Protocol

from pyprocessor.intake.classify import Finding


class JobSource(Protocol):
    """One of them. Call `begin`, then `handle` and `check` once a turn as long as it is not `finished`."""

    @property
    def files(self) -> int:
        """How many files were listed up to now."""

    @property
    def listed(self) -> bool:
        """Whether the listing is complete."""

    @property
    def away(self) -> bool:
        """Whether what it lists is gone for now, so that nothing is to be started."""

    @property
    def complete(self) -> bool:
        """Whether all that is known to be there was listed and inspected."""

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come, unless something is released or submitted."""

    @property
    def pending(self) -> int:
        """How many files or jobs are known and still to be inspected."""

    @property
    def pending_ratio(self) -> float:
        """Bytes of the files that are still to be inspected over the bytes of those that were."""

    @property
    def busy(self) -> bool:
        """Whether `check` has more to do at once."""

    @property
    def connections(self) -> list[Connection]:
        """What the loop waits for."""

    @property
    def pids(self) -> list[int]:
        """Its processes, for what they take."""

    def begin(self, now: float) -> None:
        """Start what it needs."""

    def handle(self, now: float) -> Iterator[Finding]:
        """Take in messages. Call it only when one of `connections` is ready."""

    def check(self, now: float) -> Iterator[Finding]:
        """Do what needs no message: replace processes that hang, go on with what waits."""

    def doubt(self) -> bool:
        """Take what it lists for gone until it is seen again; False where it does not come back by itself."""

    def stop(self) -> None:
        """End: nothing more is to be found."""


class JobSources:
    """Several as one."""

    def __init__(self, sources: Sequence[JobSource]) -> None:
        self._sources = sources

    @property
    def files(self) -> int:
        return sum(source.files for source in self._sources)

    @property
    def listed(self) -> bool:
        return all(source.listed for source in self._sources)

    @property
    def away(self) -> bool:
        return any(source.away for source in self._sources)

    @property
    def complete(self) -> bool:
        return all(source.complete for source in self._sources)

    @property
    def finished(self) -> bool:
        return all(source.finished for source in self._sources)

    @property
    def pending(self) -> int:
        return sum(source.pending for source in self._sources)

    @property
    def pending_ratio(self) -> float:
        return max((source.pending_ratio for source in self._sources), default=0.0)

    @property
    def busy(self) -> bool:
        return any(source.busy for source in self._sources)

    @property
    def connections(self) -> list[Connection]:
        return list(itertools.chain.from_iterable(source.connections for source in self._sources))

    @property
    def pids(self) -> list[int]:
        return list(itertools.chain.from_iterable(source.pids for source in self._sources))

    def begin(self, now: float) -> None:
        for source in self._sources:
            source.begin(now)

    def handle(self, now: float) -> Iterator[Finding]:
        for source in self._sources:
            if any(connection.poll(0) for connection in source.connections):
                yield from source.handle(now)

    def check(self, now: float) -> Iterator[Finding]:
        for source in self._sources:
            yield from source.check(now)

    def doubt(self) -> bool:
        away = [source.doubt() for source in self._sources]
        return any(away)

    def stop(self) -> None:
        for source in self._sources:
            source.stop()
