"""A recommendation is checked: a run is made again with what its report says, and the prediction compared.

Two mixes of clips that are made here: files of which memory lets one run at a time, and one long file among short ones,
with parts switched off and batches of one file, which are given one thread each. What runs learn of costs is kept for
the next ones. First with an ffmpeg that encodes at a fixed speed, which little else on the machine disturbs, then with
one at full speed and longer clips, since nothing is recommended that saves less than 10 s, for a machine that does
nothing else. On one that is full nothing is recommended. Some ten minutes on 2 cores.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyprocessor.ffmpeg.tool import find
from tests.benchmarks.command import measured, pyprocessor
from tests.process.steered import slow_ffmpeg

MOST_OFF = 0.1
CLIPS = 6
SECONDS, LONG_SECONDS, SHORT_SECONDS = 10, 120, 12
"""Shorter films are not done in parts on a fast machine: the parts would cost more CPU time than they may."""
PACE = 1.0
"""Seconds of media a second of one encode: a third of what one core does on its own."""
FULL_SPEED = 3
"""How many times longer clips are that are encoded at full speed."""
OVERHEAD_MIB = 128
"""Of a memory limit, what is kept for the programs themselves."""
PROFILE = ("--profile", "fast")


def measure(folder: Path) -> Iterator[str]:
    """For each mix what was recommended, what was predicted of it, and how long the run with it took."""
    ffmpeg = find(os.environ).path
    paced = slow_ffmpeg(folder / "slow", ffmpeg, PACE)
    for name, used, longer in (("paced", paced, 1), ("full speed", ffmpeg, FULL_SPEED)):
        check = Check(folder / name.replace(" ", "-"), name, used)
        films, one = check.folder / "films", check.folder / "one-long"
        for number in range(CLIPS):
            make_clip(films / f"film-{number}.mp4", longer * SECONDS, number)
        make_clip(one / "long.mp4", longer * LONG_SECONDS, 0)
        for number in range(4):
            make_clip(one / f"short-{number}.mp4", longer * SHORT_SECONDS, number)
        limit = f"{check.enough_for_one(films)}M"
        yield from check.of("memory", films, [*PROFILE, "--memory-limit", limit], "--memory-limit")
        yield from check.of("parts", one, [*PROFILE, "--chunking", "off", "--batch-size", "1"], "--chunking")


def make_clip(path: Path, seconds: int, seed: int) -> None:
    """A moving test picture under grain at 720p, with a keyframe every two seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = f"testsrc2=size=1280x720:rate=25:duration={seconds},noise=alls=4:allf=t:all_seed={seed},format=yuv420p"
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "23", "-g", "50")
    call = [find(os.environ).path, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture, *encoder, str(path)]
    subprocess.run(call, check=True)


@dataclass(frozen=True)
class Check:
    """Runs with one ffmpeg, and what they learn, in one folder."""

    folder: Path
    name: str
    ffmpeg: str

    def enough_for_one(self, clips: Path) -> int:
        """A limit in MiB that holds one file at one thread, and no two; by what a run of two files takes."""
        two = self.folder / "two"
        two.mkdir(parents=True)
        for clip in sorted(clips.iterdir())[:2]:
            shutil.copy(clip, two)
        one_core = f"{100 / len(os.sched_getaffinity(0)):.0f}"
        document = self._run("probed", two, [*PROFILE, "--cpu-limit", one_core])
        most = max(file["peak_memory_bytes"] for file in document["files"])
        return OVERHEAD_MIB + int(1.1 * most / (1 << 20))

    def of(self, mix: str, clips: Path, arguments: Sequence[str], wanted: str) -> Iterator[str]:
        """Run a mix, and again with the option that is `wanted` among the recommendations."""
        document = self._run(f"{mix}-before", clips, arguments)
        told = {one["option"].split()[0]: one for one in document["recommendations"]}
        seconds = document["run"]["seconds"]
        if wanted not in told:
            yield f"{self.name}, {mix}: {wanted} not recommended after {seconds:.1f} s, but {list(told) or 'nothing'}"
            return
        best, at = told[wanted], arguments.index(wanted)
        yield f"{self.name}, {mix}: {seconds:.1f} s with {' '.join(arguments)}. {best['text']}"
        then = [*arguments[:at], *best["option"].split(), *arguments[at + 2 :]]
        took = self._run(f"{mix}-after", clips, then)["run"]["seconds"]
        off = best["run_seconds"] / took - 1
        yield (
            f"{self.name}, {mix}: predicted {best['run_seconds']:.1f} s, took {took:.1f} s with {best['option']}: off "
            f"by {off:+.1%} (figure: at most {MOST_OFF:.0%})"
        )

    def _run(self, name: str, clips: Path, arguments: Sequence[str]) -> dict[str, Any]:
        """The report of a run, as JSON."""
        output = self.folder / name
        environment = ["env", f"XDG_STATE_HOME={self.folder / 'state'}", f"PYPROCESSOR_FFMPEG={self.ffmpeg}"]
        measured([*environment, *pyprocessor("--input", clips, "--output", output, *arguments)])
        told = measured(pyprocessor("report", "--output", output, "--format", "json"))
        document: dict[str, Any] = json.loads(told.output)
        return document
