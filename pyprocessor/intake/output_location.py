"""Which output name a source gets, and what lies under it: pure, but for what is asked of the journal and the disk.

Outputs mirror the tree. A name that a source's output was given stays, as long as folder and extension still fit. A
name that another source's job or output has is left to it: this source's is told apart by a hash of its path.
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
from pyprocessor.plan.naming import MAX_NAME_BYTES


class Memory(Protocol):
    """What is asked of the journal, or of the receipts where there is none."""

    def job(self, job_id: str, /) -> JobRow | None: ...

    def owner(self, output: bytes, /) -> JobRow | None: ...

    def made(self, output: bytes, /) -> Made | None: ...

    def media(self, path: bytes, size_bytes: int, mtime_ns: int, /) -> CachedMedia | None: ...


class Lies(Enum):
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
    """`row` is the source's job, also where that was planned when the source had another path. `made` is what we know
    to have made under the name of this source; `left` an output of an earlier profile that keeps its own name."""

    output: bytes
    lies: Lies
    row: JobRow | None = None
    made: OutputFacts | None = None
    left: bytes | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """The place cannot be told before it is known whether the file at `other` is the source, or was."""

    other: bytes


def place(
    source: Source,
    wanted: bytes,
    *,
    row: JobRow | None,
    fingerprint: str,
    task: str,
    memory: Memory | None,
    lying: Callable[[bytes], tuple[int, int] | None],
    same: Mapping[bytes, bool],
) -> OutputLocation | Question:
    """The place of a source's output.

    `wanted` is the name the tree gives it, `row` its job if it has one. `lying` tells (size, mtime_ns) of what lies
    under a name, None for nothing. `same` holds the answers to questions asked before.
    """
    if memory is None:
        return OutputLocation(wanted, Lies.NOTHING if lying(wanted) is None else Lies.FOREIGN)
    left = None
    first = wanted
    if row is not None and row.produced is not None and row.output != wanted:
        if fits(row.output, wanted):
            first = row.output
        elif lying(row.output) == (row.produced.size_bytes, row.produced.mtime_ns):
            left = row.output
    for output in (first, other_name(wanted, source.path)):
        owner = memory.owner(output)
        if owner is not None and (row is None or owner.id != row.id):
            same_source = _same(owner.source, source, same)
            if isinstance(same_source, Question):
                return same_source
            if not same_source:
                continue
            row = owner
        made, existing = memory.made(output), lying(output)
        if existing is None:
            return OutputLocation(output, Lies.NOTHING, row, left=left)
        if made is None:
            return OutputLocation(output, Lies.FOREIGN, row, left=left)
        mine = _same(made.source, source, same)
        if isinstance(mine, Question):
            return mine
        untouched = existing == (made.facts.size_bytes, made.facts.mtime_ns)
        if mine:
            return OutputLocation(output, _standing(made, source, fingerprint, task, untouched), row, made.facts, left)
        if not untouched:
            return OutputLocation(output, Lies.FOREIGN, row, left=left)
    return OutputLocation(output, Lies.FOREIGN, row, left=left)


def fits(output: bytes, wanted: bytes) -> bool:
    """Whether an output may keep its name where today's would be `wanted`: in the same folder, of the same kind."""
    return (os.path.dirname(output), os.path.splitext(output)[1]) == (
        os.path.dirname(wanted),
        os.path.splitext(wanted)[1],
    )


def other_name(output: bytes, source_path: bytes) -> bytes:
    """A name for an output whose own name another source has: told apart by a hash of the source's path."""
    folder, name = os.path.split(output)
    stem, extension = os.path.splitext(name)
    tail = b"~" + hashlib.sha256(source_path).hexdigest()[:8].encode("ascii") + extension
    room = MAX_NAME_BYTES - len(tail)
    while room < len(stem) and room > 0 and stem[room] & 0xC0 == 0x80:  # inside a character of UTF-8
        room -= 1
    return os.path.join(folder, stem[:room] + tail)


def _standing(made: Made, source: Source, fingerprint: str, task: str, untouched: bool) -> Lies:
    if not untouched:
        return Lies.CHANGED
    then, now = made.source, source
    right = (then.size_bytes, then.mtime_ns, made.profile_fingerprint, made.task) == (
        now.size_bytes,
        now.mtime_ns,
        fingerprint,
        task,
    )
    return Lies.RIGHT if right else Lies.OLD


def _same(known: Source, source: Source, answers: Mapping[bytes, bool]) -> bool | Question:
    """Whether what is known of a source is about this one. It may have been reached by another path, or moved along
    with the folder it lies in."""
    if known.path == source.path:
        return True
    if (known.relative, known.size_bytes, known.mtime_ns) != (source.relative, source.size_bytes, source.mtime_ns):
        return False
    answer = answers.get(known.path)
    return Question(known.path) if answer is None else answer
