"""A film divided, encoded in parts and joined, with real ffmpegs and without an engine."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av

from pyprocessor.errors import JobError
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import Chunking, OutputFacts, Profile
from pyprocessor.models.products import MAIN
from pyprocessor.tasks.base import ChildEnd, ChildJob, Work
from pyprocessor.tasks.parts import FILM_PART, divide
from pyprocessor.tasks.registry import task
from pyprocessor.tasks.transcode import Transcode
from tests.integration.transcoding import steps_done, work_on

SEEKS = 4


@dataclass
class Divided:
    """An output that was joined of parts; `took` are the CPU-seconds of each ffmpeg, those of the join last."""

    path: Path
    facts: OutputFacts
    children: tuple[ChildJob, ...]
    took: list[float] = field(default_factory=list)

    @property
    def films(self) -> list[dict[str, Any]]:
        """The params of the parts of the pictures."""
        return [child.params for child in self.children if child.role == FILM_PART]


def encoded_in_parts(
    path: Path,
    profile: Profile,
    ffmpeg_path: str,
    folder: Path,
    *,
    parts: int = 4,
    least_seconds: float | None = None,
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


def packets_of(path: Path) -> list[tuple[int, str, str, list[int | None]]]:
    """Clock and ascending times of all packets of each track, and the length of the file."""
    with av.open(str(path), metadata_errors="replace") as container:
        times: dict[int, list[int | None]] = {stream.index: [] for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                times[packet.stream_index].append(packet.pts)
        length = container.duration or 0
        return [(length, s.type, str(s.time_base), sorted(t or 0 for t in times[s.index])) for s in container.streams]


def seeks_clean(path: Path) -> bool:
    """Whether pictures after a seek to anywhere are those of decoding from the start."""
    with av.open(str(path), metadata_errors="replace") as container:
        straight = {frame.pts: _brightness(frame) for frame in container.decode(video=0)}
    for at in random.Random(1).sample(sorted(straight), min(SEEKS, len(straight))):
        # Opened again, as a decoder that was drained does not begin anew.
        with av.open(str(path), metadata_errors="replace") as container:
            container.seek(at, stream=container.streams.video[0])
            found = next((frame for frame in container.decode(video=0) if frame.pts >= at), None)
        if found is None or (found.pts, _brightness(found)) != (at, straight[at]):
            return False
    return True


def _brightness(frame: av.VideoFrame) -> bytes:
    """The brightness of all of its pixels, without what decoders leave behind the end of each line."""
    plane, deep = frame.planes[0], 2 if "10" in frame.format.name else 1
    lines, size = bytes(plane), plane.width * deep
    return b"".join(lines[at : at + size] for at in range(0, plane.height * plane.line_size, plane.line_size))


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
