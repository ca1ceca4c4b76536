"""`pyprocessor run FOLDER --task analyze`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pyprocessor.errors import ExitCode
from tests.acceptance.command import assert_plain, call
from tests.integration.transcoding import run_ffmpeg
from tests.process.runs import published

SHOWN = "mandelbrot=size=320x180:rate=10:start_scale=0.5,trim=duration=3"
OTHER = "life=size=320x180:rate=10:mold=10:ratio=0.2:seed=7,trim=duration=1.5"


def test_a_folder_is_analysed(tmp_path: Path, ffmpeg_path: str) -> None:
    """The closing text adds up what was found and names near-duplicates; a rerun that does nothing knows them, too."""
    folder, output = tmp_path / "Videos", tmp_path / "Analyses"
    folder.mkdir()
    ffmpeg: Callable[..., None] = partial(run_ffmpeg, ffmpeg_path, cwd=folder)
    ffmpeg("-f", "lavfi", "-i", SHOWN, "-c:v", "libx264", "shown.mp4")
    ffmpeg("-ss", "0.4", "-i", "shown.mp4", "-vf", "scale=160:-2", "-c:v", "libx264", "-crf", "32", "smaller.mkv")
    black = "color=black:size=320x180:rate=10:duration=2.5"
    joined = ("-filter_complex", f"{OTHER}[a];{black}[b];[a][b]concat=n=2", "-c:v", "libx264")
    ffmpeg(*joined, "other.mp4")
    (folder / "broken.mp4").write_bytes(b"no film" * 1000)
    command = ("run", folder, "--task", "analyze", "--output", output)

    done = call(*command)
    near = "\nNear-duplicates:\n  shown.mp4, smaller.mkv\n"
    assert_plain(done, ExitCode.SOME_FAILED, "Analysed", "3 videos: 1 with black", near, "broken: ")
    names = ("shown", "smaller", "other")
    assert published(output) == {f"{name}.{end}" for name in names for end in ("analysis.json", "sheet.jpg")}
    assert json.loads((output / "other.analysis.json").read_text())["version"] == 1

    again = json.loads(call(*command, "--json").stdout)
    assert (again["counts"]["done_before"], again["counts"]["failed_before"], again["analyses"]["videos"]) == (3, 1, 0)
    assert [[one["name"] for one in group] for group in again["near_duplicates"]] == [["shown.mp4", "smaller.mkv"]]
