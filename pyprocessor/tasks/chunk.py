"""How is a film cut into chunks of a duration by one job? By jobs of its own, one for each chunk, which it gathers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from pyprocessor.errors import FailureKind, JobError, UsageError
from pyprocessor.models import Cost, InputLimits, Source
from pyprocessor.models.products import MAIN, Product
from pyprocessor.publish.gathering import gather
from pyprocessor.recipes.chunk import copied_container
from pyprocessor.tasks.base import ChildJob, Done, Made, Plan, Steps, Work
from pyprocessor.tasks.chunk_processing import profile_values
from pyprocessor.tasks.chunk_processors import FFMPEG
from pyprocessor.tasks.params import params_as, profile_of

MOST_CHUNKS = 2000
"""Of one job, which knows all of them at once; `pyprocessor chunk` takes them one after another."""
MANIFEST, MAKER = "manifest.json", "pyprocessor"
_WHOLE = "whole"
_CPU_SECONDS, _MEMORY_BYTES = 0.05, 24 << 20


@dataclass(frozen=True, slots=True)
class Takes:
    """Seconds of playing time; `exact` chunks are encoded by a profile, others are copied and begin at keyframes."""

    chunk_duration: float = 10.0
    start: float = 0.0
    end: float | None = None
    exact: bool = False
    profile: str | dict[str, Any] = "default"

    def __post_init__(self) -> None:
        if not 0 < self.chunk_duration < inf:
            raise ValueError(f"`chunk_duration` is {self.chunk_duration:g}, but has to be more than 0 seconds")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError("`start` has to be 0 or more, and `end` behind it")


class ChunkFilm:
    """A folder of the chunks of one film, and a manifest of them as `pyprocessor chunk` writes it."""

    name = "chunk"
    summary = "Cut a film into chunks of a duration: copied at keyframes, or encoded at the very times"
    takes = Takes
    inputs = (1, 1)

    def whole(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = params_as(Takes, params)
        if not wanted.exact:
            return params
        from pyprocessor import profiles  # with PyYAML, and only where a job is submitted

        profile = profiles.load_alone(wanted.profile, profiles.Overrides()).profile
        if profile.video is None:
            raise UsageError("`profile` makes no picture, so there is nothing to cut exactly.")
        return {name: value for name, value in params.items() if name != "profile"} | {_WHOLE: profile_values(profile)}

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> dict[str, Any]:
        # Here, so that the engine, which asks for plans only, does without PyAV.
        from pyprocessor.inspect.picture_index import picture_index
        from pyprocessor.tasks.chunk_cutting import Cutting, check_writable, chunk_params, copied_streams

        given = dict(params)
        values = given.pop(_WHOLE, None)
        wanted, (source,) = params_as(Takes, given), inputs
        profile = None if values is None else profile_of(values)
        index = picture_index(source.path, limits)
        check_writable(index, profile)
        end = inf if wanted.end is None else wanted.end
        cutting = Cutting(index, wanted.chunk_duration, wanted.start, end)
        cutting.check(MOST_CHUNKS)
        used = copied_streams(index)
        container = copied_container(index.media, used) if profile is None else profile.container
        chunks = [
            chunk_params(
                index,
                source.path,
                cut,
                file=f"chunk_{cut.chunk.sequence:04}.{container}",
                container=container,
                processors={FFMPEG: None},
                profile=profile,
            )
            for cut in cutting.chunks(at_keyframes=profile is None)
        ]
        if not chunks:
            raise JobError(FailureKind.BAD_INPUT, "It has no pictures between `start` and `end`.")
        shared = {name: value for name, value in chunks[0].items() if all(one[name] == value for one in chunks)}
        own = [{name: value for name, value in one.items() if name not in shared} for one in chunks]
        left_out = sorted({stream.kind.value for stream in index.media.streams if stream.index not in used})
        return {"shared": {**shared, "limited": False}, "chunks": own, "left_out": left_out}

    def plan(self, params: Any, inputs: tuple[Source, ...], found: dict[str, Any], output: bytes) -> Plan:  # noqa: ARG002
        children = tuple(
            ChildJob("chunk", "process-chunk", {**found["shared"], **own}, inputs) for own in found["chunks"]
        )
        return Plan((Product(output + b".chunks", MAIN, folder=True),), Cost(_CPU_SECONDS, _MEMORY_BYTES, 0), children)

    def run(self, work: Work) -> Steps:
        yield from ()  # the chunks' own jobs did all that takes a process
        failed = [child for child in work.children if not child.succeeded]
        if failed:
            many = f"{len(failed):,} of {len(work.children):,} chunks could not be made"
            raise JobError(FailureKind.UNSUPPORTED, f"{many}: {failed[0].reason}")
        made = f"{work.name}.chunks"
        shared = work.found["shared"]
        chunks = [{**shared, **own} for own in work.found["chunks"]]
        files = {chunk["file"]: child.products[MAIN] for chunk, child in zip(chunks, work.children, strict=True)}
        gather(work.path(made), files)
        segments = [_segment(chunk, child.result) for chunk, child in zip(chunks, work.children, strict=True)]
        with open(os.path.join(work.path(made), MANIFEST.encode("ascii")), "x", encoding="utf-8") as file:
            file.write(manifest(work.inputs[0].path, segments, complete=True))
        return Done(products=(Made(made),), result={"chunks": len(chunks), "left_out": work.found["left_out"]})


def _segment(chunk: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    about = segment(chunk["sequence"], chunk["file"], chunk["start_time"], chunk["end_time"], failed=False)
    return about | {name: result[name] for name in ("frames", "packets", "seconds")}


def segment(sequence: int, file: str | None, start: float, end: float, *, failed: bool) -> dict[str, Any]:
    """What a manifest says of a chunk, before what was found in it."""
    about = {"sequence": sequence, "file": file, "start": start, "end": end}
    return {**about, "duration": round(end - start, 6), "failed": failed}


def manifest(source: bytes, segments: Sequence[Mapping[str, Any]], *, complete: bool, **about: Any) -> str:
    """The manifest of the chunks of a source, as JSON."""
    head = {"version": 1, "made_by": MAKER, "source": os.fsdecode(source), "complete": complete}
    return json.dumps({**head, **about, "segments": segments}, indent=1) + "\n"
