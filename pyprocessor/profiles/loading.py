"""Which Profile do a name, files, variables and options make together, and how is it written as a file?"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import time
from enum import Enum
from functools import partial
from typing import Any

import yaml

from pyprocessor.errors import ProfileError
from pyprocessor.models import BatchSettings, Profile, TenantSettings, VideoSettings
from pyprocessor.profiles.documents import parse_document
from pyprocessor.profiles.freezing import SOURCE_PIXEL_FORMAT, Freezer
from pyprocessor.profiles.layers import Layer, file_layers, find_document, layers_of, merge
from pyprocessor.profiles.overrides import PREFIX, Overrides, environment_layer, overrides_layer
from pyprocessor.profiles.problems import SettingsRefused, problems_in
from pyprocessor.profiles.quantities import hours_text
from pyprocessor.profiles.schema import PROFILE_FIELDS, SECTIONS, ProfileFile, Table


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile ready for a run.

    `notices` are sentences on settings without effect. `input` and `output` are paths that a file names, for use where
    the command line names none.
    """

    profile: Profile
    notices: tuple[str, ...] = ()
    input: str | None = None
    output: str | None = None


def load(
    name_or_file: str | None,
    *,
    config_file: str | None = None,
    environment: Mapping[str, str] = os.environ,
    overrides: Overrides = Overrides(),  # noqa: B008 - frozen
    allow_unsafe: bool = False,
) -> LoadedProfile:
    """The settings in force: defaults < `config_file` < `name_or_file` < environment < overrides.

    `name_or_file` is a built-in profile's name or a file; None takes `PYPROCESSOR_PROFILE`, and `config_file` None
    takes `PYPROCESSOR_CONFIG`. `allow_unsafe` takes a table `unsafe` as it stands.
    Raises ProfileError with every error found, each naming its file, variable or option.
    """
    name = "default"
    layers: list[Layer] = []
    problems: list[str] = []
    for given, variable in ((config_file, "PYPROCESSOR_CONFIG"), (name_or_file, "PYPROCESSOR_PROFILE")):
        try:
            if file := given or environment.get(variable):
                name, found = file_layers(file, environment)
                layers += found
        except ProfileError as error:
            problems += [line if given else f"From {variable}: {line}" for line in problems_in(error)]
    for made in (partial(environment_layer, environment), partial(overrides_layer, overrides)):
        try:
            layers.append(made())
        except ProfileError as error:
            problems += problems_in(error)
    if problems:
        raise SettingsRefused(problems)
    return _freeze(name, layers, allow_unsafe=allow_unsafe)


def load_alone(profile: str | Mapping[str, Any], overrides: Overrides, *, allow_unsafe: bool = False) -> LoadedProfile:
    """The settings of a profile (a built-in one's name, a file, or what a file would hold) below `overrides`.

    Neither the environment's settings nor a configuration file count. Raises ProfileError as `load` does.
    """
    others = {variable: value for variable, value in os.environ.items() if not variable.startswith(PREFIX)}
    if isinstance(profile, str):
        name, layers = file_layers(profile, others)
    else:
        text = json.dumps(profile).encode()
        name, document = "job", parse_document(text, name="`profile`", identity="", folder="", suffix=".json")
        layers = layers_of(replace(document, lines={}), others)
    return _freeze(name, [*layers, overrides_layer(overrides)], allow_unsafe=allow_unsafe)


def describe(name: str) -> str:
    """The description of a profile (a built-in one's name or a file) in one line; it may be empty."""
    _, document = find_document(name)
    description = document.values.get("description")
    return " ".join(description.split()) if isinstance(description, str) else ""


def show(name: str) -> str:
    """YAML of the profile with every default filled in, leaving the environment's settings out."""
    return render(load_alone(name, Overrides(), allow_unsafe=True).profile, describe(name))


def validate(file: str) -> list[str]:
    """Notices on a profile file, such as programs it calls; raises ProfileError for one that cannot be used."""
    loaded = load_alone(file, Overrides(), allow_unsafe=True)
    notices = list(loaded.notices)
    unsafe, hooks = loaded.profile.unsafe, loaded.profile.hooks
    if unsafe.input or unsafe.output:
        notices.append("It hands unchecked words to ffmpeg, so a run with it needs --allow-unsafe-args.")
    programs = dict.fromkeys(words[0] for words in (hooks.on_success, hooks.on_failure, hooks.on_end) if words)
    if programs:
        notices.append(f"It has programs called (`hooks`): {', '.join(map(json.dumps, programs))}.")
    return notices


def _freeze(name: str, layers: Sequence[Layer], *, allow_unsafe: bool) -> LoadedProfile:
    merged = merge(layers)
    freezer = Freezer(merged, allow_unsafe=allow_unsafe)
    profile = freezer.profile(name)
    if freezer.problems:
        raise SettingsRefused(freezer.problems)
    return LoadedProfile(
        profile=profile,
        notices=tuple(dict.fromkeys((*merged.notices, *freezer.notices))),
        input=merged.values.get("input"),
        output=merged.values.get("output"),
    )


# ---------------------------------------------------------------- writing


def render(profile: Profile, description: str) -> str:
    """YAML that, loaded again, gives the same settings and fingerprint."""
    values: dict[str, Any] = {"description": description or None}
    for name in ProfileFile.keys:
        if name not in ("description", "extends", "input", "output"):
            kept = getattr(profile, PROFILE_FIELDS.get(name, name))
            values[name] = _section(SECTIONS[name], kept) if name in SECTIONS else _plain(kept)
    written = {name: value for name, value in values.items() if value is not None and value != {}}
    # Characters that turn text around, or are none, are shown as what they are.
    texts = (yaml.safe_dump(written, sort_keys=False, width=100, allow_unicode=each) for each in (True, False))
    return next(str(text) for text in texts if text.replace("\n", "").isprintable())


def _section(table: Table, record: object) -> dict[str, Any] | bool:
    if record is None:
        return False
    fields = {key: table.record_fields.get(key, key) for key in table.keys}
    values = {key: _plain(getattr(record, field, None)) for key, field in fields.items()}
    if isinstance(record, VideoSettings):
        values |= _video(record)
    elif isinstance(record, BatchSettings):
        values |= {"batch_size": record.batch_size or "auto", "resources": dict(record.resources) or None}
        values |= {"tenants": {name: _limits(of) for name, of in record.tenants} or None}
    return {key: value for key, value in values.items() if value is not None and value != []}


def _limits(tenant: TenantSettings) -> dict[str, Any]:
    return {name: limit for name, limit in asdict(tenant).items() if limit is not None}


def _plain(value: Any) -> Any:
    """The value as YAML holds it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, time) or (isinstance(value, tuple) and value and isinstance(value[0], time)):
        return hours_text(value)
    return list(value) if isinstance(value, tuple) else value


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
