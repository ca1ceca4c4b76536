"""Many small files: the whole command against xargs over bare ffmpeg calls, and a rerun over finished work."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pyprocessor.ffmpeg.invocation import argv
from pyprocessor.ffmpeg.tool import find
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.probe import probe
from pyprocessor.models import Source
from pyprocessor.profiles import load
from pyprocessor.recipes.transcode import recipe
from tests.benchmarks.command import Measured, measured, pyprocessor

CLIPS = 200
FINISHED = 2000
ROUNDS = 3


def make_clips(folder: Path, count: int) -> Path:
    """`count` copies of eight different one-second 160x90 clips with sound."""
    folder.mkdir(parents=True)
    ffmpeg = find(os.environ).path
    originals = []
    for number in range(8):
        path = folder / f"original-{number}.mp4"
        noise = f"testsrc2=size=160x90:rate=25:duration=1,noise=alls={number * 3}:allf=t"
        subprocess.run(
            [
                ffmpeg,
                "-nostdin",
                "-loglevel",
                "error",
                "-f",
                "lavfi",
                "-i",
                noise,
                "-f",
                "lavfi",
                "-i",
                f"sine=frequency={300 + number * 50}:duration=1",
                "-c:v",
                "libx264",
                "-pix_fmt",
                "yuv420p",
                str(path),
            ],
            check=True,
        )
        originals.append(path)
    for number in range(count):
        path = folder / f"clip-{number:04d}.mp4"
        shutil.copy(originals[number % 8], path)
        with path.open("ab") as file:  # else it would be a copy, and not encoded
            file.write((12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))
    for path in originals:
        path.unlink()
    return folder


def measure(folder: Path) -> Iterator[str]:
    """Median time of the command over the median time of `xargs -P`, alternating, fresh outputs each time; CPU time."""
    clips = make_clips(folder / "clips", CLIPS)
    arguments, width = _bare_calls(clips)
    (folder / "arguments").write_bytes(arguments)
    ffmpeg = find(os.environ).path
    jobs = len(os.sched_getaffinity(0))
    bare: list[Measured] = []
    ours: list[Measured] = []
    for turn in range(ROUNDS):
        plain = folder / f"bare-{turn}"
        plain.mkdir()
        xargs = ["xargs", "-0", "-a", str(folder / "arguments"), "-P", str(jobs), "-n", str(width), ffmpeg]
        bare.append(measured(xargs, cwd=plain))
        output = folder / f"ours-{turn}"
        command = pyprocessor("--input", clips, "--output", output, "--batch-mode", "enabled", "--profile", "fast")
        ours.append(measured(command))
        assert len(list(plain.glob("*.mp4"))) == len(list(output.glob("*.mp4"))) == CLIPS
    seconds, bare_seconds = (statistics.median(run.seconds for run in runs) for runs in (ours, bare))
    cpu_seconds, bare_cpu_seconds = (statistics.median(run.cpu_seconds for run in runs) for runs in (ours, bare))
    yield (
        f"{CLIPS} clips: pyprocessor {seconds:.2f} s, xargs -P {jobs} {bare_seconds:.2f} s, ratio "
        f"{seconds / bare_seconds:.2f} (medians of {ROUNDS}; figure: at most 1.25); CPU time {cpu_seconds:.2f} s and "
        f"{bare_cpu_seconds:.2f} s, {(cpu_seconds - bare_cpu_seconds) / CLIPS * 1000:.1f} ms a file more"
    )


def measure_rerun(folder: Path) -> Iterator[str]:
    """Time and the engine's peak memory of a first run and of the same command again."""
    clips = make_clips(folder / "clips", FINISHED)
    command = pyprocessor("--input", clips, "--output", folder / "out", "--batch-mode", "enabled", "--profile", "fast")
    first = measured(command)
    again = [measured(command) for _ in range(ROUNDS)]
    yield f"first run over {FINISHED} files: {first.seconds:.1f} s, engine peak {first.peak_memory_bytes / 1e6:.0f} MB"
    yield (
        f"rerun over {FINISHED} finished files: {statistics.median(a.seconds for a in again):.2f} s, engine peak "
        f"{max(a.peak_memory_bytes for a in again) / 1e6:.0f} MB (figures: under 3 s, under 150 MB)"
    )


def _bare_calls(clips: Path) -> tuple[bytes, int]:
    """NUL-separated arguments of one ffmpeg call a clip, the very ones the command would use, and how many they are."""
    profile = load("fast").profile
    calls = []
    for clip in sorted(clips.iterdir()):
        status = clip.stat()
        source = Source(os.fsencode(clip), os.fsencode(clip.name), status.st_size, status.st_mtime_ns)
        media = probe(source.path, size_bytes=source.size_bytes)
        plan = recipe(profile, media, contract(profile, media), source, threads=1, output_name=clip.name)
        calls.append([os.fsencode(part) for part in argv(plan.invocation, "ffmpeg")][1:])
    (width,) = {len(call) for call in calls}
    return b"".join(part + b"\0" for call in calls for part in call), width
