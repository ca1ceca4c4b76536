"""Profiles told apart by their encoders and container alone."""

from __future__ import annotations

from pyprocessor.models import AudioSettings, Profile, VideoSettings


def profile(video: str | None = "libx264", audio: str | None = "aac", container: str = "mp4") -> Profile:
    """A profile with these; None leaves the film, or the sound, out."""
    return Profile(
        name="mine",
        fingerprint="0",
        container=container,
        video=None if video is None else VideoSettings(encoder=video),
        audio=None if audio is None else AudioSettings(encoder=audio),
    )
