"""Runs the benchmarks named on the command line, or all of them."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks import (
    calibration,
    calls,
    frames,
    makespan,
    memory,
    microbatch,
    parts,
    parts_simulation,
    planning,
    predictions,
    queue_throughput,
    real_mix,
    recommendation,
    refit,
    sampler,
    services,
    small_files,
    startup,
    tenants,
    timelines,
    transcription,
    waiting,
)

BENCHMARKS = {
    "startup": startup.measure,
    "one-clip": startup.measure_one_clip,
    "small-files": small_files.measure,
    "rerun": small_files.measure_rerun,
    "sampler": sampler.measure,
    "calibration": calibration.measure,
    "makespan": makespan.measure,
    "planning": planning.measure,
    "predictions": predictions.measure,
    "refit": refit.measure,
    "real-mix": real_mix.measure,
    "recommendation": recommendation.measure,
    "memory": memory.measure,
    "microbatch": microbatch.measure,
    "services": services.measure,
    "timelines": timelines.measure,
    "calls": calls.measure,
    "frames": frames.measure,
    "queue": queue_throughput.measure,
    "tenants": tenants.measure,
    "parts": parts.measure,
    "parts-simulation": parts_simulation.measure,
    "transcription": transcription.measure,
    "waiting": waiting.measure,
}


def main() -> None:
    """Print one line for every figure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which to run; all of them by default")
    names = parser.parse_args().names or list(BENCHMARKS)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="pyprocessor-bench-") as folder:
            for line in BENCHMARKS[name](Path(folder)):
                print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
