"""How is each kind of value in a profile read, in which range, and how is it described to editors?"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from pyprocessor.models import PriorityRule, TenantSettings
from pyprocessor.models.encoders import CONTAINER_ALIASES, CONTAINERS, container_name
from pyprocessor.profiles import quantities
from pyprocessor.profiles.problems import listed, nearest

_SIZE = r"[0-9.]+\s*([kKmMgGtT]?([iI]?[bB])?)"
_TIME = r"[0-9.]+\s*[dhmsDHMS]?(\s*[0-9.]+\s*[dhmsDHMS]?)*"
_RATE = r"[0-9.]+\s*[kKmMgG]?\s*(bps|bits?/s|b/s)?"


@dataclass(frozen=True, slots=True)
class Kind:
    """`read` gives the value or raises ValueError; `forms` are JSON Schemas of what may be written.

    The error's arguments are rules that begin with `must`, or (rule, number, item) for items of a list.
    """

    read: Callable[[Any], Any]
    forms: tuple[dict[str, Any], ...]


def text(least: int = 0, most: int = 0, *, check: Callable[[str], Any] = str, **form: Any) -> Kind:
    """The kind of a text of so many characters (0: any number), which `check` reads."""

    def read(value: object) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be a text")
        if len(value) < least:
            raise ValueError("must not be empty")
        if most and len(value) > most:
            raise ValueError(f"must be at most {most:,} characters long")
        return check(value)

    lengths = {name: number for name, number in (("minLength", least), ("maxLength", most)) if number}
    return Kind(read, ({"type": "string", **lengths, **form},))


def _written(expression: str) -> dict[str, Any]:
    return {"type": "string", "pattern": rf"^\s*{expression}\s*$"}


def _ranged(
    form: str, parse: Callable[[Any], Any], low: float, high: float, unit: str, hint: str = "", with_unit: str = ""
) -> Kind:
    """The kind of a number in this range; `with_unit` is the expression of its form as a text."""

    def read(value: object) -> Any:
        number = parse(value)
        if not low <= number <= high:
            raise ValueError(f"must be from {low:,} to {high:,} {unit}".rstrip() + hint)
        return number

    bare = {"type": form, "minimum": low, "maximum": high}
    return Kind(read, (bare, _written(with_unit)) if with_unit else (bare,))


def _typed(kind: Any, rule: str) -> Callable[[Any], Any]:
    """Reads values of this type as they are; True and False are no numbers."""

    def read(value: object) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"must be {rule}")
        return value

    return read


_WHOLE = _typed(int, "a whole number")
_LIST = _typed(list, "a list, written [a, b]")
_DECIMAL = _typed(int | float, "a number")


def whole(low: int, high: int, unit: str = "") -> Kind:
    """The kind of a whole number in this range."""
    return _ranged("integer", _WHOLE, low, high, unit)


def number(low: float, high: float, unit: str = "", hint: str = "") -> Kind:
    """The kind of a number in this range."""
    return _ranged("number", lambda value: float(_DECIMAL(value)), low, high, unit, hint)


def percent(hint: str) -> Kind:
    """The kind of a percentage, which is not a fraction."""
    return number(1, 100, "percent", f"; write {hint}")


def seconds(low: float, high: float) -> Kind:
    """The kind of a duration in this range."""
    return _ranged("number", quantities.parse_duration, low, high, "seconds", with_unit=_TIME)


def one_of(kind: type[StrEnum]) -> Kind:
    """The kind of a word that is a member of the enum."""
    words = [member.value for member in kind]

    def read(value: object) -> StrEnum:
        if value not in words:
            raise ValueError(f"must be {listed(map(repr, words))}")
        return kind(value)

    return Kind(read, ({"type": "string", "enum": words},))


def tuple_of(kind: Kind, least: int = 0, *, check: Callable[[list[Any]], tuple[Any, ...]] | None = None) -> Kind:
    """The kind of a list that is kept as a tuple: each item once, unless `check` makes it."""

    def read(value: object) -> tuple[Any, ...]:
        if len(_LIST(value)) < least:
            raise ValueError("must not be empty")
        items: list[Any] = []
        wrong: list[tuple[Any, int, Any]] = []
        for number, item in enumerate(_LIST(value), 1):
            try:
                items.append(kind.read(item))
            except ValueError as error:
                wrong.append((error.args[0], number, item))
        if wrong:
            raise ValueError(*wrong)
        return check(items) if check else tuple(dict.fromkeys(items))

    form = {"type": "array", "items": kind.forms[0] if len(kind.forms) == 1 else {"anyOf": list(kind.forms)}}
    return Kind(read, (form | {"minItems": least} if least else form,))


def _container(value: str) -> str:
    name = container_name(value)
    if name not in CONTAINERS:
        close = nearest(name, CONTAINERS)
        hint = f"; did you mean {close}" if close else ""
        raise ValueError(f"must be one of {listed(CONTAINERS)}{hint}")
    return name


def _matching(expression: str, rule: str) -> Kind:
    """A text that the whole expression matches."""

    def check(value: str) -> str:
        if not re.fullmatch(expression, value, re.ASCII):
            raise ValueError(f"must be {rule}")
        return value

    return text(check=check)


def _encoder(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value, re.ASCII):
        raise ValueError("must be a name as ffmpeg lists it: letters, digits and _ . -")
    if value == "copy":
        raise ValueError("must be an encoder; `copy` is not one (audio has the key `copy_if_compatible`)")
    return value


def _preset(value: object) -> str:
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(word, str) or not re.fullmatch(r"-?[A-Za-z0-9_]{1,32}", word, re.ASCII):
        raise ValueError("must be a preset's name or number, such as medium or 8")
    return word


def _side(value: object) -> Any:
    if _WHOLE(value) % 2:
        raise ValueError(f"must be an even number: write {_WHOLE(value) - 1}")
    return value


def _batch_size(value: object) -> int | None:
    """Files per batch; None leaves it to the planner."""
    if value == "auto":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000:
        return value
    raise ValueError("must be `auto` or a whole number from 1 to 1,000,000 files")


def _priority_rule(value: str) -> str:
    """A rule of the mode `priority`; a list's path becomes absolute."""
    rule, colon, name = value.partition(":")
    words = [member.value for member in PriorityRule]
    named = rule in (PriorityRule.METADATA, PriorityRule.LIST)
    if rule not in words or bool(colon) != named or (named and not name) or "\0" in name:
        forms = (f"`{word}:{_RULE_NAMES[word]}`" if word in _RULE_NAMES else f"`{word}`" for word in words)
        raise ValueError(f"must be {listed(forms)}")
    return f"{rule}:{os.path.abspath(name)}" if rule == PriorityRule.LIST else value


