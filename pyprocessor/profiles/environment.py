"""Settings from environment variables."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from pyprocessor.profiles.documents import KeyPath
from pyprocessor.profiles.layers import Layer
from pyprocessor.profiles.problems import Origin, SettingsRefused, nearest
from pyprocessor.profiles.schema import SECTIONS, ProfileFile
from pyprocessor.profiles.validation import problems_of

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

_SHORT: dict[str, KeyPath] = {
    "ENCODER": ("video", "encoder"),
    "PRESET": ("video", "preset"),
    "TUNE": ("video", "tune"),
    "CRF": ("video", "crf"),
    "FPS": ("video", "fps"),
    "BATCH_ENABLED": ("batch_processing", "enabled"),
    "BATCH_SIZE": ("batch_processing", "batch_size"),
    "MAX_MEMORY_PERCENT": ("batch_processing", "max_memory_percent"),
    "MEMORY_LIMIT": ("batch_processing", "memory_limit"),
    "JOBS": ("batch_processing", "jobs"),
    "MIN_SIZE": ("scan", "min_size"),
    "MAX_SIZE": ("scan", "max_size"),
    "MIN_AGE": ("scan", "min_age"),
    "PROGRESS_INTERVAL_SECONDS": ("monitoring", "progress_interval_seconds"),
    "MAX_RETRIES": ("error_handling", "max_retries"),
    "CPU_LIMIT": ("throttling", "cpu_limit_percent"),
    "STRICT_MEMORY": ("throttling", "strict_memory"),
    "DISK_RESERVE": ("throttling", "disk_reserve"),
    "NICE": ("throttling", "nice"),
    "IO_IDLE": ("throttling", "io_idle"),
    "PRESSURE_POLITE": ("throttling", "pressure_polite"),
    "WINDOW": ("schedule", "window"),
    "UNTIL": ("schedule", "until"),
    "OVERRUN": ("schedule", "overrun"),
    "GRACE": ("schedule", "grace_seconds"),
}
_FILES_ONLY = frozenset({"description", "extends", "input", "output"}) | frozenset(SECTIONS)
_SECTIONS_OF_FILES = frozenset({"hooks", "unsafe"})
"""What is run, or handed on unchecked, must stand in a file that the user named: variables may come from anywhere."""
_TABLES = frozenset({("video", "bitrates"), ("video", "options")})
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d{1,18}\.\d{0,18}|\.\d{1,18})", re.ASCII)


@cache
def variables() -> dict[str, KeyPath]:
    """Every variable that sets something, and the key it sets: `PYPROCESSOR_<SECTION>_<KEY>` and some short names."""
    found: dict[str, KeyPath] = {}
    for name in ProfileFile.model_fields:
        if name not in _FILES_ONLY:
            found[PREFIX + name.upper()] = (name,)
    for section, model in SECTIONS.items():
        for name in model.model_fields:
            if section not in _SECTIONS_OF_FILES and (section, name) not in _TABLES:
                found[f"{PREFIX}{section}_{name}".upper()] = (section, name)
    found.update({PREFIX + short: path for short, path in _SHORT.items()})
    return found


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """The settings that variables make; an empty variable makes none. Raises ProfileError naming the variable."""
    known = variables()
    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
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
        earlier = origins.get(path)
        holder = values if len(path) == 1 else values.setdefault(path[0], {})
        if earlier is not None and holder[path[-1]] != value:
            problems.append(f"{earlier.key} and {variable} set the same thing to different values; unset one.")
            continue
        holder[path[-1]] = value
        origins[path] = Origin("", variable)
    problems += problems_of(ProfileFile, SECTIONS, values, lambda path: origins[path])
    if problems:
        raise SettingsRefused(problems)
    for section in values:
        if section in SECTIONS:
            origins.setdefault((section,), origins[next(path for path in origins if path[0] == section)])
    names = ", ".join(sorted({origin.key for origin in origins.values()}))
    return Layer(f"environment ({names})" if names else "", values, origins, tuple(notices))


def _value(text: str, path: KeyPath) -> Any:
    """The text as the key's type wants it; what does not fit stays a text and is refused by the model."""
    model = ProfileFile if len(path) == 1 else SECTIONS[path[0]]
    kinds = typing.get_args(model.model_fields[path[-1]].annotation)
    if any(typing.get_origin(_bare(kind)) is list for kind in kinds):
        return [item.strip() for item in text.split(",") if item.strip()]
    if bool in kinds:
        return _WORDS.get(text.lower(), text)
    if any(_bare(kind) is str for kind in kinds):
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _bare(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
