"""The sources of the harness: small clips that all differ, under names that programs trip over."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

ODD_NAMES = (
    b"plain.mov",
    b"with space.mkv",
    b"new\nline.mp4",
    b"latin-\xe9.mp4",
    b"100%d of %03d.mov",
    b"-dash.mkv",
    b"twin.mp4",
    b"twin.mkv",
    b"deep/a b/c%05d/quote'\"$(x)`.mov",
    b"deep/a b/-y.mp4",
    b"bytes-\xff\xfe/\xf0\x9f\x8e\xac film.mkv",
    b"bytes-\xff\xfe/tab\there.mov",
)
SIZES = ("160x90", "240x136", "320x180")
WORKERS = 2


FILM_SECONDS = 24.0
"""Of a clip that is long enough for two parts."""


def make_sources(
    folder: Path, count: int, ffmpeg: str, random: Random, *, longest_seconds: float = 9.0, films: int = 0
) -> None:
    """Makes so many clips below `folder`: the odd names first, then plain ones in three folders, the last ones long."""
    plain = (f"folder-{number % 3}/clip-{number:02}.mov".encode() for number in range(max(0, count - len(ODD_NAMES))))
    names = [*ODD_NAMES, *plain][:count]
    calls = []
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        seconds = round(random.uniform(2.0, longest_seconds), 2) if number < count - films else FILM_SECONDS
        picture = f"testsrc2=size={random.choice(SIZES)}:rate=25:duration={seconds},hue=h={number * 360 // count}"
        sound = f"sine=frequency={200 + 37 * number}:sample_rate=48000:duration={seconds}"
        calls.append(
            [
                *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
                *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound),
                *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1", "-c:a", "aac"),
                b"file:" + path,
            ]
        )
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in pool.map(lambda call: subprocess.run(call, capture_output=True, check=False), calls):
            assert done.returncode == 0, done.stderr.decode(errors="replace")


PROFILE = """\
container: mp4
video:
  encoder: libx264
  preset: veryfast
  crf: 23
  pixel_format: yuv420p
audio:
  encoder: aac
  bitrate: 96k
"""


def write_profile(path: Path, text: str = PROFILE) -> Path:
    """The profile that all runs take."""
    path.write_text(text)
    return path
