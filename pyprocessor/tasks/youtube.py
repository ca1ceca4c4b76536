"""What does a video page say of itself, and how is its film brought here?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.diagnosis import check
from pyprocessor.ffmpeg.invocation import Input, Invocation, MappedStream, Output
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import Cost, CostFeatures, InputLimits, Source
from pyprocessor.models.encoders import muxer
from pyprocessor.models.products import MAIN, Product
from pyprocessor.publish.partials import discard
from pyprocessor.recipes.chunk import copied_container
from pyprocessor.tasks.base import Call, Done, Ffmpeg, Made, Plan, Returned, Steps, Work
from pyprocessor.tasks.download import MOST_BYTES, check_url
from pyprocessor.tasks.params import params_as

INFO = "info"
FORMATS = {"mp4": "bv*[ext=mp4]+ba[ext=m4a]/b[ext=mp4]/bv*+ba/b", "mkv": "bv*+ba/b"}
_COST = Cost(2.0, 160 << 20, 0, wait_seconds=30.0)
_MOST_PROCESS_BYTES = 1 << 30
"""A page, and what is made of it, lies in memory."""


@dataclass(frozen=True, slots=True)
class Takes:
    """The address of a page, and whether its film is downloaded, not only what is said of it."""

    url: str
    download: bool = False
    format: str = ""
    """Which film and sound, in yt-dlp's words; by default the best that the container holds."""
    container: Literal["mp4", "mkv"] = "mp4"
    max_bytes: int = MOST_BYTES
    allow_private: bool = False
    """As for downloads of files."""

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.max_bytes < 1:
            raise ValueError(f"`max_bytes` is {self.max_bytes}, but has to be 1 or more")


class Youtube:
    """A call of yt-dlp; what it downloads is put into one container by ffmpeg, nothing encoded."""

    name = "youtube"
    summary = "Read what a video page says of itself, and download its film, with yt-dlp"
    takes = Takes
    inputs = (0, 0)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> None:  # noqa: ARG002 - the task's
        params_as(Takes, params)

    def plan(self, params: Any, inputs: tuple[Source, ...], found: None, output: bytes) -> Plan:  # noqa: ARG002
        wanted = params_as(Takes, params)
        about = output + b".info.json"
        products: tuple[Product, ...] = (Product(about),)
        if wanted.download:
            products = (Product(output + b"." + wanted.container.encode("ascii")), Product(about, INFO))
        bytes_at_most = wanted.max_bytes if wanted.download else 0
        return Plan(products, CostFeatures(self.name, self.name, source_bytes=bytes_at_most, given=_COST))

    def run(self, work: Work) -> Steps:
        wanted = params_as(Takes, work.params)
        about, path = f"{work.name}.info.json", os.fsdecode(work.path(f"{work.name}.part"))
        arguments = {
            "url": wanted.url,
            "info": os.fsdecode(work.path(about)),
            "path": path if wanted.download else "",
            "wanted": wanted.format or FORMATS[wanted.container],
            "max_bytes": wanted.max_bytes,
            "allow_private": wanted.allow_private,
        }
        returned: Returned = yield Call(
            "pyprocessor.net.youtube:fetch", arguments, last=not wanted.download, memory_bytes=_MOST_PROCESS_BYTES
        )
        if not wanted.download:
            return Done(products=(Made(about),), result=returned.value)
        made = f"{work.name}.{wanted.container}"
        parts = [os.fsencode(f"{path}{number}") for number in range(returned.value["files"])]
        finished: Finished = yield Ffmpeg(
            _packed(parts, wanted.container, made), output_limit_bytes=2 * wanted.max_bytes
        )
        check(finished, parts[0])
        for part in parts:
            discard(part)
        return Done(products=(Made(made, MAIN), Made(about, INFO)), result=returned.value)


def _packed(parts: list[bytes], container: str, name: str) -> Invocation:
    """Copy the film and the sound of all parts into one file. Raises JobError where it does not hold them."""
    # Here, so that the engine, which asks for plans only, does without PyAV.
    from pyprocessor.inspect.probe import probe

    streams: list[MappedStream] = []
    for number, path in enumerate(parts):
        media = probe(path, size_bytes=os.stat(path).st_size)
        played = [stream for stream in media.streams if stream.is_film or stream.audio is not None]
        if container == "mp4" and copied_container(media, tuple(stream.index for stream in played)) != container:
            text = "MP4 does not hold its codecs as they are; give `container: mkv`, or another `format`."
            raise JobError(FailureKind.UNSUPPORTED, text)
        streams += (MappedStream((number, one.index), "v" if one.is_film else "a", "copy") for one in played)
    options = (("movflags", "+faststart"),) if container == "mp4" else ()
    return Invocation(tuple(map(Input, parts)), Output(name, muxer(container), tuple(streams), options))
