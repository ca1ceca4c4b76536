"""Which words does a text have, when letter case, punctuation and the spelling of numbers do not count?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_UNITS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        " seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_SCALES = {"thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}([.,'\u00a0\u202f])\d{3}(?:\1\d{3})*(?!\d)")
"""Digits in groups; so 1.500 is 1500, in every language."""
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_STOP = re.compile(r"(?<!\d)[.:]|[.:](?!\d)")
_IDEOGRAPH = re.compile(r"([\u3040-\u30ff\u3400-\u9fff])")
"""Each is a word of its own, as Chinese and Japanese have no spaces between words."""
_DIGITS = re.compile(r"\d+(?:[.:]\d+)*")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case and without punctuation, English number words as digits.

    "Twenty-five, please!" is `25 please`. A lone "one" stays a word, and a lone 1 becomes it.
    """
    grouped = _GROUPED.sub(lambda found: found[0].replace(found[1], ""), text.replace("’", "'"))
    plain = unicodedata.normalize("NFKC", grouped).casefold()
    plain = _DECIMAL_COMMA.sub(".", plain).replace("%", " percent ")
    plain = _IDEOGRAPH.sub(r" \1 ", _STOP.sub(" ", plain))
    kept = "".join(one if unicodedata.category(one)[0] in "LNM" or one in "'.:" else " " for one in plain)
    stripped = (word.strip("'.:") for word in kept.split())
    return list(_with_digits([word for word in stripped if word]))


def numbers(found: Iterable[str]) -> frozenset[str]:
    """Return which of such words are numbers."""
    return frozenset(word for word in found if _DIGITS.fullmatch(word))


def _with_digits(found: list[str]) -> Iterator[str]:
    """Yield the words with each run of number words as the number that it says."""
    at = 0
    while at < len(found):
        value, after = _number(found, at)
        if value is None:
            yield "one" if found[at] == "1" else found[at]
        else:
            yield "one" if value == 1 else str(value)
        at = after


def _number(found: list[str], at: int) -> tuple[int | None, int]:
    """Return the number that begins at a word, or None, and the place behind it."""
    total, group, first = 0, None, at
    scale_before = max(_SCALES.values()) + 1
    while at < len(found):
        word = found[at]
        if word in _SCALES and group is not None and _SCALES[word] < scale_before:
            scale_before = _SCALES[word]
            total, group = total + group * scale_before, None
        elif word == "hundred" and group is not None and 1 <= group <= 9:
            group *= 100
        elif (number := _below_hundred(word)) is not None and _fits(group, number, at == first or group is None):
            group = (group or 0) + number
        elif word == "and" and _goes_on(found, at, group, total):
            pass
        else:
            break
        at += 1
    if at == first:
        return None, at + 1
    return total + (group or 0), at


def _below_hundred(word: str) -> int | None:
    return _UNITS.get(word, _TENS.get(word))


def _fits(group: int | None, number: int, begins: bool) -> bool:
    """Whether a number goes on with this one: `hundred five`, `twenty five`, but neither `five five` nor `ten five`."""
    if begins or group is None:
        return True
    if group and group % 100 == 0:
        return number > 0
    return group % 10 == 0 and group % 100 >= 20 and 1 <= number <= 9


def _goes_on(found: list[str], at: int, group: int | None, total: int) -> bool:
    """Whether an "and" stands within a number: `two hundred and five`, `a thousand and one`."""
    follows = at + 1 < len(found) and _below_hundred(found[at + 1]) is not None
    hundreds = group is not None and group > 0 and group % 100 == 0
    return follows and (hundreds or (group is None and total > 0))
