"""How do several pictures of a film become one, a contact sheet?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from pyprocessor.errors import UsageError
from pyprocessor.frames.decoding import PathName
from pyprocessor.frames.reading import Array, Frame

_MOST_SIDE = 65_500
"""Pixels of a JPEG."""
_QUALITY = "3"
"""mjpeg's scale of 2 (best) to 31."""


def contact_sheet(path: PathName, frames: Sequence[Frame], *, columns: int = 4, gap: int = 4) -> None:
    """Write frames as one JPEG: row by row on black, `gap` pixels apart. Raises OSError, UsageError.

    The frames are all of one size and colour format; a file at `path` is replaced.
    """
    if not frames or columns < 1 or gap < 0:
        raise UsageError("A contact sheet needs a frame and a column, and its gap is 0 or more.")
    if len({frame.array.shape for frame in frames}) > 1:
        raise UsageError("The frames of a contact sheet have to be of one size and format.")
    height, width = frames[0].array.shape[:2]
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    # Chroma is stored for two pixels at once.
    sides = [2 * -(-(count * (side + gap) + gap) // 2) for count, side in ((rows, height), (columns, width))]
    if max(sides) > _MOST_SIDE:
        raise UsageError(f"The contact sheet would be {sides[1]}x{sides[0]} pixels; a JPEG has at most {_MOST_SIDE}.")
    sheet = np.zeros((*sides, *frames[0].array.shape[2:]), dtype=np.uint8)
    for place, frame in enumerate(frames):
        row, column = divmod(place, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = frame.array
    with open(path, "wb") as file:
        file.write(_jpeg(sheet))


def _jpeg(sheet: Array) -> bytes:
    colours = "rgb24" if sheet.ndim == 3 else "gray"
    picture = av.VideoFrame.from_ndarray(sheet, format=colours).reformat(format="yuvj420p", threads=1)
    picture.pts = 0
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuvj420p"
    encoder.time_base, encoder.thread_count = Fraction(1), 1
    encoder.options = {"qmin": _QUALITY, "qmax": _QUALITY}
    return b"".join(bytes(packet) for frame in (picture, None) for packet in encoder.encode(frame))
