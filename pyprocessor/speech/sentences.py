"""Where is a long text cut so that each piece fits a model's window?"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ABBREVIATIONS = frozenset("mr mrs ms dr prof st sr jr vs no nr etc inc ltd co e.g i.e cf z.b bzw usw ca ff ch".split())
"""Words whose full stop ends no sentence."""
_CLOSING = r"[\"'”’»)\]]*"
_ENDS = re.compile(rf"(?:[.!?…]+{_CLOSING}(?=\s))|(?:[。！？]+{_CLOSING})|(?=\n)")
_LAST_WORD = re.compile(r"[\w.]*\Z")
_SPACE = re.compile(r"\s")


def pieces(text: str, most_characters: int) -> list[str]:
    """Return `text` in pieces of at most `most_characters`, which joined without anything between are the text again.

    Each ends where a sentence or line does, else before the last space that fits, else where it is full. A piece begins
    with the space that stands between it and the one before. Raises ValueError where a piece could hold nothing.
    """
    if most_characters < 1:
        raise ValueError(f"A piece may have {most_characters} characters, but it has to be 1 or more.")
    found = []
    ends = _sentence_ends(text)
    begin, end = 0, next(ends, len(text))
    while len(text) - begin > most_characters:
        last = begin
        while end <= begin + most_characters:
            last, end = end, next(ends, len(text))
        if last <= begin:
            spaces = [space.start() for space in _SPACE.finditer(text, begin + 1, begin + most_characters + 1)]
            last = spaces[-1] if spaces else begin + most_characters
        found.append(text[begin:last])
        begin = last
    return [*found, text[begin:]] if text[begin:] else found


def _sentence_ends(text: str) -> Iterator[int]:
    """Yield where the sentences and lines of a text end, ascending, but for its own end."""
    for match in _ENDS.finditer(text):
        word = _word_before(text, match.start()) if match.group()[:1] == "." else ""
        if match.end() and word not in _ABBREVIATIONS and not (len(word) == 1 and word.isalpha()):
            yield match.end()


def _word_before(text: str, place: int) -> str:
    found = _LAST_WORD.search(text, max(0, place - 20), place)
    return found.group().casefold() if found is not None else ""
