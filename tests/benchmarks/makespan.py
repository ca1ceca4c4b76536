"""A mixed set of clips: the whole command against the ideal, a sequential loop and `xargs -P`, for three encoders.

The ideal is the sum of what each file takes alone with one thread, in CPU-seconds, over the cores. The loop and xargs
run the same ffmpeg with the same settings and its default threads, without listing, inspecting, verifying or syncing.
About a quarter of an hour on 2 cores.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pyprocessor.ffmpeg.tool import find
from pyprocessor.profiles import load
from tests.benchmarks.bare import bare_calls, with_default_threads, xargs
from tests.benchmarks.command import measured, pyprocessor

MOST_OF_IDEAL = 1.05
MOST_OF_BEST = 0.95
MOST_OF_IDEAL_TAIL = 1.10


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip to be made; `rate` is in frames per second."""

    width: int
    height: int
    seconds: int
    rate: int


@dataclass(frozen=True, slots=True)
class Contest:
    """One encoder: its profile's `video` section, and how many rounds of everything are run."""

    name: str
    encoder: str
    preset: str
    crf: int
    rounds: int


MIXED = (
    *(Clip(640, 360, seconds, 25) for seconds in (2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 30, 60)),
    *(Clip(854, 480, seconds, 25) for seconds in (2, 3, 4, 5, 6, 7, 8, 10, 12, 20)),
    *(Clip(1280, 720, seconds, 24) for seconds in (2, 2, 3, 3, 4, 5, 6, 8)),
    *(Clip(1920, 1080, seconds, 24) for seconds in (2, 2, 3, 4, 6)),
    Clip(3840, 2160, 2, 24),
)
TAIL = (
    Clip(1280, 720, 24, 24),
    *(Clip(640, 360, seconds, 25) for seconds in (2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9)),
)
"""One file that is half of all the work, and many small ones."""
CONTESTS = (
    Contest("x264", "libx264", "medium", 23, rounds=2),
    Contest("x265", "libx265", "ultrafast", 28, rounds=1),
    Contest("SVT-AV1", "libsvtav1", "11", 35, rounds=1),
)


def measure(folder: Path) -> Iterator[str]:
    """Every time in seconds with its ratio, an encoder at a time, then the tail case."""
    clips = make_clips(folder / "clips", MIXED)
    for contest in CONTESTS:
        yield from _contest(folder / contest.name, clips, contest)
    yield from _tail(folder / "tail", make_clips(folder / "tail-clips", TAIL), CONTESTS[0])


