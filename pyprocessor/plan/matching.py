"""Matching with expressions that the user wrote, which some names would keep busy for ever.

`re` tries every way in which an expression can match, and `(\\w+\\w+)+=` has more of them for a name of 60 letters than
can be tried in a lifetime. Matching looks after signals now and then, so a timer of the process's CPU time ends it: a
machine that is busy with other things makes no name fail. Signals are handled in the main thread alone, so this is to
be called there.
"""

from __future__ import annotations

import os
import re
import signal
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import AnyStr, Generic

from pyprocessor.models import display

LIMIT_SECONDS = 0.5
"""Of CPU time for one name. An expression that can be used takes some microseconds."""
TRIES = 2
"""So many names one expression may take too long on before it is given up, lest many files make a run endless."""
SLOW_SECONDS = 0.001
ALL_SLOW_SECONDS = 60.0
"""One expression may spend so much on all names that took it longer than `SLOW_SECONDS`, before it is given up."""
_ADVICE = "write it so that each part can match in one way only"
_SHOWN_LENGTH = 200


class TookTooLong(Exception):
    """Whether an expression matches could not be told in time; the text is the end of a sentence that begins with the
    file's name."""


class _Rang(Exception):
    """The timer has run out."""


class Expression(Generic[AnyStr]):
    """One expression and the names it took too long on; `key` is what it is called in a profile, `written` how it
    stands there. `alive` is called after each name that took a while."""

    def __init__(self, key: str, written: str, pattern: AnyStr, alive: Callable[[], None]) -> None:
        self.written = written
        self._alive = alive
        self._slow_seconds = 0.0
        self._given_up = False
        shown = written if len(written) <= _SHOWN_LENGTH else f"{written[:_SHOWN_LENGTH]}..."
        self._called = f'the pattern "{display(os.fsencode(shown))}" of `{key}`'
        with warnings.catch_warnings():
            # Of sets that may come to mean something else: the user cannot act on where in our code that is.
            warnings.simplefilter("ignore", FutureWarning)
            self._compiled: re.Pattern[AnyStr] = re.compile(pattern)
        self._too_long_on: list[str] = []

    def search(self, name: AnyStr) -> re.Match[AnyStr] | None:
        """As `re.search`; raises TookTooLong."""
        return self._apply(self._compiled.search, name)

    def match(self, name: AnyStr) -> re.Match[AnyStr] | None:
        """As `re.match`; raises TookTooLong."""
        return self._apply(self._compiled.match, name)

    def fullmatch(self, name: AnyStr) -> re.Match[AnyStr] | None:
        """As `re.fullmatch`; raises TookTooLong."""
        return self._apply(self._compiled.fullmatch, name)

    def _apply(self, operation: Callable[[AnyStr], re.Match[AnyStr] | None], name: AnyStr) -> re.Match[AnyStr] | None:
        if self._given_up:
            listed = " and ".join(self._too_long_on)
            raise TookTooLong(
                f"cannot be decided on: {self._called} took too long on {listed} and is not tried any more; {_ADVICE}"
            )
        began = time.process_time()
        try:
            return _in_time(operation, name)
        except _Rang:
            self._too_long_on.append(display(os.fsencode(name)))
            self._given_up = len(self._too_long_on) >= TRIES
            raise TookTooLong(
                f"cannot be decided on: {self._called} takes more than {LIMIT_SECONDS:g} s on this name; {_ADVICE}"
            ) from None
        finally:
            took = time.process_time() - began
            if took > SLOW_SECONDS:
                self._slow(took, name)

    def _slow(self, took: float, name: AnyStr) -> None:
        self._slow_seconds += took
        if self._slow_seconds > ALL_SLOW_SECONDS and not self._given_up:
            self._given_up = True
            self._too_long_on.append(display(os.fsencode(name)))
        self._alive()


def _in_time(operation: Callable[[AnyStr], re.Match[AnyStr] | None], name: AnyStr) -> re.Match[AnyStr] | None:
    """What the operation returns; raises _Rang where it takes longer than the limit, which Windows cannot tell."""
    if not hasattr(signal, "setitimer"):
        return operation(name)
    before = signal.signal(signal.SIGVTALRM, _ring)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
        try:
            return operation(name)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.signal(signal.SIGVTALRM, before)


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise _Rang
