"""Which stretches of a recording may be speech, and have no words in the transcript?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Stretch = tuple[float, float]
"""From when until when, in seconds."""
LEAST_SECONDS = 1.0
"""Shorter stretches are breaths, and the padding that detectors of speech put around what they find."""


def uncovered(stretches: Iterable[Stretch], covered: Iterable[Stretch]) -> Iterator[Stretch]:
    """Yield the parts of `stretches` that no stretch of `covered` lies over and that last a second or more."""
    over = sorted(covered)
    for start, end in stretches:
        at = start
        for begin, until in over:
            if until <= at or begin >= end:
                continue
            if begin - at >= LEAST_SECONDS:
                yield at, begin
            at = max(at, until)
        if end - at >= LEAST_SECONDS:
            yield at, end
