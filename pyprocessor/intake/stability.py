"""When a file has settled: nobody has written to it for long enough. Pure: sightings and the clock are arguments.

    never seen, or seen with another size or time   a new sighting, from now on
    seen as before                                  the old sighting stands
    stood for `min_age`, and not told of yet        settled: it is told of, once

Times of files are compared with each other only, never with a clock: that of a file server may be minutes off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pyprocessor.workers.messages import Candidate, PassedOver

Mark = tuple[int, int] | str
"""What a change of a file would alter: size and mtime, or for one that is passed over, why."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something seen under a path, unchanged `since` a monotonic time; `told` once the engine knows of it."""

    mark: Mark
    since: float
    told: bool = False


def mark_of(entry: Candidate | PassedOver) -> Mark:
    """What a change of it would alter."""
    if entry.source is not None:
        return entry.source.size_bytes, entry.source.mtime_ns
    assert isinstance(entry, PassedOver)
    return entry.reason


def sighted(before: Sighting | None, mark: Mark, now: float) -> Sighting:
    """The sighting after a look; `before` is what the last look left, None where nothing was there."""
    if before is not None and before.mark == mark:
        return before
    return Sighting(mark, now)


def settled(sighting: Sighting, now: float, min_age_seconds: float) -> bool:
    """Whether it is to be told of now."""
    return not sighting.told and now - sighting.since >= min_age_seconds


def told(sighting: Sighting) -> Sighting:
    """The sighting once the engine knows of it."""
    return replace(sighting, told=True)


def next_look(
    sightings: Iterable[Sighting], now: float, *, min_age_seconds: float, poll_seconds: float, least_seconds: float
) -> float:
    """In how many seconds to look again: when the first may have settled, from `least_seconds` to `poll_seconds`
    (where that is less than `least_seconds`, that)."""
    due = min((s.since + min_age_seconds - now for s in sightings if not s.told), default=poll_seconds)
    return max(least_seconds, min(due, poll_seconds))
