"""A film divided, encoded in parts and joined, with real ffmpegs and without an engine."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyprocessor.errors import JobError
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import Chunking, OutputFacts, Profile
from pyprocessor.models.products import MAIN
from pyprocessor.tasks.base import ChildEnd, ChildJob, Work
from pyprocessor.tasks.chunk import CHUNK, LEAST_PART_SECONDS, divide
from pyprocessor.tasks.registry import task
from pyprocessor.tasks.transcode import Transcode
from tests.integration.transcoding import steps_done, work_on


@dataclass
class Divided:
    """An output that was joined of parts; `took` are the CPU-seconds of each ffmpeg, those of the join last."""

    path: Path
    facts: OutputFacts
    children: tuple[ChildJob, ...]
    took: list[float] = field(default_factory=list)

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The params of the parts of the pictures."""
        return [child.params for child in self.children if child.role == CHUNK]


def encoded_in_parts(
    path: Path,
    profile: Profile,
    ffmpeg_path: str,
    folder: Path,
    *,
    parts: int = 4,
    least_seconds: float = LEAST_PART_SECONDS,
    failing: Sequence[int] = (),
) -> Divided:
    """Make the output in parts, in `folder`, which is made; the parts of the numbers `failing` are not made.

    Raises the JobError with why it is to be made whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    profile = replace(profile, chunking=Chunking.ALWAYS)
    work = work_on(path, profile, folder)
    (source,) = work.inputs
    children = divide(profile, source, work.found, parts, profile.input_limits, least_seconds)
    took: list[float] = []
    ends = [
        _part_end(child, work, number, ffmpeg_path, took)
        if number not in failing
        else ChildEnd(child.role, succeeded=False, reason="It was not made.")
        for number, child in enumerate(children)
    ]
    joining = replace(work, children=tuple(ends))
    done = steps_done(Transcode().run(joining), folder, ffmpeg_path, lambda finished: took.append(finished.cpu_seconds))
    assert done.facts is not None
    return Divided(folder / f"output.{profile.extension}", done.facts, children, took)


def why_not_in_parts(path: Path, profile: Profile, folder: Path, *, parts: int = 4, least_seconds: float = 1.0) -> str:
    """Why the output is to be made whole; empty where it may be made in parts."""
    work = work_on(path, profile, folder)
    try:
        divide(profile, work.inputs[0], work.found, parts, profile.input_limits, least_seconds)
    except JobError as error:
        return str(error)
    return ""


def _part_end(child: ChildJob, whole: Work, number: int, ffmpeg_path: str, took: list[float]) -> ChildEnd:
    """Make one part as the engine has it made, and say how it ended."""
    part = task(child.task)
    params = {**json.loads(json.dumps(child.params)), "profile": whole.params}
    found = part.inspect(child.inputs, params, whole.params.input_limits)
    found = json.loads(json.dumps(found))
    (product,) = part.plan(params, child.inputs, found, b"made-%d" % number).products
    work = replace(whole, params=params, inputs=child.inputs, found=found, name=f"part{number}", products=(product,))

    def taken(finished: Finished) -> None:
        took.append(finished.cpu_seconds)

    folder = Path(os.fsdecode(whole.folder))
    done = steps_done(part.run(work), folder, ffmpeg_path, taken)
    (made,) = done.products
    # As the engine names it: without an extension.
    os.replace(folder / made.temporary, folder / f"made-{number}")
    result = json.loads(json.dumps(done.result))
    return ChildEnd(child.role, succeeded=True, products={MAIN: whole.path(f"made-{number}")}, result=result)
