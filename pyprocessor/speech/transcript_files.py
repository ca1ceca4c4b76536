"""Which texts does a transcript consist of, and how are others put in their places? Text, SRT, WebVTT and JSON.

Everything else of the file stays as it is: times, names of cues, notes, styles, other fields of JSON.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.speech.subtitles import LINE_CHARACTERS

ENDINGS = (".txt", ".srt", ".vtt", ".json")
REFERENCE_ENDING = ".ref.txt"
"""Of what somebody wrote by hand of what is said, to compare transcripts with; it is none itself."""
MOST_BYTES = 16 << 20
ARROW = "-->"


@dataclass(frozen=True, slots=True)
class Transcript:
    """`texts` are those of its cues, each one line; a plain text is one of as many lines as it has."""

    texts: tuple[str, ...]
    ending: str
    _around: Any
    """What is left of the file: lines of it with places for texts, or the document."""

    @property
    def cues(self) -> bool:
        """Whether its texts have times."""
        return self.ending != ".txt"

    def written(self, texts: Sequence[str]) -> str:
        """Return the file with these texts, as many as it has, in place of its own."""
        if not self.cues:
            return texts[0]
        if self.ending == ".json":
            return _document(self._around, texts)
        lines: list[str] = []
        for part in self._around:
            if isinstance(part, str):
                lines.append(part)
            else:
                place, height = part
                lines += _wrapped(texts[place], height)
        return "\n".join(lines)


def transcript(data: bytes, ending: str) -> Transcript:
    """Read the bytes of a file whose name ends so. Raises JobError where they are no such transcript."""
    if ending not in ENDINGS:
        text = f"A transcript is a file that ends in {', '.join(ENDINGS)}; this one ends in {ending or 'nothing'!r}."
        raise JobError(FailureKind.UNSUPPORTED, text)
    if len(data) > MOST_BYTES:
        raise JobError(FailureKind.UNSUPPORTED, f"It has more than {MOST_BYTES:,} bytes, which no transcript has.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JobError(FailureKind.BAD_INPUT, "It is no text in UTF-8.") from error
    if ending == ".txt":
        return Transcript((text,), ending, None)
    return _of_json(text) if ending == ".json" else _of_cues(text, ending)


def _of_cues(text: str, ending: str) -> Transcript:
    texts: list[str] = []
    around: list[str | tuple[int, int]] = []
    spoken: list[str] = []
    within = False
    for line in (*text.replace("\r\n", "\n").split("\n"), None):
        if line is not None and within and line.strip() and ARROW not in line:
            spoken.append(line.strip())
            continue
        if spoken:
            around.append((len(texts), len(spoken)))
            texts.append(" ".join(spoken))
            spoken = []
        if line is not None:
            within = ARROW in line
            around.append(line)
    if ARROW not in text and text.strip() not in ("", "WEBVTT"):
        raise JobError(FailureKind.BAD_INPUT, "It has no cues: no line has a time, an arrow and another time.")
    return Transcript(tuple(texts), ending, tuple(around))


def _of_json(text: str) -> Transcript:
    try:
        document = json.loads(text)
        texts = tuple(" ".join(segment["text"].split()) for segment in document["segments"])
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        what = "It is no transcript in JSON, which has a list `segments` whose parts have a `text`."
        raise JobError(FailureKind.BAD_INPUT, what) from error
    return Transcript(texts, ".json", document)


def _document(document: dict[str, Any], texts: Sequence[str]) -> str:
    segments = [{**segment, "text": text} for segment, text in zip(document["segments"], texts, strict=True)]
    whole = {"text": " ".join(texts)} if isinstance(document.get("text"), str) else {}
    return json.dumps({**document, **whole, "segments": segments}, ensure_ascii=False, indent=1) + "\n"


def _wrapped(text: str, height: int) -> list[str]:
    """Return a cue's text in about as many lines as it had."""
    if height < 2:
        return [text]
    width = max(LINE_CHARACTERS, -(-len(text) // height) + LINE_CHARACTERS // 4)
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
