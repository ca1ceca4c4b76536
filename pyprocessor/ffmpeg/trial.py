"""Do the profile's encoders work here? Each unusual one encodes a generated frame before any file is touched.

That an ffmpeg lists an encoder says little: hardware encoders need a device and a driver, and no list says which
container takes the codec of an unusual encoder. A trial takes some 20 ms; the usual encoders go without.
"""

from __future__ import annotations

import os
import re

from pyprocessor.errors import ProfileError
from pyprocessor.ffmpeg.diagnosis import diagnose
from pyprocessor.ffmpeg.invocation import environment, trial_encode_argv
from pyprocessor.ffmpeg.run import FfmpegRun
from pyprocessor.ffmpeg.tool import Tool
from pyprocessor.models import Profile
from pyprocessor.models.encoders import audio_encoder, is_hardware, video_encoder

_TRIAL_SECONDS = 30.0
"""Drivers of some cards take seconds to start."""

_NOT_HELD = re.compile(r"Could not write header .*incorrect codec parameters")
"""FFmpeg's message, after the muxer's own, where a container does not hold a codec."""


def require_working(tool: Tool, profile: Profile) -> None:
    """Raise ProfileError where a hardware encoder's trial fails, or where the container refuses a codec.

    Other failures mean nothing: some software encoders take only the sizes or rates of their own standard.
    """
    if profile.video is not None and not video_encoder(profile.video.encoder).usual:
        _require(tool, profile, profile.video.encoder, "video")
    if profile.audio is not None and not audio_encoder(profile.audio.encoder).usual:
        _require(tool, profile, profile.audio.encoder, "audio")


def _require(tool: Tool, profile: Profile, encoder: str, kind: str) -> None:
    if encoder == "copy":
        return
    command = trial_encode_argv(tool.path, encoder, kind[0], profile.container)
    finished = FfmpegRun(command, env=environment(os.environ), wall_limit_seconds=_TRIAL_SECONDS).wait()
    if _NOT_HELD.search(finished.stderr_text):
        raise ProfileError(
            f"The profile {profile.name} asks for the {kind} encoder {encoder!r} in the container "
            f"{profile.container!r}, which does not hold what that makes; choose another encoder, or the container mkv."
        )
    trouble = diagnose(finished, b"the trial")
    if trouble is not None and is_hardware(encoder):
        said = re.search(r"\(ffmpeg says: (.*)\)", str(trouble))
        raise ProfileError(
            f"The profile {profile.name} asks for the {kind} encoder {encoder!r}, which this ffmpeg ({tool.version}) "
            f"has, but which does not work on this machine{f' ({said[1]})' if said else ''}. See that its device is "
            "there, its driver installed and this user allowed to use it, or choose a software encoder such as libx264."
        )
