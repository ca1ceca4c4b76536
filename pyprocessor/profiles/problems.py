"""How is the user shown what is wrong with a setting, and where it was written?"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyprocessor.errors import ProfileError
from pyprocessor.models.wording import one_line

KeyPath = tuple[str, ...]

MAX_SHOWN = 20
"""So many problems are listed; more would not help to see what is wrong with a file."""
_SHOWN_VALUE_LENGTH = 60
_LONGEST_KEY = 100
"""That is shown whole, or compared with others, which takes long."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting was written.

    `place` is a file, or empty for the environment and the command line. `key` is how the setting is called there: a
    dotted key, a variable's name or an option. `line` counts from 1.
    """

    place: str
    key: str
    line: int | None = None

    @property
    def subject(self) -> str:
        return f"`{shortened(self.key)}`" if self.place else self.key

    @property
    def prefix(self) -> str:
        if not self.place:
            return ""
        return f"{self.place}, line {self.line}: " if self.line is not None else f"{self.place}: "

    def __str__(self) -> str:
        return f"{self.subject} in {self.place}" if self.place else self.key


def wrong_value(origin: Origin, value: object, rule: str) -> str:
    """One line: where, which key, which value, and the rule it breaks (`rule` begins with `must`)."""
    return f"{origin.prefix}{origin.subject} is {shown(value)}, but {rule}."


def shown(value: object) -> str:
    """A value as it would be written in a file, shortened."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_VALUE_LENGTH else text[: _SHOWN_VALUE_LENGTH - 3] + "..."


def shortened(key: str) -> str:
    """A key as messages show it: of a bounded length and in one printable line."""
    return one_line(key if len(key) <= _LONGEST_KEY else key[:_LONGEST_KEY] + "...")


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most like this one, if any is at least `cutoff` like it (1 is the same)."""
    if len(word) > _LONGEST_KEY:
        return None
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(word.casefold().replace("-", "_"), by_folded, n=1, cutoff=cutoff)
    return by_folded[found[0]] if found else None


def listed(words: Iterable[str], conjunction: str = "or") -> str:
    """`a, b or c`."""
    items = list(words)
    return f" {conjunction} ".join((", ".join(items[:-1]), items[-1])) if len(items) > 1 else "".join(items)


class SettingsRefused(ProfileError):
    """Settings with one or more problems, of which the first are listed one to a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(one_line(problem) for problem in problems))
        lines = [f"The settings have {len(self.problems)} errors:", *self.problems[:MAX_SHOWN]]
        if len(self.problems) > MAX_SHOWN:
            lines.append(f"... and {len(self.problems) - MAX_SHOWN} more")
        super().__init__("\n  ".join(lines) if len(self.problems) > 1 else self.problems[0])


def problems_in(error: ProfileError) -> tuple[str, ...]:
    """The single problems of an error."""
    return error.problems if isinstance(error, SettingsRefused) else (str(error),)
