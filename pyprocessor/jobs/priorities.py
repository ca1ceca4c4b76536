"""When does a job's priority let it start? Bands of numbers, and how jobs rise through them while they wait. Pure.

    0 and below   first, in the order of their numbers
    1 to 5        high
    6 to 10       normal
    11 and more   idle: while nothing of another band waits, and other programs leave the machine half free

Each `RISE_SECONDS` of waiting lift a job by one band, to its end: an idle job counts as a 10, then as a 5. From there
it goes to the front of the band, before all that came later, and never before a 0. So nothing starves, except behind
zeros. Each retry counts as one number more; a 0 goes behind the zeros that were not tried so often.
"""

from __future__ import annotations

HIGH, NORMAL, IDLE = 1, 6, 11
"""The first number of each band."""
RISE_SECONDS = 60.0
_LAST_OF_BAND = (NORMAL - 1, IDLE - 1)

Band = tuple[int, int, int]
"""Number, tries, and the period in which it began to wait: jobs with the same band always have the same place."""
Rank = tuple[float, tuple[tuple[int, bytes], ...]]
"""A place among the jobs of one number, the lowest first: a number, then a path. What is equal goes by its cost."""
UNRANKED: Rank = (0.0, ())
Standing = tuple[int, int]
"""A place in the order: a number as of a priority, and what goes before what among those of the same number."""


def band_of(priority: int, tries: int, queued_in: int) -> Band:
    """The band of a job; those of 0 and below do not rise, so for them it does not matter since when they wait."""
    return (priority, tries, 0) if priority < HIGH else (priority + tries, tries, queued_in)


def standing(band: Band, period: int) -> Standing:
    """The place of a job in this period, the periods being counted from any time; the lowest is first."""
    number, tries, queued_in = band
    risen = period - queued_in
    if number < HIGH or risen <= 0:
        return number, tries
    above = 0 if number < NORMAL else 1 if number < IDLE else 2
    return (_LAST_OF_BAND[above - risen], 0) if risen <= above else (HIGH, above - risen)
