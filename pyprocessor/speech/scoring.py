"""How far is a text from another one? Word error rate, by jiwer."""

from __future__ import annotations

from collections.abc import Sequence

from pyprocessor.models.extras import check_installed


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Return inserted, left out and replaced words as a share of those of the reference; 0.0 is the same text.

    It may exceed 1. Where the reference has no words it is 0.0 or 1.0. Words are those of `words.words`. Raises
    JobError where jiwer is not installed.
    """
    if not reference or not hypothesis:
        return float(bool(reference) or bool(hypothesis))
    check_installed("openai", "Comparing texts", library="jiwer")
    import jiwer  # takes 100 ms

    return float(jiwer.wer(" ".join(reference), " ".join(hypothesis)))
