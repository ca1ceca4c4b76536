"""Real clips through the built-in profiles: decoded pictures and sound of every output held against the source's.

An oracle apart from the product's own verification, which reads packets: here both files are decoded, by PyAV.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from tests.benchmarks.command import measured, pyprocessor

PROFILES = ("default", "archive", "proxy")
OUT_OF_STEP_SECONDS = 0.06
OFF_ITS_TIME_SECONDS = 0.02


@dataclass(frozen=True)
class Decoded:
    """When the pictures of the first film are shown, and when the first sound begins, in seconds; None: it has none."""

    pictures: list[float]
    sound: float | None


def decoded(path: Path) -> Decoded:
    """Decode a file with no limit and no mending."""
    pictures: list[float] = []
    sound: list[float] = []
    options = {"merge_pmt_versions": "1"}
    with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
        films = [s for s in container.streams.video if not s.disposition & type(s.disposition).attached_pic]
        tracks = [films[0], *container.streams.audio[:1]]
        cut: set[float] = set()
        """Times that an edit list leaves out, of packets that are there for others to refer to."""
        for packet in container.demux(tracks):
            if packet.is_discard and packet.pts is not None:
                cut.add(float(packet.pts * packet.time_base))
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                if frame.time is not None and frame.time not in cut:
                    (pictures if isinstance(frame, av.VideoFrame) else sound).append(frame.time)
    return Decoded(sorted(pictures), min(sound, default=None))


def difference(source: Decoded, output: Decoded) -> str | None:
    """In what the output differs from the source, or None."""
    if len(source.pictures) != len(output.pictures):
        return f"{len(source.pictures)} pictures became {len(output.pictures)}"
    if not source.pictures:
        return None
    shift = output.pictures[0] - source.pictures[0]
    off = max(abs(b - a - shift) for a, b in zip(source.pictures, output.pictures, strict=True))
    if off > OFF_ITS_TIME_SECONDS:
        return f"a picture is {off:.3f} s off its time"
    if source.sound is not None and output.sound is not None:
        apart = output.sound - source.sound - shift
        if abs(apart) > OUT_OF_STEP_SECONDS:
            return f"the sound begins {apart:+.3f} s from where it began beside the picture"
    return None


def measure(folder: Path) -> Iterator[str]:
    """One line for each difference, with what the run itself noted of that file, and the totals of each profile."""
    media = os.environ.get("PYPROCESSOR_MEDIA")
    if media is None:
        yield "PYPROCESSOR_MEDIA names no folder of clips"
        return
    clips = Path(media) / "clips" if (Path(media) / "clips").is_dir() else Path(media)
    sources: dict[Path, Decoded] = {}
    for profile in PROFILES:
        output = folder / profile
        measured(pyprocessor("--input", clips, "--output", output, "--profile", profile, "--quiet"), accepted=(0, 1))
        document = json.loads(measured(pyprocessor("report", "--output", output, "--format", "json")).output)
        differences = 0
        for entry in document["files"]:
            if entry["state"] != "succeeded":
                yield f"{profile}: {entry['name']}: {entry['state']}: {entry['reason']}"
                continue
            path = Path(entry["input"])
            if path not in sources:
                sources[path] = decoded(path)
            found = difference(sources[path], decoded(Path(entry["output"])))
            if found is not None:
                differences += 1
                yield f"{profile}: {entry['name']}: {found}; noted: {' '.join(entry['notes']) or 'nothing'}"
        counts = document["counts"]
        yield f"{profile}: {counts['succeeded']} done, {counts['failed']} failed, {differences} differ"
