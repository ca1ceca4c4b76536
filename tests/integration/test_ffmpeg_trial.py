"""Whether an encoder works is found out with one frame, before any file is touched."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode, ProfileError
from pyprocessor.ffmpeg import tool, trial
from pyprocessor.models import Profile
from tests.integration.encoder_profiles import profile


@pytest.fixture
def found(ffmpeg_path: str) -> tool.Tool:
    return tool.find({"PYPROCESSOR_FFMPEG": ffmpeg_path})


@pytest.fixture
def without_nvenc(found: tool.Tool) -> tool.Tool:
    """An ffmpeg that lists nvenc on a machine that has no such card."""
    if "h264_nvenc" not in found.encoders:
        pytest.skip("this ffmpeg was built without nvenc")
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an Nvidia card")
    return found


def test_a_profile_for_absent_hardware_is_refused(without_nvenc: tool.Tool) -> None:
    """What is missing is said, in ffmpeg's words too, and what else would do."""
    with pytest.raises(ProfileError, match=r"'h264_nvenc'.*does not work on this machine \(.*libx264") as caught:
        trial.require_working(without_nvenc, profile("h264_nvenc"))
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (profile("gif"), "video encoder 'gif' in the container 'mp4'"),
        (profile("huffyuv", container="webm"), "video encoder 'huffyuv' in the container 'webm'"),
        (profile(audio="wmav2"), "audio encoder 'wmav2' in the container 'mp4'"),
        (profile(None, "wmav2", "mp3"), "audio encoder 'wmav2' in the container 'mp3'"),
    ],
)
def test_a_container_that_does_not_hold_the_codec_is_told(found: tool.Tool, wanted: Profile, named: str) -> None:
    """The muxer itself is tried, so codecs in no table are covered."""
    with pytest.raises(ProfileError, match="does not hold what that makes") as caught:
        trial.require_working(found, wanted)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "wanted",
    [
        profile("gif", container="mkv"),
        profile("mpeg4", "ac3"),
        profile("dvvideo", None, "mkv"),  # takes pictures of two sizes alone, which the trial's is not
        profile("libtheora", "libvorbis", "mkv"),
        profile(None, "pcm_s16le", "wav"),
        profile("copy", "copy"),
    ],
)
def test_what_may_work_is_not_refused(found: tool.Tool, wanted: Profile) -> None:
    """Unusual encoders where they belong, and software encoders that are choosy about sizes."""
    trial.require_working(found, wanted)


def test_the_usual_encoders_cost_no_trial(found: tool.Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with them starts no process for it."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    trial.require_working(dataclasses.replace(found, path="/nowhere"), profile("libsvtav1", "libopus", "mkv"))
    trial.require_working(dataclasses.replace(found, path="/nowhere"), profile())
