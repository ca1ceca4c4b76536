"""Which requests of a chunk were begun, and what was answered? A file that outlives the process that answers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answers:
    """What such a file says, by the place of a request in its chunk."""

    done: Mapping[int, dict[str, Any]]
    begun: tuple[int, ...]
    """Begun and not answered, in that order: one of them may have ended its process."""
    alone: Mapping[int, int]
    """How often those were begun with no other beside."""
    given_back: frozenset[int] = frozenset()
    """Not answered, through no fault of their own, when they were begun before."""


def read_answers(path: str) -> Answers:
    """Return what the file says; a line that a kill has torn is passed over. Raises OSError."""
    done: dict[int, dict[str, Any]] = {}
    begun: dict[int, None] = {}
    alone: Counter[int] = Counter()
    given_back: set[int] = set()
    with open(path, "rb") as lines:
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            place = found.pop("place")
            if "alone" in found:
                begun[place] = None
                alone[place] += found["alone"]
            elif "given_back" in found:
                begun.pop(place, None)
                given_back.add(place)
            else:
                done.setdefault(place, found)
    open_ones = tuple(place for place in begun if place not in done)
    return Answers(done, open_ones, {place: alone[place] for place in open_ones}, frozenset(given_back - done.keys()))


class AnswerLog:
    """Appends to such a file: a line, written at once, for each request that is begun or answered."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.write(self._file, b"\n")  # ends a line that a kill has torn

    def begun(self, place: int, *, alone: bool) -> None:
        """A request is begun, perhaps with no other beside."""
        self._write({"place": place, "alone": int(alone)})

    def given_back(self, place: int) -> None:
        """A request that was begun was not answered, through no fault of its own, and is begun again."""
        self._write({"place": place, "given_back": True})

    def answered(self, place: int, answer: Mapping[str, Any]) -> None:
        """A request has its answer, which is JSON."""
        self._write({"place": place, **answer})

    def close(self) -> None:
        """Nothing more is written."""
        os.close(self._file)

    def _write(self, line: dict[str, Any]) -> None:
        data = f"{json.dumps(line, separators=(',', ':'))}\n".encode("ascii")
        while data:
            data = data[os.write(self._file, data) :]
