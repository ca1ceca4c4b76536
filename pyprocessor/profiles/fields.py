"""How is each kind of value in a profile read, in which range, and how is it described to editors?"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from fractions import Fraction
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from pyprocessor.models.encoders import CONTAINER_ALIASES, CONTAINERS, container_name
from pyprocessor.profiles import quantities
from pyprocessor.profiles.problems import listed, nearest

MEBIBYTE = 1 << 20
_LONGEST_PATTERN = 1000
"""Some expressions of this length take a second to compile, and longer ones as much longer."""
_LONGEST_GLOB = 4096
"""As long as a path may be."""
_MOST_OPTIONS = 200
"""More than all that are allowed for any encoder."""


def _written(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


@dataclass(frozen=True, slots=True)
class Between:
    """A range with both ends named in the message, which pydantic's own ge and le do not do."""

    low: float
    high: float
    unit: str = ""
    hint: str = ""

    def check(self, value: Any) -> Any:
        if self.low <= value <= self.high:
            return value
        raise ValueError(f"must be from {_written(self.low)} to {_written(self.high)} {self.unit}".rstrip() + self.hint)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "minimum": self.low, "maximum": self.high}


def _read(kind: Any, parse: Callable[[Any], Any], *forms: dict[str, Any]) -> Any:
    """The type of a value that `parse` reads; `forms` are the JSON Schemas of what may be written for it."""
    return Annotated[kind, PlainValidator(parse), WithJsonSchema({"anyOf": list(forms)} if forms[1:] else forms[0])]


def _quantity(
    kind: type[int | float],
    parse: Callable[[Any], Any],
    expression: str,
    low: float,
    high: float,
    unit: str,
    hint: str = "",
) -> Any:
    """The type of a quantity that may be a bare number or a text with a unit."""
    between = Between(low, high, unit, hint)
    bare = {"type": "integer" if kind is int else "number", "minimum": low, "maximum": high}
    return _read(kind, lambda value: between.check(parse(value)), bare, _text(expression))


def _text(expression: str) -> dict[str, Any]:
    return {"type": "string", "pattern": rf"^\s*{expression}\s*$"}


_SIZE = r"[0-9.]+\s*([kKmMgGtT]?([iI]?[bB])?)"
_TIME = r"[0-9.]+\s*[dhmsDHMS]?(\s*[0-9.]+\s*[dhmsDHMS]?)*"
_RATE = r"[0-9.]+\s*[kKmMgG]?\s*(bps|bits?/s|b/s)?"
_CLOCK = r"(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)"


def _container(value: str) -> str:
    name = container_name(value)
    if name not in CONTAINERS:
        close = nearest(name, CONTAINERS)
        hint = f"; did you mean {close}" if close else ""
        raise ValueError(f"must be one of {listed(CONTAINERS)}{hint}")
    return name


def _matching(expression: str, rule: str) -> AfterValidator:
    """Accepts texts that the whole expression matches."""

    def check(value: str) -> str:
        if not re.fullmatch(expression, value, re.ASCII):
            raise ValueError(f"must be {rule}")
        return value

    return AfterValidator(check)


def _not_copy(value: str) -> str:
    if value == "copy":
        raise ValueError("must be an encoder; `copy` is not one (audio has the key `copy_if_compatible`)")
    return value


def _preset(value: object) -> str:
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(word, str) or not re.fullmatch(r"-?[A-Za-z0-9_]{1,32}", word, re.ASCII):
        raise ValueError("must be a preset's name or number, such as medium or 8")
    return word


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"must be an even number: write {value - 1}")
    return value


def _batch_size(value: object) -> int | None:
    """Files per batch; None leaves it to the planner."""
    if value == "auto":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000:
        return value
    raise ValueError("must be `auto` or a whole number from 1 to 1,000,000 files")


