"""How fast memory grows, told from one reading to the next. Pure.

Rates are smoothed over `SMOOTHING_SECONDS`, since memory grows in steps and a file's memory and the machine's are not
sampled at one instant. What a file grows by is its own; growth of the whole that no file of ours explains is someone
else's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyprocessor.models import Reading

SMOOTHING_SECONDS = 0.1
MIN_STEP_SECONDS = 0.02
"""Readings nearer to each other than this tell nothing of a rate; they are taken together."""
MAX_STEP_SECONDS = 5.0
"""After a longer gap (the machine slept, a clock jumped) rates start anew."""
UNTRUSTED_SECONDS = 0.15
"""For so long ahead a file's rate counts even where its prediction says that it should end growing, once another file's
prediction has turned out too low."""


@dataclass(frozen=True, slots=True)
class RunningFile:
    """One file being encoded now. `memory_bytes` is the resident memory of its ffmpeg, `predicted_bytes` the peak that
    was reserved for it when it began, and `likely_bytes` what its kind is now known to take, where that is more; the
    youngest has the largest `started_seconds` (monotonic). `sheds` counts how often it was ended for want of memory
    before."""

    job_id: str
    name: str
    started_seconds: float
    memory_bytes: int
    predicted_bytes: int
    suspended: bool = False
    sheds: int = 0
    likely_bytes: int = 0

    @property
    def remaining_bytes(self) -> int:
        """What it is predicted to grow by."""
        return max(0, max(self.predicted_bytes, self.likely_bytes) - self.memory_bytes)


@dataclass(frozen=True, slots=True)
class FileRate:
    """A file's memory at the last reading, and the rate (bytes per second) it grew at."""

    job_id: str
    memory_bytes: int
    rate: float


@dataclass(frozen=True, slots=True)
class Growth:
    """What is carried from reading to reading. `others_rate` is in bytes per second, never negative."""

    at_seconds: float | None = None
    used_bytes: int = 0
    our_bytes: int = 0
    files: tuple[FileRate, ...] = ()
    others_rate: float = 0.0

    def rates(self) -> Mapping[str, float]:
        return {file.job_id: file.rate for file in self.files}


def observe(
    last: Growth, reading: Reading, running: Sequence[RunningFile], longest_step_seconds: float = MAX_STEP_SECONDS
) -> tuple[Growth, float]:
    """The rates as of this reading, and the seconds since the last one: 0 after a gap and where the clock went back."""
    now = reading.monotonic_seconds
    step = 0.0 if last.at_seconds is None else now - last.at_seconds
    if last.at_seconds is None or step < 0 or step > longest_step_seconds:
        return _anew(reading, running), 0.0
    if step < MIN_STEP_SECONDS:
        return last, 0.0
    weight = 1 - math.exp(-step / SMOOTHING_SECONDS)
    known = {file.job_id: file for file in last.files}
    files = []
    explained = 0
    for file in running:
        before = known.get(file.job_id)
        if before is None:
            explained += file.memory_bytes
            files.append(FileRate(file.job_id, file.memory_bytes, _first_rate(file, now)))
        else:
            grown = file.memory_bytes - before.memory_bytes
            explained += max(0, grown)
            rate = before.rate + weight * (grown / step - before.rate)
            files.append(FileRate(file.job_id, file.memory_bytes, rate))
    # A file that is not on the list yet is ours all the same. Memory that was given back never makes others grow,
    # whether a file's end shows first in the whole or in the list.
    explained = max(explained, reading.our_memory_bytes - last.our_bytes)
    others = max(0, reading.used_memory_bytes - last.used_bytes - explained) / step
    others_rate = last.others_rate + weight * (others - last.others_rate)
    return Growth(now, reading.used_memory_bytes, reading.our_memory_bytes, tuple(files), others_rate), step


def _anew(reading: Reading, running: Sequence[RunningFile]) -> Growth:
    now = reading.monotonic_seconds
    files = tuple(FileRate(file.job_id, file.memory_bytes, _first_rate(file, now)) for file in running)
    return Growth(now, reading.used_memory_bytes, reading.our_memory_bytes, files)


def _first_rate(file: RunningFile, now: float) -> float:
    """Of a file seen for the first time: all it has, over the time since its start, where that is short."""
    age = now - file.started_seconds
    return file.memory_bytes / max(age, MIN_STEP_SECONDS) if 0 <= age <= 1 else 0.0


def ahead_bytes(files: Sequence[RunningFile], rates: Mapping[str, float], seconds: float) -> dict[str, int]:
    """What each file is going to grow by within `seconds`, by its rate (bytes per second), if it goes on.

    As long as all files keep to their predictions they are trusted to end there, so that a start that goes as planned
    alarms nobody. Once one is beyond its own, those of the others are worth less (`UNTRUSTED_SECONDS`).
    """
    doubted = min(seconds, UNTRUSTED_SECONDS) if any(file.memory_bytes > file.predicted_bytes for file in files) else 0
    ahead = {}
    for file in files:
        rate = max(0.0, rates.get(file.job_id, 0.0))
        trusted = min(rate * seconds, file.remaining_bytes)
        beyond = file.memory_bytes > file.predicted_bytes
        ahead[file.job_id] = int(rate * seconds if beyond else max(trusted, rate * doubted))
    return ahead
