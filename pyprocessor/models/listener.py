"""What is a run asked to do, and who is called back while it runs?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyprocessor.models import Input, InputFolder, Outcome, Profile, RunSnapshot, display


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run.

    `output` is an absolute folder. `arguments` is the command line, for the journal. `limit` bounds how many files are
    taken up. `overwrite` allows replacing files in the output that no run made. `watch` goes on with what comes into
    the input folder, which is then the only input.
    """

    inputs: tuple[Input, ...]
    output: bytes
    profile: Profile
    tool_path: str
    arguments: str = ""
    limit: int | None = None
    retry_failed: bool = False
    overwrite: bool = False
    watch: bool = False

    @property
    def folders(self) -> tuple[InputFolder, ...]:
        """The folders that the inputs are or lie in, each once."""
        return tuple(dict.fromkeys(given.folder for given in self.inputs))

    @property
    def input_named(self) -> str:
        """The inputs for a sentence."""
        first, *others = (display(given.path) for given in self.inputs)
        return f"{first} and {len(others)} more" if others else first


class Listener(Protocol):
    """Called back on the engine's own thread, so every method must return at once."""

    def found(self, files: int, listing_done: bool) -> None:
        """So many files were listed up to now."""

    def queued(self, jobs: int, media_seconds: float) -> None:
        """Totals of the work known up to now; they grow while the listing goes on."""

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        """A file's attempt began."""

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        """How far a running file is; `speed` is media seconds per second."""

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        """An attempt ended, or the file `name` was settled without one; the reason does not name it."""

    def notice(self, level: str, text: str) -> None:
        """One plain sentence; `level` is "info", "warning" or "error"."""

    def tick(self, snapshot: RunSnapshot) -> None:
        """How far the run is; at least once a second."""
