"""How is unfinished output named, sealed once it is verified, and removed where it was abandoned?"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.os_errors import publish_error, unwritable
from pyprocessor.models.products import Seal
from pyprocessor.publish.durable import TEMPORARY_PREFIX, sync_file, sync_folder, temporary_beside
from pyprocessor.publish.seals import seal_at, sync_entries

AWAY_SUFFIX = b".away"
"""Suffix of a note: the partial is being copied to the temporary name written in it."""
DISPLACED_SUFFIX = b".displaced"
"""Suffix, to the name that a product is renamed from, of what had its final name before."""
_ID_CHARACTERS = 20
_OURS = re.compile(rb"[0-9a-f]{%d}-[0-9a-f]+(?:\..*)?|%s.*" % (_ID_CHARACTERS, re.escape(TEMPORARY_PREFIX)), re.DOTALL)
"""All that an attempt writes begins with the attempt's name."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Identity of the partials folder when work began, to notice a replaced one."""

    path: bytes
    device: int
    inode: int

    @classmethod
    def of(cls, path: bytes) -> Anchor:
        found = os.stat(path)
        return cls(path, found.st_dev, found.st_ino)

    def check(self) -> None:
        """Raise PublishError where another folder lies there now."""
        try:
            found = os.stat(self.path)
        except OSError:
            return  # opening something in it fails then
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise PublishError(
                FailureKind.DISK, f"The folder {display(self.path)} was replaced by another while the run was working."
            )


def partial_name(job_id: str, token: str) -> str:
    """Return the short, plain name of an attempt, with which the names of all that it makes begin."""
    return f"{job_id[:_ID_CHARACTERS]}-{token}"


def token_of(name: str) -> str:
    """Return the token of the attempt that made what has this name among the partials."""
    return name.partition("-")[2].partition(".")[0]


def seal(path: bytes) -> Seal:
    """Sync a file, or a folder with all it holds, and then its name; return its identity. Raises PublishError."""
    try:
        if folder := os.path.isdir(path) and not os.path.islink(path):
            sync_entries(path)
        found = sync_file(path)
        sync_folder(os.path.dirname(path))
        sealed = seal_at(path) if folder else None
    except OSError as error:
        raise publish_error(error, path, "could not be brought to the disk") from error
    return sealed or (found.st_size, found.st_mtime_ns)


def persist_intent(journal_log: bytes) -> None:
    """Sync the journal's write-ahead log, if any, so that the engine waits for no disk. Raises PublishError."""
    try:
        sync_file(journal_log)
    except FileNotFoundError:
        return  # the journal does without, and every commit is on the disk
    except OSError as error:
        raise publish_error(error, journal_log, "could not be brought to the disk") from error


def discard(path: bytes) -> None:
    """Remove a file, or a folder with all it holds, if there is one, following no links. Raises PublishError."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise publish_error(error, path, "could not be removed") from error


def discard_attempts(folder: bytes, names: Collection[str]) -> None:
    """Remove from the partials folder all that attempts made, by their `partial_name`s. Raises PublishError."""
    try:
        found = os.listdir(folder)
    except OSError as error:
        raise publish_error(error, folder, "could not be listed") from error
    for made in found:
        # A note stays until the copy that it names is removed, which the next run's sweep does.
        if os.fsdecode(made.partition(b".")[0]) in names and not made.endswith(AWAY_SUFFIX):
            discard(os.path.join(folder, made))


def sweep_partials(folder: bytes) -> int:
    """Remove what earlier runs left unfinished, by its names; returns how many partials.

    Copies that were under way beside a final name are found by the notes left here. Call it only while no worker of
    this output runs. Raises PublishError, or OutputUnwritable where the folder itself cannot be read.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise unwritable(error, folder, "could not be listed") from error
    removed = 0
    for name in names:
        if not _OURS.fullmatch(name):
            continue
        path = os.path.join(folder, name)
        if name.endswith(AWAY_SUFFIX):
            _discard_copy(path)
        else:
            removed += 1
        discard(path)
    return removed


def note_copy(partial: bytes, temporary: bytes) -> None:
    """Note, before a copy to another file system begins, where it goes. Raises OSError."""
    with open(partial + AWAY_SUFFIX, "wb") as writing:
        writing.write(os.path.abspath(temporary))
        writing.flush()
        os.fsync(writing.fileno())


def _discard_copy(note: bytes) -> None:
    """Remove the copy of a note; a torn note names no temporary file of ours."""
    try:
        with open(note, "rb") as reading:
            temporary = reading.read()
    except OSError as error:
        raise publish_error(error, note, "could not be read") from error
    name = os.path.basename(temporary)
    if name.startswith(TEMPORARY_PREFIX) and len(name) == len(temporary_beside(b"")):
        discard(temporary)
        discard(temporary + DISPLACED_SUFFIX)
