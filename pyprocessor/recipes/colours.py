"""Which colours have a film's pictures, and which filters make them readable for all other filters?

Names are ffmpeg's for the values of ITU-T H.273. swscale reads only the usual matrices; zscale reads all but a few, as
long as the values in its options fit each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyprocessor.ffmpeg.invocation import Filter
from pyprocessor.models import Colour, MediaNote, StreamInfo, VideoInfo

HDR_TRANSFERS = frozenset(("smpte2084", "arib-std-b67"))
_DERIVED = frozenset(("chroma-derived-nc", "chroma-derived-c"))
_CONVERTED = frozenset(("ycgco", "bt2020c", "ictcp")) | _DERIVED
"""Matrices that zscale converts and swscale refuses."""
_CONVERTED_BY_NOTHING = frozenset(("smpte2085", "ipt-c2", "ycgco-re", "ycgco-ro", "gbr"))
_CONSTANT_LUMINANCE = frozenset(("bt2020c", "chroma-derived-c"))
"""Matrices that are defined for standard range alone."""
_NO_TRANSFER_OF_SWSCALE = frozenset(("log100", "log316"))
"""Transfers at which swscale fails, although it does not convert them."""
_FILTER_NAMES = {"gamma22": "bt470m", "gamma28": "bt470bg"}
"""Transfers whose names differ between decoders and filters."""
_MATRIX_FILTERS = {
    "mpeg2video": "mpeg2_metadata=matrix_coefficients=2",
    "av1": "av1_metadata=matrix_coefficients=2",
    "prores": "prores_metadata=colorspace=2",
}
"""By codec whose decoder passes on a reserved matrix: the bitstream filter that makes it unknown."""
_RGB_FORMATS = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8")


@dataclass(frozen=True, slots=True)
class Colours:
    """`colour` is that of the pictures after `filters`; `restored` are filters for after the resizing."""

    colour: Colour
    filters: tuple[Filter, ...] = ()
    restored: tuple[Filter, ...] = ()
    notes: tuple[MediaNote, ...] = ()


def colours(video: VideoInfo) -> Colours:
    """The colours of `video`: as stated or else the usual ones, in a matrix that all filters read."""
    stated = video.colour
    notes: list[MediaNote] = []
    primaries, matrix = stated.primaries, stated.matrix
    hdr = stated.transfer in HDR_TRANSFERS
    if not is_rgb(video) and _unusable(matrix, primaries, hdr=hdr):
        text = f"It states the colour matrix {matrix}, which does not fit its pictures or cannot be converted"
        loss = f"colours uncertain (no conversion from the matrix {matrix})"
        notes.append(MediaNote(f"{text}: its colours may be wrong.", loss))
        matrix = None
    if hdr:
        missing = [name for name, value in (("primaries", primaries), ("matrix", stated.matrix)) if value is None]
        primaries, matrix = primaries or "bt2020", matrix or "bt2020nc"
        if missing:
            text = f"It states high dynamic range ({stated.transfer}) without colour {' and '.join(missing)}"
            notes.append(MediaNote(f"{text}: those of BT.2020 were taken."))
    elif matrix == "bt2020c":
        primaries = primaries or "bt2020"
    taken = Colour(primaries, stated.transfer, matrix, stated.range)  # and nothing reserved
    filters: tuple[Filter, ...] = ()
    found = taken
    if matrix in _CONVERTED and not is_rgb(video):
        found = replace(taken, matrix="bt2020nc" if primaries == "bt2020" else "bt709")
        if matrix == "ictcp" and stated.transfer == "arib-std-b67":
            text = "Its dark, strong colours may have changed: ffmpeg converts ICtCp with HLG only roughly."
            notes.append(MediaNote(text, "colours uncertain (ICtCp with HLG)"))
        if matrix in _CONSTANT_LUMINANCE:
            filters = _from_constant_luminance(taken, found)
        else:
            filters = (_zscale(taken, ("matrixin", matrix), ("matrix", found.matrix or "")),)
    if stated.transfer in _NO_TRANSFER_OF_SWSCALE:
        hidden = stating(replace(found, transfer=None))
        return Colours(found, (*filters, hidden), (stating(found),), tuple(notes))
    return Colours(found, (*filters, stating(found)) if found != stated else (), (), tuple(notes))


def without_reserved_matrix(stream: StreamInfo) -> str | None:
    """The bitstream filter that removes a reserved matrix, which no filter of pictures accepts."""
    reserved = stream.video is not None and "matrix" in stream.video.colour.reserved
    return _MATRIX_FILTERS.get(stream.codec or "") if reserved else None


def is_rgb(video: VideoInfo) -> bool:
    """Whether its pictures are red, green and blue: their format decides, whatever matrix is stated."""
    if video.pixel_format is None:
        return video.colour.matrix == "gbr"
    return video.pixel_format.startswith(_RGB_FORMATS)


def stating(colour: Colour) -> Filter:
    """The filter that marks pictures with `colour`, except its range, and changes nothing else."""
    transfer = _FILTER_NAMES.get(colour.transfer or "", colour.transfer)
    stated = {"color_primaries": colour.primaries, "color_trc": transfer, "colorspace": colour.matrix}
    return Filter("setparams", tuple((name, value or "unknown") for name, value in stated.items()))


def _unusable(matrix: str | None, primaries: str | None, *, hdr: bool) -> bool:
    """Whether no filter reads the matrix, or it contradicts the rest: ICtCp is for HDR, `gbr` for RGB."""
    # X, Y and Z: luminance is one of them.
    by_nothing = matrix in _CONVERTED_BY_NOTHING or (matrix in _DERIVED and primaries == "smpte428")
    return by_nothing or (matrix in _CONSTANT_LUMINANCE if hdr else matrix == "ictcp")


_BT709_CODE = "if(lt({0},0.018054),4.5*{0},1.099297*pow({0},0.45)-0.099297)"
_AS_SCENE_LIGHT = f"maxval*({_BT709_CODE.format('pow(val/maxval,2.4)')})"


def _from_constant_luminance(source: Colour, result: Colour) -> tuple[Filter, ...]:
    """The filters that change a matrix whose luminance is made of linear light into one of coded values."""
    # zscale decodes by the camera's curve and codes by the screen's (a power of 2.4), which would make the picture
    # lighter (a grey of 50% becomes 57%): so it is coded again, in 16 bits.
    curve = tuple((channel, _AS_SCENE_LIGHT) for channel in "rgb")
    levels = source.range or "tv"
    return (
        _zscale(source, ("matrixin", source.matrix or ""), ("matrix", "gbr"), ("rangein", levels), ("range", "pc")),
        Filter("format", (("pix_fmts", "gbrp16le"),)),
        Filter("lutrgb", curve),
        _zscale(source, ("matrixin", "gbr"), ("matrix", result.matrix or ""), ("rangein", "pc"), ("range", levels)),
    )


def _zscale(source: Colour, *options: tuple[str, str]) -> Filter:
    """zscale that leaves primaries and transfer, of which it needs some even where they do not matter."""
    primaries = source.primaries or "bt709"
    transfer = (source.transfer if source.matrix == "ictcp" else None) or "bt709"
    kept = (("primariesin", primaries), ("primaries", primaries), ("transferin", transfer), ("transfer", transfer))
    return Filter("zscale", (*options, *kept))
