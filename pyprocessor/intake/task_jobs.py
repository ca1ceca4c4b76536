"""Which jobs does a folder make for a task? One for each file that it takes, and maybe one that improves its text."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyprocessor.intake.file_names import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS, extensions_in
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.intake.messages import Candidate, PassedOver, Remark, ScanPlan
from pyprocessor.intake.scan import walk
from pyprocessor.intake.submission import MAX_KEY_CHARACTERS
from pyprocessor.models import MAIN, Profile, display
from pyprocessor.tasks.registry import task

ENHANCE = "enhance"
"""The task that improves a text."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file to do, and what its job is called: its path below the folder, without the extension where that will do."""

    path: bytes
    name: str
    priority: int = 0
    """By its sidecar or place in a list, where the mode asks for that."""


def extensions_taken(name: str, include: Sequence[str]) -> frozenset[bytes]:
    """Return those of the files that a task takes, and those that `include` names; none means any.

    The task may have `extensions`, such as ("srt", "vtt"), where it is not for video and sound.
    """
    own = getattr(task(name), "extensions", None)
    taken = VIDEO_EXTENSIONS | AUDIO_EXTENSIONS if own is None else frozenset(kind.encode() for kind in own)
    return taken | extensions_in(include) if taken else taken


def listing(
    given: bytes,
    output: bytes,
    profile: Profile,
    extensions: frozenset[bytes],
    known: Callable[[str], bytes | None],
    does: object = None,
) -> tuple[list[TaskFile], list[Remark]]:
    """Return the files of a folder, or the one file, and what is to be said of those that are left out.

    What runs over the folder made is no source, unless the task, `does`, has `products_of`. `known` returns the source
    of a job that the journal has, by the job's name: a file keeps the name that it had.
    """
    plan = ScanPlan(
        inputs_of([given]),
        output,
        profile,
        time.time_ns(),
        opens_unknown=False,
        extensions=extensions,
        except_endings=tuple(ending.encode() for ending in getattr(does, "except_endings", ())),
        products_of=tuple(getattr(does, "products_of", ())),
    )
    files: list[TaskFile] = []
    remarks: list[Remark] = []
    for entry in walk(plan, lambda: None):
        match entry:
            case Candidate(source, stem, priority=priority):
                names = [os.fsdecode(name) for name in dict.fromkeys((stem, os.path.splitext(source.relative)[0]))]
                names.append(os.fsdecode(source.relative))
                name = next((name for name in names if known(name) == source.path), names[0])
                if len(name) <= MAX_KEY_CHARACTERS:
                    files.append(TaskFile(source.path, name, priority))
                else:
                    what = f"has a path of more than {MAX_KEY_CHARACTERS} characters, and is left out"
                    remarks.append(Remark(f"{display(source.relative)} {what}.", serious=True))
            case PassedOver(relative, reason, failure):
                remarks.append(Remark(f"{display(relative)} {reason}.", serious=failure is not None))
            case Remark():
                remarks.append(entry)
    return files, remarks


def further_key(name: str) -> str:
    """Return what the second job of a file is called, which improves what the first one, of this name, writes."""
    return f"{name}.enhanced"


def documents(
    files: Sequence[TaskFile],
    name: str,
    params: Mapping[str, Any],
    *,
    enhance: Mapping[str, Any] | None = None,
    priority: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yield the documents of jobs of a task; where there are params to `enhance`, a second job for each file."""
    for file in files:
        its = {"priority": priority + file.priority}
        yield {"task": name, "key": file.name, "inputs": [file.path], "params": params, **its}
        if enhance is not None:
            made = {"job": file.name, "role": MAIN}
            key = further_key(file.name)
            yield {"task": ENHANCE, "key": key, "inputs": [made], "params": enhance, **its}
