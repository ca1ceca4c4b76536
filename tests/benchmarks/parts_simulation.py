"""One long film among ten short ones on a machine on paper, with the real planner: in parts, whole, and as xargs would.

What x264 takes at one and at two threads is measured here first: the CPU time of two for that of one says what several
threads waste. How much sooner several threads end a film is the curve of `costs.model.speed` (0.85 of a core for each
further thread, as fitted to two cores), up to the 16 threads that a film has at most: beyond two cores nothing was
measured here. `xargs -P` over calls with default threads is taken to share all cores evenly, at the waste measured.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pyprocessor.costs.model import CostClass, speed
from pyprocessor.ffmpeg.tool import find
from pyprocessor.models import WHOLE, Cost, Division
from pyprocessor.models.encoders import video_encoder
from pyprocessor.plan.widening import MAX_THREADS
from tests.benchmarks.command import measured
from tests.benchmarks.makespan import Clip as Made
from tests.benchmarks.makespan import make_clips
from tests.unit.simulated_machine import Clip, simulate

PRESETS = ("veryfast", "medium", "slow")
KIND = CostClass("transcode", "libx264", "medium", "1080p", "yuv420p", 1)
MIB = 1 << 20
CLIP_SECONDS = 10
MOST_OF_IDEAL = 1.06
UNEVEN = 1.2
"""By what factor a part may take longer or shorter than the others."""
PART_SECONDS, PART_PICTURES = 0.03, 10 / 24
"""CPU-seconds of a part beside its share, and seconds of film that it encodes or decodes besides (as `tasks.parts`)."""
JOIN_SHARE = 0.0002
"""CPU-seconds of joining for each CPU-second of the film: it is read, written and read back."""
SHORT = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15)
CASES = ((2, 60), (2, 7200), (8, 7200), (32, 7200), (128, 7200))


def measure(folder: Path) -> Iterator[str]:
    """A line for the threads of each preset, then one for each preset and number of cores."""
    clips = make_clips(folder / "clips", (Made(1920, 1080, CLIP_SECONDS, 24),))
    (clip,) = clips.iterdir()
    for preset in PRESETS:
        one, two = (_cpu_seconds(clip, preset, threads) for threads in (1, 2))
        yield f"x264 {preset}, 1080p: {one / CLIP_SECONDS:.2f} CPU-s a second, at two threads {two / one:.3f} as much"
        for cores, seconds in CASES:
            yield f"{preset}: {_case(one / CLIP_SECONDS, max(1.0, two / one), cores, seconds)}"


def _cpu_seconds(clip: Path, preset: str, threads: int) -> float:
    count = str(threads)
    command = [find(os.environ).path, "-nostdin", "-v", "error", "-threads", count, "-i", str(clip), "-an"]
    command += ["-filter_threads", count, "-c:v", "libx264", "-preset", preset, "-crf", "23", "-threads", count]
    return statistics.median(measured([*command, "-f", "null", "-"]).cpu_seconds for _ in range(3))


def _case(each_second: float, waste: float, cores: int, seconds: int) -> str:
    cpu_seconds, beside = each_second * seconds, PART_SECONDS + PART_PICTURES * each_second
    division = Division(
        int(seconds // video_encoder(KIND.encoder).least_piece_seconds),
        "",
        beside,
        Cost(0.2 + JOIN_SHARE * cpu_seconds, 64 * MIB, 1 << 30),
    )
    film = Clip(cpu_seconds, 500 * MIB, KIND, 1.0, division)
    others = [Clip(each_second / 9 * length, 120 * MIB, KIND) for length in SHORT]  # 360p is a ninth of the pixels
    ideal = sum(clip.cpu_seconds for clip in (film, *others)) / cores
    planned = simulate([film, *others], cores, uneven=UNEVEN, total_memory_bytes=1 << 40)
    whole = simulate([replace(film, division=WHOLE), *others], cores, total_memory_bytes=1 << 40)
    extra = planned.parts * beside + (division.join.cpu_seconds if planned.parts else 0.0)
    auto = _auto_threads(film, others, cores, waste)
    return (
        f"{cores} cores, {seconds} s of film in {planned.parts or 1} part(s): {planned.seconds:.1f} s, "
        f"{planned.seconds / ideal:.3f} of the ideal (figure: at most {MOST_OF_IDEAL}), {planned.seconds / auto:.3f} "
        f"of xargs at default threads; all whole {whole.seconds / ideal:.3f} of the ideal; CPU time of the film "
        f"{1 + extra / cpu_seconds:.4f} of that at one thread, at default threads {waste:.4f}"
    )


def _auto_threads(film: Clip, others: Sequence[Clip], cores: int, waste: float) -> float:
    """Seconds of `xargs -P` over calls with default threads: no sooner than the film, nor than all work."""
    alone = film.cpu_seconds / speed(min(cores, MAX_THREADS))
    return max(alone, waste * sum(clip.cpu_seconds for clip in (film, *others)) / cores)
