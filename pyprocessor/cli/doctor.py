"""`pyprocessor doctor`: can this machine run the main job, and what is to be done where it cannot?"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click
import platformdirs

from pyprocessor import __version__
from pyprocessor.cli.session import print_result
from pyprocessor.costs.calibration import LearnedCosts, default_path, load
from pyprocessor.costs.model import CostClass, CostModel
from pyprocessor.errors import ExitCode, FfmpegUnusable
from pyprocessor.ffmpeg import tool
from pyprocessor.models import FOLDER_TASK, display
from pyprocessor.models.extras import LIBRARIES
from pyprocessor.models.wording import count, memory_size, size
from pyprocessor.report.wording import aligned, grid
from pyprocessor.system.sampler import Sampler

ENCODERS_OF_NOTE = ("libx264", "libx265", "libsvtav1", "aac", "libopus")
SCARCE_MEMORY_BYTES = 500_000_000
"""What one 1080p encode at the default settings takes, with some room (x264 medium peaks at 0.4 GB)."""
SCARCE_DISK_BYTES = 1_000_000_000
CLASSES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and for warnings and problems what to do."""

    name: str
    found: str
    advice: str = ""
    problem: bool = False

    @property
    def state(self) -> str:
        return "problem" if self.problem else "warning" if self.advice else "ok"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> int:
    """Check ffmpeg, Python, memory and folders, and say what to do."""
    costs = load(default_path())
    files = sum(history.count for history in costs.model.classes.values())
    checks = [*examine(), _calibration(costs, files)]
    learned = most_used(costs.model)
    if as_json:
        entries = [{"name": c.name, "state": c.state, "found": c.found, "advice": c.advice} for c in checks]
        calibration = {
            "path": display(os.fsencode(default_path())),
            "problem": costs.problem,
            "classes": len(costs.model.classes),
            "files": files,
            "most_used": [{**one, "cost_class": one["cost_class"]._asdict()} for one in learned],
        }
        print_result(json.dumps({"version": 1, "checks": entries, "calibration": calibration}, indent=2) + "\n")
    else:
        lines = aligned([(c.name, f"{c.state}: {c.found} {c.advice}".rstrip()) for c in checks], 100)
        print_result("\n".join([*lines, *_calibration_lines(costs, learned)]) + "\n")
    broken = {check.name for check in checks if check.problem}
    if "ffmpeg" in broken:
        return ExitCode.FFMPEG_UNUSABLE
    return ExitCode.SOME_FAILED if broken else ExitCode.OK


def examine() -> Iterator[Check]:
    """Look at everything, cheapest first; nothing is made or changed."""
    yield Check("pyprocessor", f"{__version__} in {os.path.dirname(os.path.dirname(__file__))}")
    yield Check("Python", f"{platform.python_version()} at {sys.executable}, {platform.platform()}")
    yield from _ffmpeg()
    try:
        import av
    except ImportError as error:
        advice = "It reads what is in a file; reinstall it with `pip install --force-reinstall av`."
        yield Check("PyAV", f"cannot be loaded: {error}.", advice, problem=True)
    else:
        yield Check("PyAV", f"version {av.__version__}")
    yield from _extras()
    yield from _machine()
    yield _folder("learned costs", platformdirs.user_state_dir("pyprocessor", appauthor=False), "XDG_STATE_HOME")
    yield _folder("cache", platformdirs.user_cache_dir("pyprocessor", appauthor=False), "XDG_CACHE_HOME")


def _ffmpeg() -> Iterator[Check]:
    try:
        found = tool.find(os.environ)
    except FfmpegUnusable as error:
        yield Check("ffmpeg", str(error), problem=True)
        return
    yield Check("ffmpeg", f"version {found.version} at {found.path}")
    missing = [name for name in ENCODERS_OF_NOTE if name not in found.encoders]
    if missing:
        advice = (
            "Built-in profiles that need them do not work; leave PYPROCESSOR_FFMPEG unset to use the ffmpeg that comes "
            "with pyprocessor."
        )
        yield Check("encoders", f"this ffmpeg lacks {', '.join(missing)}.", advice)
    else:
        yield Check("encoders", f"{', '.join(ENCODERS_OF_NOTE)} and {len(found.encoders) - len(ENCODERS_OF_NOTE)} more")


def _extras() -> Iterator[Check]:
    for package, ((extra, *_), purpose) in LIBRARIES.items():
        try:
            found = f"version {version(package)}"
        except PackageNotFoundError:
            yield Check(package, f"not installed; for {purpose}: pip install 'pyprocessor[{extra}]'")
            continue
        yield Check(package, found)
        if package == "yt-dlp":
            yield _javascript()


def _javascript() -> Check:
    """Whether yt-dlp finds what runs the scripts of YouTube's pages."""
    from yt_dlp.globals import supported_js_runtimes

    known = {name: runtime().info for name, runtime in supported_js_runtimes.value.items() if runtime is not None}
    there = [f"{name} {found.version}" for name, found in known.items() if found is not None and found.supported]
    if there:
        return Check("JavaScript", f"yt-dlp can use {', '.join(there)}")
    old = [f"{name} {found.version} is too old" for name, found in known.items() if found is not None]
    text = f"yt-dlp finds none of {', '.join(known)} that it can use{''.join(f'; {one}' for one in old)}."
    return Check("JavaScript", text, "Pages of YouTube are read in part only, or not at all; install deno.")


