"""The older, flat form of a profile."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pyprocessor import profiles
from pyprocessor.errors import ProfileError
from pyprocessor.profiles import LoadedProfile

FULL: dict[str, Any] = {
    "ffmpeg_params": {
        "video_encoder": "libx264",
        "preset": "veryfast",
        "tune": "film",
        "fps": 30,
        "include_audio": True,
        "bitrates": {"720p": "2500k", "1080p": "5000k"},
        "audio_bitrates": ["96k", "128k"],
    },
    "max_parallel_jobs": 4,
    "auto_rename_files": True,
    "file_rename_pattern": r"(\d+)",
    "file_validation_pattern": r"^\d",
    "auto_organize_folders": True,
    "folder_organization_pattern": r"(\w+)",
    "input_folder": "in",
    "output_folder": "/out",
    "last_used_profile": "x",
    "server_optimization": {"enabled": True},
    "batch_processing": {"enabled": True, "batch_size": 5, "max_memory_percent": 70},
}


def load(tmp_path: Path, **changes: Any) -> LoadedProfile:
    file = tmp_path / "old.json"
    file.write_text(json.dumps({**FULL, **changes}, indent=1))
    return profiles.load(str(file), environment={})


def error_of(tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, **changes)
    return str(caught.value)


def test_every_key_arrives(tmp_path: Path) -> None:
    """What the flat form says stands in the record afterwards."""
    loaded = load(tmp_path)
    profile = loaded.profile
    assert profile.video is not None
    assert profile.audio is not None
    assert (profile.video.encoder, profile.video.preset, profile.video.tune) == ("libx264", "veryfast", "film")
    assert profile.video.fps == Fraction(30)
    assert profile.video.bitrates == ((1080, 5_000_000), (720, 2_500_000))
    assert (profile.audio.bitrates, profile.audio.bitrate) == ((128_000, 96_000), 128_000)
    assert (profile.naming.rename_pattern, profile.naming.validation_pattern) == (r"(\d+)", r"^\d")
    assert profile.naming.organization_pattern == r"(\w+)"
    assert (profile.batch.jobs, profile.batch.batch_size, profile.batch.max_memory_percent) == (4, 5, 70)
    assert (loaded.input, loaded.output) == (str(tmp_path / "in"), "/out")


def test_keys_without_effect_are_told(tmp_path: Path) -> None:
    """They load, and a notice names each."""
    notices = load(tmp_path).notices
    assert [notice.rsplit(": ", 1)[1] for notice in notices] == [
        "`last_used_profile` has no effect here.",
        "`server_optimization` has no effect here.",
    ]


def test_patterns_need_their_switch(tmp_path: Path) -> None:
    """Renaming and organizing happen only where their switch is on; validation always."""
    loaded = load(tmp_path, auto_rename_files=False, auto_organize_folders=None)
    assert loaded.profile.naming.rename_pattern is None
    assert loaded.profile.naming.organization_pattern is None
    assert loaded.profile.naming.validation_pattern == r"^\d"
    assert sum("has no effect, because `auto_" in notice for notice in loaded.notices) == 2


def test_no_audio_and_empty_texts(tmp_path: Path) -> None:
    """`include_audio: false` drops the sound; an empty text means not said."""
    loaded = load(tmp_path, ffmpeg_params={"include_audio": False, "tune": "", "preset": ""}, file_rename_pattern="")
    assert loaded.profile.audio is None
    assert loaded.profile.video is not None
    assert (loaded.profile.video.preset, loaded.profile.video.tune) == ("medium", None)


def test_one_flat_key_makes_the_form(tmp_path: Path) -> None:
    """A file of a single flat key is read as one."""
    file = tmp_path / "old.yaml"
    file.write_text("max_parallel_jobs: 3")
    assert profiles.load(str(file), environment={}).profile.batch.jobs == 3


def test_flat_equals_nested(tmp_path: Path) -> None:
    """The same settings in both forms have the same fingerprint."""
    nested = tmp_path / "new.yaml"
    nested.write_text(
        "video: {preset: veryfast, tune: film, fps: 30, bitrates: {1080p: 5M, 720p: 2500k}}\n"
        "audio: {bitrates: [128k, 96k]}"
    )
    assert load(tmp_path).profile.fingerprint == profiles.load(str(nested), environment={}).profile.fingerprint


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"video": {}},
            "`video` belongs to the nested form of profiles and cannot stand beside `auto_organize_folders`",
        ),
        ({"max_parallel_job": 1}, "unknown key `max_parallel_job`; did you mean `max_parallel_jobs`?"),
        ({"ffmpeg_params": {"encoder": "x"}}, "unknown key `ffmpeg_params.encoder`; did you mean"),
        ({"ffmpeg_params": {"preset": "quick"}}, '`ffmpeg_params.preset` is "quick", but must be one of ultrafast'),
        ({"ffmpeg_params": {"crf": 60}}, "`ffmpeg_params.crf` is 60, but must be from 0 to 51 for libx264"),
        ({"ffmpeg_params": 5}, "`ffmpeg_params` is 5, but must be a table of settings"),
        ({"max_parallel_jobs": 0}, "must be from 1 to 1,024 batches"),
        ({"file_rename_pattern": "a"}, '`file_rename_pattern` is "a", but must have a group'),
        ({"file_validation_pattern": "("}, "must be a regular expression"),
        ({"batch_processing": {"batch_size": -1}}, "`batch_processing.batch_size` is -1"),
    ],
)
def test_errors_use_the_words_of_the_file(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    """Messages call a key as the flat file does and give its line."""
    message = error_of(tmp_path, **changes)
    assert expected in message
    assert "old.json, line " in message
