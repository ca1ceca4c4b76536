"""Does an improved text still say what the original says?"""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.speech.scoring import word_error_rate
from pyprocessor.speech.words import numbers, words

_MOST_NAMED = 5
"""Numbers that a reason names."""


@dataclass(frozen=True, slots=True)
class Preservation:
    """Whether the content is preserved; where it is not, `reasons` are sentences."""

    preserved: bool
    word_error_rate: float
    """Of the improved text against the original: how much of it was changed."""
    reasons: tuple[str, ...] = ()


def preserved(original: str, improved: str, *, most_word_error_rate: float) -> Preservation:
    """Compare an improved text with its original: few enough words are changed, and the same numbers stand in both.

    Letter case, punctuation and whether a number is written in words do not count. Raises JobError without jiwer.
    """
    before, after = words(original), words(improved)
    rate = word_error_rate(before, after)
    reasons = []
    if rate > most_word_error_rate:
        reasons.append(f"{rate:.0%} of its words were changed, of {most_word_error_rate:.0%} that may be.")
    lost, new = numbers(before) - numbers(after), numbers(after) - numbers(before)
    if lost:
        reasons.append(f"Numbers are missing: {_named(lost)}.")
    if new:
        reasons.append(f"Numbers were added: {_named(new)}.")
    return Preservation(not reasons, rate, tuple(reasons))


def _named(found: frozenset[str]) -> str:
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(sorted(found)[:_MOST_NAMED]) + more