def _machine() -> Iterator[Check]:
    reading = Sampler(os.fsencode(os.getcwd())).read((), time.monotonic())
    yield Check("cores", f"{reading.cores:g} of {count(os.cpu_count() or 1, 'core')} may be used")
    free = reading.total_memory_bytes - reading.used_memory_bytes
    found = f"{memory_size(free)} free of {memory_size(reading.total_memory_bytes)}"
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if reading.total_memory_bytes < physical:
        found += f" (a control group limits it; the machine has {memory_size(physical)})"
    advice = "One 1080p encode may need all of it: end other programs, or use a faster preset."
    yield _scarce("memory", found, advice if free < SCARCE_MEMORY_BYTES else "")
    stalled, silent = reading.memory_pressure_full, "this system does not report it; decisions rest on memory alone"
    yield Check("memory pressure", silent if stalled is None else f"{stalled:g}% of the time stalled for memory")
    here = f"{size(reading.free_disk_bytes)} free where you are, {display(os.fsencode(os.getcwd()))}"
    advice = "Outputs may not fit; choose an --output with more room."
    yield _scarce("disk", here, advice if reading.free_disk_bytes < SCARCE_DISK_BYTES else "")


def _scarce(name: str, found: str, advice: str) -> Check:
    return Check(name, f"{found}." if advice else found, advice)


def _folder(name: str, path: str, variable: str) -> Check:
    existing = path
    while not os.path.exists(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)
    shown = display(os.fsencode(path))
    if os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK):
        return Check(name, f"kept in {shown}")
    advice = f"Runs work without it but learn nothing; make it writable, or point {variable} to a folder that is."
    return Check(name, f"{shown} cannot be written.", advice)


def most_used(model: CostModel) -> list[dict[str, Any]]:
    """The classes with the most measured files, those first: the class, its files, its memory and its CPU time.

    `ratio` is the median of measured over the built-in measurements, `spread` the factor by which files usually lie
    above or below that, `error` the median error of what would be predicted today.
    """
    ordered = sorted(model.classes.items(), key=lambda item: (-item[1].count, _class_name(item[0])))
    found = []
    for cost_class, history in ordered[:CLASSES_SHOWN]:
        # A margin of 1 is none: what is compared is the prediction itself.
        factors = model.factors(cost_class, 1.0)
        memory, cpu = _channel(history.memory, factors.memory), _channel(history.cpu, factors.cpu)
        found.append({"cost_class": cost_class, "files": history.count, "memory": memory, "cpu": cpu})
    return found


def _channel(ratios: tuple[float, ...], factor: float) -> dict[str, float] | None:
    """From natural logarithms of measured over built-in, and what predictions multiply the built-in ones by."""
    if not ratios:
        return None
    usual = statistics.median(ratios)
    return {
        "files": len(ratios),
        "ratio": math.exp(usual),
        "spread": math.exp(statistics.median(abs(ratio - usual) for ratio in ratios)),
        "error": statistics.median(abs(factor / math.exp(ratio) - 1) for ratio in ratios),
    }


def _calibration(costs: LearnedCosts, files: int) -> Check:
    path = display(os.fsencode(default_path()))
    if costs.problem is not None:
        return Check("calibration", costs.problem, "Remove that file, and the next run starts a new one.")
    if not costs.model.classes:
        return Check("calibration", f"nothing learned yet; runs will keep it in {path}")
    kinds = count(len(costs.model.classes), "class", "classes")
    return Check("calibration", f"learned from {count(files, 'file')} of {kinds}, kept in {path}")


def _calibration_lines(costs: LearnedCosts, learned: list[dict[str, Any]]) -> list[str]:
    if not learned:
        return []
    head = ("", "files", "memory", "off by", "CPU time", "off by")
    rows = [
        (_class_name(one["cost_class"]), f"{one['files']:,}", *_cells(one["memory"]), *_cells(one["cpu"]))
        for one in learned
    ]
    more = len(costs.model.classes) - len(learned)
    left_out = [f"... and {count(more, 'class', 'classes')} with fewer files"] if more else []
    return [
        "",
        "Files measured here, against the built-in measurements (median, usual spread), and how far off",
        "predictions for them are today (median):",
        *grid(head, rows, right=range(1, len(head))),
        *left_out,
    ]


def _cells(channel: dict[str, float] | None) -> tuple[str, str]:
    if channel is None:
        return "-", "-"
    return f"x{channel['ratio']:.2f} +-{100 * (channel['spread'] - 1):.0f}%", f"{100 * channel['error']:.1f}%"


def _class_name(cost_class: CostClass) -> str:
    picture = (cost_class.pixels, cost_class.pixel_format) if cost_class.pixel_format else ()
    task = "" if cost_class.task == FOLDER_TASK else cost_class.task
    parts = [task, cost_class.encoder, cost_class.preset, *picture, count(cost_class.threads, "thread")]
    return " ".join(part for part in parts if part)
