"""What was said in a recording, and when? Transcripts of its pieces, read from back ends and merged."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pyprocessor.errors import FailureKind, JobError

VERSION = 1
"""Of the JSON that a transcript is written as."""
_PARAGRAPH_SECONDS = 2.0
"""A pause of so long begins a new line of the text."""
_SPACELESS = frozenset({"zh", "ja", "yue", "th", "lo", "my", "km"})
"""Languages that are written without spaces between words."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said from `start` to `end`, in seconds; `confidence` is from 0 to 1, None where it is not known."""

    start: float
    end: float
    text: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A stretch that may be speech and of which no words came, in seconds, with why."""

    start: float
    end: float
    why: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """Segments by time; `language` is a code such as `en`, None where it is not known."""

    segments: tuple[Segment, ...] = ()
    language: str | None = None
    language_probability: float | None = None
    dropped: tuple[Dropped, ...] = ()

    @property
    def text(self) -> str:
        """All that was said, a line for what stands between two longer pauses."""
        space = "" if self.language in _SPACELESS else " "
        lines: list[list[str]] = []
        end = -math.inf
        for segment in self.segments:
            if segment.start - end >= _PARAGRAPH_SECONDS:
                lines.append([])
            lines[-1].append(segment.text)
            end = segment.end
        return "\n".join(space.join(line) for line in lines)

    def document(self, seconds: float) -> dict[str, Any]:
        """The transcript of a recording of so many seconds as JSON."""
        return {"version": VERSION, "duration_seconds": round(seconds, 3), "text": self.text, **asdict(self)}


def transcript(document: str | bytes, begin: float, seconds: float) -> Transcript:
    """Read what a back end wrote of a piece, which begins so many seconds after the recording and lasts so long.

    Times outside the piece are brought to its ends, and segments without words left out. Raises JobError where it is no
    transcript.
    """
    try:
        found = json.loads(document)
        segments = tuple(
            Segment(*_within(one["start"], one["end"], begin, seconds), str(one["text"]).strip(), _share(one))
            for one in found["segments"]
        )
        dropped = tuple(Dropped(*_within(a, b, begin, seconds), str(why)) for a, b, why in found.get("dropped", ()))
        language, probability = found.get("language"), found.get("language_probability")
        return Transcript(
            tuple(sorted((one for one in segments if one.text), key=lambda one: one.start)),
            str(language) if language else None,
            float(probability) if probability is not None else None,
            dropped,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"The back end wrote what is no transcript: {error!r}; its function has to be mended."
        raise JobError(FailureKind.UNSUPPORTED, text) from error


def merged(pieces: Iterable[Transcript]) -> Transcript:
    """One transcript of those of all pieces, in their order; its language is the one in which most was said."""
    pieces = tuple(pieces)
    seconds: dict[str, float] = defaultdict(float)
    sure: dict[str, list[float]] = defaultdict(list)
    for piece in pieces:
        if piece.language is not None:
            seconds[piece.language] += sum(segment.end - segment.start for segment in piece.segments)
            if piece.language_probability is not None:
                sure[piece.language].append(piece.language_probability)
    language = max(seconds, key=lambda name: seconds[name], default=None)
    known = sure[language] if language is not None else []
    return Transcript(
        tuple(segment for piece in pieces for segment in piece.segments),
        language,
        sum(known) / len(known) if known else None,
        tuple(one for piece in pieces for one in piece.dropped),
    )


def _within(start: Any, end: Any, begin: float, seconds: float) -> tuple[float, float]:
    first = min(max(float(start), 0.0), seconds)
    last = min(max(float(end), first), seconds)
    if math.isnan(first) or math.isnan(last):
        raise ValueError("a time is no number")
    return round(begin + first, 3), round(begin + last, 3)


def _share(segment: Any) -> float | None:
    value = segment.get("confidence")
    return None if value is None else round(min(max(float(value), 0.0), 1.0), 4)
