"""What do files, the environment and the command line set, and what wins where they disagree?"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pyprocessor.errors import ProfileError
from pyprocessor.models import HdrPolicy, Mode, display
from pyprocessor.models.encoders import EIGHT_BIT_FORMATS, video_encoder
from pyprocessor.profiles.documents import Document, builtin_names, read_builtin, read_document
from pyprocessor.profiles.flat import translate
from pyprocessor.profiles.problems import KeyPath, Origin, SettingsRefused, listed, nearest, shortened
from pyprocessor.profiles.quantities import parse_lines
from pyprocessor.profiles.schema import FLAT_SECTIONS, KNOWN_AT_TOP, SECTIONS, SWITCHED, ProfileFile
from pyprocessor.profiles.validation import read

_MAX_EXTENDS = 8
_MOST_SLIPS = 50
"""So many keys are compared in a file that has no key of a profile; nobody makes more slips than these."""
_SLIP = 0.75
"""How like a key a word has to be there: `vidoe` is, `name` is not like `naming`."""
_VARIABLE = re.compile(r"\$\{([^}]*)\}?")
_VARIABLE_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_ENCODER_KEYS = ("preset", "tune", "crf", "options")
"""These mean something else, or nothing, to an encoder of another family."""


@dataclass(slots=True)
class Layer:
    """Settings in the nested form, as written, of one source or of several: `origins` is where each key was set."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def origin(self, path: KeyPath) -> Origin:
        """Where the key was set; a key that nobody set is called by its dotted name."""
        known = (self.origins.get(path[:length]) for length in range(len(path), 0, -1))
        return next(filter(None, known), Origin("the defaults", ".".join(path)))


def layer_of(
    given: Mapping[KeyPath, tuple[str, Any]], problems: Sequence[str] = (), notices: Sequence[str] = ()
) -> Layer:
    """A layer of keys, each with the option or variable that sets it, and its value; raises ProfileError."""
    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
    for path, (name, value) in given.items():
        holder = values if len(path) == 1 else values.setdefault(path[0], {})
        holder[path[-1]] = value
        origins[path] = Origin("", name)
        origins.setdefault(path[:1], origins[path])
    found = [*problems, *read(ProfileFile, values, origins.__getitem__)[1]]
    if found:
        raise SettingsRefused(found)
    return Layer(values, origins, list(notices))


# ---------------------------------------------------------------- files


def find_document(reference: str, extended_by: Document | None = None) -> tuple[str, Document]:
    """The short name and content of a built-in profile or a file, the path of which starts from `extended_by`."""
    if reference in builtin_names():
        return reference, read_builtin(reference)
    path = reference if extended_by is None else os.path.join(extended_by.folder, reference)
    if not os.path.lexists(path) and not os.path.dirname(reference) and not os.path.splitext(reference)[1]:
        close = nearest(reference, builtin_names())
        hint = f" Did you mean {close}?" if close else ""
        raise ProfileError(
            f"There is no built-in profile and no file {display(os.fsencode(reference))!r}.{hint} "
            f"Built in are {listed(builtin_names(), 'and')}."
        )
    short_name = display(os.fsencode(os.path.splitext(os.path.basename(path))[0]))
    return short_name, read_document(path, named_by_file=extended_by is not None)


def file_layers(reference: str, environment: Mapping[str, str]) -> tuple[str, list[Layer]]:
    """The profile's short name and its layers, what it extends first; raises ProfileError."""
    short_name, document = find_document(reference)
    return short_name, layers_of(document, environment)


def layers_of(document: Document, environment: Mapping[str, str]) -> list[Layer]:
    """The layers of a document, what it extends first; raises ProfileError."""
    layers: list[Layer] = []
    chain: dict[str, str] = {}
    while True:
        names = " -> ".join((*chain.values(), document.name))
        if document.identity in chain:
            raise ProfileError(f"Profiles extend each other in a circle: {names}; remove one `extends`.")
        if len(chain) == _MAX_EXTENDS:
            raise ProfileError(f"More than {_MAX_EXTENDS} profiles extend each other: {names}.")
        chain[document.identity] = document.name
        layer = document_layer(document, environment)
        base = layer.values.pop("extends", None)
        layers.insert(0, layer)
        if base is None:
            return layers
        try:
            _, document = find_document(base, document)
        except ProfileError as error:
            raise ProfileError(f"{layer.origins['extends',].prefix}`extends` cannot be followed: {error}") from None


def document_layer(document: Document, environment: Mapping[str, str]) -> Layer:
    """The settings of one file, checked on their own; raises ProfileError with all that is wrong."""
    _refuse_other_files(document)
    values, origins, notices = translate(document)

    def origin(path: KeyPath) -> Origin:
        known = origins.get(path)
        if known is not None:
            return known
        if path[1:] == ("enabled",) and isinstance(document.values.get(path[0]), bool):
            path = path[:1]  # the whole section was switched
        return document.origin(path)

    values, problems = _normal(values, origin)
    problems += read(ProfileFile, values, origin)[1]
    for name in ("input", "output", "extends"):
        written = values.get(name)
        if isinstance(written, str) and written:
            try:
                expanded = os.path.expanduser(expand(written, environment))
            except ValueError as error:
                problems.append(f"{origin((name,)).prefix}{origin((name,)).subject} {error}.")
                continue
            values[name] = expanded if name == "extends" else os.path.join(document.folder, expanded)
    if problems:
        raise SettingsRefused(problems)
    return Layer(values, {path: origin(path) for path in _leaves(values)}, notices)


