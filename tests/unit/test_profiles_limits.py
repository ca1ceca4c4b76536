"""What a run may use and when: from files, variables and options to the records, and back into a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from pyprocessor import profiles
from pyprocessor.errors import ProfileError
from pyprocessor.models import (
    MonitoringSettings,
    Overrun,
    Profile,
    ScheduleSettings,
    TenantSettings,
    ThrottlingSettings,
)
from pyprocessor.profiles.loading import render

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a profile file and gives its path."""

    def write_file(text: str) -> str:
        path = tmp_path / "p.yaml"
        path.write_text(text)
        return str(path)

    return write_file


def load(file: str | None = None, environment: dict[str, str] | None = None) -> Profile:
    return profiles.load(file, environment=environment or {}).profile


def test_limits_and_schedule_of_a_file(write: Write) -> None:
    """All keys reach their record; what is not said is as the records have it."""
    text = """
    monitoring: {sample_interval_seconds: 1, ramp_interval_seconds: 0.1}
    throttling:
      {hold_percent: 90, release_percent: 70, release_readings: 3, wall_percent: 92, reaction_seconds: 1s,
       pressure_full_percent: 30, max_sheds: 2, strict_memory: true, cpu_limit_percent: 50, disk_reserve: 2G, nice: 10,
       io_idle: true, pressure_polite: true, polite_percent: 10}
    schedule: {window: 22:00-06:00, until: 06:00, overrun: requeue}
    """
    profile = load(write(text))
    assert profile.monitoring == MonitoringSettings(1.0, 0.1)
    assert profile.throttling == ThrottlingSettings(*(90, 70, 3, 92, 1.0, 30, 2, True, 50, 2 << 30, 10, True, True, 10))
    assert profile.schedule == ScheduleSettings((time(22), time(6)), time(6), Overrun.REQUEUE)
    plain = load()
    assert (plain.throttling, plain.schedule) == (ThrottlingSettings(), ScheduleSettings())
    assert load(write("throttling: {hold_percent: 60}")).throttling.release_percent == 50
    assert load(write("schedule: {window: 00:30 - 24:00}")).schedule.window == (time(0, 30), time(0))


def test_limits_from_variables() -> None:
    """The short names and the long ones set the same keys."""
    short = {
        "PYPROCESSOR_CPU_LIMIT": "40",
        "PYPROCESSOR_STRICT_MEMORY": "yes",
        "PYPROCESSOR_DISK_RESERVE": "1G",
        "PYPROCESSOR_NICE": "5",
        "PYPROCESSOR_WINDOW": "22:00-06:00",
        "PYPROCESSOR_UNTIL": "05:00",
        "PYPROCESSOR_OVERRUN": "requeue",
    }
    long = {
        "PYPROCESSOR_THROTTLING_CPU_LIMIT_PERCENT": "40",
        "PYPROCESSOR_THROTTLING_STRICT_MEMORY": "true",
        "PYPROCESSOR_THROTTLING_DISK_RESERVE": "1024M",
        "PYPROCESSOR_THROTTLING_NICE": "5",
        "PYPROCESSOR_SCHEDULE_WINDOW": "22:00-6:00",
        "PYPROCESSOR_SCHEDULE_UNTIL": "5:00",
        "PYPROCESSOR_SCHEDULE_OVERRUN": "requeue",
    }
    found = load(environment=short)
    assert found == load(environment=long)
    assert found.throttling == replace(
        ThrottlingSettings(), cpu_limit_percent=40, strict_memory=True, disk_reserve_bytes=1 << 30, nice=5
    )
    assert found.schedule == ScheduleSettings((time(22), time(6)), time(5), Overrun.REQUEUE)


def test_what_is_shown_loads_back(write: Write) -> None:
    """A profile with every limit set, written as a file, is the same profile."""
    text = """
    batch_processing: {memory_limit: 2G}
    throttling: {cpu_limit_percent: 50, disk_reserve: 2G, nice: 3, strict_memory: true}
    schedule: {window: 22:00-06:00, until: "22:30", overrun: requeue}
    """
    profile = load(write(text))
    assert profile.schedule.until == time(22, 30)
    assert load(write(render(profile, "shown"))) == profile


@pytest.mark.parametrize(
    ("window", "until", "fits"),
    [
        ("22:00-06:00", "06:00", True),
        ("22:00-06:00", "23:00", True),
        ("22:00-06:00", "00:00", True),
        ("22:00-06:00", "06:01", False),
        ("22:00-06:00", "21:59", False),
        ("08:00-24:00", "24:00", True),
        ("08:00-17:00", "08:00", False),
        ("08:00-17:00", "08:01", True),
    ],
)
def test_until_lies_within_the_window(window: str, until: str, fits: bool, write: Write) -> None:
    """After its start and at its end at the latest, over midnight too."""
    file = write(f"schedule: {{window: '{window}', until: '{until}'}}")
    if fits:
        assert load(file).schedule.until is not None
    else:
        with pytest.raises(ProfileError, match="must lie within"):
            load(file)


def test_resources_by_name(write: Write) -> None:
    """Layers are laid over each other name by name; of what is not named there is one; null takes a name away."""
    batch = load(write('batch_processing: {resources: {gpu: 2, "api:openai": 20, old: null}}')).batch
    assert batch.resources == (("api:openai", 20), ("gpu", 2))
    assert [batch.how_many(name) for name in ("gpu", "api:openai", "old", "other")] == [2, 20, 1, 1]
    assert load().batch.resources == ()
    assert load(write(render(load(write("batch_processing: {resources: {gpu: 2}}")), ""))).batch.how_many("gpu") == 2


def test_tenants_by_name(write: Write) -> None:
    """Shares and limits are kept, written again, and decide nothing of what outputs hold."""
    tenants = "{studio: {weight: 3, max_jobs: 4}, press: {max_cpu_seconds: 60, max_waiting: null}, '': {}}"
    loaded = load(write(f"batch_processing: {{tenants: {tenants}, unknown_tenants: refuse}}"))
    assert dict(loaded.batch.tenants) == {
        "": TenantSettings(),
        "press": TenantSettings(max_cpu_seconds=60.0),
        "studio": TenantSettings(weight=3.0, max_jobs=4),
    }
    assert load(write(render(loaded, ""))).batch == loaded.batch
    assert loaded.fingerprint == load().fingerprint


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("[studio]", "a table of tenants"),
        ("{studio: 3}", "'studio' a table of settings"),
        ("{studio: {wieght: 3}}", "no key 'wieght'; known are weight"),
        ("{studio: {weight: 0}}", "'studio': weight must be from 0.01 to 1,000"),
        ("{studio: {max_jobs: 1.5}}", "'studio': max_jobs must be a whole number"),
    ],
)
def test_tenants_have_settings(write: Write, wrong: str, words: str) -> None:
    """Anything else is refused with the tenant's name."""
    with pytest.raises(ProfileError, match=re.escape(words)):
        load(write(f"batch_processing: {{tenants: {wrong}}}"))


@pytest.mark.parametrize("wrong", ["{gpu: 0}", "{gpu: many}", "[gpu]", "{gpu: 1.5}", "{gpu: true}"])
def test_resources_are_whole_numbers(write: Write, wrong: str) -> None:
    """Anything else is refused with the key's name."""
    with pytest.raises(ProfileError, match="resources"):
        load(write(f"batch_processing: {{resources: {wrong}}}"))
