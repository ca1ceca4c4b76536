"""The examples for cron and systemd say what the page about them promises, and are read by those they are for."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyprocessor.cli.main import OPTION_GROUPS
from pyprocessor.errors import ExitCode
from pyprocessor.models import ScheduleSettings
from tests.waiting import DEADLINE_SECONDS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "service.md").read_text()
EXAMPLES = DOCS / "examples"
SERVICES = ("pyprocessor.service", "pyprocessor-watch.service")
INSTALLED = "/opt/pyprocessor/bin/pyprocessor"


def unit(name: str) -> dict[str, list[str]]:
    """`Section.Directive` and its values, in order; refuses what systemd.syntax(7) does not know."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (EXAMPLES / name).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if header := re.fullmatch(r"\[([A-Z][a-z]+)\]", line):
            section = header.group(1)
            continue
        setting = re.fullmatch(r"([A-Z][A-Za-z]+)=(.*)", line)
        assert setting is not None, line
        assert section, line
        found.setdefault(f"{section}.{setting.group(1)}", []).append(setting.group(2))
    return found


def known_options() -> set[str]:
    """Every option of the main job."""
    return {name for group in OPTION_GROUPS.values() for option in group for name in option.opts}


def commands() -> list[list[str]]:
    """Every command line of the examples."""
    crontab = (EXAMPLES / "pyprocessor.crontab").read_text()
    lines = [line.split(maxsplit=5)[5] for line in crontab.splitlines() if line.startswith("*")]
    return [shlex.split(line) for line in [*lines, *(unit(name)["Service.ExecStart"][0] for name in SERVICES)]]


def test_every_command_is_one_that_is_understood() -> None:
    """Full path, known options, input and output; only the service that watches watches."""
    assert len(commands()) == 3
    for command in commands():
        assert command[0] == INSTALLED
        options = {word for word in command[1:] if word.startswith("--")}
        assert options <= known_options()
        assert {"--input", "--output", "--min-age"} <= options
    assert ["--watch" in command for command in commands()] == [False, False, True]
    assert ["--quiet" in command for command in commands()] == [True, True, False]


def test_the_page_shows_the_crontab_as_it_is() -> None:
    """Word for word."""
    crontab = (EXAMPLES / "pyprocessor.crontab").read_text()
    shown = [line for line in crontab.splitlines() if not line.startswith("#")]
    assert "\n".join(shown) in PAGE


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_what_the_page_promises(name: str) -> None:
    """Every directive that the table names with a value has it, the others are there."""
    found = unit(name)
    promised = re.findall(r"`([A-Z][A-Za-z]+)=([^`]*)`", PAGE.split("What the directives are for")[1].split("\n\n")[1])
    only = {"Restart": SERVICES[1], "RestartPreventExitStatus": SERVICES[1]}
    assert {"OOMPolicy", "KillMode", "TimeoutStopSec", "SuccessExitStatus", "MemoryMax"} <= {key for key, _ in promised}
    for key, value in promised:
        if only.get(key, name) == name:
            assert found[f"Service.{key}" if f"Service.{key}" in found else f"Unit.{key}"], key
            assert value in ("", *found.get(f"Service.{key}", ()), *found.get(f"Unit.{key}", ())), key
    assert found["Service.OOMPolicy"] == ["continue"]
    assert found["Service.KillMode"] == ["mixed"]
    assert "Service.ProcSubset" not in found


def test_exit_codes_are_taken_as_the_page_says() -> None:
    """What systemd holds to be a success, also when `pyprocessor stop` ended it, and what is not begun anew."""
    stopped = f"{ExitCode.INTERRUPTED:d} {ExitCode.TERMINATED:d}"
    assert unit(SERVICES[0])["Service.SuccessExitStatus"] == [f"{ExitCode.TRY_AGAIN:d} {stopped}"]
    watcher = unit(SERVICES[1])
    assert watcher["Service.SuccessExitStatus"] == [f"{ExitCode.SOME_FAILED:d} {stopped}"]
    assert watcher["Service.RestartPreventExitStatus"] == [f"{ExitCode.USAGE:d} {ExitCode.FFMPEG_UNUSABLE:d}"]


def test_the_engine_ends_well_before_systemd_kills_it() -> None:
    """The time after SIGTERM holds the grace for running files, and what the engine gives its processes, twice."""
    from pyprocessor.engine.stopping import SETTLE_SECONDS

    for name in SERVICES:
        limit = ScheduleSettings().grace_seconds + 2 * SETTLE_SECONDS
        assert float(unit(name)["Service.TimeoutStopSec"][0]) >= limit


def test_the_timer_starts_the_service_of_its_name() -> None:
    """And catches up on a night in which the machine was off."""
    found = unit("pyprocessor.timer")
    assert found["Timer.Persistent"] == ["yes"]
    assert found["Install.WantedBy"] == ["timers.target"]
    assert (EXAMPLES / "pyprocessor.timer").with_suffix(".service").exists()
    assert unit(SERVICES[0])["Service.Type"] == ["oneshot"]


def test_a_night_that_is_made_up_for_does_not_take_the_day() -> None:
    """The run keeps to a window, which opens when the timer fires; an end alone would be that of the next morning."""
    command = shlex.split(unit(SERVICES[0])["Service.ExecStart"][0])
    assert "--until" not in command
    opens, _ = command[command.index("--window") + 1].split("-")
    assert unit("pyprocessor.timer")["Timer.OnCalendar"] == [opens]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", [*SERVICES, "pyprocessor.timer"])
def test_systemd_understands_the_units(name: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, once the command is one that exists."""
    for other in EXAMPLES.glob("pyprocessor*.*"):
        text = other.read_text().replace(INSTALLED, sys.executable)
        (tmp_path / other.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "pyprocessor" in line]
    assert (done.returncode, complaints) == (0, [])