_RULE_NAMES = {PriorityRule.METADATA.value: "KEY", PriorityRule.LIST.value: "FILE"}


def _pattern(value: str, *, group: bool = False) -> str:
    """The regular expression as it is, once it compiles and, if `group` is set, has a group 1 to take."""
    if len(value) > 1000:  # some take a second to compile, and longer ones as much longer
        raise ValueError("must be a regular expression of at most 1,000 characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of sets that may come to mean something else
            groups = re.compile(value).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    if group and not groups:
        raise ValueError("must have a group in round brackets; what group 1 matches is what is taken")
    return value


def _no_null(value: str) -> str:
    if "\0" in value:
        raise ValueError("must hold no null character")
    return value


def _glob(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return _no_null(value)


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
    written = _typed(dict, "a table of heights and bit rates, such as {1080p: 5000k, 720p: 2500k}")(value)
    rates: dict[int, int] = {}
    for height, rate in ((height, rate) for height, rate in written.items() if rate is not None):
        try:
            rates[quantities.parse_lines(str(height))] = _VIDEO_RATE.read(rate)
        except ValueError as error:
            raise ValueError(f"does not fit at {str(height)[:40]!r}: it {error}") from None
    return tuple(sorted(rates.items(), reverse=True))


def _options(value: object) -> tuple[tuple[str, str], ...]:
    given = _typed(dict, "a table of encoder options, such as {bf: 2}")(value)
    if len(given) > 200:  # more than all that are allowed for any encoder
        raise ValueError("must be a table of at most 200 encoder options")
    texts: dict[str, str] = {}
    for name, setting in ((name, setting) for name, setting in given.items() if setting is not None):
        if not isinstance(setting, str | int | float):
            raise ValueError(f"must give {name[:40]!r} a text or a number")
        texts[name] = str(int(setting)) if isinstance(setting, bool) else str(setting)
    return tuple(sorted(texts.items()))


def _resources(value: object) -> tuple[tuple[str, int], ...]:
    given = _typed(dict, "a table of names and whole numbers, such as {gpu: 2}")(value)
    try:
        counts = ((str(name), _COUNT.read(count)) for name, count in given.items() if count is not None)
        return tuple(sorted(counts))
    except ValueError as error:
        raise ValueError(f"must give each name how many there are: it {error}") from None


def _tenants(value: object) -> tuple[tuple[str, TenantSettings], ...]:
    given = _typed(dict, "a table of tenants with their settings, such as {studio: {weight: 3}}")(value)
    tenants: dict[str, TenantSettings] = {}
    for name, settings in given.items():
        called = repr(str(name)[:40])
        if settings is not None and not isinstance(settings, dict):
            raise ValueError(f"must give the tenant {called} a table of settings, such as {{weight: 3}}")
        said = {key: limit for key, limit in (settings or {}).items() if limit is not None}
        if unknown := sorted(str(key) for key in said if key not in _OF_A_TENANT):
            known = listed(_OF_A_TENANT)
            raise ValueError(f"must give the tenant {called} no key {unknown[0][:40]!r}; known are {known}")
        limits: dict[str, Any] = {}
        for key, limit in said.items():
            try:
                limits[key] = _OF_A_TENANT[key].read(limit)
            except ValueError as error:
                raise ValueError(f"does not fit for the tenant {called}: {key} {error}") from None
        tenants[str(name)] = TenantSettings(**limits)
    return tuple(sorted(tenants.items()))


_OF_A_TENANT = {
    "weight": number(0.01, 1000),
    "max_jobs": whole(1, 100_000, "jobs"),
    "max_waiting": whole(1, 100_000_000, "jobs"),
    "max_cpu_seconds": number(1, 10_000_000_000, "CPU-seconds"),
}
_OF_TENANTS = {
    "type": "object",
    "additionalProperties": {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {name: {"anyOf": [*kind.forms, {"type": "null"}]} for name, kind in _OF_A_TENANT.items()},
    },
}
_COUNT = whole(1, 100_000)
_WHOLE_RATE = partial(_ranged, "integer", quantities.parse_bit_rate)
_VIDEO_RATE = _WHOLE_RATE(10_000, 1_000_000_000, "bits per second", "; write 5000k for 5000 kbit/s", _RATE)
_HEIGHTS = {
    "type": "object",
    "additionalProperties": {"anyOf": [*_VIDEO_RATE.forms, {"type": "null"}]},
    "propertyNames": {"pattern": "^([0-9]{2,5}[pi]?|[248][kK])$"},
}
_OPTION_FORM = {"type": "object", "additionalProperties": {"type": ["string", "number", "integer", "boolean", "null"]}}
_COUNTS = {"type": "object", "additionalProperties": {"anyOf": [*_COUNT.forms, {"type": "null"}]}}
_RATES = {"type": "number", "minimum": float(quantities.MIN_FPS), "maximum": quantities.MAX_FPS}
_FILES = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
_SIZES = partial(_ranged, "integer", quantities.parse_size, unit="bytes", with_unit=_SIZE)

Anything = Kind(lambda value: value, ({},))
Switch = Kind(_typed(bool, "true or false"), ({"type": "boolean"},))
Container = text(check=_container, enum=[*CONTAINERS, *CONTAINER_ALIASES])
EncoderName = text(check=_encoder)
Preset = Kind(_preset, ({"type": "string"}, {"type": "integer", "minimum": 0}))
Tune = _matching(r"[A-Za-z0-9_]{1,32}(,[A-Za-z0-9_]{1,32}){0,3}", "a tuning's name, such as film")
PixelFormat = _matching(r"[a-z][a-z0-9]{1,23}", "a pixel format as ffmpeg lists it, such as yuv420p, or `source`")
FrameRate = Kind(quantities.parse_frame_rate, (_RATES, _written(r"[0-9.]+\s*([/:]\s*[0-9]+)?")))
Side = _ranged("integer", _side, 16, 16384, "pixels")
Heights = Kind(_heights, (_HEIGHTS,))
OptionTable = Kind(_options, (_OPTION_FORM,))
AudioRate = _WHOLE_RATE(6_000, 10_000_000, "bits per second", "; write 128k for 128 kbit/s", _RATE)
Bytes = _SIZES(0, 1 << 60)
MemoryBytes = _SIZES(16 << 20, 1 << 50, hint="; write 6G for 6 GiB")
Pattern = text(check=_pattern)
GroupPattern = text(check=partial(_pattern, group=True))
Extension = text(check=_extension)
Glob = text(1, 4096, check=_glob)
Words = tuple_of(text(check=_no_null), check=_words)
Resources = Kind(_resources, (_COUNTS,))
Tenants = Kind(_tenants, (_OF_TENANTS,))
PriorityBy = text(1, 4096, check=_priority_rule)
BatchSize = Kind(_batch_size, ({"const": "auto"}, _FILES))
TimeOfDay = Kind(quantities.parse_time_of_day, (_written(quantities.CLOCK),))
Window = Kind(quantities.parse_window, (_written(quantities.WINDOW),))
