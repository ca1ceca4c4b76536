"""Makes a few short clips in different containers and codecs from ffmpeg's own test sources.

    python docs/examples/make_clips.py FOLDER

Clips that are there already are left as they are, so that running pyprocessor over the folder twice shows that the
second run has nothing to do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pyprocessor.ffmpeg import tool

PICTURE = "testsrc2=size={size}:rate={rate}:duration={seconds}"
SOUND = "sine=frequency={tone}:sample_rate=48000:duration={seconds}"

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
CLIPS: dict[str, tuple[str, int, int, list[str]]] = {
    "holiday.mp4": ("1280x720", 30, 6, [*X264, "-c:a", "aac"]),
    "interview.mkv": ("854x480", 25, 8, [*X264, "-c:a", "flac"]),
    "archive/old tape.avi": ("720x576", 25, 5, ["-c:v", "mpeg4", "-q:v", "4", "-c:a", "libmp3lame"]),
    "archive/lecture.mpg": ("640x480", 25, 5, ["-c:v", "mpeg2video", "-q:v", "5", "-c:a", "mp2"]),
    "phone/portrait.mov": ("360x640", 30, 4, [*X264, "-c:a", "aac"]),
}
"""Name: picture size, frames per second, seconds, encoders."""


def make_clip(ffmpeg: str, path: Path, size: str, rate: int, seconds: int, encoders: list[str]) -> None:
    """Make one clip under a temporary name, so that an interrupted call leaves no half clip behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{path.name}")
    subprocess.run(
        [
            *(ffmpeg, "-nostdin", "-loglevel", "error", "-y"),
            *("-f", "lavfi", "-i", PICTURE.format(size=size, rate=rate, seconds=seconds)),
            *("-f", "lavfi", "-i", SOUND.format(tone=220 + 110 * seconds, seconds=seconds)),
            *encoders,
            str(partial),
        ],
        check=True,
    )
    partial.replace(path)


def main(folder: Path) -> None:
    """Make the clips that are missing in the folder."""
    ffmpeg = tool.find().path
    for name, (size, rate, seconds, encoders) in CLIPS.items():
        if not (folder / name).exists():
            make_clip(ffmpeg, folder / name, size, rate, seconds, encoders)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_clips.py FOLDER")
    main(Path(sys.argv[1]))
