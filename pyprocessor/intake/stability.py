"""Has a file been left alone for long enough to be taken? Pure: sightings and the clock are arguments.

Times of files are compared with each other only, never with a clock: that of a file server may be minutes off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pyprocessor.intake.messages import Candidate, PassedOver

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

    def as_reported(self) -> Sighting:
        return replace(self, reported=True)


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
