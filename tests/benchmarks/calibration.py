"""How well peak memory is predicted once files of a class were measured: clips of one class, with varying content."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pyprocessor.costs.model import CostModel
from pyprocessor.ffmpeg.tool import find
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.models import Cost, CostFeatures, OutcomeKind
from pyprocessor.profiles import load
from pyprocessor.state.state_folder import state_folder
from pyprocessor.tasks.registry import task
from tests.benchmarks.command import measured, pyprocessor

CLIPS = 32
FIRST = 4
LEARNED = 20
"""After this many files the error is to be under `MOST_ERROR_PERCENT`."""
MOST_ERROR_PERCENT = 15.0
SIZE = "1280x720"
SOURCES = (
    "testsrc2=size={size}:rate=25",
    "testsrc2=size={size}:rate=25,noise=alls={noise}:allf=t",
    "mandelbrot=size={size}:rate=25",
    "gradients=size={size}:rate=25:speed=0.0{noise:02}",
    "cellauto=size={size}:rate=25:rule={noise}",
    "color=size={size}:rate=25:color=gray",
    "life=size={size}:rate=25:seed={noise}",
    "smptehdbars=size={size}:rate=25,noise=alls={noise}:allf=t",
)
PRESETS = ("fast", "medium")
"""Of x264, a run for each."""


def make_clips(folder: Path, count: int) -> Path:
    """`count` clips of 720p with pictures from still to noisy, 2 to 3.4 s long."""
    folder.mkdir(parents=True)
    ffmpeg = find(os.environ).path
    for number in range(count):
        source = SOURCES[number % len(SOURCES)].format(size=SIZE, noise=5 + number)
        command = [ffmpeg, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source]
        command += ["-t", f"{2 + number % 8 * 0.2:.1f}", "-c:v", "libx264", "-preset", "veryfast"]
        command += ["-pix_fmt", "yuv420p", str(folder / f"clip-{number:02d}.mp4")]
        subprocess.run(command, check=True)
    return folder


def measure(folder: Path) -> Iterator[str]:
    """Median errors of predicted peak memory, with nothing learned and once a class was learned, per preset."""
    clips = make_clips(folder / "clips", CLIPS)
    for preset in PRESETS:
        output = folder / preset
        # The state folder is the run's own, so that it begins with nothing learned.
        command = ["env", f"XDG_STATE_HOME={folder / 'state' / preset}"]
        command += pyprocessor("--input", clips, "--output", output, "--batch-mode", "enabled", "--preset", preset)
        measured(command)
        yield from _report(preset, os.fsencode(output))


def _report(preset: str, output: bytes) -> Iterator[str]:
    with JournalReader.read_only(state_folder(output).path) as journal:
        attempts = sorted(
            (a for a in journal.attempts() if a.outcome is OutcomeKind.SUCCEEDED), key=lambda a: (a.ended_at or 0, a.id)
        )
        features = [_features(journal, attempt.job_id, preset) for attempt in attempts]
    peaks = [a.usage.peak_memory_bytes for a in attempts if a.usage is not None]
    yield (
        f"x264 {preset}: {len(attempts)} clips of {SIZE}, peaks {min(peaks) >> 20} to {max(peaks) >> 20} MiB "
        f"(median {round(statistics.median(peaks)) >> 20})"
    )
    yield _line(f"x264 {preset}, told by the run itself", _as_run(attempts))
    yield _line(f"x264 {preset}, model fed in order", _replayed(attempts, features))


def _features(journal: JournalReader, job_id: str, preset: str) -> CostFeatures:
    row = journal.job(job_id)
    assert row is not None
    cached = journal.media(row.source.path, row.source.size_bytes, row.source.mtime_ns)
    assert cached is not None
    assert cached.media is not None
    plan = task(row.task).plan(load("default").profile, (row.source,), cached.media, row.output)
    assert isinstance(plan.cost, CostFeatures)
    return replace(plan.cost, preset=preset)


def _as_run(attempts: Sequence[AttemptRow]) -> list[float]:
    """Errors in percent of what the run predicted when it began each file."""
    return [
        _error(attempt.predicted.memory_bytes, attempt.usage.peak_memory_bytes)
        for attempt in attempts
        if attempt.predicted is not None and attempt.usage is not None
    ]


def _replayed(attempts: Sequence[AttemptRow], features: Sequence[CostFeatures]) -> list[float]:
    """Errors in percent of a model that has learned from all files that ended before."""
    model = CostModel()
    errors = []
    for attempt, known in zip(attempts, features, strict=True):
        assert attempt.usage is not None
        threads = attempt.threads or 1
        peak = attempt.usage.peak_memory_bytes
        errors.append(_error(model.predict(known, threads).memory_bytes, peak))
        model = model.observe(known, threads, Cost(attempt.usage.cpu_seconds, peak, 0))
    return errors


def _error(predicted: int, measured_bytes: int) -> float:
    return 100 * abs(predicted - measured_bytes) / measured_bytes


def _line(what: str, errors: Sequence[float]) -> str:
    if len(errors) <= LEARNED:
        return f"{what}: only {len(errors)} predictions were kept"
    early, late = statistics.median(errors[:FIRST]), statistics.median(errors[LEARNED:])
    return (
        f"{what}: median error of predicted peak memory {early:.1f} % for files 1 to {FIRST}, {late:.1f} % after "
        f"{LEARNED} (largest {max(errors[LEARNED:]):.1f} %; figure: under {MOST_ERROR_PERCENT:.0f} %)"
    )
