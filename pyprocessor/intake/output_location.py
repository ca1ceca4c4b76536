"""Which output name does a source get, and what lies there already?

Outputs mirror the tree. An output keeps its name as long as folder and extension still fit. A name that another
source's job or output has is left to it; this source's output then has a hash of the source's path in its name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from pyprocessor.journal.rows import CachedMedia, JobRow, Made
from pyprocessor.models import OutputFacts, Source
from pyprocessor.models.products import MAX_NAME_BYTES
from pyprocessor.plan.naming import cut


class KnownOutputs(Protocol):
    """What a journal knows, or receipts where there is none."""

    def job(self, job_id: str, /) -> JobRow | None: ...
    def owner(self, output: bytes, /) -> JobRow | None: ...
    def made(self, output: bytes, /) -> Made | None: ...
    def media(self, path: bytes, size_bytes: int, mtime_ns: int, /) -> CachedMedia | None: ...
    def content(self, path: bytes, size_bytes: int, mtime_ns: int, /) -> str: ...


class Existing(Enum):
    """What lies under an output's name."""

    NOTHING = auto()
    RIGHT = auto()
    """Made of exactly this source, as it is now, by exactly this profile."""
    OLD = auto()
    """Made of this source when it, or the profile, was another; as it was made."""
    CHANGED = auto()
    """Made of this source, and changed by somebody since."""
    FOREIGN = auto()
    """Nothing that we know of."""


@dataclass(frozen=True, slots=True)
class OutputLocation:
    """`made` is known to be made of this source under the name; `left` is an output of an earlier profile."""

    output: bytes
    existing: Existing
    row: JobRow | None = None
    made: OutputFacts | None = None
    left: bytes | None = None


class SameFileUnknown(Exception):
    """It has to be asked first whether `other`, known with the same name, size and time, leads to the source."""

    def __init__(self, other: bytes) -> None:
        super().__init__(other)
        self.other = other


def place(
    source: Source,
    wanted: bytes,
    *,
    row: JobRow | None,
    fingerprint: str,
    task: str,
    memory: KnownOutputs,
    lying: Callable[[bytes], tuple[int, int] | None],
    same: Mapping[bytes, bool],
) -> OutputLocation:
    """Choose the output path of a source, and classify what exists there.

    `wanted` is the name the tree gives it, `row` its job if it has one. `lying` returns (size, mtime_ns) of what lies
    under a name. `same` says of other paths whether they lead, or led, to this source; raises `SameFileUnknown` where
    that is missing.
    """
    left = None
    first = wanted
    if row is not None and row.produced is not None and row.output != wanted:
        if fits(row.output, wanted):
            first = row.output
        elif lying(row.output) == row.produced.seal:
            left = row.output
    for output in (first, other_name(wanted, source.path)):
        owner = memory.owner(output)
        if owner is not None and (row is None or owner.id != row.id):
            if not _same(owner.source, source, same):
                continue
            row = owner
        made, existing = memory.made(output), lying(output)
        if existing is None or made is None:
            return OutputLocation(output, Existing.NOTHING if existing is None else Existing.FOREIGN, row, left=left)
        untouched = existing == made.facts.seal
        if _same(made.source, source, same):
            then = (made.source.size_bytes, made.source.mtime_ns, made.params_fingerprint, made.task)
            right = then == (source.size_bytes, source.mtime_ns, fingerprint, task)
            found = Existing.CHANGED if not untouched else Existing.RIGHT if right else Existing.OLD
            return OutputLocation(output, found, row, made.facts, left)
        if not untouched:
            return OutputLocation(output, Existing.FOREIGN, row, left=left)
    return OutputLocation(output, Existing.FOREIGN, row, left=left)


def fits(output: bytes, wanted: bytes) -> bool:
    """Return whether an output may keep its name where today's would be `wanted`: same folder and extension."""
    same_folder = os.path.dirname(output) == os.path.dirname(wanted)
    return same_folder and os.path.splitext(output)[1] == os.path.splitext(wanted)[1]


def other_name(output: bytes, source_path: bytes) -> bytes:
    """Return the output's name with a hash of the source's path, for where another source has the plain name."""
    folder, name = os.path.split(output)
    stem, extension = os.path.splitext(name)
    tail = b"~" + hashlib.sha256(source_path).hexdigest()[:8].encode("ascii") + extension
    return os.path.join(folder, cut(stem, MAX_NAME_BYTES - len(tail)) + tail)


def _same(known: Source, source: Source, answers: Mapping[bytes, bool]) -> bool:
    """Return whether a known source is this one, reached by another path or moved along with its folder."""
    if known.path == source.path:
        return True
    if (known.relative, known.size_bytes, known.mtime_ns) != (source.relative, source.size_bytes, source.mtime_ns):
        return False
    if known.path not in answers:
        raise SameFileUnknown(known.path)
    return answers[known.path]