def _refuse_other_files(document: Document) -> None:
    """Raise ProfileError for a file that has no key of a profile, quoting only what is like one.

    A path may have led to any file, by mistake or by intent: what it holds must not be shown.
    """
    written = document.values
    if not written or not KNOWN_AT_TOP.isdisjoint(written):
        return
    in_tables = {name for table in (*SECTIONS.values(), *FLAT_SECTIONS.values()) for name in table.keys}
    slips = {
        name: value
        for name, value in islice(written.items(), _MOST_SLIPS)
        if name in in_tables or nearest(name, KNOWN_AT_TOP, _SLIP) is not None
    }
    if not slips:
        none = f"{document.name} is not a profile: it has none of a profile's keys."
        raise ProfileError(f"{none} `pyprocessor profiles show default` prints one to start from.")
    problems = read(ProfileFile, slips, document.origin)[1]
    others = len(written) - len(slips)
    if others:
        problems.append(f"{document.name}: {others} more of its keys are none that a profile has.")
    raise SettingsRefused(problems)


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Fill in `${VAR}` and `${VAR:-default}`; raises ValueError where a variable has no value."""

    def value(match: re.Match[str]) -> str:
        found = _VARIABLE_NAME.fullmatch(match[1]) if match[0].endswith("}") else None
        if found is None:
            raise ValueError(f"holds {shortened(match[0])!r}; write ${{NAME}} or ${{NAME:-default}}")
        name, default = found[1], found[2]
        if not environment.get(name) and default is None:
            needed = f"needs the environment variable {shortened(name)}"
            raise ValueError(f"{needed}, which is not set; set it or write a default")
        return environment.get(name) or default

    return _VARIABLE.sub(value, text)


def _normal(values: dict[str, Any], origin: Callable[[KeyPath], Origin]) -> tuple[dict[str, Any], list[str]]:
    """One spelling for what has several: switches of sections, empty sections, heights."""
    problems: list[str] = []
    normal = {name: value for name, value in values.items() if not (value is None and name in SECTIONS)}
    for name in SWITCHED:
        section = normal.get(name)
        if isinstance(section, bool):
            normal[name] = {"enabled": section}
        elif isinstance(section, dict):
            normal[name] = {"enabled": True, **section}
    video = normal.get("video")
    if isinstance(video, dict) and isinstance(video.get("bitrates"), dict):
        heights: dict[str, Any] = {}
        for height, rate in video["bitrates"].items():
            with contextlib.suppress(ValueError):  # validation says what is wrong with it
                height = f"{parse_lines(height)}p"
            if height in heights:
                where = origin(("video", "bitrates"))
                problems.append(f"{where.prefix}{where.subject} names the height {height} twice; remove one.")
            heights[height] = rate
        video["bitrates"] = heights
    return normal, problems


def _leaves(values: Mapping[str, Any], path: KeyPath = ()) -> list[KeyPath]:
    found: list[KeyPath] = []
    for name, value in values.items():
        found.append((*path, name))
        if isinstance(value, dict):
            found += _leaves(value, (*path, name))
    return found


# ---------------------------------------------------------------- merging


def merge(layers: Sequence[Layer]) -> Layer:
    """The layers laid over each other, later ones on top: tables key by key, null unsets a key."""
    merged = Layer()
    for layer in layers:
        merged.notices += layer.notices
        merged.values.pop("description", None)  # describes the layer below alone
        _drop_meaningless(merged, layer)
        _lay(merged, merged.values, layer.values, layer, ())
    return merged


def _drop_meaningless(merged: Layer, layer: Layer) -> None:
    """Drop, with a notice, another encoder's own terms, and a pixel format of 8 bits where HDR is kept."""
    below: dict[str, Any] = merged.values.get("video", {})
    above: dict[str, Any] = layer.values.get("video", {})
    old, new = below.get("encoder"), above.get("encoder")
    if old is not None and new is not None and _family(old) != _family(new):
        dropped = {name: below.pop(name) for name in _ENCODER_KEYS if name in below}
        lost = [
            "its options" if name == "options" else f"{name} {dropped[name]}" for name in dropped if name not in above
        ]
        if lost:
            origin = layer.origins["video", "encoder"]
            merged.notices.append(
                f"{origin.prefix}{origin.subject} replaces {old} by {new}, so settings made for {old} no longer apply: "
                f"{', '.join(lost)}."
            )
    _drop_other_mode(merged.values.get("batch_processing", {}), layer.values.get("batch_processing", {}))
    written = below.get("pixel_format")
    if (
        above.get("hdr") == HdrPolicy.KEEP
        and "pixel_format" not in above
        and EIGHT_BIT_FORMATS.fullmatch(written or "")
    ):
        del below["pixel_format"]
        origin = layer.origins["video", "hdr"]
        merged.notices.append(
            f"{origin.prefix}{origin.subject} keeps HDR, so the 8-bit pixel format {written} no longer applies."
        )


def _drop_other_mode(below: dict[str, Any], above: dict[str, Any]) -> None:
    """Drop what `enabled` or `mode` said before, where the other now says it."""
    if above.get("mode") is not None:
        below.pop("enabled", None)
    elif above.get("enabled") is not None and above["enabled"] is (below.get("mode") == Mode.SEQUENTIAL):
        below.pop("mode", None)


def _family(encoder: str) -> str:
    """An encoder of which nothing is known is a family of its own."""
    return video_encoder(encoder).family or encoder


def _lay(merged: Layer, below: dict[str, Any], above: Mapping[str, Any], layer: Layer, path: KeyPath) -> None:
    for name, value in above.items():
        here = (*path, name)
        if value is None:
            below.pop(name, None)
            continue
        merged.origins[here] = layer.origins.get(here) or layer.origins[path]
        if isinstance(value, dict):
            holder = below.get(name)
            below[name] = holder = dict(holder) if isinstance(holder, dict) else {}
            _lay(merged, holder, value, layer, here)
        else:
            below[name] = value
