"""Which options does the main job have? Imports only click.

Those that a profile has, too, bear the names of `profiles.Overrides`.
"""

from __future__ import annotations

from typing import Any

import click


def _option(names: str, metavar: str, text: str, kind: type | None = None, *, multiple: bool = False) -> click.Option:
    """An option; `names` is its own and, where that differs, its parameter's."""
    return click.Option(names.split(), metavar=metavar, help=text, type=kind, multiple=multiple)


def _choice(name: str, choices: str, text: str, **more: Any) -> click.Option:
    return click.Option([name], help=text, type=click.Choice(choices.split("|")), **{"metavar": choices, **more})


def _flag(name: str, text: str) -> click.Option:
    return click.Option([name], is_flag=True, help=text)


_INTERVAL = "Between lines without a terminal.  [default: 10]"
OPTION_GROUPS: dict[str, tuple[click.Option, ...]] = {
    "Options used most": (
        _option("--input", "PATH", "What to read: file or folder; may be given again.", multiple=True),
        _option("--output", "DIR", "Folder to write; it mirrors the input's tree."),
        _option("--profile", "NAME|FILE", "What to make; see `profiles`.  [default: default]"),
        _flag("--plan", "Show what would be done, and do nothing."),
        _option("--jobs", "N", "Batches at once.  [default: by cores and memory]", int),
    ),
    "What is made": (
        _option("--encoder", "NAME", "Video encoder: libx264, libx265, libsvtav1, ..."),
        _option("--preset", "NAME", "The encoder's preset: speed against size."),
        _option("--tune", "NAME", "What it tunes for: film, animation, grain, ..."),
        _option("--crf", "N", "Constant quality; lower is better and larger.", int),
        _option("--fps", "N", "Frames per second: 25, 23.976, 30000/1001."),
        _flag("--no-audio", "Leave the sound out."),
        _choice("--damaged", "keep|refuse", "Damaged sources: make what is there, or fail."),
        _option("--config", "FILE", "Further settings, which the profile goes above."),
        _flag("--allow-unsafe-args", "Pass the profile's table `unsafe` on to ffmpeg."),
    ),
    "Which files": (
        _option("--include", "GLOB", "Only files that match; may be given again.", multiple=True),
        _option("--exclude", "GLOB", "No files that match; may be given again.", multiple=True),
        _option("--min-size min_size_bytes", "SIZE", "Leave out smaller files: 500K, 5M."),
        _option("--max-size max_size_bytes", "SIZE", "Leave out larger files: 6G."),
        _option("--min-age min_age_seconds", "TIME", "Leave files changed less long ago: 90s, 2m."),
        _option("--limit", "N", "Take up at most so many files.", int),
        _flag("--watch", "Go on with what comes into the input folder."),
        _flag("--retry-failed", "Try files again that failed in an earlier run."),
        _flag("--overwrite", "Replace files in the output that no run made."),
        _option("--max-retries", "N", "Tries after a failure that may pass.  [default: 3]", int),
    ),
    "Memory, CPU and disk": (
        _option("--max-memory max_memory_percent", "PCT", "Percent of memory to stay under.  [default: 80]", float),
        _option("--memory-limit memory_limit_bytes", "SIZE", "Also an absolute limit, such as 6G."),
        _flag("--strict-memory", "Fail files that need more; else they run alone."),
        _option("--cpu-limit cpu_limit_percent", "PCT", "Percent of all cores to stay within.", float),
        _option("--nice", "N", "Lower the encoders' CPU priority: 0 to 19.", int),
        _flag("--io-idle", "Use the disk only while nobody else does."),
        _flag("--pressure-polite", "Run fewer files while other work waits."),
        _option("--disk-reserve disk_reserve_bytes", "SIZE", "Room to leave on the disk.  [default: 256M]"),
        _option("--batch-size", "N", "Files in each batch, or auto.  [default: auto]"),
        _choice("--batch-mode", "enabled|disabled", "enabled, or disabled: one file after another.", metavar="MODE"),
    ),
    "Hours, and how a run ends": (
        _option("--window", "HH:MM-HH:MM", "Work only in this part of the day."),
        _option("--until", "HH:MM", "Stop at this time; the rest is for the next run."),
        _choice("--overrun", "finish|requeue", "What running files do then.  [default: finish]"),
        _option("--grace grace_seconds", "TIME", "Time to finish after SIGTERM: 2m.  [default: 10s]"),
    ),
    "Messages": (
        _flag("--quiet", "Show failures and errors only."),
        _flag("--verbose", "Show the start and end of every file, too."),
        _flag("--json", "Print the summary, or plan, as one JSON document."),
        _choice("--log-format", "text|json", "json: each line on standard error is an object.", default="text"),
        _option("--progress-interval progress_interval_seconds", "SECS", _INTERVAL, float),
    ),
}
"""The options of the main job, as help lists them: those used most come first."""
