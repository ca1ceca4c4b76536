"""Does a name match an expression that the user wrote, which may never finish matching?

`re` handles signals while it matches, so a timer of the process's CPU time ends it; on a busy machine no name fails for
that. To be called in the main thread, where signals are handled.
"""

from __future__ import annotations

import os
import re
import signal
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import AnyStr, Generic, Literal

from pyprocessor.models import display

LIMIT_SECONDS = 0.5
"""Of CPU time for one name. A usable expression takes microseconds."""
TRIES = 2
"""Names on which one expression may take too long before it is given up."""
SLOW_SECONDS = 0.001
ALL_SLOW_SECONDS = 60.0
"""Time on all names that took longer than `SLOW_SECONDS`, before an expression is given up."""
_ADVICE = "write it so that each part can match in one way only"
_SHOWN_LENGTH = 200


class TookTooLong(Exception):
    """An expression took too long; the text is the end of a sentence that begins with the file's name."""


class _TimerExpired(Exception):
    """The time for one name is over."""


class Expression(Generic[AnyStr]):
    """One expression, by its key in a profile and as written; `alive` is called after each slow name."""

    def __init__(
        self,
        key: str,
        written: str,
        pattern: AnyStr,
        alive: Callable[[], None],
        how: Literal["match", "search", "fullmatch"],
    ) -> None:
        self.written = written
        self._alive = alive
        self._slow_seconds = 0.0
        self._given_up = False
        shown = written if len(written) <= _SHOWN_LENGTH else f"{written[:_SHOWN_LENGTH]}..."
        self._called = f'the pattern "{display(os.fsencode(shown))}" of `{key}`'
        with warnings.catch_warnings():
            # Warnings of future meanings point into our code, which does not help the user.
            warnings.simplefilter("ignore", FutureWarning)
            self._operation: Callable[[AnyStr], re.Match[AnyStr] | None] = getattr(re.compile(pattern), how)
        self._too_long_on: list[str] = []

    def find(self, name: AnyStr) -> re.Match[AnyStr] | None:
        """As `how` in `re`; raises TookTooLong."""
        if self._given_up:
            listed = " and ".join(self._too_long_on)
            raise TookTooLong(
                f"It cannot be decided on: {self._called} took too long on {listed} and is not tried again; {_ADVICE}"
            )
        began = time.process_time()
        try:
            return _in_time(self._operation, name)
        except _TimerExpired:
            self._too_long_on.append(display(os.fsencode(name)))
            self._given_up = len(self._too_long_on) >= TRIES
            raise TookTooLong(
                f"It cannot be decided on: {self._called} takes more than {LIMIT_SECONDS:g} s on this name; {_ADVICE}"
            ) from None
        finally:
            took = time.process_time() - began
            if took > SLOW_SECONDS:
                self._slow_seconds += took
                if self._slow_seconds > ALL_SLOW_SECONDS and not self._given_up:
                    self._given_up = True
                    self._too_long_on.append(display(os.fsencode(name)))
                self._alive()


def _in_time(operation: Callable[[AnyStr], re.Match[AnyStr] | None], name: AnyStr) -> re.Match[AnyStr] | None:
    """What the operation returns; raises `_TimerExpired` after the limit."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise _TimerExpired

    before = signal.signal(signal.SIGVTALRM, expire)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
        try:
            return operation(name)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.signal(signal.SIGVTALRM, before)
