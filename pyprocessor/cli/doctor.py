"""`pyprocessor doctor`: whether this machine can run the main job, and what to do where it cannot."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

import click
import platformdirs

from pyprocessor import __version__
from pyprocessor.cli.session import print_result
from pyprocessor.engine.system import Sampler
from pyprocessor.errors import ExitCode, FfmpegUnusable
from pyprocessor.ffmpeg import tool
from pyprocessor.models import display
from pyprocessor.report.table import aligned
from pyprocessor.report.wording import count, size

ENCODERS_OF_NOTE = ("libx264", "libx265", "libsvtav1", "aac", "libopus")
SCARCE_MEMORY_BYTES = 500_000_000
"""What one 1080p encode at the default settings takes, with some room (x264 medium peaks at 0.4 GB)."""
SCARCE_DISK_BYTES = 1_000_000_000


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and for warnings and problems what to do."""

    name: str
    state: State
    found: str
    advice: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check ffmpeg, Python, memory and folders, and say what to do."""
    checks = list(examine())
    if as_json:
        print_result(json.dumps({"version": 1, "checks": [asdict(check) for check in checks]}, indent=2) + "\n")
    else:
        rows = [(check.name, _told(check)) for check in checks]
        print_result("\n".join(aligned(rows, 100)) + "\n")
    broken = {check.name for check in checks if check.state is State.PROBLEM}
    if "ffmpeg" in broken:
        ctx.exit(ExitCode.FFMPEG_UNUSABLE)
    ctx.exit(ExitCode.SOME_FAILED if broken else ExitCode.OK)


def examine() -> Iterator[Check]:
    """Look at everything, cheapest first; nothing is made or changed."""
    yield Check("pyprocessor", State.OK, f"{__version__} in {os.path.dirname(os.path.dirname(__file__))}")
    yield Check("Python", State.OK, f"{platform.python_version()} at {sys.executable}, {platform.platform()}")
    yield from _ffmpeg()
    yield _pyav()
    yield from _machine()
    yield _folder("learned costs", platformdirs.user_state_dir("pyprocessor", appauthor=False), "XDG_STATE_HOME")
    yield _folder("cache", platformdirs.user_cache_dir("pyprocessor", appauthor=False), "XDG_CACHE_HOME")


def _told(check: Check) -> str:
    return f"{check.state.value}: {check.found}" + (f" {check.advice}" if check.advice else "")


def _ffmpeg() -> Iterator[Check]:
    try:
        found = tool.find(os.environ)
    except FfmpegUnusable as error:
        yield Check("ffmpeg", State.PROBLEM, str(error))
        return
    yield Check("ffmpeg", State.OK, f"version {found.version} at {found.path}")
    missing = [name for name in ENCODERS_OF_NOTE if name not in found.encoders]
    if missing:
        yield Check(
            "encoders",
            State.WARNING,
            f"this ffmpeg lacks {', '.join(missing)}.",
            "Built-in profiles that need them do not work; leave PYPROCESSOR_FFMPEG unset to use the ffmpeg that comes "
            "with pyprocessor.",
        )
    else:
        yield Check("encoders", State.OK, f"{', '.join(ENCODERS_OF_NOTE)} and {len(found.encoders) - 5} more")


def _pyav() -> Check:
    try:
        import av
    except ImportError as error:
        return Check(
            "PyAV",
            State.PROBLEM,
            f"cannot be loaded: {error}.",
            "It reads what is in a file; reinstall it with `pip install --force-reinstall av`.",
        )
    return Check("PyAV", State.OK, f"version {av.__version__}")


def _machine() -> Iterator[Check]:
    reading = Sampler(os.fsencode(os.getcwd())).read((), time.monotonic())
    yield Check("cores", State.OK, f"{reading.cores:g} of {count(os.cpu_count() or 1, 'core')} may be used")
    free = reading.total_memory_bytes - reading.used_memory_bytes
    limited = ""
    physical = _physical_memory_bytes()
    if physical is not None and reading.total_memory_bytes < physical:
        limited = f" (a control group limits it; the machine has {size(physical)})"
    found = f"{size(free)} free of {size(reading.total_memory_bytes)}{limited}"
    if free < SCARCE_MEMORY_BYTES:
        advice = "One 1080p encode may need all of it: end other programs, or use a faster preset."
        yield Check("memory", State.WARNING, f"{found}.", advice)
    else:
        yield Check("memory", State.OK, found)
    if reading.memory_pressure_full is None:
        yield Check("memory pressure", State.OK, "this system does not report it; decisions rest on memory alone")
    else:
        yield Check("memory pressure", State.OK, f"{reading.memory_pressure_full:g}% of the time stalled for memory")
    here = f"{size(reading.free_disk_bytes)} free where you are, {display(os.fsencode(os.getcwd()))}"
    if reading.free_disk_bytes < SCARCE_DISK_BYTES:
        yield Check("disk", State.WARNING, f"{here}.", "Outputs may not fit; choose an --output with more room.")
    else:
        yield Check("disk", State.OK, here)


def _physical_memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None  # Windows has no sysconf; others may not know these names


def _folder(name: str, path: str, variable: str) -> Check:
    existing = path
    while not os.path.exists(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)
    shown = display(os.fsencode(path))
    if os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK):
        return Check(name, State.OK, f"kept in {shown}")
    return Check(
        name,
        State.WARNING,
        f"{shown} cannot be written.",
        f"Runs work without it but learn nothing; make it writable, or point {variable} to a folder that is.",
    )
