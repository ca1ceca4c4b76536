"""What a run is asked to do, and who hears how it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyprocessor.models import Outcome, Profile, RunSnapshot


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run. `input` (a file or a folder) and `output` (a folder) are absolute; `arguments` is for the journal.

    `limit` bounds how many files are taken up; `retry_failed` starts failed ones over; `overwrite` allows taking the
    place of files in the output folder that no run of ours made. `watch` goes on when all is done, with what comes into
    the input folder from then on. `input_device` is the number of the file system that the input is on, where it is
    known: a folder that is empty on another is taken for one that something is not mounted on.
    """

    input: bytes
    output: bytes
    profile: Profile
    tool_path: str
    arguments: str = ""
    limit: int | None = None
    retry_failed: bool = False
    overwrite: bool = False
    watch: bool = False
    input_device: int | None = None


class Listener(Protocol):
    """Hears of a run, on the engine's own thread: every method must return at once."""

    def found(self, files: int, listing_done: bool) -> None:
        """So many files were listed up to now."""

    def queued(self, jobs: int, media_seconds: float) -> None:
        """Totals of the work known up to now; they grow while the listing goes on."""

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        """A file's attempt began."""

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        """How far a running file is; `speed` is media seconds per second."""

    def finished(self, job_id: str, outcome: Outcome, *, will_retry: bool = False) -> None:
        """An attempt ended, or a file was settled without one."""

    def notice(self, level: str, text: str) -> None:
        """One plain sentence; `level` is "info", "warning" or "error"."""

    def tick(self, snapshot: RunSnapshot) -> None:
        """Where the run stands; at least once a second."""
