"""Records of `models` as JSON text and back, for columns that hold a whole record.

Fields that stand at their default are left out. Unknown names are ignored and missing ones take their default, so a
text written by another version still reads; `shape` tells whether it was written from the same fields.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

Record = TypeVar("Record")


def encode(record: object) -> str:
    """A frozen dataclass as JSON text; pure ASCII, so surrogates of odd names survive."""
    return json.dumps(_plain(record), separators=(",", ":"))


def decode(kind: type[Record], text: str) -> Record:
    """The record again. Raises ValueError, TypeError or KeyError where the text does not describe one."""
    kind_of_record: Any = kind
    record = _reader(kind_of_record)(json.loads(text))
    assert isinstance(record, kind)
    return record


@cache
def shape(kind: type[Any]) -> str:
    """A fingerprint of a record's fields and their types, all the way down."""
    return hashlib.sha256(repr(_outline(kind)).encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(held)
            for field in dataclasses.fields(value)
            if (held := getattr(value, field.name)) != field.default
        }
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    assert value is None or isinstance(value, (str, int, float)), f"no JSON form for {type(value)}"
    return value


def _outline(kind: Any) -> object:
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return [(field.name, _outline(hints[field.name])) for field in dataclasses.fields(kind)]
    if arguments := typing.get_args(kind):
        return [str(typing.get_origin(kind)), *map(_outline, arguments)]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [member.value for member in kind]
    return str(kind)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """A function that turns what `json.loads` gave into a value of this type; built once a type."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (held,) = (argument for argument in arguments if argument is not types.NoneType)
        read_held = _reader(held)
        return lambda value: None if value is None else read_held(value)
    if origin is tuple:
        return _tuple_reader(arguments)
    if kind is Fraction:
        return lambda value: Fraction(*value)
    if isinstance(kind, type) and issubclass(kind, (StrEnum, float)):
        return kind
    assert kind in (str, int, bool), f"no JSON form for {kind}"
    return _unchanged


def _unchanged(value: Any) -> Any:
    return value


def _tuple_reader(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        read_item = _reader(arguments[0])
        return lambda value: tuple(map(read_item, value))
    readers = tuple(map(_reader, arguments))
    return lambda value: tuple(read(item) for read, item in zip(readers, value, strict=True))


def _dataclass_reader(kind: Any) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}

    def read(value: dict[str, Any]) -> Any:
        return kind(**{name: readers[name](held) for name, held in value.items() if name in readers})

    return read
