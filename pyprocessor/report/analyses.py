"""What do analyses of videos come to: how many show something unusual, and which are near-duplicates?"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyprocessor.journal.quality import told
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import display
from pyprocessor.models.extras import is_installed
from pyprocessor.models.wording import count
from pyprocessor.report.wording import path_entry, wrapped

ANALYZE = "analyze"
MOST_GROUPS, MOST_NAMES = 20, 10
"""In the closing text; the JSON document has all."""


@dataclass(slots=True)
class Analyses:
    """How many videos a run analysed, and how many of them have black pictures and so on; `cuts` of all of them."""

    videos: int = 0
    black: int = 0
    frozen: int = 0
    silent: int = 0
    cuts: int = 0

    def add(self, result: Mapping[str, Any]) -> None:
        """Take in the result of a job."""
        self.videos += 1
        self.black += result.get("black_seconds", 0) > 0
        self.frozen += result.get("frozen_seconds", 0) > 0
        self.silent += result.get("silent_seconds", 0) > 0
        self.cuts += result.get("cuts", 0)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the row of the closing text, where anything was analysed."""
        if self.videos:
            shown = {"black": self.black, "frozen pictures": self.frozen, "silence": self.silent}
            parts = [f"{number:,} with {what}" for what, number in shown.items() if number]
            yield "Analysed", f"{count(self.videos, 'video')}: {', '.join([*parts, count(self.cuts, 'scene cut')])}"


@dataclass(frozen=True, slots=True)
class Analysed:
    """A video that was analysed: what it is called, and its path, or nothing where another job made it."""

    name: bytes
    source: bytes


def near_duplicates(journal: JournalReader) -> list[tuple[Analysed, ...]]:
    """Return groups of videos that show the same, of all that were analysed for this output and are still there."""
    hashes: dict[str, array[int]] = {}
    videos: dict[str, Analysed] = {}
    for name, source, result in journal.results_of(ANALYZE):
        found = told(result).get("hashes")
        if found:
            key = os.fsdecode(source or name)  # what another job made has no path
            hashes[key] = array("Q", (int(value, 16) for value in found))
            extension = os.path.splitext(source)[1]
            videos[key] = Analysed(name if name.endswith(extension) else name + extension, source)
    if len(videos) < 2 or not is_installed("frames"):
        return []
    from pyprocessor.frames import near_duplicates as alike

    groups = ([videos[key] for key in group] for group in alike(hashes))
    there = [tuple(one for one in group if not one.source or os.path.lexists(one.source)) for group in groups]
    return [group for group in there if len(group) > 1]


def lines(groups: list[tuple[Analysed, ...]], width: int) -> list[str]:
    """Return the near-duplicates as a section of the closing text; without any, nothing."""
    if not groups:
        return []
    written = ["", "Near-duplicates:"]
    for group in groups[:MOST_GROUPS]:
        names = [display(video.name) for video in group[:MOST_NAMES]]
        more = f", and {len(group) - MOST_NAMES:,} more" if len(group) > MOST_NAMES else ""
        written += wrapped(", ".join(names) + more, width, margin="  ", indent="  ")
    if len(groups) > MOST_GROUPS:
        written.append(f"  ... and {count(len(groups) - MOST_GROUPS, 'more group')}; with --json all are listed")
    return written


def entries(groups: list[tuple[Analysed, ...]]) -> list[list[dict[str, str | None]]]:
    """Return the near-duplicates for the JSON document."""
    return [[{**path_entry("name", one.name), **path_entry("input", one.source)} for one in group] for group in groups]
