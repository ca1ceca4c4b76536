"""How do the settings of a profile stand in a job's params, whole, so that nothing has to be looked up later?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from pyprocessor.models import Profile
from pyprocessor.tasks.params import record_of

CONTENT = (
    *("name", "fingerprint", "container", "extension", "video", "audio", "keep_subtitles", "keep_attachments"),
    *("keep_chapters", "keep_metadata", "damaged", "strip_location", "input_limits"),
)
"""The fields that decide what is made of a source, and what a source may be."""


def values_of(profile: Profile, fields: Iterable[str] = CONTENT) -> dict[str, Any]:
    """Return these settings of a profile as JSON."""
    settings = asdict(profile)
    values = {name: settings[name] for name in fields}
    video = values.get("video")
    if video is not None and video["fps"] is not None:
        video["fps"] = str(video["fps"])
    return values


def profile_of(values: Mapping[str, Any]) -> Profile:
    """Return the profile of such values, with its other settings as they are by default. Raises JobError."""
    return record_of(Profile, {"name": "", "fingerprint": "", **values}, {Fraction: Fraction})
