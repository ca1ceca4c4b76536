"""What params of a job are checked for before it is taken in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from pyprocessor.errors import JobError
from pyprocessor.tasks.params import params_as


@dataclass(frozen=True, slots=True)
class Takes:
    """Params as a task may take them."""

    url: str
    size: int = 600
    kind: Literal["text", "srt"] = "text"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"`size` is {self.size}, but has to be 1 or more")


def test_good_params_become_a_record() -> None:
    """Lists become tuples, and what is left out has its default."""
    assert params_as(Takes, {"url": "a", "names": ["b"]}) == Takes("a", names=("b",))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "missing required field `url`."),
        ({"url": 3}, "`url`: expected `str`, got `int`."),
        ({"url": "a", "kind": "vtt"}, "`kind`: invalid enum value 'vtt'."),
        ({"url": "a", "names": [1]}, "`names[0]`: expected `str`, got `int`."),
        ({"url": "a", "sizes": 1}, "`sizes` is no field of this task; did you mean `size`?"),
        ({"url": "a", "zzz": 1}, "`zzz` is no field of this task; it takes url, size, kind, names."),
        ({"url": "a", "size": 0}, "`size` is 0, but has to be 1 or more."),
        ([], "The params of the job are no mapping."),
    ],
)
def test_a_field_that_is_wrong_is_named(params: object, said: str) -> None:
    """Each mistake is one sentence with the field's name."""
    with pytest.raises(JobError) as raised:
        params_as(Takes, params)
    assert str(raised.value) == said
