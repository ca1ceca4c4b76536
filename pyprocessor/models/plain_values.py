"""Is a value in a document of the kind that is asked for, and how does a message show it?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeGuard

from pyprocessor.models.wording import moment, one_line

MAX_NESTED = 100
"""Levels of values within values; with some hundreds more they could not be sent to a process."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def time_of(value: object) -> float:
    """Return seconds since 1970 of an ISO time, or of such a number. Raises ValueError for anything else."""
    if isinstance(value, str) or is_number(value):
        return moment(value)
    raise ValueError(value)


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text that may stand in a file's name, in the journal and in a message."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def is_too_deep(value: object, most: int = MAX_NESTED) -> bool:
    """Whether a value of JSON is nested more than so many levels deep."""
    level = [value]
    while level and most >= 0:
        level = [
            item
            for one in level
            if isinstance(one, Mapping | list | tuple)
            for item in (one.values() if isinstance(one, Mapping) else one)
        ]
        most -= 1
    return bool(level)


def shown(value: object) -> str:
    """Return a value as a document would have it, shortened."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return one_line(text if len(text) <= 60 else text[:57] + "...")
