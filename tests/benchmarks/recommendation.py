"""A recommendation is checked: a run is made again with what its report says, and the prediction compared.

Two mixes of clips that are made here: files of which memory lets one run at a time, and one long file among short ones,
with parts switched off and batches of one file, which are given one thread each. What runs learn of costs is kept for
the next ones. Some three minutes on 2 cores.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyprocessor.ffmpeg.tool import find
from tests.benchmarks.command import measured, pyprocessor

MOST_OFF = 0.1
CLIPS = 8
SECONDS, LONG_SECONDS, SHORT_SECONDS = 6, 40, 4
OVERHEAD_MIB = 128
"""Of a memory limit, what is kept for the programs themselves."""
PROFILE = ("--profile", "default", "--preset", "medium")


def measure(folder: Path) -> Iterator[str]:
    """For each mix what was recommended, what was predicted of it, and how long the run with it took."""
    films = folder / "films"
    for number in range(CLIPS):
        make_clip(films / f"film-{number}.mp4", SECONDS, number)
    limit = ("--memory-limit", f"{_enough_for_one(folder, films)}M")
    yield from _checked(folder / "memory", films, [*PROFILE, *limit], limit[0])
    one = folder / "one-long"
    make_clip(one / "long.mp4", LONG_SECONDS, 0)
    for number in range(4):
        make_clip(one / f"short-{number}.mp4", SHORT_SECONDS, number)
    yield from _checked(folder / "parts", one, [*PROFILE, "--chunking", "off", "--batch-size", "1"], "--chunking")


def make_clip(path: Path, seconds: int, seed: int) -> None:
    """A moving test picture under grain at 720p, with a keyframe every two seconds."""
    path.parent.mkdir(exist_ok=True)
    picture = f"testsrc2=size=1280x720:rate=25:duration={seconds},noise=alls=4:allf=t:all_seed={seed},format=yuv420p"
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50")
    call = [find(os.environ).path, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture, *encoder, str(path)]
    subprocess.run(call, check=True)


def _enough_for_one(folder: Path, clips: Path) -> int:
    """A limit in MiB that holds one file at one thread, and no two; by what a run of two files takes."""
    two = folder / "two"
    two.mkdir()
    for clip in sorted(clips.iterdir())[:2]:
        shutil.copy(clip, two)
    one_core = f"{100 / len(os.sched_getaffinity(0)):.0f}"
    document, _ = _run(folder / "probed", two, [*PROFILE, "--cpu-limit", one_core])
    most = max(file["peak_memory_bytes"] for file in document["files"])
    return OVERHEAD_MIB + int(1.1 * most / (1 << 20))


def _checked(folder: Path, clips: Path, arguments: Sequence[str], wanted: str) -> Iterator[str]:
    folder.mkdir()
    document, seconds = _run(folder / "before", clips, arguments)
    told = {one["option"].split()[0]: one for one in document["recommendations"]}
    if wanted not in told:
        yield f"{folder.name}: {wanted} was not recommended after {seconds:.1f} s, but {list(told) or 'nothing'}"
        return
    best, at = told[wanted], arguments.index(wanted)
    yield f"{folder.name}: {seconds:.1f} s with {' '.join(arguments)}. {best['text']}"
    then = [*arguments[:at], *best["option"].split(), *arguments[at + 2 :]]
    _, took = _run(folder / "after", clips, then)
    off = best["run_seconds"] / took - 1
    yield (
        f"{folder.name}: predicted {best['run_seconds']:.1f} s, took {took:.1f} s with {best['option']}: off by "
        f"{off:+.1%} (figure: at most {MOST_OFF:.0%})"
    )


def _run(output: Path, clips: Path, arguments: Sequence[str]) -> tuple[dict[str, Any], float]:
    """The report of a run, as JSON, and how long the run took."""
    environment = ["env", f"XDG_STATE_HOME={clips.parent / 'state'}"]
    measured([*environment, *pyprocessor("--input", clips, "--output", output, *arguments)])
    told = measured(pyprocessor("report", "--output", output, "--format", "json"))
    document: dict[str, Any] = json.loads(told.output)
    return document, document["run"]["seconds"]
