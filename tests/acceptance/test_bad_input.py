"""Bad input of every kind: one clear sentence, the right exit code, all other files done, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import assert_plain, call, call_here


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """One good clip."""
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "good.mp4")
    return folder


def job(inputs: Path, output: Path, *more: str | Path) -> list[str | Path]:
    return ["--input", inputs, "--output", output, "--batch-mode", "enabled", "--profile", "fast", *more]


def empty(path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    path.touch()


def truncated(path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    whole = make_clip(path, seconds=2.0, extra=["-movflags", "+faststart"]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def without_index(path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    whole = make_clip(path, seconds=2.0).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def text(path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    path.write_text("just words\n" * 100)


def audio_only(path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    make_clip(path, video=None)


def unreadable(path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    path.symlink_to(path.with_name("nothing-there"))


@pytest.mark.parametrize("make", [empty, without_index, text, audio_only, unreadable])
def test_one_bad_file_is_named_and_the_others_are_done(make, inputs: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Exit code 1, the bad file's name and a reason; the good one has its output."""
    make(inputs / "bad.mp4", make_clip)
    result = call(*job(inputs, tmp_path / "out"))
    assert_plain(result, 1, "bad.mp4")
    assert (tmp_path / "out" / "good.mp4").stat().st_size > 0
    assert not (tmp_path / "out" / "bad.mp4").exists()


def test_a_truncated_file_is_made_or_refused(inputs: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """What is there of it is made; a profile that refuses damage names it and fails it."""
    truncated(inputs / "bad.mp4", make_clip)
    result = call(*job(inputs, tmp_path / "out", "--damaged", "refuse"))
    assert_plain(result, 1, "bad.mp4")
    assert "cut off" in result.stderr + result.stdout
    assert not (tmp_path / "out" / "bad.mp4").exists()
    result = call(*job(inputs, tmp_path / "out", "--retry-failed"))
    assert result.returncode == 0
    assert (tmp_path / "out" / "bad.mp4").stat().st_size > 0


def test_a_video_without_frames_is_named(inputs: Path, tmp_path: Path, ffmpeg_path: str) -> None:
    """A container that declares a video stream and holds no picture."""
    subprocess.run(
        [
            ffmpeg_path,
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=160x90",
            "-t",
            "0",
            "-c:v",
            "libx264",
            str(inputs / "none.mkv"),
        ],
        check=True,
    )
    assert_plain(call(*job(inputs, tmp_path / "out")), 1, "none.mkv")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--max-memory", "0"], ["--max-memory"]),
        (["--max-memory", "nan"], ["--max-memory"]),
        (["--max-memory", "101"], ["--max-memory"]),
        (["--batch-size", "-1"], ["--batch-size"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--limit", "0"], ["--limit"]),
        (["--progress-interval", "-3"], ["--progress-interval"]),
        (["--crf", "99"], ["--crf"]),
        (["--fps", "0"], ["--fps"]),
        (["--batch-mode", "maybe"], ["--batch-mode"]),
        (["--encoder", "libx265x"], ["libx265x"]),
        (["--profile", "nosuch"], ["nosuch"]),
        (["--profile", "defualt"], ["default"]),
        (["--quiet", "--verbose"], ["--quiet", "--verbose"]),
        (["--no-such-option"], ["--no-such-option"]),
    ],
)
def test_impossible_values_are_refused_before_anything_is_done(
    more: list[str], words: list[str], inputs: Path, tmp_path: Path
) -> None:
    """Exit code 2, the option is named, and the output folder was not even made."""
    assert_plain(call_here(*job(inputs, tmp_path / "out"), *more), 2, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.yaml", "video: [unclosed", ["p.yaml"]),
        ("p.json", '{"video": {', ["p.json"]),
        ("p.yaml", "vdieo: {crf: 20}", ["vdieo", "video", "p.yaml"]),
        ("p.yaml", "video: {crf: 20, crf: 21}", ["crf", "p.yaml"]),
        ("p.json", '{"video": {"crf": 20, "crf": 21}}', ["crf", "p.json"]),
        ("p.yaml", "batch_processing: {max_memory_percent: 0}", ["max_memory_percent", "p.yaml"]),
        ("p.yaml", "", ["p.yaml"]),
        ("p.yaml", "- a list", ["p.yaml"]),
        ("p.yaml", "extends: p.yaml", ["p.yaml"]),
    ],
)
def test_bad_profiles_are_refused_with_file_and_key(
    name: str, content: str, words: list[str], inputs: Path, tmp_path: Path
) -> None:
    """Exit code 2; what is wrong, in which file."""
    (tmp_path / name).write_text(content)
    assert_plain(call_here(*job(inputs, tmp_path / "out", "--profile", tmp_path / name)), 2, *words)
    assert not (tmp_path / "out").exists()


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    """Exit code 2."""
    assert_plain(call_here(*job(tmp_path / "nowhere", tmp_path / "out")), 2, "nowhere")


def test_an_output_equal_to_the_input_is_refused(inputs: Path) -> None:
    """Even when it is written in another way."""
    assert_plain(call_here(*job(inputs, inputs)), 2, "--output")
    assert_plain(call_here(*job(inputs, inputs / ".." / "in")), 2, "--output")


def test_an_output_that_is_a_file_cannot_be_written(inputs: Path, tmp_path: Path) -> None:
    """Exit code 74."""
    (tmp_path / "out").write_text("I was here first")
    assert_plain(call(*job(inputs, tmp_path / "out")), 74, "out")
    assert (tmp_path / "out").read_text() == "I was here first"


def test_an_output_on_a_read_only_place_cannot_be_written(inputs: Path) -> None:
    """/proc takes no folders, not even from root."""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    assert_plain(call(*job(inputs, Path("/proc/pyprocessor-out"))), 74, "/proc/pyprocessor-out")


def test_an_ffmpeg_that_is_none_is_unusable(inputs: Path, tmp_path: Path) -> None:
    """Exit code 69 with what was tried."""
    result = call(*job(inputs, tmp_path / "out"), environment={"PYPROCESSOR_FFMPEG": "/nonexistent/ffmpeg"})
    assert_plain(result, 69, "/nonexistent/ffmpeg")


def test_it_works_without_ffmpeg_on_the_path(inputs: Path, tmp_path: Path) -> None:
    """A bare machine has none."""
    result = call(*job(inputs, tmp_path / "out"), environment={"PATH": "/nonexistent"})
    assert_plain(result, 0)
    assert (tmp_path / "out" / "good.mp4").exists()


def test_an_empty_input_folder_is_said(tmp_path: Path) -> None:
    """Nothing to do is no failure, but it is said what was looked at."""
    (tmp_path / "in").mkdir()
    assert_plain(call(*job(tmp_path / "in", tmp_path / "out")), 0, "Nothing to do", os.fspath(tmp_path / "in"))
