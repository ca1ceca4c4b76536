"""What params of a job are checked for before it is taken in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from pyprocessor.errors import JobError
from pyprocessor.tasks.params import param_from, params_as, params_of


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
        ({"url": 3}, "`url`: expected `str`, got `int`; `url` takes: text."),
        ({"url": "a", "kind": "vtt"}, "`kind`: invalid enum value 'vtt'; `kind` takes: text | srt."),
        ({"url": "a", "names": [1]}, "`names[0]`: expected `str`, got `int`; `names` takes: list of text."),
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


@dataclass(frozen=True, slots=True)
class Several:
    """A field of each kind."""

    url: str
    language: str | None = None
    size: float = 600.0
    deep: bool = False
    count: int | None = None
    kind: Literal["text", "srt"] = "text"
    names: tuple[str, ...] = ("a",)
    more: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[Literal["text", "srt"], ...] = ()


def test_fields_are_told_in_words() -> None:
    """Types as people call them, defaults as JSON; one without a default is required."""
    assert [(param.name, param.type, param.required, param.default) for param in params_of(Several)] == [
        ("url", "text", True, None),
        ("language", "text | null", False, None),
        ("size", "number", False, 600.0),
        ("deep", "true or false", False, False),
        ("count", "whole number | null", False, None),
        ("kind", "text | srt", False, "text"),
        ("names", "list of text", False, ["a"]),
        ("more", "mapping", False, {}),
        ("kinds", "list of text | srt", False, []),
    ]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("url", "12", "12"),
        ("url", "a,b", "a,b"),
        ("language", "null", "null"),
        ("size", "90", 90),
        ("size", "1.5", 1.5),
        ("size", "many", "many"),
        ("size", "NaN", "NaN"),
        ("deep", "true", True),
        ("count", "7", 7),
        ("count", "null", None),
        ("kind", "srt", "srt"),
        ("names", "txt,srt", ["txt", "srt"]),
        ("names", '["a,b"]', ["a,b"]),
        ("names", "txt", ["txt"]),
        ("kinds", "vtt", ["vtt"]),
        ("more", '{"a": 1}', {"a": 1}),
        ("unknown", "7", 7),
        ("unknown", "x", "x"),
    ],
)
def test_a_text_becomes_what_the_field_takes(name: str, text: str, value: object) -> None:
    """Texts stay texts; what the field does not take stays as it is, and is refused with the rest."""
    got = param_from(Several, name, text)
    assert (got, type(got)) == (value, type(value))


def test_a_text_for_a_task_that_does_not_say_what_it_takes() -> None:
    """It is JSON where it can be."""
    assert [param_from(None, "x", text) for text in ("1", '"1"', "one", "[1]")] == [1, "1", "one", [1]]
