"""How good is a transcript: how sure is the back end, what has no words, how does it compare with a reference?"""

from __future__ import annotations

from collections.abc import Iterator

from pyprocessor.models.wording import duration
from pyprocessor.speech.scoring import word_error_rate
from pyprocessor.speech.transcripts import Transcript
from pyprocessor.speech.words import words

DOUBTFUL = 0.5
"""A segment of lower confidence is doubtful: of its words as many may be wrong as right."""
_QUOTED = 60
"""Characters of a segment that a warning quotes."""


def confidence(transcript: Transcript) -> float | None:
    """Return the mean confidence of all that was said, by seconds; None where no segment has one."""
    known = [
        (one.confidence, max(one.end - one.start, 0.01)) for one in transcript.segments if one.confidence is not None
    ]
    seconds = sum(length for _, length in known)
    return sum(share * length for share, length in known) / seconds if known else None


def accuracy(transcript: Transcript, reference: str) -> float:
    """Return how much of the reference is right, in percent: 100 without any error, 0 where as much is wrong."""
    return max(0.0, 100 * (1 - word_error_rate(words(reference), words(transcript.text))))


def warnings(transcript: Transcript) -> Iterator[str]:
    """Yield what somebody who reads the transcript has to know, as sentences."""
    if not transcript.segments:
        yield "No words were recognized."
    doubtful = [one for one in transcript.segments if one.confidence is not None and one.confidence < DOUBTFUL]
    if doubtful:
        first, all_of_them = doubtful[0], len(transcript.segments)
        text = first.text if len(first.text) <= _QUOTED else first.text[:_QUOTED].rstrip() + "..."
        what = f"{len(doubtful)} of {all_of_them} segments are doubtful (confidence below {DOUBTFUL:g})"
        yield f"{what}, the first at {duration(first.start)}: {text!r}."
    for why in dict.fromkeys(one.why for one in transcript.dropped):
        lost = [one for one in transcript.dropped if one.why == why]
        seconds = sum(one.end - one.start for one in lost)
        yield f"{seconds:.1f} s that may be speech have no words: {why}, first at {duration(lost[0].start)}."
