"""Which tasks are there: ours, and those that packages offer; and does a job have what its task takes?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pyprocessor.errors import JobError, UsageError
from pyprocessor.models import FOLDER_TASK
from pyprocessor.models.extras import is_installed
from pyprocessor.tasks.base import Task
from pyprocessor.tasks.params import params_as

GROUP = "pyprocessor.tasks"
"""Of the entry points that packages offer tasks by."""

_OURS = {
    FOLDER_TASK: "transcode:Transcode",
    "analyze": "analyze:Analyze",
    "answer-requests": "call:AnswerRequests",
    "call": "call:CallFunction",
    "checksum": "checksum:Checksum",
    "chunk": "chunk:ChunkFilm",
    "download": "download:Download",
    "verify": "check_media:Verify",
    "youtube": "youtube:Youtube",
    "fetch-model": "transcribe:FetchModel",
    "film-part": "parts:FilmPart",
    "sound-part": "parts:SoundPart",
    "enhance": "enhance:Enhance",
    "process-chunk": "chunk_processing:ProcessChunk",
    "preprocess": "preprocess:Preprocess",
    "transcribe": "transcribe:Transcribe",
}
"""Our tasks, each a class in a module of this room, imported when it is asked for."""
OF_OTHERS = frozenset({"fetch-model", "film-part", "sound-part", "process-chunk"})
"""Tasks that other jobs and commands make use of, and nobody submits."""
OF_PROGRAMS = frozenset({"answer-requests"})
"""Tasks that only our own code adds to a queue: their params name paths and functions, which no file of jobs may do."""
_EXTRAS = {
    "analyze": ("frames",),
    "download": ("download",),
    "youtube": ("youtube",),
    "transcribe": ("openai", "faster-whisper", "pocketsphinx"),
    "enhance": ("openai",),
}
"""By task: the extras of this package that it, or some of its back ends, needs."""


@cache
def task(name: str) -> Task:
    """Return our task of that name, or the class that an entry point of a package offers. Raises UsageError."""
    if name in _OURS:
        module, _, ours = _OURS[name].partition(":")
        found: Task = getattr(import_module(f"pyprocessor.tasks.{module}"), ours)()
        return found
    for entry in entry_points(group=GROUP).select(name=name):
        try:
            of_others: Task = entry.load()()
        except Exception as error:
            raise UsageError(f"The task {name!r} of {origin(name)} cannot be loaded: {error!r}.") from error
        return of_others
    raise UsageError(f"There is no task named {name!r}; the tasks known here are: {', '.join(names())}.")


def offered(name: str, *, to_programs: bool = False) -> Task:
    """Return the task of that name, of which jobs may be submitted. Raises UsageError."""
    if name in OF_OTHERS or (name in OF_PROGRAMS and not to_programs):
        raise UsageError(f"The task {name} is made by other jobs only.")
    return task(name)


def names() -> list[str]:
    """The names of all tasks that may be submitted, sorted."""
    return sorted({*_OURS, *(entry.name for entry in entry_points(group=GROUP))} - OF_OTHERS - OF_PROGRAMS)


def origin(name: str) -> str:
    """Which package a task is of."""
    if name in _OURS:
        return "pyprocessor"
    (entry, *_) = entry_points(group=GROUP).select(name=name)
    return entry.dist.name if entry.dist is not None else entry.module


def extras(name: str) -> dict[str, bool]:
    """Of the extras that a task of ours, or a back end of it, needs: which are installed."""
    return {extra: is_installed(extra) for extra in _EXTRAS.get(name, ())}


def problems(name: str, params: Mapping[str, Any], inputs: int) -> Iterator[str]:
    """Yield what is wrong with a job of a known task that has so many inputs, as sentences that name the field.

    A task that does not say what it takes is asked when the job is done.
    """
    found = task(name)
    takes = getattr(found, "takes", None)
    if takes is not None:
        try:
            params_as(takes, params)
        except JobError as error:
            yield str(error)
    least, most = getattr(found, "inputs", (0, None))
    if inputs < least or (most is not None and inputs > most):
        wanted = f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"
        yield f"`inputs`: the task {name} takes {wanted}, and {inputs} {'is' if inputs == 1 else 'are'} given."


def fetches(name: str, params: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Return the jobs, as task and params, that fetch what a job of a known task needs besides its inputs."""
    found = getattr(task(name), "fetches", None)
    return () if found is None else tuple(found(params))


def whole_params(name: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return params of a known task with what they name, such as a profile, in its place. Raises UsageError."""
    whole = getattr(task(name), "whole", None)
    return params if whole is None else whole(params)
