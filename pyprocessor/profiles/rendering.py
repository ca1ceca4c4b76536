"""How is a profile written back as a file, with every default filled in?"""

from __future__ import annotations

from datetime import time
from enum import Enum
from typing import Any

import yaml

from pyprocessor.models import BatchSettings, Profile, VideoSettings
from pyprocessor.profiles.freezing import SOURCE_PIXEL_FORMAT
from pyprocessor.profiles.quantities import time_text, window_text
from pyprocessor.profiles.schema import PROFILE_FIELDS, SECTIONS, ProfileFile, Table

_OF_THE_FILE = ("extends", "input", "output")


def render(profile: Profile, description: str) -> str:
    """YAML that, loaded again, gives the same settings and fingerprint."""
    values: dict[str, Any] = {"description": description or None}
    for name in ProfileFile.keys:
        if name not in ("description", *_OF_THE_FILE):
            kept = getattr(profile, PROFILE_FIELDS.get(name, name))
            values[name] = _section(SECTIONS[name], kept) if name in SECTIONS else _plain(kept)
    written = {name: value for name, value in values.items() if value is not None and value != {}}
    text: str = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=100)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    # Characters that turn text around, or are none, are shown as what they are.
    return str(yaml.safe_dump(written, sort_keys=False, allow_unicode=False, width=100))


def _section(table: Table, record: object) -> dict[str, Any] | bool:
    if record is None:
        return False
    fields = {key: table.record_fields.get(key, key) for key in table.keys}
    values = {key: _plain(getattr(record, field, None)) for key, field in fields.items()}
    if isinstance(record, VideoSettings):
        values |= _video(record)
    elif isinstance(record, BatchSettings):
        values["batch_size"] = record.batch_size or "auto"
    return {key: value for key, value in values.items() if value is not None and value != []}


def _plain(value: Any) -> Any:
    """The value as YAML holds it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, time):
        return time_text(value)
    if isinstance(value, tuple):
        return window_text(value) if value and isinstance(value[0], time) else list(value)
    return value


def _video(video: VideoSettings) -> dict[str, Any]:
    """What is written of the picture in another form than its record has it."""
    preset, fps = video.preset, video.fps
    return {
        "preset": int(preset) if preset is not None and preset.isdecimal() else preset,
        "bitrates": {f"{lines}p": rate for lines, rate in video.bitrates} or None,
        "pixel_format": video.pixel_format or SOURCE_PIXEL_FORMAT,
        "fps": fps.numerator if fps is not None and fps.denominator == 1 else fps and str(fps),
        "options": dict(video.options) or None,
    }
