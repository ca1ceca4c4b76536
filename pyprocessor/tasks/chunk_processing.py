"""How is one chunk of a film made: its packets summed up, its pictures decoded, or written to a file of its own?"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.diagnosis import check
from pyprocessor.ffmpeg.invocation import Invocation
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import Cost, CostFeatures, InputLimits, MediaInfo, OutputFacts, Profile, Source
from pyprocessor.models.products import Product
from pyprocessor.recipes.chunk import Range, copied, encoded
from pyprocessor.tasks.base import Call, Done, Ffmpeg, Made, Plan, Returned, Step, Steps, Work
from pyprocessor.tasks.chunk_processors import CHECKSUM, DECODE, FFMPEG
from pyprocessor.tasks.params import profile_of, values_of

WORKER = "chunk worker"
"""The resource that each chunk needs one of, so that no more are done at once than a caller allows."""
_READING = "pyprocessor.inspect.chunk_reading"
_BASE_MEMORY = 48 << 20
_BYTES_PER_SECOND = 400e6
"""Read, summed up or copied by one core."""
_DECODED_PIXELS_PER_SECOND = 120e6
_PICTURES_IN_DECODER = 24
_MOST_OUTPUT_GROWTH = 4
"""Of a copy, beside a megabyte: a container takes little."""


class ProcessChunk:
    """The processors of its params, one after the other. See `tasks/chunk_cutting` for the params."""

    name = "process-chunk"

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:  # noqa: ARG002 - the task's
        return None  # the params have all that is known

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:  # noqa: ARG002 - as above
        extension = os.path.splitext(params["file"])[1].encode("ascii")
        products = (Product(output + extension),) if params["file"] else ()
        return Plan(products, _cost(params))

    def run(self, work: Work) -> Steps:
        params = work.params
        path = work.inputs[0].path if work.inputs else os.fsencode(params["source"])
        made = f"{work.name}{os.path.splitext(params['file'])[1]}" if params["file"] else ""
        result: dict[str, Any] = {"start_time": params["start_time"], "end_time": params["end_time"]}
        last = len(params["processors"]) - 1
        for number, (name, given) in enumerate(params["processors"].items()):
            steps = _steps(work, path, made, name, given, last=number == last)
            result |= yield from steps
        facts = None
        if made:
            facts = OutputFacts(0, 0, result.get("seconds"), 1, 0, 0, result.get("frames"))
        return Done(facts, (Made(made),) if made else (), result)


def _steps(
    work: Work, path: bytes, made: str, name: str, given: dict[str, str] | None, *, last: bool
) -> Generator[Step, Any, dict[str, Any]]:
    """The steps of one processor; returns what it adds to the result."""
    params, source = work.params, os.fsdecode(path)
    if given is not None:
        arguments = {name: params[name] for name in ("sequence", "start_time", "end_time")}
        written = os.fsdecode(work.path(made)) if given["extension"] else None
        called: Returned = yield Call(given["function"], {"source": source, "output": written, **arguments}, last)
        return {"value": called.value}
    if name == FFMPEG:
        return (yield from _written(work, path, made, last=last))
    arguments = {"source": source, "opened": params["opened"], "chunk": params["chunk"]}
    if name == DECODE:
        arguments["threads"] = work.threads
    function = {CHECKSUM: "checksum", DECODE: "decode"}[name]
    returned: Returned = yield Call(f"{_READING}:{function}", arguments, last)
    value: dict[str, Any] = returned.value
    return value


def _written(work: Work, path: bytes, made: str, *, last: bool) -> Generator[Step, Any, dict[str, Any]]:
    # Here, because the engine, which asks for plans only, does without PyAV.
    from pyprocessor.inspect.verify import written_packets

    params = work.params
    chunk, extent = params["chunk"], Range(**params["range"])
    if params["profile"] is None:
        media = _opened(params["opened"], params["streams"])
        streams = tuple(stream["index"] for stream in params["streams"])
        invocation = copied(path, media, streams, extent, container=params["container"], output_name=made)
        expected, most = chunk["packets"], (1 << 20) + _MOST_OUTPUT_GROWTH * chunk["bytes"] + params["source_bytes"]
    else:
        invocation = encoded(_whole(work, path, made), extent)
        expected, most = chunk["frames"], (1 << 30) + 100 * chunk["bytes"]
    finished: Finished = yield Ffmpeg(invocation, last=last, output_limit_bytes=most)
    check(finished, path)
    found, seconds = written_packets(work.path(made))
    least = most_found = expected
    if params["profile"] is not None:
        # A first chunk may hold pictures before the source's first keyframe. Of several at one time one stays, and of
        # fields that are coded one by one a picture.
        least, most_found = chunk["times"] // (2 if chunk["fields"] else 1), expected + chunk["leading"]
    if not least <= found <= most_found:
        text = f"The chunk holds {found:,} pictures where the source has {expected:,}: the source is damaged there."
        raise JobError(FailureKind.BAD_INPUT, text)
    encodes = params["profile"] is not None
    return {"frames": found if encodes else chunk["frames"], "packets": found, "seconds": seconds}


def _whole(work: Work, path: bytes, made: str) -> Invocation:
    """The encoding of the whole film, of which a chunk is cut."""
    from pyprocessor.inspect.contract import contract
    from pyprocessor.inspect.probe import probe
    from pyprocessor.recipes.transcode import recipe

    source = Source(path, os.path.basename(path), os.stat(path).st_size, 0)
    profile = chunk_profile(work.params["profile"])
    media = replace(probe(path, size_bytes=source.size_bytes, limits=profile.input_limits), chapters=0)
    agreed = contract(profile, media)
    return recipe(profile, media, agreed, source, threads=work.threads, output_name=made).invocation


def _opened(opened: dict[str, Any], streams: list[dict[str, Any]]) -> MediaInfo:
    from pyprocessor.models import StreamInfo, StreamKind, VideoInfo

    infos = tuple(
        StreamInfo(
            stream["index"],
            StreamKind(stream["kind"]),
            stream["codec"],
            video=VideoInfo(0, 0) if stream["kind"] == StreamKind.VIDEO else None,
        )
        for stream in streams
    )
    return MediaInfo(
        duration_seconds=None, duration_estimated=True, size_bytes=0, bit_rate=None, streams=infos, **opened
    )


def _cost(params: Any) -> Cost | CostFeatures:
    chunk, pixels = params["chunk"], params["pixels"]
    resources = ((WORKER, 1),) if params.get("limited", True) else ()
    if params["profile"] is not None:
        video = params["profile"]["video"]
        return CostFeatures(
            task="transcode",
            encoder=video["encoder"],
            preset=video["preset"],
            pixels=pixels,
            source_pixels=pixels,
            pixel_format=video["pixel_format"] or "yuv420p",
            frames=float(chunk["frames"]),
            duration_seconds=params["end_time"] - params["start_time"],
            source_bytes=chunk["bytes"],
            crf=video["crf"],
            source_codec=params["codec"],
            resources=resources,
        )
    decodes = DECODE in params["processors"]
    seconds = 0.1 + chunk["bytes"] / _BYTES_PER_SECOND + decodes * chunk["frames"] * pixels / _DECODED_PIXELS_PER_SECOND
    memory = _BASE_MEMORY + (2 * _PICTURES_IN_DECODER * pixels if decodes else 0)
    return Cost(seconds, memory, chunk["bytes"] if params["file"] else 0, resources=resources)


def profile_values(profile: Profile) -> dict[str, Any]:
    """What of a profile decides how a chunk is encoded, as JSON."""
    assert profile.video is not None
    return values_of(profile, ("container", "video", "audio"))


def chunk_profile(values: dict[str, Any]) -> Profile:
    """The profile of such values: film and sound, without subtitles, covers and chapters."""
    return replace(
        profile_of(values),
        extension=values["container"],
        keep_subtitles=False,
        keep_attachments=False,
        keep_chapters=False,
    )
