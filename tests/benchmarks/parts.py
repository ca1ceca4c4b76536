"""Films encoded in parts against the same films encoded whole: exactness, size, quality and CPU time.

`PYPROCESSOR_MEDIA` names the folder with the clips; short ones are cut into short parts, whose size and quality do not
count. VMAF looks at each fifth picture. About a quarter of an hour on 2 cores.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av

from pyprocessor.errors import JobError
from pyprocessor.ffmpeg.tool import find
from pyprocessor.models import Profile
from pyprocessor.profiles import load
from pyprocessor.tasks.parts import least_part_seconds
from tests.benchmarks.bare import bare_calls, with_default_threads
from tests.benchmarks.command import measured
from tests.benchmarks.real_mix import MEDIA
from tests.integration.divided import Divided, encoded_in_parts, packets_of, seeks_clean
from tests.integration.transcoding import Made, output_of, run_ffmpeg

MOST_OF_SIZE, MOST_LOST, MOST_LOST_OF_A_PART = 1.03, 0.3, 1.0
LEAST_OF_SHORT = 1.0
EACH = 5
PRESETS = ("veryfast", "slow")
OTHERS = (("libx265", "ultrafast", 28), ("libsvtav1", "10", 35), ("libvpx-vp9", "8", 36))
"""Encoders that are compared beside x264, with preset and CRF; on clips of twice the usual length of a part."""


def measure(folder: Path) -> Iterator[str]:
    """A line for each clip, then what the parts cost beside the wholes."""
    media = os.environ.get(MEDIA)
    if media is None:
        yield f"left out: {MEDIA} names no folder with real clips"
        return
    profile = load("fast").profile
    assert profile.video is not None
    clips = sorted(Path(media).iterdir())
    long: list[Path] = []
    yield from _compare(folder, clips, profile, long)
    for encoder, preset, crf in OTHERS:
        other = replace(profile, video=replace(profile.video, encoder=encoder, preset=preset, crf=crf))
        enough = [clip for clip in long if _seconds(clip) >= 2 * least_part_seconds(other)]
        for line in _compare(folder, enough, other, []):
            yield f"{encoder} {preset}, {line}"
    for preset in PRESETS:
        yield from _costs(folder, long, preset)


def _compare(folder: Path, clips: list[Path], profile: Profile, long: list[Path]) -> Iterator[str]:
    """A line for each clip; those long enough for parts of the usual length are added to `long`."""
    usual = least_part_seconds(profile)
    for clip in clips:
        least = usual if _seconds(clip) >= 2 * usual else LEAST_OF_SHORT
        try:
            parts = encoded_in_parts(clip, profile, find(os.environ).path, folder / "parts", least_seconds=least)
        except JobError as error:
            yield f"{clip.name}: whole, because: {error}"
        else:
            whole = output_of(clip, profile, find(os.environ).path, folder / "whole")
            yield f"{clip.name}: {len(parts.films)} parts; {', '.join(_compared(clip, parts, whole, least, folder))}"
            if least == usual:
                long.append(clip)
        for made in ("parts", "whole"):
            shutil.rmtree(folder / made, ignore_errors=True)


def _compared(clip: Path, parts: Divided, whole: Made, least: float, folder: Path) -> Iterator[str]:
    mine, theirs = packets_of(parts.path), packets_of(whole.path)
    yield "times equal" if mine == theirs else "TIMES DIFFER"
    yield "notes equal" if parts.facts.notes == whole.facts.notes else f"NOTES DIFFER {parts.facts.notes}"
    yield "seeks clean" if seeks_clean(parts.path) else "A SEEK IS NOT CLEAN"
    ratio = parts.facts.size_bytes / whole.facts.size_bytes
    if least == LEAST_OF_SHORT:
        yield f"size x {ratio:.3f}"
        return
    yield f"size x {ratio:.3f} (figure: at most {MOST_OF_SIZE})"
    scores, before = _vmaf(parts.path, clip, folder), _vmaf(whole.path, clip, folder)
    lost = statistics.mean(before) - statistics.mean(scores)
    at, most = 0, 0.0
    for part in parts.films:
        until = at + part["pictures"]
        own = slice(-(-at // EACH), -(-until // EACH))
        most = max(most, statistics.mean(before[own]) - statistics.mean(scores[own]))
        at = until
    yield f"VMAF {statistics.mean(scores):.2f}, {lost:+.2f} lost (figure: at most {MOST_LOST})"
    yield f"{most:+.2f} in the worst part (figure: at most {MOST_LOST_OF_A_PART})"


def _costs(folder: Path, clips: list[Path], preset: str) -> Iterator[str]:
    """CPU-seconds of the ffmpegs: parts and wholes at one thread each, and wholes at ffmpeg's own number of threads."""
    profile = load("fast").profile
    assert profile.video is not None
    profile = replace(profile, video=replace(profile.video, preset=preset))
    beside, totals = [], [0.0, 0.0, 0.0]
    for clip in clips:
        divided = encoded_in_parts(clip, profile, find(os.environ).path, folder / "parts")
        one, auto = _alone(folder, clip, profile)
        took = sum(divided.took)
        totals = [total + each for total, each in zip(totals, (took, one, auto), strict=True)]
        beside.append((took - one) / len(divided.films))
        shutil.rmtree(folder / "parts")
        yield (
            f"{preset}, {clip.name}: {len(divided.films)} parts {took:.1f} CPU-s (join {divided.took[-1]:.2f}), whole "
            f"{one:.1f}, whole with default threads {auto:.1f}; x {took / one:.3f} and x {took / auto:.3f}"
        )
    yield (
        f"{preset}: parts / whole {totals[0] / totals[1]:.3f}, parts / default threads {totals[0] / totals[2]:.3f}, "
        f"{statistics.median(beside):+.2f} CPU-s for each part (median)"
    )


def _alone(folder: Path, clip: Path, profile: Profile) -> tuple[float, float]:
    """CPU-seconds of the whole clip at one thread, and at ffmpeg's own number of threads."""
    clips, output = folder / "clips", folder / "alone"
    for made in (clips, output):
        made.mkdir()
    (clips / clip.name).symlink_to(clip)
    (call,) = bare_calls(clips, profile).values()
    took = [measured(each, cwd=output).cpu_seconds for each in (call, with_default_threads(call))]
    for made in (clips, output):
        shutil.rmtree(made)
    return took[0], took[1]


def _seconds(clip: Path) -> float:
    try:
        with av.open(str(clip)) as container:
            return (container.duration or 0) / av.time_base
    except (av.error.FFmpegError, UnicodeDecodeError):
        return 0.0


def _vmaf(made: Path, clip: Path, folder: Path) -> list[float]:
    """The score of each fifth picture."""
    both = "[0:v:0]setpts=PTS-STARTPTS[a];[1:v:0]setpts=PTS-STARTPTS,format=yuv420p[b];[a][b]libvmaf="
    options = f"log_fmt=json:log_path=vmaf.json:n_subsample={EACH}:ts_sync_mode=nearest"
    inputs = ("-i", made, "-i", clip, "-fps_mode", "passthrough")
    run_ffmpeg(find(os.environ).path, *inputs, "-lavfi", both + options, "-f", "null", "-", cwd=folder)
    told = json.loads((folder / "vmaf.json").read_text())
    return [frame["metrics"]["vmaf"] for frame in told["frames"]]
