"""What is a task given, and what does it return?

A task never waits and never spawns: `run` is a generator that yields one `Step` for each ffmpeg it needs and is resumed
with that ffmpeg's end. So one single-threaded batch process drives several jobs at once.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from pyprocessor.ffmpeg.invocation import Invocation
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import CostFeatures, MediaInfo, OutputFacts, Profile, Source


@dataclass(frozen=True, slots=True)
class Work:
    """One job in its batch process. `partial` is the temporary name of the output, in the folder `partials`."""

    job_id: str
    source: Source
    media: MediaInfo
    profile: Profile
    threads: int
    partials: bytes
    partial: str

    @property
    def partial_path(self) -> bytes:
        return self.partials + b"/" + self.partial.encode("ascii")


@dataclass(frozen=True, slots=True)
class Step:
    """One ffmpeg to run. `last` says that no other follows, so its slot may be filled while the output is verified."""

    invocation: Invocation
    last: bool = True


class Task(Protocol):
    """A kind of work. Both methods raise `errors.JobError` for a file that cannot be done."""

    name: str

    def features(self, profile: Profile, media: MediaInfo) -> CostFeatures:
        """What the job's costs depend on."""

    def run(self, work: Work) -> Generator[Step, Finished, OutputFacts]:
        """Yield the ffmpegs to run; return what was verified of the partial output."""
