"""How many files with unknown extensions seem to be video? They are not taken, but counted for the user."""

from __future__ import annotations

import os
import stat
from collections import Counter

from pyprocessor.containers.content import HEAD_BYTES, seems_video
from pyprocessor.intake.file_names import AUDIO_EXTENSIONS, OTHER_EXTENSIONS, extension
from pyprocessor.models import display

MOST_LOOKED_AT = 400
"""Files opened in one walk: about 10 ms of CPU time, and some seconds on a slow disk."""
MOST_MISSES = 20
"""Files of one extension that proved no video, after which no more of it are opened."""
_MOST_NAMED = 3
_NOT_OPENED = OTHER_EXTENSIONS | AUDIO_EXTENSIONS


class UnknownFiles:
    """Counts them in one walk."""

    def __init__(self) -> None:
        self._opened = 0
        self._cut_short = False
        self._misses: Counter[bytes] = Counter()
        self._found: list[bytes] = []

    def wants(self, name: bytes) -> bool:
        kind = extension(name)
        return kind not in _NOT_OPENED and self._misses[kind] < MOST_MISSES

    def look(self, path: bytes, relative: bytes) -> bool:
        """Look into one file, unless enough were; returns whether it was opened."""
        if not self.wants(relative):
            return False
        kind = extension(relative)
        if self._opened >= MOST_LOOKED_AT:
            self._cut_short = True
            return False
        self._opened += 1
        if _is_video(path):
            self._found.append(relative)
        else:
            self._misses[kind] += 1
        return True

    def sentence(self) -> str | None:
        """Return how many there are, and how to take them; None where there are none."""
        if not self._found:
            return None
        count = len(self._found)
        written = Counter(os.path.splitext(relative)[1][1:] for relative in self._found)
        options = {kind: files for kind, files in written.most_common() if kind.isalnum()}
        shown = list(options)[:_MOST_NAMED]
        covered = sum(options[kind] for kind in shown)
        names = ", ".join(display(relative) for relative in self._found[:_MOST_NAMED])
        names += ", ..." if count > _MOST_NAMED else ""
        seem, are = ("file seems", "is") if count == 1 else ("files seem", "are")
        how = "rename them to have them done"
        if shown:
            them = "it" if count == 1 else "them" if covered == count else f"{covered:,} of them"
            how = " ".join(f"--include '*.{kind.decode()}'" for kind in shown) + f" takes {them}"
        least = "At least " if self._cut_short else ""
        return f"{least}{count:,} {seem} to be video by content, but not by name, and {are} not taken: {names}; {how}."


def _is_video(path: bytes) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb", buffering=0) as file:
            return seems_video(file.read(HEAD_BYTES))
    except OSError:
        return False
