"""How is a whole record of `models` kept in one column: as JSON text and back? Bytes are base64 in it.

Fields at their default are left out. Unknown names are ignored and missing ones take their default, so a text written
by another version still reads; `media_shape` is the same only for media written by this one.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import inspect
import json
from datetime import time
from enum import StrEnum
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

from pyprocessor.models import media

Record = TypeVar("Record")


def encode(record: object) -> str:
    """A frozen dataclass as JSON text; pure ASCII, so surrogates of odd names survive."""
    return json.dumps(_plain(record), separators=(",", ":"))


def decode(kind: type[Record], text: str) -> Record:
    """The record again. Raises ValueError where the text does not describe one."""
    import msgspec  # takes 6 ms to import, and a first run reads nothing back

    try:
        return msgspec.convert(json.loads(text), kind, dec_hook=_fraction)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


@cache
def media_shape() -> str:
    """A fingerprint of the text that defines the media records: media kept under another one are inspected again."""
    return hashlib.sha256(inspect.getsource(media).encode()).hexdigest()[:16]


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
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    assert value is None or isinstance(value, (str, int, float)), f"no JSON form for {type(value)}"
    return value


def _fraction(_: type[Any], value: Any) -> Fraction:
    """Read the only type of ours that msgspec does not know."""
    return Fraction(*value)
