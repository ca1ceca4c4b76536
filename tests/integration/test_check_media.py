"""What `verify` says of files that hold less than they declare, and of whole ones that only look alike."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ClipMaker
from tests.integration.tasked import tasked
from tests.waiting import DEADLINE_SECONDS

SUBTITLES = "1\n00:00:00,000 --> 00:00:20,000\nwords\n"


@pytest.fixture
def clip(make_clip: ClipMaker, tmp_path: Path) -> Path:
    """Two seconds of film with sound, its index in front."""
    return make_clip(tmp_path / "clip.mp4", seconds=2.0, extra=["-movflags", "+faststart"])


def remux(ffmpeg_path: str, path: Path, *arguments: str | Path) -> Path:
    """Make `path` of the streams that the arguments name, without encoding films and sound anew."""
    command = [ffmpeg_path, "-loglevel", "error", "-y", *arguments, "-c", "copy", "-c:s", "mov_text", path]
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
    return path


def verified(path: Path, ffmpeg_path: str) -> Any:
    """What the task answers."""
    return tasked("verify", {}, path, path.parent / "work", ffmpeg_path).result


def test_a_film_whose_tracks_leave_most_of_its_time_empty_is_not_whole(
    clip: Path, ffmpeg_path: str, tmp_path: Path
) -> None:
    """Edit lists put the pictures behind a time that nothing fills."""
    inputs = ("-itsoffset", "100", "-i", clip, "-i", clip, "-map", "0:v", "-map", "1:a")
    found = verified(remux(ffmpeg_path, tmp_path / "empty.mp4", *inputs), ffmpeg_path)
    assert found["ok"] is False
    (text,) = found["warnings"]
    assert text == (
        "It declares 102.0 s and holds 4.0 s of pictures and sound: it was cut off, or its times are wrong."
    )


def test_a_film_that_was_cut_off_is_not_whole(clip: Path, ffmpeg_path: str) -> None:
    """Its index in front still lists all that is missing."""
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 2 // 3])
    found = verified(clip, ffmpeg_path)
    assert found["ok"] is False
    assert "It is cut off" in found["warnings"][0]


def test_a_film_without_a_picture_is_not_whole(clip: Path, ffmpeg_path: str, tmp_path: Path) -> None:
    """Its track is declared, and nothing is in it; the sound is there."""
    empty = remux(ffmpeg_path, tmp_path / "empty.mkv", "-i", clip, "-bsf:v", "noise=drop=1")
    found = verified(empty, ffmpeg_path)
    assert (found["ok"], found["pictures"]) == (False, 0)
    assert "No picture of its film came out of the decoder." in found["warnings"]


def test_films_of_unequal_tracks_are_whole(clip: Path, ffmpeg_path: str, tmp_path: Path) -> None:
    """Sound that is shorter, begins late or lies behind the pictures, and subtitles that last longer."""
    (tmp_path / "words.srt").write_text(SUBTITLES)
    film, sound = ("-i", clip, "-map", "0:v"), ("-map", "1:a")
    for name, inputs in (
        ("shorter.mp4", (*film[:2], "-t", "1", "-i", clip, *film[2:], *sound)),
        ("late.mp4", (*film[:2], "-itsoffset", "1", "-i", clip, *film[2:], *sound)),
        ("behind.mp4", (*film[:2], "-itsoffset", "2.5", "-i", clip, *film[2:], *sound)),
        ("subtitled.mp4", ("-i", clip, "-i", tmp_path / "words.srt", "-map", "0", "-map", "1")),
    ):
        found = verified(remux(ffmpeg_path, tmp_path / name, *inputs), ffmpeg_path)
        assert (found["ok"], found["notes"]) == (True, []), name
