"""Runs the stress named on the command line, or all of it."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.stress import damaged

STRESSES = {
    "damaged": damaged.measure,
    "published": damaged.measure_published,
}


def main() -> None:
    """Print one line for every figure; ends with a traceback where something happened that must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*STRESSES, []], help="which to run; all of it by default")
    parser.add_argument("--count", type=int, default=damaged.COUNT, help="how many damaged files")
    parser.add_argument("--seed", type=int, help="what the damage is drawn from; by chance by default")
    given = parser.parse_args()
    for name in given.names or list(STRESSES):
        with tempfile.TemporaryDirectory(prefix="pyprocessor-stress-") as folder:
            for line in STRESSES[name](Path(folder), given.count, given.seed):
                print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
