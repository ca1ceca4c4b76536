"""Runs the measurements named on the command line, or all of them, and exits 1 where a figure that must be 0 is not."""

from __future__ import annotations

import argparse
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.stress import damaged, grants, kills, queue, task_queue, transitions
from tests.stress.figures import Asked, Broken

MEASUREMENTS: dict[str, Callable[[Path, Asked], Iterator[str]]] = {
    "kills": kills.measure,
    "transitions": transitions.measure,
    "grants": grants.measure,
    "queue": queue.measure,
    "taskqueue": task_queue.measure,
    "damaged": damaged.measure,
    "published": damaged.measure_published,
}


def main() -> None:
    """Print every line as it comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], help="which to run; all of them by default")
    parser.add_argument("--kills", type=int, default=200, help="moments at which something is killed (200)")
    parser.add_argument("--clips", type=int, default=40, help="sources that kills works on (40)")
    parser.add_argument("--count", type=int, default=1000, help="files that damaged makes (1000)")
    parser.add_argument(
        "--jobs", type=int, default=20_000, help="jobs that queue and taskqueue have, besides chains (20000)"
    )
    parser.add_argument("--queue-kills", type=int, default=20, help="how often these kill the engine (20)")
    only = "which kills of transitions (grant_job, succeed_job/before, ...) or of grants (worker, taken, ...)"
    parser.add_argument("--only", nargs="*", default=[], help=only)
    parser.add_argument("--seed", type=int, default=None, help="decides all random choices; printed")
    parser.add_argument("--keep", action="store_true", help="keep the folder, as is done where a figure is not 0")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    chosen = tuple(options.only)
    asked = Asked(seed, options.kills, options.clips, options.count, chosen, options.jobs, options.queue_kills)
    broken = False
    for name in options.names or list(MEASUREMENTS):
        folder = Path(tempfile.mkdtemp(prefix="pyprocessor-stress-"))
        keep = options.keep
        try:
            for line in MEASUREMENTS[name](folder, asked):
                print(f"{name}: {line}", flush=True)
        except Broken:
            broken = keep = True
        except BaseException:
            keep = True
            raise
        finally:
            if keep:
                print(f"{name}: what was made is kept in {folder}", flush=True)
            else:
                shutil.rmtree(folder)
    raise SystemExit(int(broken))


if __name__ == "__main__":
    main()
