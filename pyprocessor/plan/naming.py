"""Which output name does each file of a folder get: unique, safe on any file system, in whatever order they are found?

`movie.avi` becomes `movie.mp4`. Where siblings would take the same name, all of them keep their source extension
(`movie.avi.mp4`, `movie.mov.mp4`); where even these are equal, a hash of the source's name is added. Names are compared
as a case-insensitive, normalising file system would.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyprocessor.models import NamingSettings
from pyprocessor.models.products import MAX_NAME_BYTES
from pyprocessor.plan.matching import Expression, TookTooLong

PathKey = tuple[tuple[int, bytes], ...]

_KEEP_EXTENSION = 1
_HASH_DIGITS = (0, 0, 8, 16, 32, 64)
"""Hexadecimal digits of the name's hash, by how often the name was equal to another; 64 digits never collide."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


@dataclass(frozen=True, slots=True)
class NamePlan:
    """Each sibling is a key in exactly one of the three; reasons are the ends of sentences."""

    names: Mapping[bytes, bytes]
    """Output paths, relative to the folder's output."""
    refused: Mapping[bytes, str]
    unsettled: Mapping[bytes, str]
    """Where a pattern took too long."""


class NamePatterns:
    """The valid patterns of a profile, to be kept for all folders; `alive` as in `Expression`."""

    def __init__(self, settings: NamingSettings, alive: Callable[[], None]) -> None:
        def expression(key: str, how: Literal["match", "search"]) -> Expression[str] | None:
            pattern = getattr(settings, key)
            return Expression(f"naming.{key}", pattern, pattern, alive, how) if pattern is not None else None

        self.validation_pattern = expression("validation_pattern", "match")
        self.rename_pattern = expression("rename_pattern", "search")
        self.organization_pattern = expression("organization_pattern", "match")


_Wish = tuple[bytes, bytes]
"""The folder, which may be empty, and the stem that a source gets if no other has that name."""


def output_names(siblings: Sequence[bytes], extension: str, patterns: NamePatterns) -> NamePlan:
    """Output names, with this extension, for the bare names `siblings` of one folder.

    A name that does not match `validation_pattern` from its start is refused. `rename_pattern` is searched in the name
    and its group 1 becomes the stem. `organization_pattern` is matched from the start of that stem, and its group 1 is
    the folder the output goes into.
    """
    refused: dict[bytes, str] = {}
    unsettled: dict[bytes, str] = {}
    wishes: dict[bytes, _Wish] = {}
    valid = patterns.validation_pattern
    for name in siblings:
        try:
            if valid is not None and not valid.find(os.fsdecode(name)):
                refused[name] = f"does not match the profile's validation pattern {valid.written!r}"
                continue
            folder, stem = b"", os.path.splitext(name)[0]
            if patterns.rename_pattern is not None:
                stem = _captured(patterns.rename_pattern.find(os.fsdecode(name))) or stem
            if patterns.organization_pattern is not None:
                folder = _fitted(_captured(patterns.organization_pattern.find(os.fsdecode(stem))), b"", name, 0)
            wishes[name] = folder, stem
        except TookTooLong as error:
            unsettled[name] = str(error)
    return NamePlan(_settle(wishes, os.fsencode(extension)), refused, unsettled)


def _captured(match: re.Match[str] | None) -> bytes:
    """Group 1 (the whole match where the pattern has no group) as a name, or nothing."""
    if match is None:
        return b""
    text = match.group(1) if match.re.groups else match.group(0)
    # Leading dots would hide the output or name our own state folder; trailing ones Windows drops.
    return os.fsencode(_UNSAFE.sub("_", text or "").strip().lstrip(".").rstrip(". ").lstrip())


def _settle(wishes: Mapping[bytes, _Wish], extension: bytes) -> dict[bytes, bytes]:
    """Make names differ: all that are equal in a round get one step longer, so that no order matters."""
    steps = dict.fromkeys(wishes, 0)
    folders = {folded(folder) for folder, _ in wishes.values() if folder}
    names = {name: _named(name, wish, extension, 0) for name, wish in wishes.items()}
    keys = {name: folded(path) for name, path in names.items()}
    while True:
        takers: defaultdict[str, list[bytes]] = defaultdict(list)
        for name, key in keys.items():
            takers[key].append(name)
        meeting = [name for key, group in takers.items() if len(group) > 1 or key in folders for name in group]
        movable = [name for name in meeting if steps[name] < len(_HASH_DIGITS) - 1]
        if not movable:
            return names
        for name in movable:
            steps[name] += 1
            names[name] = _named(name, wishes[name], extension, steps[name])
            keys[name] = folded(names[name])


def _named(name: bytes, wish: _Wish, extension: bytes, step: int) -> bytes:
    folder, stem = wish
    base = stem + os.path.splitext(name)[1] if step >= _KEEP_EXTENSION else stem
    bare = _fitted(base, b"." + extension if extension else b"", name, _HASH_DIGITS[step])
    return os.path.join(folder, bare)


def _fitted(base: bytes, tail: bytes, name: bytes, digits: int) -> bytes:
    """`base + tail` in at most 255 bytes, with digits of the hash of `name` between if asked or needed."""
    if not digits and len(base) + len(tail) <= MAX_NAME_BYTES:
        return base + tail
    tag = b"-" + hashlib.sha256(name).hexdigest()[: digits or 8].encode("ascii")
    room = MAX_NAME_BYTES - len(tag) - len(tail)
    return cut(base, room) + tag + tail


def order_key(relative: bytes) -> PathKey:
    """The sort key of a file's path below the root: the order in which a scan meets it."""
    *folders, name = relative.split(b"/")
    return (*((1, folder) for folder in folders), (0, name))


def cut(name: bytes, room: int) -> bytes:
    """The name in at most `room` bytes, with no character of UTF-8 cut in two."""
    if len(name) <= room:
        return name
    for _ in range(3):
        if name[room] & 0xC0 != 0x80:  # no byte that continues a character
            break
        room -= 1
    return name[:room]


def folded(path: bytes) -> str:
    """The same for two names that are one on a case-insensitive, normalising file system."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", os.fsdecode(path)).casefold())
