"""Which tasks are there: ours, and those that packages offer?"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from pyprocessor.errors import UsageError
from pyprocessor.tasks.base import Task
from pyprocessor.tasks.chunk_processing import ProcessChunk
from pyprocessor.tasks.parts import FilmPart, SoundPart
from pyprocessor.tasks.transcode import Transcode

FOLDER_TASK = Transcode.name
"""What is done with the files that a scan of a folder finds."""

_OURS: dict[str, type[Task]] = {each.name: each for each in (Transcode, FilmPart, SoundPart, ProcessChunk)}


@cache
def task(name: str) -> Task:
    """Return our task of that name, or the class that an entry point of a package offers. Raises UsageError."""
    if name in _OURS:
        return _OURS[name]()
    group = entry_points(group="pyprocessor.tasks")
    for entry in group.select(name=name):
        found: Task = entry.load()()
        return found
    known = ", ".join(sorted({*_OURS, *(entry.name for entry in group)}))
    raise UsageError(f"There is no task named {name!r}; the tasks known here are: {known}.")
