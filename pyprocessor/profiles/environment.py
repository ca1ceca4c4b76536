"""Which settings do environment variables make?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pyprocessor.profiles.kinds import Kind
from pyprocessor.profiles.layers import Layer, layer_of
from pyprocessor.profiles.overrides import SHORT_VARIABLES
from pyprocessor.profiles.problems import KeyPath, nearest
from pyprocessor.profiles.schema import SECTIONS, ProfileFile, key_of

PREFIX = "PYPROCESSOR_"
PROFILE_VARIABLE = "PYPROCESSOR_PROFILE"
CONFIG_VARIABLE = "PYPROCESSOR_CONFIG"
_FOR_HOOKS = (
    *("HOOK", "SOURCE", "OUTPUT", "OUTCOME", "FAILURE", "REASON", "EXIT_CODE"),
    *("SUCCEEDED", "FAILED", "SKIPPED", "DONE_BEFORE", "FAILED_BEFORE"),
)
RESERVED = (
    PROFILE_VARIABLE,
    CONFIG_VARIABLE,
    "PYPROCESSOR_FFMPEG",
    "PYPROCESSOR_MEDIA",
    *(PREFIX + name for name in _FOR_HOOKS),
)
"""Not settings: read by `load`, by the search for ffmpeg, and by the tests; or set for hooks, which may call us."""

_FILES_ONLY = frozenset({"description", "extends", "input", "output"}) | frozenset(SECTIONS)
_SECTIONS_OF_FILES = frozenset({"hooks", "unsafe"})
"""What is run, or handed on unchecked, must stand in a file that the user named: variables may come from anywhere."""
_TABLES = frozenset({("video", "bitrates"), ("video", "options")})
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d{1,18}\.\d{0,18}|\.\d{1,18})", re.ASCII)


@cache
def variables() -> dict[str, KeyPath]:
    """The key that each variable sets, `PYPROCESSOR_<SECTION>_<KEY>` and the short names."""
    found: dict[str, KeyPath] = {}
    for name in ProfileFile.keys:
        if name not in _FILES_ONLY:
            found[PREFIX + name.upper()] = (name,)
    for section, table in SECTIONS.items():
        for name in table.keys:
            if section not in _SECTIONS_OF_FILES and (section, name) not in _TABLES:
                found[f"{PREFIX}{section}_{name}".upper()] = (section, name)
    found.update({PREFIX + short: path for short, path in SHORT_VARIABLES.items()})
    return found


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """The settings that variables make, empty ones none; raises ProfileError naming the variable."""
    known = variables()
    given: dict[KeyPath, tuple[str, Any]] = {}
    problems: list[str] = []
    notices: list[str] = []
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        path = known.get(variable)
        if path is None:
            close = nearest(variable.removeprefix(PREFIX), (name.removeprefix(PREFIX) for name in known))
            if close is not None and variable not in RESERVED:
                notices.append(f"The environment variable {variable} sets nothing; did you mean {PREFIX}{close}?")
            continue
        text = environment[variable].strip()
        if not text:
            continue
        value = _value(text, path)
        earlier, found = given.get(path, (variable, value))
        if found != value:
            problems.append(f"{earlier} and {variable} set the same thing to different values; unset one.")
        else:
            given[path] = (variable, value)
    return layer_of("environment", given, problems, notices)


def _value(text: str, path: KeyPath) -> Any:
    """The text as the key's kind wants it; what does not fit stays a text and is refused."""
    kind = key_of(path).kind
    assert isinstance(kind, Kind)
    form = kind.forms[0].get("type")
    if form == "array":
        return [item.strip() for item in text.split(",") if item.strip()]
    if form == "boolean":
        return _WORDS.get(text.lower(), text)
    if form == "string":
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
