"""Which settings do options of the command line and short variables make? The one table of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any

from pyprocessor.profiles.layers import Layer, layer_of
from pyprocessor.profiles.problems import KeyPath


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
    batch_enabled: bool | None = _sets("batch_processing.enabled", "--batch-mode", "BATCH_ENABLED")
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
    return layer_of("command line", given)
