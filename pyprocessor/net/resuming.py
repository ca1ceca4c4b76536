"""How much of a download is surely on the disk, and may it be gone on with after a kill, or a lost connection?

Beside the file lie notes, one JSON object a line: which content it is of, then how many bytes were brought to the disk.
What was written behind those is not relied on, since after a power cut a file may be longer than what it holds.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from typing import Any, BinaryIO

NOTES_SUFFIX = ".notes"
SYNC_BYTES = 32 << 20
"""At most so much is downloaded again after a kill."""


@dataclass(slots=True)
class Kept:
    """The file at `path`, of which `arrived` bytes are there; to be used in a `with`. All of it raises OSError."""

    path: str
    url: str
    validator: str = ""
    """The server's word for this very content (a strong ETag, or when it was changed); empty: it has none."""
    total: int | None = None
    arrived: int = 0
    answers: int = 0
    """How many answers what is there was put together of."""
    _synced: int = 0
    _file: BinaryIO = field(init=False)

    def __enter__(self) -> Kept:
        self._file = open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666), "r+b")
        first, *synced = self._notes() or [{}]
        size = os.fstat(self._file.fileno()).st_size
        if first.get("url") == self.url and size >= (last := max((note["bytes"] for note in synced), default=0)):
            self.validator, self.total, self.arrived, self._synced = first["validator"], first["total"], last, last
            self.answers = 1 if last else 0
            self._file.truncate(last)
            self._file.seek(last)
        else:
            self.restart("", None)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def resumable(self) -> bool:
        """Whether there is something that a server can be asked to go on with."""
        return self.arrived > 0 and bool(self.validator)

    @property
    def complete(self) -> bool:
        """Whether all is there; never, where the length is not known."""
        return self.total is not None and self.arrived == self.total

    def restart(self, validator: str, total: int | None) -> None:
        """Throw away what is there, and begin with this content."""
        self.validator, self.total, self.arrived, self.answers, self._synced = validator, total, 0, 0, 0
        self._note({"url": self.url, "validator": validator, "total": total}, mode="w")
        self._file.truncate(0)
        self._file.seek(0)

    def write(self, data: bytes) -> None:
        """Append what has arrived."""
        self._file.write(data)
        self.arrived += len(data)

    async def sync(self, *, least: int = 1) -> None:
        """Bring what is there to the disk, where so many bytes have come since the last time."""
        if self.arrived - self._synced >= least:
            synced = self.arrived
            self._file.flush()
            await asyncio.to_thread(os.fsync, self._file.fileno())
            self._synced = synced
            self._note({"bytes": synced}, mode="a")

    def _note(self, note: dict[str, Any], *, mode: str) -> None:
        with open(self.path + NOTES_SUFFIX, mode, encoding="ascii") as notes:
            notes.write(json.dumps(note) + "\n")

    def _notes(self) -> list[dict[str, Any]]:
        """The notes; none where they are damaged, and without the last where that was not written to its end."""
        try:
            with open(self.path + NOTES_SUFFIX, encoding="ascii") as notes:
                return [json.loads(line) for line in notes if line.endswith("\n")]
        except (FileNotFoundError, ValueError):
            return []
