"""Real clips, one of which dominates: the whole command against the ideal and `xargs -P`, for two presets.

`PYPROCESSOR_MEDIA` names the folder with the clips. The ideal is what all files take alone with one thread, in
CPU-seconds, over the cores.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyprocessor.ffmpeg.tool import find
from tests.benchmarks.makespan import Contest, Race

MEDIA = "PYPROCESSOR_MEDIA"
MOST_OF_IDEAL = 1.06
ROUNDS = 3
LONG = "intel-person-10fps-139s.mp4"
FILM = "film-1080p.mp4"
"""A minute of 1080p, made of the two clips below."""
SCENES = ("talk-42s-720p.mp4", "traffic-720p.mp4")
MIXES = {
    "one 1080p film": (
        FILM,
        *("bbb-720p.mp4", "rotate.mp4", "hevc-10bit.ts", "mpeg2.mxf", "vp6.flv", "metadata-not-utf8.3gp"),
        *("hevc-captions.mp4", "pandas-720p.flv", "msmpeg4.avi", "h264-720p.ts"),
    ),
    "one long": (
        LONG,
        *("traffic-vfr-720p.mp4", "intel-car-h264.mp4", "bbb-30s-vp8.webm", "theora.ogv"),
        *("msmpeg4.avi", "bbb-720p.mp4", "hevc-captions.mp4", "hevc-10bit.ts", "mpeg2.mxf", "pandas-720p.flv"),
        *("h264-720p.ts", "rotate.mp4", "vp6.flv", "metadata-not-utf8.3gp"),
    ),
    "half of the work": (
        "tears-70s-vp8.webm",
        *("intel-car-h264.mp4", "theora.ogv", "msmpeg4.avi", "mpeg2.mxf", "hevc-10bit.ts", "pandas-720p.flv"),
    ),
}
CONTESTS = (
    Contest("x264", "libx264", "veryfast", 23, rounds=ROUNDS),
    Contest("x264", "libx264", "medium", 23, rounds=ROUNDS),
)


def measure(folder: Path) -> Iterator[str]:
    """Medians of several interleaved runs, with their ratios."""
    media = os.environ.get(MEDIA)
    if media is None:
        yield f"left out: {MEDIA} names no folder with real clips"
        return
    for mix, names in MIXES.items():
        # A folder of its own for each, as output names come from the clips' names.
        clips = Path(tempfile.mkdtemp(dir=folder))
        for name in names:
            if name == FILM:
                _make_film(Path(media), clips / name)
            else:
                shutil.copy(Path(media) / name, clips)
        for contest in CONTESTS:
            yield from _contest(Path(tempfile.mkdtemp(dir=folder)) / "race", clips, mix, contest)


def _make_film(media: Path, path: Path) -> None:
    shown = "[{0}:v]scale=1920:1080,setsar=1,fps=25,format=yuv420p[v{0}];[{0}:a]aresample=48000[a{0}]"
    graph = ";".join(shown.format(number) for number in range(len(SCENES)))
    graph += ";" + "".join(f"[v{n}][a{n}]" for n in range(len(SCENES))) + f"concat=n={len(SCENES)}:v=1:a=1[v][a]"
    inputs = [word for scene in SCENES for word in ("-i", str(media / scene))]
    encoded = ["-map", "[v]", "-map", "[a]", "-t", "60", "-preset", "veryfast", "-crf", "18", "-y", str(path)]
    ffmpeg = find(os.environ).path
    subprocess.run([ffmpeg, "-nostdin", "-v", "error", *inputs, "-filter_complex", graph, *encoded], check=True)


def _contest(folder: Path, clips: Path, mix: str, contest: Contest) -> Iterator[str]:
    race = Race(folder, clips, contest)
    alone = race.alone()
    ideal = sum(alone) / race.cores
    parallels, fresh, learned = [], [], []
    for _ in range(contest.rounds):
        parallels.append(race.bare(race.cores))
        cold, warm = race.ours()
        fresh.append(cold)
        learned.append(warm)
    parallel, first, again = (statistics.median(times) for times in (parallels, fresh, learned))
    yield (
        f"{mix}, {contest.name} {contest.preset}: ideal {ideal:.1f} s, longest {max(alone):.1f} of {sum(alone):.1f} "
        f"CPU-s, xargs -P {race.cores} {parallel:.1f} s, pyprocessor {first:.1f} s, again with learned costs "
        f"{again:.1f} s; pyprocessor / ideal {first / ideal:.3f}, learned {again / ideal:.3f} (figure: at most "
        f"{MOST_OF_IDEAL}); pyprocessor / xargs {first / parallel:.3f}, learned {again / parallel:.3f} (figure: at "
        f"most 1); medians of {contest.rounds}"
    )