def make_clips(folder: Path, clips: Sequence[Clip]) -> Path:
    """Moving test pictures under film-like grain, with sound, under names whose order says nothing of their size."""
    folder.mkdir(parents=True)
    ffmpeg = find(os.environ).path

    def make(number: int, clip: Clip) -> None:
        picture = (
            f"testsrc2=size={clip.width}x{clip.height}:rate={clip.rate}:duration={clip.seconds},"
            f"noise=alls=4:allf=t:all_seed={number},format=yuv420p"
        )
        sound = f"sine=frequency={300 + number * 10}:duration={clip.seconds}"
        command = [ffmpeg, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
        command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-c:a", "aac", f"clip-{number:02d}.mp4"]
        subprocess.run(command, cwd=folder, check=True)

    order = random.Random(1).sample(range(len(clips)), len(clips))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for _ in threads.map(make, order, clips):
            pass  # an exception of any of them comes out here
    return folder


def write_profile(path: Path, contest: Contest) -> Path:
    """A profile that does what the contest says."""
    path.write_text(
        f"container: mp4\nvideo:\n  encoder: {contest.encoder}\n  preset: '{contest.preset}'\n  crf: {contest.crf}\n"
        "  pixel_format: yuv420p\naudio:\n  encoder: aac\n  bitrate: 128k\n"
    )
    return path


class Race:
    """Ways of making the same outputs of one set of clips, each into a folder of its own."""

    def __init__(self, folder: Path, clips: Path, contest: Contest) -> None:
        folder.mkdir()
        self._folder = folder
        self._clips = clips
        self._profile = write_profile(folder / "profile.yaml", contest)
        self._calls = list(bare_calls(clips, load(str(self._profile)).profile).values())
        self._numbers = count()
        self.cores = len(os.sched_getaffinity(0))

    def alone(self) -> list[float]:
        """CPU-seconds of every file, each alone with one thread."""
        output = self._new_folder()
        return [measured(call, cwd=output).cpu_seconds for call in self._calls]

    def ideal(self) -> float:
        """CPU-seconds of all files, each alone with one thread, over the cores."""
        return sum(self.alone()) / self.cores

    def bare(self, at_once: int) -> float:
        """Seconds of ffmpeg with its default threads, so many files at once."""
        output = self._new_folder()
        calls = [with_default_threads(call) for call in self._calls]
        run = measured(xargs(calls, self._folder / "arguments", at_once), cwd=output)
        self._check(output)
        return run.seconds

    def ours(self) -> tuple[float, float]:
        """Seconds of the command with nothing learned, and of the same with what it learned."""
        state = self._new_folder()
        return self._command(state), self._command(state)

    def _command(self, state: Path) -> float:
        output = self._new_folder()
        command = pyprocessor("--input", self._clips, "--output", output, "--profile", self._profile)
        run = measured(["env", f"XDG_STATE_HOME={state}", *command])
        self._check(output)
        return run.seconds

    def _new_folder(self) -> Path:
        folder = self._folder / f"output-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def _check(self, output: Path) -> None:
        made = [path for path in output.iterdir() if path.is_file()]  # a bare call's bears the name of its clip
        assert len(made) == len(self._calls), f"{len(made)} outputs of {len(self._calls)} clips"
        assert all(path.stat().st_size for path in made)


def _contest(folder: Path, clips: Path, contest: Contest) -> Iterator[str]:
    race = Race(folder, clips, contest)
    ideal = race.ideal()
    loops: list[float] = []
    parallels: list[float] = []
    ours: list[tuple[float, float]] = []
    for turn in range(contest.rounds):
        if turn % 2 == 1:
            ours.append(race.ours())
        loops.append(race.bare(1))
        parallels.append(race.bare(race.cores))
        if turn % 2 == 0:
            ours.append(race.ours())
    loop, parallel = statistics.median(loops), statistics.median(parallels)
    fresh, learned = (statistics.median(run[which] for run in ours) for which in (0, 1))
    best = min(loop, parallel)
    yield (
        f"{contest.name} {contest.preset}: ideal {ideal:.1f} s, loop {loop:.1f} s, xargs -P {race.cores} "
        f"{parallel:.1f} s, pyprocessor {fresh:.1f} s, again with learned costs {learned:.1f} s"
    )
    yield (
        f"{contest.name}: pyprocessor / ideal {fresh / ideal:.3f}, learned {learned / ideal:.3f} (figure: at most "
        f"{MOST_OF_IDEAL}); pyprocessor / best of loop and xargs {fresh / best:.3f}, learned {learned / best:.3f} "
        f"(figure: at most {MOST_OF_BEST}); loop / ideal {loop / ideal:.3f}, xargs / ideal {parallel / ideal:.3f}"
    )


def _tail(folder: Path, clips: Path, contest: Contest) -> Iterator[str]:
    race = Race(folder, clips, contest)
    ideal = race.ideal()
    parallel = race.bare(race.cores)
    fresh, learned = race.ours()
    yield (
        f"tail, {contest.name}: ideal {ideal:.1f} s, pyprocessor {fresh:.1f} s, ratio {fresh / ideal:.3f}, "
        f"learned {learned / ideal:.3f} (figure: at most {MOST_OF_IDEAL_TAIL}); xargs {parallel / ideal:.3f}"
    )
