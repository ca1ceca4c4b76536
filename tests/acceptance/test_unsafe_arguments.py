"""Unchecked words for ffmpeg: refused with what to do, taken with the option, and no other way in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.command import assert_plain, call


@pytest.fixture
def job(tmp_path: Path, make_clip) -> list[str | Path]:  # type: ignore[no-untyped-def]
    """The arguments of a job over one clip, with a profile that has unchecked words."""
    make_clip(tmp_path / "in" / "a.mp4")
    profile = tmp_path / "mine.yaml"
    profile.write_text("extends: fast\nunsafe: {output: [-metadata, 'title=set by hand']}\n")
    return ["--input", tmp_path / "in", "--output", tmp_path / "out", "--profile", profile]


def test_without_the_option_nothing_is_begun(job: list[str | Path], tmp_path: Path) -> None:
    """Exit code 2; no variable takes the option's place."""
    environment = {"PYPROCESSOR_ALLOW_UNSAFE_ARGS": "1", "ALLOW_UNSAFE_ARGS": "1"}
    assert_plain(call(*job, environment=environment), 2, "mine.yaml, line 2", "`unsafe`", "--allow-unsafe-args")
    assert not (tmp_path / "out").exists()


def test_with_the_option_ffmpeg_gets_them(job: list[str | Path], tmp_path: Path) -> None:
    """The output has what they ask for, and is verified as ever."""
    assert_plain(call(*job, "--allow-unsafe-args"), 0)
    assert "set by hand" in (tmp_path / "out" / "a.mp4").read_bytes().decode("latin-1")


def test_words_that_ffmpeg_does_not_know_fail_the_file_with_its_own_reason(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Exit code 1, no traceback, and nothing is published."""
    make_clip(tmp_path / "in" / "a.mp4")
    (tmp_path / "p.json").write_text(json.dumps({"extends": "fast", "unsafe": {"input": ["-no_such_option", "1"]}}))
    job = ["--input", tmp_path / "in", "--output", tmp_path / "out", "--profile", tmp_path / "p.json"]
    assert_plain(call(*job, "--allow-unsafe-args"), 1, "a.mp4", "option")
    assert not (tmp_path / "out" / "a.mp4").exists()


def test_the_option_alone_changes_nothing(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """A profile without unchecked words runs as it does without it."""
    make_clip(tmp_path / "in" / "a.mp4")
    job = ["--input", tmp_path / "in", "--output", tmp_path / "out", "--profile", "fast"]
    assert_plain(call(*job, "--allow-unsafe-args"), 0)
    assert_plain(call(*job), 0)
