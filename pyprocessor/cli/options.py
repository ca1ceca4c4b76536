"""The options of the main job, as click reads them and as the run gets them. Imports nothing but click."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What stood on the command line, unchecked beyond its type; None (or empty) is what was not given."""

    input: str | None = None
    output: str | None = None
    batch_mode: str | None = None
    batch_size: str | None = None
    max_memory: float | None = None
    memory_limit: str | None = None
    jobs: int | None = None
    profile: str | None = None
    config: str | None = None
    encoder: str | None = None
    preset: str | None = None
    tune: str | None = None
    fps: str | None = None
    crf: int | None = None
    no_audio: bool = False
    damaged: str | None = None
    limit: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_size: str | None = None
    max_size: str | None = None
    min_age: str | None = None
    progress_interval: float | None = None
    max_retries: int | None = None
    cpu_limit: float | None = None
    strict_memory: bool = False
    disk_reserve: str | None = None
    nice: int | None = None
    io_idle: bool = False
    pressure_polite: bool = False
    window: str | None = None
    until: str | None = None
    overrun: str | None = None
    grace: str | None = None
    plan: bool = False
    json: bool = False
    log_format: str = "text"
    quiet: bool = False
    verbose: bool = False
    retry_failed: bool = False
    overwrite: bool = False
    watch: bool = False
    allow_unsafe_args: bool = False


_OPTIONS = (
    click.option("--input", metavar="PATH", help="Video file, or folder of videos, to read."),
    click.option("--output", metavar="DIR", help="Folder to write; it mirrors the input's tree."),
    click.option(
        "--profile", metavar="NAME|FILE", help="What to make: a built-in profile or a file.  [default: default]"
    ),
    click.option("--config", metavar="FILE", help="Further settings, which the profile goes above."),
    click.option(
        "--batch-mode",
        type=click.Choice(["enabled", "disabled"]),
        help="disabled: one file after another in one process.  [default: enabled]",
    ),
    click.option("--batch-size", metavar="N", help="Files in each batch, or auto.  [default: auto]"),
    click.option("--jobs", type=int, metavar="N", help="Batches at once.  [default: by cores and memory]"),
    click.option("--max-memory", type=float, metavar="PCT", help="Percent of memory to stay under.  [default: 80]"),
    click.option("--memory-limit", metavar="SIZE", help="Also an absolute limit, such as 6G."),
    click.option("--strict-memory", is_flag=True, help="Fail files that need more memory; else they are done alone."),
    click.option("--cpu-limit", type=float, metavar="PCT", help="Percent of all cores to stay within."),
    click.option("--nice", type=int, metavar="N", help="Lower the encoders' CPU priority: 0 to 19."),
    click.option("--io-idle", is_flag=True, help="Let encoders use the disk only while nobody else does."),
    click.option("--pressure-polite", is_flag=True, help="Run fewer files while other work waits."),
    click.option("--disk-reserve", metavar="SIZE", help="Room to leave on the output's disk.  [default: 256M]"),
    click.option("--window", metavar="HH:MM-HH:MM", help="Work only in this part of the day."),
    click.option("--until", metavar="HH:MM", help="Stop at this time; what is left is for the next run."),
    click.option(
        "--overrun",
        type=click.Choice(["finish", "requeue"]),
        help="When the time is up, finish running files or end them for the next run.  [default: finish]",
    ),
    click.option(
        "--grace", metavar="TIME", help="How long running files have to finish after SIGTERM: 30s, 2m.  [default: 10s]"
    ),
    click.option("--encoder", metavar="NAME", help="Video encoder: libx264, libx265, libsvtav1, ..."),
    click.option("--preset", metavar="NAME", help="The encoder's preset: speed against size."),
    click.option("--tune", metavar="NAME", help="What the encoder tunes for: film, animation, grain, ..."),
    click.option("--fps", metavar="N", help="Frames per second of the outputs: 25, 23.976, 30000/1001."),
    click.option("--crf", type=int, metavar="N", help="Constant quality; lower is better and larger."),
    click.option("--no-audio", is_flag=True, help="Leave the sound out."),
    click.option(
        "--damaged",
        type=click.Choice(["keep", "refuse"]),
        help="Sources that are cut off or damaged: keep what is there, or fail them.  [default: keep]",
    ),
    click.option("--limit", type=int, metavar="N", help="Take up at most so many files."),
    click.option("--include", multiple=True, metavar="GLOB", help="Only files that match; may be given again."),
    click.option("--exclude", multiple=True, metavar="GLOB", help="No files that match; may be given again."),
    click.option("--min-size", metavar="SIZE", help="Leave out smaller files: 500K, 5M."),
    click.option("--max-size", metavar="SIZE", help="Leave out larger files: 6G."),
    click.option("--min-age", metavar="TIME", help="Leave files changed less long ago for the next run: 90s, 2m."),
    click.option("--watch", is_flag=True, help="Go on with files that come into the input folder, until stopped."),
    click.option("--retry-failed", is_flag=True, help="Try files again that failed in an earlier run."),
    click.option("--overwrite", is_flag=True, help="Replace files in the output folder that no run made."),
    click.option(
        "--allow-unsafe-args",
        is_flag=True,
        help="Take the profile's table `unsafe`, whose words ffmpeg gets unchecked.",
    ),
    click.option("--plan", is_flag=True, help="Show what would be done, and do nothing."),
    click.option(
        "--json",
        is_flag=True,
        help="Put one JSON document on standard output: the summary, the plan, or why there is none.",
    ),
    click.option(
        "--progress-interval",
        type=float,
        metavar="SECONDS",
        help="Time between progress lines where there is no terminal.  [default: 10]",
    ),
    click.option(
        "--max-retries",
        type=int,
        metavar="N",
        help="How often a file is tried again after a failure that may pass.  [default: 3]",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="json: every line on standard error is a JSON object.",
    ),
    click.option("--quiet", is_flag=True, help="Tell failures and errors only."),
    click.option("--verbose", is_flag=True, help="Tell of every file's start and end as well."),
)


def run_options(function: Decorated) -> Decorated:
    """Give a click command the options of the main job, in the order they are listed above."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
