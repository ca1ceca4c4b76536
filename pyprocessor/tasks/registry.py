"""Which tasks are there? The built-in ones, and those that installed packages offer.

A package offers a task through the entry point group `pyprocessor.tasks`; the entry point names a class without
constructor arguments that follows `tasks.base.Task`. Built-in names cannot be taken over.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from pyprocessor.errors import UsageError
from pyprocessor.tasks.base import Task
from pyprocessor.tasks.transcode import Transcode

_BUILTIN: dict[str, type[Task]] = {Transcode.name: Transcode}
ENTRY_POINT_GROUP = "pyprocessor.tasks"


def task(name: str) -> Task:
    """The task of that name; raises `UsageError` where neither we nor an installed package has one."""
    if name in _BUILTIN:
        return _BUILTIN[name]()
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        found: Task = entry.load()()
        return found
    known = sorted({*_BUILTIN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})
    raise UsageError(f"There is no task named {name!r}; the tasks known here are: {', '.join(known)}.")
