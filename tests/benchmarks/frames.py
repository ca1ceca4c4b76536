"""What does analysing a film cost beyond decoding it? Both in one run, in turn, over a clip of 1080 lines.

The least of several rounds is compared: what else runs on the machine adds to each, in CPU time as well.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from pyprocessor.ffmpeg import tool
from pyprocessor.frames import analyse, read_frames

ROUNDS = 5
SECONDS = 20
RATE = 2.0
REAL = "bbb-30s-vp8.webm"
"""Of PYPROCESSOR_MEDIA: animation with cuts, and sound."""


def clip(folder: Path) -> tuple[Path, str]:
    """Make 1080p H.264 with AAC, of real content where there is some; return it and what it shows."""
    media = os.environ.get("PYPROCESSOR_MEDIA")
    found = next(iter(sorted(Path(media).rglob(REAL))), None) if media else None
    source = ["-ss", "8", "-i", str(found)] if found is not None else []
    if not source:
        source = ["-f", "lavfi", "-i", "mandelbrot=size=1920x1080:rate=25", "-f", "lavfi", "-i", "anoisesrc=r=48000"]
    made = folder / "1080p.mp4"
    argv = [
        tool.find(os.environ).path,
        "-nostdin",
        "-v",
        "error",
        *source,
        "-t",
        str(SECONDS),
        "-vf",
        "scale=1920:1080",
    ]
    argv += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", str(made)]
    subprocess.run(argv, check=True)
    return made, "real content" if found is not None else "a generated picture"


def decode(path: Path, threads: int, *, sound: bool) -> None:
    """Decode all pictures, and the sound, as PyAV's own loop does."""
    with av.open(str(path)) as container:
        film = container.streams.video[0]
        film.thread_type, film.thread_count = "AUTO", threads
        streams = [film, *container.streams.audio[:1]] if sound else [film]
        for packet in container.demux(streams):
            for _ in packet.decode():
                pass


def by_rate(path: Path, threads: int) -> None:
    """Read two RGB frames a second."""
    with read_frames(path, rate=RATE, width=640, threads=threads) as frames:
        for _ in frames:
            pass


def measure(folder: Path) -> Iterator[str]:
    """One line for each number of threads: the least of the rounds against the least of decoding."""
    path, what = clip(folder)
    for threads in (1, 2):
        ways: dict[str, Callable[[], object]] = {
            "pictures": lambda threads=threads: decode(path, threads, sound=False),  # type: ignore[misc]
            "all": lambda threads=threads: decode(path, threads, sound=True),  # type: ignore[misc]
            "analyse": lambda threads=threads: analyse(path, rate=RATE, threads=threads),  # type: ignore[misc]
            "read": lambda threads=threads: by_rate(path, threads),  # type: ignore[misc]
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                way()
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))

        def ratio(name: str, base: str, of: int, taken: dict[str, list[tuple[float, float]]] = taken) -> str:
            least, base_least = (min(each[of] for each in taken[key]) for key in (name, base))
            return f"{least / base_least:.2f}"

        cpu = min(each[1] for each in taken["all"])
        yield (
            f"{SECONDS} s of 1080p ({what}), {threads} threads, decoding {cpu:.1f} CPU-s; of that, CPU and wall: "
            f"analysis at {RATE:g} a second {ratio('analyse', 'all', 1)} and {ratio('analyse', 'all', 0)}"
            f" (of the pictures alone {ratio('analyse', 'pictures', 1)} and {ratio('analyse', 'pictures', 0)}), "
            f"frames of 640 pixels read ahead {ratio('read', 'pictures', 1)} and {ratio('read', 'pictures', 0)}"
        )
