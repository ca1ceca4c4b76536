"""Which tests does `make test` leave to `make test-all`: those marked `long`.

The question that decides: would another test of `make test` fail if this one's behaviour broke in its ordinary form?
Then a test that varies the moment, the place, the machine or the content is long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def long_after(
    short: int, names: str | tuple[str, ...], values: Sequence[Any], ids: Sequence[str] | None = None
) -> pytest.MarkDecorator:
    """Parametrize a test as pytest does, and mark all values but the first `short` as long."""
    several = not isinstance(names, str)
    marked = [
        pytest.param(*(value if several else (value,)), marks=pytest.mark.long if number >= short else ())
        for number, value in enumerate(values)
    ]
    return pytest.mark.parametrize(names, marked, ids=ids)
