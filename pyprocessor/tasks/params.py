"""Are the params of a job what its task takes, and how do a profile's settings stand in them?

The fields that a task takes are those of a dataclass.

A field's type is a plain one: str, int, float, bool, a Literal, a tuple or mapping of these, or one of them or None.
What a type cannot say, `__post_init__` of the record checks and raises as ValueError, a sentence that names the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from difflib import get_close_matches
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Profile

P = TypeVar("P")
CONTENT = (
    *("name", "fingerprint", "container", "extension", "video", "audio", "keep_subtitles", "keep_attachments"),
    *("keep_chapters", "keep_metadata", "damaged", "strip_location", "input_limits"),
)
"""The fields that decide what is made of a source, and what a source may be."""
_OF_A_TYPE = re.compile(r"`(\w+)[^`]*`: (?:expected|invalid enum value) ")


def params_as(kind: type[P], params: Any) -> P:
    """Return params, a mapping of JSON, as such a record. Raises JobError in a sentence that names the field."""
    if not isinstance(params, Mapping):
        raise JobError(FailureKind.BAD_INPUT, "The params of the job are no mapping.")
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # no type says "a dataclass"
    for name in params:
        if name not in names:
            close = get_close_matches(str(name), names, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"it takes {', '.join(names) or 'none'}."
            raise JobError(FailureKind.BAD_INPUT, f"`{name}` is no field of this task; {hint}")
    try:
        return record_of(kind, params, {})
    except JobError as error:
        # Such as "`kind`: invalid enum value 'vtt'.", which leaves open what would do.
        wrong = _OF_A_TYPE.match(str(error))
        if wrong is None:
            raise
        takes = _in_words(get_type_hints(kind)[wrong[1]])
        raise JobError(error.kind, f"{str(error).removesuffix('.')}; `{wrong[1]}` takes: {takes}.") from error


def record_of(kind: type[P], values: Any, others: Mapping[type, Callable[[Any], Any]]) -> P:
    """Return JSON as such a record; `others` make values of types that JSON does not have. Raises JobError."""
    import msgspec  # takes 6 ms, and a run over a folder needs none of it

    try:
        return msgspec.convert(values, kind, dec_hook=lambda wanted, value: others[wanted](value))
    except msgspec.ValidationError as error:
        what, _, where = str(error).removeprefix("Object ").partition(" - at `$.")
        text = what[:1].lower() + what[1:].rstrip(".")
        raise JobError(FailureKind.BAD_INPUT, f"`{where.rstrip('`')}`: {text}." if where else f"{text}.") from error


@dataclass(frozen=True, slots=True)
class Param:
    """One field of what a task takes: its type in words, and its default, which is JSON."""

    name: str
    type: str
    required: bool
    default: Any = None


def params_of(kind: type) -> tuple[Param, ...]:
    """Return the fields of a record of params, in order."""
    import msgspec

    hints = get_type_hints(kind)
    found = []
    for field in fields(kind):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        given = default is not MISSING
        plain = json.loads(msgspec.json.encode(default)) if given else None
        found.append(Param(field.name, _in_words(hints[field.name]), not given, plain))
    return tuple(found)


def param_from(kind: type | None, name: str, text: str) -> Any:
    """Return what a field's value is, written as a text: the text itself, JSON, or texts between commas.

    The first of these that the field takes; where it takes none, or nobody knows what it takes, JSON or else the text.
    """
    import msgspec

    hint = get_type_hints(kind).get(name) if kind is not None else None
    values: list[Any] = []
    with suppress(ValueError):
        values.append(json.loads(text, parse_constant=int))  # NaN and Infinity are no JSON, and no int either
    for value in (text, *values, text.split(",")) if hint is not None else ():
        with suppress(msgspec.ValidationError):
            msgspec.convert(value, hint)
            return value
    return [*values, text.split(",") if get_origin(hint) is tuple else text][0]


_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null", Any: "anything"}


def _in_words(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    made_of = get_origin(hint)
    if made_of is Literal:
        return " | ".join(map(str, get_args(hint)))
    if made_of in (Union, UnionType):
        return " | ".join(map(_in_words, get_args(hint)))
    if made_of in (tuple, list):
        return f"list of {_in_words(get_args(hint)[0])}"
    return "mapping"


def values_of(profile: Profile, fields: Iterable[str] = CONTENT) -> dict[str, Any]:
    """Return these settings of a profile as JSON."""
    settings = asdict(profile)
    values = {name: settings[name] for name in fields}
    video = values.get("video")
    if video is not None and video["fps"] is not None:
        video["fps"] = str(video["fps"])
    return values


def profile_of(values: Mapping[str, Any]) -> Profile:
    """Return the profile of such values, with its other settings as they are by default. Raises JobError."""
    return record_of(Profile, {"name": "", "fingerprint": "", **values}, {Fraction: Fraction})
