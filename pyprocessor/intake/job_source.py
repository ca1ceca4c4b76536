"""Where do the jobs of a run come from? A folder, a folder that is watched, the journal, or several of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

from pyprocessor.intake.classify import Finding
from pyprocessor.workers.process import Child


class JobSource(ABC):
    """One of them. Call `begin`, then `findings` once a turn as long as it is not `finished`."""

    files: int = 0
    """How many files were listed up to now."""

    @property
    def listed(self) -> bool:
        """Whether the listing is complete."""
        return True

    @property
    def away(self) -> bool:
        """Whether what it lists is gone for now, so that nothing is to be started."""
        return False

    @property
    def complete(self) -> bool:
        """Whether all that is known to be there was listed and inspected."""
        return self.finished

    @property
    def waits(self) -> bool:
        """Whether it is for what may come later, so that a run that has nothing to do rests."""
        return False

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether nothing more is to come, unless something is released or submitted."""

    @property
    def pending(self) -> int:
        """How many files or jobs are known and still to be inspected."""
        return 0

    @property
    def pending_ratio(self) -> float:
        """Bytes of the files that are still to be inspected over the bytes of those that were."""
        return 0.0

    @property
    def busy(self) -> bool:
        """Whether `findings` has more to do at once."""
        return False

    @property
    def children(self) -> Sequence[Child]:
        """Its processes, whose connections the loop waits for."""
        return ()

    def begin(self, now: float) -> None:  # noqa: B027 - most need nothing
        """Start what it needs."""

    def asks_for(self, job_id: str) -> bool:  # noqa: ARG002 - most ask for all
        """Whether this run reports a job that failed in an earlier one, and may try it again."""
        return True

    @abstractmethod
    def findings(self, now: float) -> Iterator[Finding]:
        """Take in what its processes sent, replace those that hang, go on with what waits."""

    def doubt(self) -> bool:
        """Take what it lists for gone until it is seen again; False where it does not come back by itself."""
        return False

    def enough(self) -> None:
        """Find no more: as many as are wanted are known."""
        self.stop()

    @abstractmethod
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
    def waits(self) -> bool:
        return any(source.waits for source in self._sources)

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
        """What the loop waits for."""
        return [child.connection for source in self._sources for child in source.children]

    @property
    def pids(self) -> list[int]:
        """Of their processes, for what they take."""
        return [child.pid for source in self._sources for child in source.children]

    def asks_for(self, job_id: str) -> bool:
        return all(source.asks_for(job_id) for source in self._sources)

    def begin(self, now: float) -> None:
        for source in self._sources:
            source.begin(now)

    def findings(self, now: float) -> Iterator[Finding]:
        for source in self._sources:
            yield from source.findings(now)

    def doubt(self) -> bool:
        away = [source.doubt() for source in self._sources]
        return any(away)

    def enough(self) -> None:
        for source in self._sources:
            source.enough()

    def stop(self) -> None:
        for source in self._sources:
            source.stop()
