"""Whether encoders work here, found out by encoding one generated frame before any file is touched.

That an ffmpeg lists an encoder says little: those of hardware need its device and driver, and no list says which
container takes what an unusual encoder makes. A trial takes some 20 ms; the usual encoders go without.
"""

from __future__ import annotations

import os
import re

from pyprocessor.errors import ProfileError
from pyprocessor.ffmpeg.diagnosis import diagnose
from pyprocessor.ffmpeg.invocation import Options, environment, is_hardware, muxer, trial_encode_argv
from pyprocessor.ffmpeg.run import Finished, run_once
from pyprocessor.ffmpeg.tool import WELL_KNOWN_AUDIO_ENCODERS, WELL_KNOWN_ENCODERS, Tool
from pyprocessor.models import Profile

_TRIAL_SECONDS = 30.0
"""Drivers of some cards take seconds to wake."""

_NOT_HELD = re.compile(r"codec not currently supported in container|Could not find tag for codec|Only .* supported in")
"""What muxers say of a codec that they do not hold, as seen of FFmpeg 9.0.2."""


def trial_encode(
    tool: Tool,
    encoder: str,
    *,
    preset: str | None = None,
    options: Options = (),
    pixel_format: str | None = None,
) -> str | None:
    """Encode one generated frame: None if that works, else a sentence that says why not.

    A hardware encoder counts as present only if this returns None. It also tells whether an encoder takes a preset and
    options, before any file is touched.
    """
    command = trial_encode_argv(tool.path, encoder, preset=preset, options=options, pixel_format=pixel_format)
    return _trouble(_tried(command), encoder)


def require_working(tool: Tool, profile: Profile) -> None:
    """Check that the profile's encoders work here and that its container holds what they make.

    Raises ProfileError where a hardware encoder's trial fails, or where the container refuses the codec. Any other
    failure says nothing: some software encoders take only the sizes or rates of their own standard.
    """
    if profile.video is not None and profile.video.encoder not in (*WELL_KNOWN_ENCODERS, "copy"):
        encoder = profile.video.encoder
        if is_hardware(encoder):
            _require_device(tool, profile, encoder)
        _require_held(tool, profile, encoder, "v")
    if profile.audio is not None and profile.audio.encoder not in (*WELL_KNOWN_AUDIO_ENCODERS, "copy"):
        _require_held(tool, profile, profile.audio.encoder, "a")


def _require_device(tool: Tool, profile: Profile, encoder: str) -> None:
    trouble = trial_encode(tool, encoder)
    if trouble is not None:
        said = re.search(r"\(ffmpeg says: (.*)\)", trouble)
        raise ProfileError(
            f"The profile {profile.name} asks for the video encoder {encoder!r}, which this ffmpeg ({tool.version}) "
            f"has but cannot use on this machine{f': {said[1]}' if said else ''}. Check that the device is there, its "
            "driver is installed and this user may use it, or choose a software encoder such as libx264."
        )


def _require_held(tool: Tool, profile: Profile, encoder: str, kind: str) -> None:
    command = trial_encode_argv(tool.path, encoder, kind=kind, muxer=muxer(profile.container))
    if _NOT_HELD.search(_tried(command).stderr_text):
        what = "video" if kind == "v" else "audio"
        raise ProfileError(
            f"The profile {profile.name} puts the {what} encoder {encoder!r} into the container "
            f"{profile.container!r}, which does not hold what it makes; choose another encoder, or the container mkv."
        )


def _tried(command: list[bytes | str]) -> Finished:
    return run_once(command, env=environment(os.environ), wall_limit_seconds=_TRIAL_SECONDS)


def _trouble(finished: Finished, encoder: str) -> str | None:
    found = diagnose(finished, os.fsencode(f"trial of {encoder}"))
    return None if found is None else found.message
