"""MediaInfo to text and back, exactly, for the journal's cache: compact JSON that leaves out what is at its default."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from pyprocessor.models import (
    AudioInfo,
    Colour,
    HdrKind,
    MediaInfo,
    StreamInfo,
    StreamKind,
    VideoInfo,
)

_VERSION = 1


def to_json(media: MediaInfo) -> str:
    """The record as one line of ASCII JSON."""
    return json.dumps({"v": _VERSION} | _plain(media), separators=(",", ":"))


def from_json(text: str) -> MediaInfo:
    """The record that `to_json` wrote.

    Raises ValueError where the text is not such a record, or one of another version of it: probe the file again.
    """
    try:
        data = json.loads(text)
        if data.pop("v") != _VERSION:
            raise ValueError("the record was written by another version")
        return MediaInfo(
            **data
            | {"streams": tuple(_stream(s) for s in data["streams"])}
            | ({"notes": tuple(data["notes"])} if "notes" in data else {})
        )
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"not the record of a media file: {error!r}") from error


def _plain(record: Any) -> dict[str, Any]:
    plain = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.default is MISSING or value != field.default:
            plain[field.name] = _value(value)
    return plain


def _value(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if is_dataclass(value):
        return _plain(value)
    return value


def _stream(data: dict[str, Any]) -> StreamInfo:
    data["kind"] = StreamKind(data["kind"])
    if "dispositions" in data:
        data["dispositions"] = tuple(data["dispositions"])
    if "video" in data:
        data["video"] = _video(data["video"])
    if "audio" in data:
        data["audio"] = AudioInfo(**data["audio"])
    return StreamInfo(**data)


def _video(data: dict[str, Any]) -> VideoInfo:
    for name in ("frame_rate", "sample_aspect_ratio"):
        if name in data and data[name] is not None:
            data[name] = Fraction(data[name])
    if "colour" in data:
        data["colour"] = Colour(**data["colour"])
    if "hdr" in data:
        data["hdr"] = HdrKind(data["hdr"])
    if "content_light" in data:
        first, second = data["content_light"]
        data["content_light"] = (first, second)
    return VideoInfo(**data)
