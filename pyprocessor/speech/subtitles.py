"""How does a transcript read as subtitles? Cues of two short lines each, as SubRip and WebVTT.

Lines of 42 characters, two of them, up to seven seconds, is what broadcasters and streaming services ask for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pyprocessor.speech.transcripts import Segment

LINE_CHARACTERS = 42
LINES = 2
LONGEST_SECONDS = 7.0
SHORTEST_SECONDS = 1.0
"""A cue is shown so long where the next one leaves room."""
_GAP_SECONDS = 0.08
"""Between cues that would touch: two pictures at 25 a second."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown from `start` to `end`, in seconds."""

    start: float
    end: float
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def cues(segments: Iterable[Segment]) -> list[Cue]:
    """Return the cues of segments that are sorted by time; none overlaps the next.

    A segment of more than two lines, or that lasts longer than a cue, becomes several, each with as much of its time as
    of its characters.
    """
    timed = [one for segment in segments for one in _split(segment)]
    timed.sort(key=lambda cue: cue.start)
    shown: list[Cue] = []
    for number, cue in enumerate(timed):
        room = timed[number + 1].start if number + 1 < len(timed) else cue.start + LONGEST_SECONDS
        end = min(max(cue.end, cue.start + SHORTEST_SECONDS), cue.start + LONGEST_SECONDS)
        if end > room - _GAP_SECONDS:
            end = max(room - _GAP_SECONDS, (cue.start + room) / 2)
        shown.append(Cue(cue.start, max(end, cue.start), cue.lines))
    return shown


def srt(shown: Sequence[Cue]) -> str:
    """The cues as SubRip."""
    return "".join(
        f"{number}\n{timestamp(cue.start, ',')} --> {timestamp(cue.end, ',')}\n{cue.text.replace('-->', '->')}\n\n"
        for number, cue in enumerate(shown, start=1)
    )


def vtt(shown: Sequence[Cue]) -> str:
    """The cues as WebVTT."""
    return "WEBVTT\n\n" + "".join(
        f"{timestamp(cue.start, '.')} --> {timestamp(cue.end, '.')}\n{escape(cue.text, quote=False)}\n\n"
        for cue in shown
    )


def _split(segment: Segment) -> Iterator[Cue]:
    lines = _lines(segment.text)
    wanted = max(1, -(-len(lines) // LINES))
    seconds = segment.end - segment.start
    wanted = max(wanted, min(len(lines), int(seconds // LONGEST_SECONDS) + (seconds % LONGEST_SECONDS > 0)))
    groups = [lines[len(lines) * n // wanted : len(lines) * (n + 1) // wanted] for n in range(wanted)]
    total, passed = sum(len(line) for line in lines), 0
    for group in groups:
        start = segment.start + seconds * passed / total
        passed += sum(len(line) for line in group)
        yield Cue(start, segment.start + seconds * passed / total, tuple(group))


def _lines(text: str) -> list[str]:
    """The lines of a text, of as equal length as two lines of a cue should have."""
    words = " ".join(text.split())
    full = textwrap.wrap(words, LINE_CHARACTERS, break_on_hyphens=False)
    if len(full) != LINES:
        return full
    width = len(words) // 2
    balanced = next(
        (tried for at in range(width, LINE_CHARACTERS + 1) if len(tried := textwrap.wrap(words, at)) == LINES), full
    )
    return balanced if all(len(line) <= LINE_CHARACTERS for line in balanced) else full


def timestamp(seconds: float, point: str = ",") -> str:
    """A time as SubRip has it, or WebVTT with a full stop as `point`."""
    minutes, milliseconds = divmod(max(0, round(seconds * 1000)), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
