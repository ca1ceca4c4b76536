"""Which colours, high dynamic range and 360 degree or stereo layout do the pictures of a film state?"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any, SupportsBytes, cast

from av.sidedata.sidedata import Type as SideData

from pyprocessor.models import Colour, HdrKind

if TYPE_CHECKING:
    import av


def _by_number(names: str) -> dict[int, str]:
    """Return names by their place; `-` stands for a number that is reserved or means "not stated"."""
    return {number: name for number, name in enumerate(names.split()) if name != "-"}


_NOT_STATED = 2
# ITU-T H.273 numbers as libavutil has them.
_PRIMARIES = _by_number("- bt709 - - bt470m bt470bg smpte170m smpte240m film bt2020 smpte428 smpte431 smpte432") | {
    22: "ebu3213"
}
_TRANSFERS = _by_number(
    "- bt709 - - gamma22 gamma28 smpte170m smpte240m linear log100 log316 iec61966-2-4 bt1361e iec61966-2-1 bt2020-10 "
    "bt2020-12 smpte2084 smpte428 arib-std-b67"
)
_MATRICES = _by_number(
    "gbr bt709 - - fcc bt470bg smpte170m smpte240m ycgco bt2020nc bt2020c smpte2085 chroma-derived-nc chroma-derived-c "
    "ictcp ipt-c2 ycgco-re ycgco-ro"
)
_RANGES = {1: "tv", 2: "pc"}
# Numbers of libavutil; in the first, 4 (rectilinear) is every flat picture, in the second, 0.
_PROJECTIONS = {
    0: "equirectangular",
    1: "cubemap",
    2: "part of an equirectangular picture",
    3: "half equirectangular",
    5: "fisheye",
    6: "parametric immersive",
}
_STEREO_LAYOUTS = {
    1: "side by side",
    2: "top and bottom",
    3: "picture by picture",
    4: "checkerboard",
    5: "side by side, quincunx",
    6: "line by line",
    7: "column by column",
}
_RIGHT_EYE_FIRST = 1
_CHROMATICITY_UNITS, _LUMINANCE_UNITS = 50_000, 10_000
"""SMPTE ST 2086 counts chromaticities in 0.00002 and luminances in 0.0001 cd/m2."""


def colour(context: av.VideoCodecContext | None, frame: av.VideoFrame | None, pixel_format: str | None) -> Colour:
    """Return the colour that the first picture states, or else the stream's header."""
    stated = [
        [int(number) for number in (source.color_primaries, source.color_trc, source.colorspace, source.color_range)]
        for source in (frame, context)
        if source is not None
    ]
    tables = (_PRIMARIES, _TRANSFERS, _MATRICES, _RANGES)
    primaries, transfer, matrix, levels = (
        next((names[numbers[place]] for numbers in stated if numbers[place] in names), None)
        for place, names in enumerate(tables)
    )
    if levels is None and pixel_format is not None and pixel_format.startswith("yuvj"):
        levels = "pc"
    reserved = tuple(
        name
        for place, name in enumerate(("primaries", "transfer", "matrix"))
        if any(numbers[place] not in tables[place] and numbers[place] != _NOT_STATED for numbers in stated)
    )
    return Colour(primaries, transfer, matrix, levels, reserved)


def hdr_kind(described: Colour, frame: av.VideoFrame | None, codec_tag: str) -> HdrKind:
    """Return the kind of high dynamic range; Dolby Vision goes before that of its base layer."""
    dolby = codec_tag in ("dvh1", "dvhe", "dvav", "dva1", "dav1")
    if dolby or side_data(frame, SideData.DOVI_METADATA) or side_data(frame, SideData.DOVI_RPU_BUFFER):
        return HdrKind.DOLBY_VISION
    if described.transfer == "smpte2084":
        return HdrKind.HDR10_PLUS if side_data(frame, SideData.DYNAMIC_HDR_PLUS) else HdrKind.HDR10
    return HdrKind.HLG if described.transfer == "arib-std-b67" else HdrKind.SDR


def mastering_display(frame: av.VideoFrame | None) -> str | None:
    """Return a picture's complete SMPTE ST 2086 metadata in x265's notation, or None."""
    numbers = _numbers(frame, SideData.MASTERING_DISPLAY_METADATA, "=20i2i")  # the last two: which are there
    if not numbers or not all((*numbers[20:], *numbers[1:20:2])):
        return None
    values = [Fraction(n, d) for n, d in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    rx, ry, gx, gy, bx, by, wx, wy = (round(value * _CHROMATICITY_UNITS) for value in values[:8])
    least, most = (round(value * _LUMINANCE_UNITS) for value in values[8:])
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"


def content_light(frame: av.VideoFrame | None) -> tuple[int, int] | None:
    """Return MaxCLL and MaxFALL of a picture, cd/m2, or None."""
    numbers = _numbers(frame, SideData.CONTENT_LIGHT_LEVEL, "=2I")
    return (numbers[0], numbers[1]) if any(numbers) else None


def spherical(frame: av.VideoFrame | None) -> str | None:
    """Return how the sphere lies in the picture; None where it is no 360 degree picture."""
    numbers = _numbers(frame, SideData.SPHERICAL, "=i")
    return _PROJECTIONS.get(numbers[0]) if numbers else None


def stereo(frame: av.VideoFrame | None) -> str | None:
    """Return how the pictures for the two eyes lie in one; None where there is one for both."""
    number, flags = _numbers(frame, SideData.STEREO3D, "=2i") or (0, 0)
    layout = _STEREO_LAYOUTS.get(number)
    return layout + ", right eye first" if layout is not None and flags & _RIGHT_EYE_FIRST else layout


def side_data(frame: av.VideoFrame | None, kind: SideData) -> bytes | None:
    """Return a picture's side data of one kind, or None."""
    if frame is None:
        return None
    found: SupportsBytes | None = cast("Any", frame.side_data).get(kind)  # iterating over it breaks in PyAV 18
    return bytes(found) if found is not None else None


def _numbers(frame: av.VideoFrame | None, kind: SideData, layout: str) -> tuple[int, ...]:
    """Return the numbers in a picture's side data of one kind; none where it is not there."""
    data = side_data(frame, kind) or b""
    return struct.unpack_from(layout, data) if len(data) >= struct.calcsize(layout) else ()


def is_opaque(frame: av.VideoFrame) -> bool:
    """Return whether a picture of four bytes a pixel, the last of them alpha, has no transparent pixel."""
    plane = frame.planes[0]
    data = bytes(plane)
    lines = (data[line * plane.line_size :][: 4 * frame.width] for line in range(frame.height))
    return all(line[3::4].count(255) == frame.width for line in lines)
