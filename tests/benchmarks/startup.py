"""How soon the command answers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.command import measured, pyprocessor

ROUNDS = 9


def measure(folder: Path) -> Iterator[str]:
    """Median of several calls of `--help`."""
    times = [measured(pyprocessor("--help"), cwd=folder).seconds for _ in range(ROUNDS)]
    yield f"--help answers in {statistics.median(times):.3f} s (median of {ROUNDS}; figure: under 0.3 s)"
