"""Which finished jobs may leave the journal, and how are they deleted?"""

from __future__ import annotations

from collections.abc import Iterator

from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.writer import JournalWriter


class Pruning(JournalWriter):
    """The part of the journal that lets finished jobs go."""

    def select_prunable(self, *, before: float, keep: int) -> int:
        """Note which jobs may go, and return how many: finished before a time, and not among the last `keep`.

        A job stays while one that stays may still need it: one that is not finished, or that failed and may be done
        again. Of a folder's files only those go whose outputs the journal knows without them, since the rows of the
        others are why they are not tried again.
        """
        self._write("make_prunable")
        self._write("clear_prunable")
        return self._write("select_prunable", before=before, keep=keep).rowcount

    def prunable(self) -> Iterator[JobRow]:
        """The jobs that were noted, in the order in which they came."""
        return self._stream(JobRow, "prunable_page")

    def prune(self) -> None:
        """Delete the jobs that were noted, with their attempts, names and params that no other job has."""
        with self.transaction():
            for statement in ("prune_attempts", "prune_dependencies", "prune_claims", "prune_jobs", "prune_params"):
                self._write(statement)
