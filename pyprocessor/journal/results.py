"""What was made of the same content before? The result cache, which holds so many results, each for a time."""

from __future__ import annotations

from pyprocessor.journal.writer import JournalWriter, values_of
from pyprocessor.models import Source

REUSED = "reused"
"""The kind of the event that a job got a copy of a result."""


class ResultCache(JournalWriter):
    """The part of the journal that keeps results, by keys in which is all that a result depends on."""

    def remember_content(self, source: Source, digest: str) -> None:
        """Keep what identifies the bytes of a file."""
        self._write("remember_content", digest=digest, **values_of(source))

    def keep_result(self, key: str, result: str, most: int) -> None:
        """Keep a result, as JSON; where there are more than `most`, those that were not used for longest go."""
        with self.transaction():
            self._write("keep_result", key=key, result=result)
            self._write("bound_results", most=most)

    def use_result(self, key: str) -> None:
        """Note that a result was used, so that it stays."""
        self._write("use_result", key=key)

    def count_lookup(self) -> None:
        """Count a job of this run for which a result was looked for."""
        self._write("count_lookup")

    def count_hit(self, saved_cpu_seconds: float) -> None:
        """Count a job of this run that got a copy of a result."""
        self._write("count_hit", cpu_seconds=saved_cpu_seconds)
