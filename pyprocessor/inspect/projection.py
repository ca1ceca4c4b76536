"""How are the pictures of 360 degree and stereo films laid out, and does an output still state it?"""

from __future__ import annotations

import sys
from contextlib import closing

import av
import av.error
from av.sidedata.sidedata import Type

from pyprocessor.inspect.colour import side_data
from pyprocessor.inspect.contract import Contract
from pyprocessor.inspect.reader import open_output
from pyprocessor.inspect.survey import survey
from pyprocessor.models import MediaInfo, MediaNote, VideoInfo

_PROJECTIONS = {
    0: "equirectangular",
    1: "cubemap",
    2: "part of an equirectangular picture",
    3: "half equirectangular",
    5: "fisheye",
    6: "parametric immersive",
}
"""By libavutil's numbers; 4, rectilinear, is what every flat picture is."""
_LAYOUTS = {
    1: "side by side",
    2: "top and bottom",
    3: "picture by picture",
    4: "checkerboard",
    5: "side by side, quincunx",
    6: "line by line",
    7: "column by column",
}
"""By libavutil's numbers; 0 is a flat picture, and a higher one does not say."""
_INVERTED = 1
_LIMIT_SECONDS = 10.0
"""How long an output is read for its first pictures."""


def spherical(frame: av.VideoFrame | None) -> str | None:
    """Return how the sphere lies in the picture; None where it is no 360 degree picture."""
    data = side_data(frame, Type.SPHERICAL) if frame is not None else None
    return _PROJECTIONS.get(_number(data, 0)) if data is not None else None


def stereo(frame: av.VideoFrame | None) -> str | None:
    """Return how the pictures for the two eyes lie in one; None where there is one for both."""
    data = side_data(frame, Type.STEREO3D) if frame is not None else None
    layout = _LAYOUTS.get(_number(data, 0)) if data is not None else None
    if layout is None or data is None:
        return None
    return layout + (", right eye first" if _number(data, 1) & _INVERTED else "")


def _number(data: bytes, place: int) -> int:
    """Return one of the first fields of a side data structure, which are native integers."""
    return int.from_bytes(data[4 * place : 4 * place + 4], sys.byteorder)


def lost_projection(path: bytes, contract: Contract, media: MediaInfo) -> tuple[MediaNote, ...]:
    """Return notes where the output at `path` does not state its source's 360 degree or stereo layout."""
    by_index = {stream.index: stream.video for stream in media.streams}
    wanted = [by_index[plan.index] or VideoInfo(0, 0) for plan in contract.films]
    if not any(video.spherical or video.stereo for video in wanted):
        return ()
    try:
        with closing(open_output(path)) as container:
            films = survey(container, size_bytes=0, whole=False, limit_seconds=_LIMIT_SECONDS).films
    except av.error.FFmpegError:
        return ()  # verification says what is wrong with it
    notes = []
    for video, index in zip(wanted, sorted(films), strict=False):
        frame = films[index].frame
        if video.spherical != spherical(frame):
            notes.append(_note(f"360 degree pictures ({video.spherical})", contract.container))
        if video.stereo != stereo(frame):
            notes.append(_note(f"stereo pictures ({video.stereo})", contract.container))
    return tuple(dict.fromkeys(notes))


def _note(what: str, container: str) -> MediaNote:
    text = f"It has {what}, and the output no longer says so, so that players show them flat as they are."
    return MediaNote(text, f"no longer marked as {what} ({container})")
