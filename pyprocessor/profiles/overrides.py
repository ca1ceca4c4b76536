"""Settings from the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pyprocessor.profiles.documents import KeyPath
from pyprocessor.profiles.layers import Layer
from pyprocessor.profiles.problems import Origin, SettingsRefused
from pyprocessor.profiles.schema import SECTIONS, ProfileFile
from pyprocessor.profiles.validation import problems_of


@dataclass(frozen=True, slots=True)
class Overrides:
    """What options on the command line say; None (or an empty tuple) means: not given.

    `fps`, `batch_size`, `window` and `until` take what a file takes (`"30000/1001"`, `"auto"`, `"22:00-06:00"`,
    `"07:00"`). `no_audio` only ever switches off.
    """

    encoder: str | None = None
    preset: str | None = None
    tune: str | None = None
    fps: Fraction | float | str | None = None
    crf: int | None = None
    no_audio: bool | None = None
    damaged: str | None = None
    batch_enabled: bool | None = None
    batch_size: int | str | None = None
    max_memory_percent: float | None = None
    memory_limit_bytes: int | None = None
    jobs: int | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    min_size_bytes: int | None = None
    max_size_bytes: int | None = None
    min_age_seconds: float | None = None
    progress_interval_seconds: float | None = None
    max_retries: int | None = None
    cpu_limit_percent: float | None = None
    strict_memory: bool | None = None
    disk_reserve_bytes: int | None = None
    nice: int | None = None
    io_idle: bool | None = None
    pressure_polite: bool | None = None
    window: str | None = None
    until: str | None = None
    overrun: str | None = None
    grace_seconds: float | None = None


def _same(value: Any) -> Any:
    return value


def _off(value: bool) -> bool | None:
    return False if value else None


def _items(value: tuple[str, ...]) -> list[str] | None:
    return list(value) or None


_OPTIONS: tuple[tuple[str, str, KeyPath, Callable[[Any], Any]], ...] = (
    ("encoder", "--encoder", ("video", "encoder"), _same),
    ("preset", "--preset", ("video", "preset"), _same),
    ("tune", "--tune", ("video", "tune"), _same),
    ("fps", "--fps", ("video", "fps"), _same),
    ("crf", "--crf", ("video", "crf"), _same),
    ("no_audio", "--no-audio", ("audio", "enabled"), _off),
    ("damaged", "--damaged", ("damaged",), _same),
    ("batch_enabled", "--batch-mode", ("batch_processing", "enabled"), _same),
    ("batch_size", "--batch-size", ("batch_processing", "batch_size"), _same),
    ("max_memory_percent", "--max-memory", ("batch_processing", "max_memory_percent"), _same),
    ("memory_limit_bytes", "--memory-limit", ("batch_processing", "memory_limit"), _same),
    ("jobs", "--jobs", ("batch_processing", "jobs"), _same),
    ("include", "--include", ("scan", "include"), _items),
    ("exclude", "--exclude", ("scan", "exclude"), _items),
    ("min_size_bytes", "--min-size", ("scan", "min_size"), _same),
    ("max_size_bytes", "--max-size", ("scan", "max_size"), _same),
    ("min_age_seconds", "--min-age", ("scan", "min_age"), _same),
    (
        "progress_interval_seconds",
        "--progress-interval",
        ("monitoring", "progress_interval_seconds"),
        _same,
    ),
    ("max_retries", "--max-retries", ("error_handling", "max_retries"), _same),
    ("cpu_limit_percent", "--cpu-limit", ("throttling", "cpu_limit_percent"), _same),
    ("strict_memory", "--strict-memory", ("throttling", "strict_memory"), _same),
    ("disk_reserve_bytes", "--disk-reserve", ("throttling", "disk_reserve"), _same),
    ("nice", "--nice", ("throttling", "nice"), _same),
    ("io_idle", "--io-idle", ("throttling", "io_idle"), _same),
    ("pressure_polite", "--pressure-polite", ("throttling", "pressure_polite"), _same),
    ("window", "--window", ("schedule", "window"), _same),
    ("until", "--until", ("schedule", "until"), _same),
    ("overrun", "--overrun", ("schedule", "overrun"), _same),
    ("grace_seconds", "--grace", ("schedule", "grace_seconds"), _same),
)


def overrides_layer(overrides: Overrides) -> Layer:
    """The settings that options make; raises ProfileError naming the option."""
    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
    for name, option, path, convert in _OPTIONS:
        given = getattr(overrides, name)
        value = None if given is None else convert(given)
        if value is None:
            continue
        holder = values if len(path) == 1 else values.setdefault(path[0], {})
        holder[path[-1]] = value
        origins[path] = Origin("", option)
        origins.setdefault(path[:1], Origin("", option))
    problems = problems_of(ProfileFile, SECTIONS, values, lambda path: origins[path])
    if problems:
        raise SettingsRefused(problems)
    names = ", ".join(dict.fromkeys(origin.key for origin in origins.values()))
    return Layer(f"command line ({names})" if names else "", values, origins)
