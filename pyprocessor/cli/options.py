"""The options of the main job, as click reads them and as the run gets them. Imports nothing but click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What stood on the command line, unchecked beyond its type; None (or empty) is what was not given.

    `input` and `output` are also what was named without an option (see `paths.named`).
    """

    input: tuple[str, ...] = ()
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


def _option(name: str, metavar: str | None = None, text: str = "", **more: Any) -> click.Option:
    return click.Option([name], metavar=metavar, help=text, **more)


def _flag(name: str, text: str) -> click.Option:
    return click.Option([name], is_flag=True, help=text)


OPTION_GROUPS: dict[str, tuple[click.Option, ...]] = {
    "Options used most": (
        _option("--input", "PATH", "What to read: file or folder; may be given again.", multiple=True),
        _option("--output", "DIR", "Folder to write; it mirrors the input's tree."),
        _option("--profile", "NAME|FILE", "What to make; see `profiles`.  [default: default]"),
        _flag("--plan", "Show what would be done, and do nothing."),
        _option("--jobs", "N", "Batches at once.  [default: by cores and memory]", type=int),
    ),
    "What is made": (
        _option("--encoder", "NAME", "Video encoder: libx264, libx265, libsvtav1, ..."),
        _option("--preset", "NAME", "The encoder's preset: speed against size."),
        _option("--tune", "NAME", "What it tunes for: film, animation, grain, ..."),
        _option("--crf", "N", "Constant quality; lower is better and larger.", type=int),
        _option("--fps", "N", "Frames per second: 25, 23.976, 30000/1001."),
        _flag("--no-audio", "Leave the sound out."),
        _option(
            "--damaged",
            "keep|refuse",
            "Damaged sources: make what is there, or fail.",
            type=click.Choice(["keep", "refuse"]),
        ),
        _option("--config", "FILE", "Further settings, which the profile goes above."),
        _flag("--allow-unsafe-args", "Pass the profile's table `unsafe` on to ffmpeg."),
    ),
    "Which files": (
        _option("--include", "GLOB", "Only files that match; may be given again.", multiple=True),
        _option("--exclude", "GLOB", "No files that match; may be given again.", multiple=True),
        _option("--min-size", "SIZE", "Leave out smaller files: 500K, 5M."),
        _option("--max-size", "SIZE", "Leave out larger files: 6G."),
        _option("--min-age", "TIME", "Leave files changed less long ago: 90s, 2m."),
        _option("--limit", "N", "Take up at most so many files.", type=int),
        _flag("--watch", "Go on with what comes into the input folder."),
        _flag("--retry-failed", "Try files again that failed in an earlier run."),
        _flag("--overwrite", "Replace files in the output that no run made."),
        _option("--max-retries", "N", "Tries after a failure that may pass.  [default: 3]", type=int),
    ),
    "Memory, CPU and disk": (
        _option("--max-memory", "PCT", "Percent of memory to stay under.  [default: 80]", type=float),
        _option("--memory-limit", "SIZE", "Also an absolute limit, such as 6G."),
        _flag("--strict-memory", "Fail files that need more; else they run alone."),
        _option("--cpu-limit", "PCT", "Percent of all cores to stay within.", type=float),
        _option("--nice", "N", "Lower the encoders' CPU priority: 0 to 19.", type=int),
        _flag("--io-idle", "Use the disk only while nobody else does."),
        _flag("--pressure-polite", "Run fewer files while other work waits."),
        _option("--disk-reserve", "SIZE", "Room to leave on the disk.  [default: 256M]"),
        _option("--batch-size", "N", "Files in each batch, or auto.  [default: auto]"),
        _option(
            "--batch-mode",
            "MODE",
            "enabled, or disabled: one file after another.",
            type=click.Choice(["enabled", "disabled"]),
        ),
    ),
    "Hours, and how a run ends": (
        _option("--window", "HH:MM-HH:MM", "Work only in this part of the day."),
        _option("--until", "HH:MM", "Stop at this time; the rest is for the next run."),
        _option(
            "--overrun",
            "finish|requeue",
            "What running files do then.  [default: finish]",
            type=click.Choice(["finish", "requeue"]),
        ),
        _option("--grace", "TIME", "Time to finish after SIGTERM: 2m.  [default: 10s]"),
    ),
    "Messages": (
        _flag("--quiet", "Show failures and errors only."),
        _flag("--verbose", "Show the start and end of every file, too."),
        _flag("--json", "Print the summary, or plan, as one JSON document."),
        _option(
            "--log-format",
            "text|json",
            "json: each line on standard error is an object.",
            type=click.Choice(["text", "json"]),
            default="text",
        ),
        _option("--progress-interval", "SECS", "Between lines without a terminal.  [default: 10]", type=float),
    ),
}
"""The options of the main job, as help shows them: what matters first, first."""
