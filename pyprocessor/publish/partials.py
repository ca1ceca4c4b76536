"""Unfinished output: its short names, sealing it once verified, and clearing what nobody will finish."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Container
from dataclasses import dataclass

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.os_errors import refusal, unwritable
from pyprocessor.publish.durable import TEMPORARY_PREFIX, sync_file, sync_folder

LONGEST_NAME = 40
AWAY_SUFFIX = b".away"
"""Of a note beside a partial: the partial is being copied to another file system, to the temporary name in the note."""
OLD_SUFFIX = b".old"
"""Of a folder that was moved away to make room for the one staged under the name before the suffix."""
_ID_CHARACTERS = 20
_OURS = re.compile(rb"[0-9a-f]{%d}-[0-9]+(?:\..*)?|%s.*" % (_ID_CHARACTERS, re.escape(TEMPORARY_PREFIX)), re.DOTALL)
"""Names of unfinished output and of what belongs to it: all that an attempt writes begins with the attempt's name."""


@dataclass(frozen=True, slots=True)
class OutputSeal:
    """What tells a finished file again: both survive a rename."""

    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """A folder as it was when somebody began to work in it: a path may lead to another one later.

    Attempts of two runs have the same names for what is unfinished, so what lies under a name of ours in another folder
    may be another run's.
    """

    path: bytes
    device: int
    inode: int

    @classmethod
    def of(cls, path: bytes) -> Anchor:
        """The folder that lies there now. Raises OSError."""
        found = os.stat(path)
        return cls(path, found.st_dev, found.st_ino)

    def check(self) -> None:
        """Raises PublishError where another folder lies there now. One that is gone is no other one."""
        try:
            found = os.stat(self.path)
        except OSError:
            return  # whoever opens something in it is told
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise PublishError(
                FailureKind.DISK, f"The folder {display(self.path)} was replaced by another while the run was working."
            )


def partial_name(job_id: str, attempt: int, extension: str) -> str:
    """The name of an attempt's unfinished output: at most 40 characters, none of which ffmpeg or a shell treats
    specially. Raises ValueError where the extension or the number does not fit that."""
    name = f"{job_id[:_ID_CHARACTERS]}-{attempt}.{extension}"
    if len(name) > LONGEST_NAME or not extension.isalnum() or not name.isascii():
        raise ValueError(f"{extension!r} and attempt {attempt} make no short plain name")
    return name


def seal(path: bytes) -> OutputSeal:
    """Brings a file and its name to the disk and says what it is to be told again by. Raises PublishError."""
    try:
        found = sync_file(path)
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise refusal(error, path, "could not be brought to the disk") from error
    return OutputSeal(found.st_size, found.st_mtime_ns)


def persist_intent(journal_log: bytes) -> None:
    """Brings the journal's log, where there is one, to the disk, and with it the committed intent to publish.

    Who publishes does it, so that the engine waits for no disk. Raises PublishError.
    """
    try:
        sync_file(journal_log)
    except FileNotFoundError:
        return  # the journal does without, and every commit is on the disk
    except OSError as error:
        raise refusal(error, journal_log, "could not be brought to the disk") from error


def discard(path: bytes) -> None:
    """Removes a file, or a folder with all it holds; nothing happens where there is none. Links are not followed.

    Raises PublishError.
    """
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refusal(error, path, "could not be removed") from error


def sweep_partials(folder: bytes, keep: Container[bytes] = ()) -> int:
    """Removes what earlier runs left unfinished, but for the names in `keep`. Returns how many partials it removed.

    Only what bears a name of ours is removed, since a user may have put something there. Copies that were under way
    beside a final name are found by the notes their publisher left here. Call it only while no worker of this output
    runs. Raises PublishError, or OutputUnwritable where the folder itself cannot be read.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise unwritable(error, folder, "could not be listed") from error
    removed = 0
    for name in names:
        if name in keep or not _OURS.fullmatch(name):
            continue
        path = os.path.join(folder, name)
        if name.endswith(AWAY_SUFFIX):
            _discard_copy(path)
        else:
            removed += 1
        discard(path)
    return removed


def note_copy(partial: bytes, temporary: bytes) -> bytes:
    """Writes down, before a copy to another file system begins, where it goes; returns the note. Raises OSError."""
    note = partial + AWAY_SUFFIX
    with open(note, "wb") as writing:
        writing.write(os.path.abspath(temporary))
        writing.flush()
        os.fsync(writing.fileno())
    return note


def _discard_copy(note: bytes) -> None:
    """Removes the copy a note tells of. A note that was torn as it was written names no temporary file of ours."""
    try:
        with open(note, "rb") as reading:
            temporary = reading.read()
    except OSError as error:
        raise refusal(error, note, "could not be read") from error
    prefix_and_token = len(TEMPORARY_PREFIX) + 16
    name = os.path.basename(temporary)
    if name.startswith(TEMPORARY_PREFIX) and len(name) == prefix_and_token:
        discard(temporary)
        discard(temporary + OLD_SUFFIX)
