"""How soon the command answers, and how much more than bare ffmpeg a single clip takes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from pyprocessor.profiles import load
from tests.benchmarks.bare import bare_calls
from tests.benchmarks.command import measured, pyprocessor
from tests.benchmarks.small_files import make_clips

ROUNDS = 9
MOST_MORE_SECONDS = 0.45


def measure(folder: Path) -> Iterator[str]:
    """Median of several calls of `--help`."""
    times = [measured(pyprocessor("--help"), cwd=folder).seconds for _ in range(ROUNDS)]
    yield f"--help answers in {statistics.median(times):.3f} s (median of {ROUNDS}; figure: under 0.3 s)"


def measure_one_clip(folder: Path) -> Iterator[str]:
    """Medians of a run over one clip of a second and of the ffmpeg call that it makes, alternating."""
    clips = make_clips(folder / "clips", 1)
    (call,) = bare_calls(clips, load("fast").profile).values()
    bare, ours, cpu = [], [], []
    for turn in range(ROUNDS):
        plain = folder / f"bare-{turn}"
        plain.mkdir()
        bare.append(measured(call, cwd=plain).seconds)
        run = measured(pyprocessor("--input", clips, "--output", folder / f"ours-{turn}", "--profile", "fast"))
        ours.append(run.seconds)
        cpu.append(run.cpu_seconds)
    one, other = statistics.median(ours), statistics.median(bare)
    yield (
        f"one clip: pyprocessor {one:.3f} s ({statistics.median(cpu):.3f} s of CPU), ffmpeg {other:.3f} s, "
        f"{one - other:.3f} s more (medians of {ROUNDS}; figure: at most {MOST_MORE_SECONDS} s more)"
    )
