"""Profiles for tests of single files: quick ones by container, and `profile` for any encoders."""

from __future__ import annotations

from dataclasses import replace

from pyprocessor.models import AudioSettings, Profile, VideoSettings

MP4 = Profile("mp4", "f", video=VideoSettings(preset="ultrafast", pixel_format="yuv420p"))
MOV = replace(MP4, container="mov", extension="mov")
MKV = replace(MP4, container="mkv", extension="mkv")
TS = replace(MP4, container="mpegts", extension="ts")
WEBM = Profile(
    "webm",
    "f",
    container="webm",
    extension="webm",
    video=VideoSettings("libvpx-vp9", preset="8", crf=50),
    audio=AudioSettings("libopus"),
)
COARSE = Profile("mp4", "f", video=VideoSettings(preset="ultrafast", crf=30), audio=AudioSettings(bitrate=96_000))
"""Of the source's pixel format."""


def profile(video: str | None = "libx264", audio: str | None = "aac", container: str = "mp4") -> Profile:
    """A profile with these; None leaves the film, or the sound, out."""
    return Profile(
        name="mine",
        fingerprint="0",
        container=container,
        video=None if video is None else VideoSettings(encoder=video),
        audio=None if audio is None else AudioSettings(encoder=audio),
    )
