"""How is the older, flat form of a profile (recognised by its own keys) translated into the nested form?"""

from __future__ import annotations

from typing import Any

from pyprocessor.profiles.documents import Document
from pyprocessor.profiles.problems import KeyPath, Origin, SettingsRefused
from pyprocessor.profiles.schema import FLAT_KEYS, FlatProfile, ProfileFile
from pyprocessor.profiles.validation import read

_FLAT_ONLY = frozenset(FlatProfile.keys) - frozenset(ProfileFile.keys)
_NESTED_ONLY = frozenset(ProfileFile.keys) - frozenset(FlatProfile.keys)
_SWITCHED_BY = {"file_rename_pattern": "auto_rename_files", "folder_organization_pattern": "auto_organize_folders"}
_WITHOUT_EFFECT = ("last_used_profile", "server_optimization")


def translate(document: Document) -> tuple[dict[str, Any], dict[KeyPath, Origin], list[str]]:
    """A file's values in the nested form, where each of a flat file was written, and notices; raises ProfileError."""
    if _FLAT_ONLY.isdisjoint(document.values):
        return document.values, {}, []
    # An empty text counts as not set.
    written = {name: _without_empty(value) for name, value in document.values.items() if value != ""}
    marker = min(_FLAT_ONLY & document.values.keys())
    problems = [
        f"{document.origin((name,)).prefix}`{name}` belongs to the nested form of profiles and cannot stand beside "
        f"`{marker}`, which belongs to the older flat form; write the file in one of the two."
        for name in written
        if name in _NESTED_ONLY
    ]
    flat = {name: value for name, value in written.items() if name not in _NESTED_ONLY}
    problems += read(FlatProfile, flat, document.origin)[1]
    if problems:
        raise SettingsRefused(problems)

    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
    notices = [
        f"{document.origin((name,)).prefix}`{name}` has no effect here." for name in _WITHOUT_EFFECT if name in written
    ]
    for source, target in FLAT_KEYS.items():
        holder = flat if len(source) == 1 else flat.get(source[0]) or {}
        value = holder.get(source[-1])
        if value is None:
            continue
        origin = document.origin(source)
        switch = _SWITCHED_BY.get(source[-1])
        if switch is not None and not flat.get(switch):
            notices.append(f"{origin.prefix}`{source[-1]}` has no effect, because `{switch}` is not true.")
            continue
        above = values if len(target) == 1 else values.setdefault(target[0], {})
        above[target[-1]] = value
        origins[target] = origin
    return values, origins, notices


def _without_empty(value: Any) -> Any:
    return {name: item for name, item in value.items() if item != ""} if isinstance(value, dict) else value
