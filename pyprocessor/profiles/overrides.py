"""Which settings do environment variables and options of the command line make?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache
from typing import Any

from pyprocessor.errors import ProfileError, UsageError
from pyprocessor.models.profile import HOOK_VARIABLES
from pyprocessor.profiles.kinds import Kind
from pyprocessor.profiles.layers import Layer, layer_of
from pyprocessor.profiles.problems import KeyPath, listed, nearest
from pyprocessor.profiles.quantities import parse_duration, parse_size
from pyprocessor.profiles.schema import SECTIONS, ProfileFile, key_of

PREFIX = "PYPROCESSOR_"
_RESERVED = ["PROFILE", "CONFIG", "FFMPEG", "MEDIA", *HOOK_VARIABLES]
"""Not settings: read by `load`, by the search for ffmpeg, and by the tests; or set for hooks, which may call us."""

_FILES_ONLY = {"description", "extends", "input", "output", *SECTIONS}
_SECTIONS_OF_FILES = {"hooks", "unsafe"}
"""What is run, or handed on unchecked, must stand in a file that the user named: variables may come from anywhere."""
_TABLES = {("video", "bitrates"), ("video", "options")}
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d{1,18}\.\d{0,18}|\.\d{1,18})", re.ASCII)


def _sets(key: str, option: str, variable: str = "") -> Any:
    """A field that sets this key; `variable` is what follows `PYPROCESSOR_` in its short variable."""
    metadata = {"path": tuple(key.split(".")), "option": option, "variable": variable}
    return field(default=None, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What options on the command line say; None (or an empty tuple) means: not given.

    `fps`, `batch_size`, `window` and `until` take what a file takes (`"30000/1001"`, `"auto"`, `"22:00-06:00"`,
    `"07:00"`). `no_audio` only ever switches off.
    """

    encoder: str | None = _sets("video.encoder", "--encoder", "ENCODER")
    preset: str | None = _sets("video.preset", "--preset", "PRESET")
    tune: str | None = _sets("video.tune", "--tune", "TUNE")
    fps: Fraction | float | str | None = _sets("video.fps", "--fps", "FPS")  # noqa: RUF009 - a field
    crf: int | None = _sets("video.crf", "--crf", "CRF")
    no_audio: bool | None = _sets("audio.enabled", "--no-audio")
    damaged: str | None = _sets("damaged", "--damaged")
    chunking: str | None = _sets("chunking", "--chunking")
    batch_enabled: bool | None = _sets("batch_processing.enabled", "--batch-mode", "BATCH_ENABLED")
    mode: str | None = _sets("batch_processing.mode", "--mode", "MODE")
    priority_by: str | None = _sets("batch_processing.priority_by", "--priority-by", "PRIORITY_BY")
    batch_size: int | str | None = _sets("batch_processing.batch_size", "--batch-size", "BATCH_SIZE")
    max_memory_percent: float | None = _sets(
        "batch_processing.max_memory_percent", "--max-memory", "MAX_MEMORY_PERCENT"
    )
    memory_limit_bytes: int | None = _sets("batch_processing.memory_limit", "--memory-limit", "MEMORY_LIMIT")
    jobs: int | None = _sets("batch_processing.jobs", "--jobs", "JOBS")
    include: tuple[str, ...] | None = _sets("scan.include", "--include")
    exclude: tuple[str, ...] | None = _sets("scan.exclude", "--exclude")
    min_size_bytes: int | None = _sets("scan.min_size", "--min-size", "MIN_SIZE")
    max_size_bytes: int | None = _sets("scan.max_size", "--max-size", "MAX_SIZE")
    min_age_seconds: float | None = _sets("scan.min_age", "--min-age", "MIN_AGE")
    progress_interval_seconds: float | None = _sets(
        "monitoring.progress_interval_seconds", "--progress-interval", "PROGRESS_INTERVAL_SECONDS"
    )
    max_retries: int | None = _sets("error_handling.max_retries", "--max-retries", "MAX_RETRIES")
    cpu_limit_percent: float | None = _sets("throttling.cpu_limit_percent", "--cpu-limit", "CPU_LIMIT")
    strict_memory: bool | None = _sets("throttling.strict_memory", "--strict-memory", "STRICT_MEMORY")
    disk_reserve_bytes: int | None = _sets("throttling.disk_reserve", "--disk-reserve", "DISK_RESERVE")
    nice: int | None = _sets("throttling.nice", "--nice", "NICE")
    io_idle: bool | None = _sets("throttling.io_idle", "--io-idle", "IO_IDLE")
    pressure_polite: bool | None = _sets("throttling.pressure_polite", "--pressure-polite", "PRESSURE_POLITE")
    window: str | None = _sets("schedule.window", "--window", "WINDOW")
    until: str | None = _sets("schedule.until", "--until", "UNTIL")
    overrun: str | None = _sets("schedule.overrun", "--overrun", "OVERRUN")
    grace_seconds: float | None = _sets("schedule.grace_seconds", "--grace", "GRACE")