def _pattern(value: str, *, group: bool = False) -> str:
    """The regular expression as it is, once it compiles and, if `group` is set, has a group 1 to take."""
    if len(value) > _LONGEST_PATTERN:
        raise ValueError(f"must be a regular expression of at most {_LONGEST_PATTERN:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of sets that may come to mean something else
            groups = re.compile(value).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    if group and not groups:
        raise ValueError("must have a group in round brackets; what group 1 matches is what is taken")
    return value


def _glob(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("must not be empty")
    if len(value) > _LONGEST_GLOB:
        raise ValueError(f"must be at most {_LONGEST_GLOB:,} characters long")
    return value


def _word(value: str) -> str:
    if "\0" in value:
        raise ValueError("must hold no null character")
    return value


def _words(value: list[str]) -> tuple[str, ...]:
    if value and not value[0]:
        raise ValueError("must begin with a word that is not empty")
    return tuple(value)


def _extension(value: str) -> str:
    word = value.strip().lower().removeprefix("*").removeprefix(".")
    if not re.fullmatch(r"[^\s./\\*?\0]{1,16}", word):
        raise ValueError("must be a file extension such as mp4")
    return word


def _heights(value: object) -> tuple[tuple[int, int], ...]:
    """Pairs of height and bit rate, highest first."""
    if not isinstance(value, dict):
        raise ValueError("must be a table of heights and bit rates, such as {1080p: 5000k, 720p: 2500k}")
    rates: dict[int, int] = {}
    for height, rate in value.items():
        if rate is None:
            continue
        try:
            rates[quantities.parse_lines(str(height))] = _VIDEO_RATE.check(quantities.parse_bit_rate(rate))
        except ValueError as error:
            raise ValueError(f"does not fit at {str(height)[:40]!r}: it {error}") from None
    return tuple(sorted(rates.items(), reverse=True))


def _options(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of encoder options, such as {bf: 2}")
    if len(value) > _MOST_OPTIONS:
        raise ValueError(f"must be a table of at most {_MOST_OPTIONS} encoder options")
    texts: dict[str, str] = {}
    for name, setting in value.items():
        if setting is None:
            continue
        if not isinstance(setting, str | int | float):
            raise ValueError(f"must give {name[:40]!r} a text or a number")
        texts[name] = str(int(setting)) if isinstance(setting, bool) else str(setting)
    return tuple(sorted(texts.items()))


_VIDEO_RATE = Between(10_000, 1_000_000_000, "bits per second", "; write 5000k for 5000 kbit/s")

Percent = Annotated[float, Between(1, 100, "percent", "; write 80 for four fifths of the memory")]
PercentOfCores = Annotated[float, Between(1, 100, "percent", "; write 50 for half of all cores")]
PercentOfBudget = Annotated[float, Between(1, 100, "percent", "; write 90 for nine tenths of the memory allowed")]
PercentOfTime = Annotated[float, Between(1, 100, "percent", "; write 20 for a fifth of the time")]

Container = Annotated[
    str, AfterValidator(_container), WithJsonSchema({"enum": [*CONTAINERS, *CONTAINER_ALIASES], "type": "string"})
]
EncoderName = Annotated[
    str,
    _matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name as ffmpeg lists it: letters, digits and _ . -"),
    AfterValidator(_not_copy),
]
Preset = _read(str, _preset, {"type": "string"}, {"type": "integer", "minimum": 0})
Tune = Annotated[str, _matching(r"[A-Za-z0-9_]{1,32}(,[A-Za-z0-9_]{1,32}){0,3}", "a tuning's name, such as film")]
PixelFormat = Annotated[
    str, _matching(r"[a-z][a-z0-9]{1,23}", "a pixel format as ffmpeg lists it, such as yuv420p, or `source`")
]
FrameRate = _read(
    Fraction,
    quantities.parse_frame_rate,
    {"type": "number", "minimum": float(quantities.MIN_FPS), "maximum": quantities.MAX_FPS},
    _text(r"[0-9.]+\s*([/:]\s*[0-9]+)?"),
)
Side = Annotated[int, AfterValidator(_even), Between(16, 16384, "pixels")]
_VIDEO_RATES = {"type": "integer", "minimum": _VIDEO_RATE.low, "maximum": _VIDEO_RATE.high}
Heights = _read(
    dict[int, int],
    _heights,
    {
        "type": "object",
        "additionalProperties": {"anyOf": [_VIDEO_RATES, _text(_RATE), {"type": "null"}]},
        "propertyNames": {"pattern": "^([0-9]{2,5}[pi]?|[248][kK])$"},
    },
)
_OPTION_TYPES = ["string", "number", "integer", "boolean", "null"]
OptionTable = _read(dict[str, str], _options, {"type": "object", "additionalProperties": {"type": _OPTION_TYPES}})
AudioRate = _quantity(
    int, quantities.parse_bit_rate, _RATE, 6_000, 10_000_000, "bits per second", "; write 128k for 128 kbit/s"
)
Bytes = _quantity(int, quantities.parse_size, _SIZE, 0, 1 << 60, "bytes")
MemoryBytes = _quantity(int, quantities.parse_size, _SIZE, 16 * MEBIBYTE, 1 << 50, "bytes", "; write 6G for 6 GiB")
Pattern = Annotated[str, AfterValidator(_pattern)]
GroupPattern = Annotated[str, AfterValidator(partial(_pattern, group=True))]
Extension = Annotated[str, AfterValidator(_extension)]
Glob = Annotated[str, AfterValidator(_glob)]
Words = Annotated[list[Annotated[str, AfterValidator(_word)]], AfterValidator(_words)]
BatchSize = _read(int, _batch_size, {"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 1_000_000})
TimeOfDay = _read(time, quantities.parse_time_of_day, _text(_CLOCK))
Window = _read(tuple[time, time], quantities.parse_window, _text(rf"{_CLOCK}\s*-\s*{_CLOCK}"))


def whole(low: int, high: int, unit: str = "") -> Any:
    """The type of a whole number in this range."""
    return Annotated[int, Between(low, high, unit)]


def number(low: float, high: float, unit: str = "") -> Any:
    """The type of a number in this range."""
    return Annotated[float, Between(low, high, unit)]


def seconds(low: float, high: float) -> Any:
    """The type of a duration in this range."""
    return _quantity(float, quantities.parse_duration, _TIME, low, high, "seconds")


def text(least: int, most: int) -> Any:
    """The type of a text of so many characters."""
    return Annotated[str, Field(min_length=least or None, max_length=most)]


def tuple_of(kind: Any, least: int = 0) -> Any:
    """The type of a list that is kept as a tuple, each item once."""
    return Annotated[list[kind], Field(min_length=least or None), AfterValidator(_each_once)]


def _each_once(items: list[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))


def one_of(kind: type[StrEnum]) -> Any:
    """The type of a word that is a member of the enum."""
    return Annotated[Literal[tuple(member.value for member in kind)], AfterValidator(kind)]


def or_switch(table: Any) -> Any:
    """The type of a table of keys for which files may also have `true` or `false`."""
    return Annotated[table, _Switch()]


class _Switch:
    """Changes the JSON Schema only: `true` and `false` are made a table before validation."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [dict(handler(schema)), {"type": "boolean"}]}