SHORT_VARIABLES: dict[str, KeyPath] = {
    each.metadata["variable"]: each.metadata["path"] for each in fields(Overrides) if each.metadata["variable"]
}
"""Short names of variables, after `PYPROCESSOR_`, and the key each sets."""


def overrides_of(given: Mapping[str, Any], *, called: Callable[[str], str]) -> Overrides:
    """Overrides by the names of their fields; sizes and times may be texts, such as "2G" and "10m".

    `called` returns how the user calls a field. Raises UsageError for an unknown name, ProfileError for a value.
    """
    known = [each.name for each in fields(Overrides)]
    made = dict(given)
    for name, value in given.items():
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean `{near}`?" if near else f"the settings are {listed(known, 'and')}."
            raise UsageError(f"There is no setting `{name}`; {hint}")
        unit = name.rpartition("_")[2]
        if isinstance(value, str) and unit in ("bytes", "seconds"):
            try:
                made[name] = (parse_size if unit == "bytes" else parse_duration)(value)
            except ValueError as error:
                raise ProfileError(f"{called(name)} is {json.dumps(value)}, but {error}.") from None
        elif isinstance(value, float) and value.is_integer():
            made[name] = int(value)  # so that an error says 0 where the user wrote 0
    return Overrides(**made)


def overrides_layer(overrides: Overrides) -> Layer:
    """The settings that options make; raises ProfileError naming the option."""
    given: dict[KeyPath, tuple[str, Any]] = {}
    for each in fields(Overrides):
        value = getattr(overrides, each.name)
        if each.name == "no_audio":
            value = False if value else None
        elif isinstance(value, tuple):
            value = list(value) or None
        if value is not None:
            given[each.metadata["path"]] = (each.metadata["option"], value)
    return layer_of(given)


@cache
def variables() -> dict[str, KeyPath]:
    """The key that each variable sets, `PYPROCESSOR_<SECTION>_<KEY>` and the short names."""
    paths: list[KeyPath] = [(name,) for name in ProfileFile.keys if name not in _FILES_ONLY]
    for section, table in SECTIONS.items():
        paths += [(section, name) for name in table.keys if section not in _SECTIONS_OF_FILES]
    names = {PREFIX + "_".join(path).upper(): path for path in paths if path not in _TABLES}
    return names | {PREFIX + short: path for short, path in SHORT_VARIABLES.items()}


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """The settings that variables make, empty ones none; raises ProfileError naming the variable."""
    known = variables()
    given: dict[KeyPath, tuple[str, Any]] = {}
    problems: list[str] = []
    notices: list[str] = []
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        path, text, word = known.get(variable), environment[variable].strip(), variable.removeprefix(PREFIX)
        if path is not None and text:
            value = _value(text, path)
            earlier, found = given.setdefault(path, (variable, value))
            if found != value:
                problems.append(f"{earlier} and {variable} set the same thing to different values; unset one.")
        elif path is None and word not in _RESERVED:
            close = nearest(word, (name.removeprefix(PREFIX) for name in known))
            if close is not None:
                notices.append(f"The environment variable {variable} sets nothing; did you mean {PREFIX}{close}?")
    return layer_of(given, problems, notices)


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
