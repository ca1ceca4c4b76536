"""What do pictures show: black, a standing picture, a new shot? How bright and how sharp are they?

Every picture is looked at, but only at points of a grid, read where the decoder left it. A few pictures a second are
scaled to a small grey one and measured there.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from pyprocessor.frames.reading import Array, scaled

if TYPE_CHECKING:
    import av

GRID_LINES = 90
"""The shorter side of the grid has this many points or somewhat more."""
MEASURED = (512, 288)
"""Width and height, in pixels, of the picture that is measured, whatever the film's: sharpness depends on them."""
MOST_EVENTS = 10_000
"""Spans, and cuts, that are kept of a film."""
_BLACK, _WHITE = 16, 235
"""Luma of black and white in limited range (ITU-R BT.601 and BT.709)."""
_FULL_RANGE = 2
"""AVCOL_RANGE_JPEG."""
_BUCKETS = 32
_BEFORE = 3
"""Pictures before a cut that tell how much moves."""
_ALIKE = 0.25
"""Pictures differ by less than this share of how two shots differ if they are of one shot."""
_FLASH_SECONDS = 0.5
"""What is shown between two shots that are alike, and for no longer, is no shot."""

T = TypeVar("T")


class Span(NamedTuple):
    """From one time to another, in seconds; the film's first picture is shown at 0."""

    start: float
    end: float


class Spans:
    """Collects the spans in which something holds, if they last long enough."""

    def __init__(self, shortest: float) -> None:
        self.found: list[Span] = []
        self.left_out = 0
        self.shortest = shortest
        self._start: float | None = None

    def take(self, time: float, *, holds: bool, since: float | None = None) -> None:
        """From `time` on it holds, or has held `since` an earlier time, or does not hold."""
        if not holds:
            self.end(time)
        elif self._start is None:
            self._start = time if since is None else since

    def end(self, time: float) -> None:
        """It holds no longer."""
        if self._start is not None and time - self._start >= self.shortest:
            if len(self.found) < MOST_EVENTS:
                self.found.append(Span(self._start, time))
            else:
                self.left_out += 1
        self._start = None


class Spread(Generic[T]):
    """Keeps at most `2 * number` of a series whose length is not known, evenly spread over it."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._kept: list[T] = []
        self._step = 1
        self._offered = 0

    def wants(self) -> bool:
        """Whether the next of the series is to be kept; to be asked once for each of them."""
        wanted = self._number > 0 and self._offered % self._step == 0
        self._offered += 1
        return wanted

    def keep(self, item: T) -> None:
        """Keep what was wanted."""
        self._kept.append(item)
        if len(self._kept) == 2 * self._number:
            del self._kept[1::2]
            self._step *= 2

    def kept(self) -> list[T]:
        """Return at most `number` of the series, evenly spread."""
        count = min(self._number, len(self._kept))
        return [self._kept[(2 * place + 1) * len(self._kept) // (2 * count)] for place in range(count)]


class Luma(NamedTuple):
    """The brightness of a picture at points of a grid."""

    points: np.ndarray[Any, np.dtype[np.int16]]
    black: int
    white: int


def luma(picture: av.VideoFrame) -> Luma:
    """Return the luma of a decoded picture, in 8 bits, at points of a grid."""
    step = max(1, min(picture.width, picture.height) // GRID_LINES)
    form = picture.format
    bits = form.components[0].bits
    if not form.name.startswith(("yuv", "gray", "nv12")) or not form.is_planar or form.is_big_endian or bits > 16:
        small = scaled(picture, -(-picture.width // step), -(-picture.height // step), "gray")
        return Luma(small.astype(np.int16), 0, 255)
    plane = picture.planes[0]
    width = plane.line_size // (1 if bits == 8 else 2)
    points = np.frombuffer(plane, np.uint8 if bits == 8 else "<u2").reshape(-1, width)  # type: ignore[call-overload]
    points = points[: picture.height : step, : picture.width : step]
    eight = (points if bits == 8 else points >> (bits - 8)).astype(np.int16)
    full = picture.color_range == _FULL_RANGE or form.name.startswith("yuvj")
    return Luma(eight, 0, 255) if full else Luma(eight, _BLACK, _WHITE)


NOTHING = Luma(np.zeros((0, 0), np.int16), 0, 255)
"""Before the first picture."""


def difference(one: Luma, other: Luma) -> float:
    """Return the mean absolute difference of two pictures, from 0 to 1; 1 where they differ in size."""
    if one.points.shape != other.points.shape:
        return 1.0
    return float(np.abs(one.points - other.points).mean()) / 255


class BlackSpans:
    """Finds where enough pixels are dark."""

    def __init__(self, seconds: float, pixel: float, share: float) -> None:
        self.spans = Spans(seconds)
        self._pixel = pixel
        self._share = share

    def take(self, time: float, picture: Luma) -> None:
        brightest = int(picture.black + self._pixel * (picture.white - picture.black))
        dark = np.count_nonzero(picture.points <= brightest)
        self.spans.take(time, holds=bool(dark >= self._share * picture.points.size))


class FrozenSpans:
    """Finds where pictures stay as the first of them is."""

    def __init__(self, seconds: float, decibels: float) -> None:
        self.spans = Spans(seconds)
        self._most = 10 ** (decibels / 20)
        self._first = NOTHING
        self._since = 0.0
        self._alone = True
        """Whether the picture before is the first."""

    def take(self, time: float, picture: Luma, moved: float) -> None:
        """Look at the next picture; `moved` is its difference to the one before."""
        frozen = moved <= self._most if self._alone else difference(self._first, picture) <= self._most
        self.spans.take(time, holds=frozen, since=self._since)
        self._alone = not frozen
        if not frozen:
            self._first, self._since = picture, time


class Cuts:
    """Finds where a new shot begins: more changes at once than moved before, and the brightness is spread otherwise.

    A dissolve or a fade is no cut.
    """

    def __init__(self, least: float) -> None:
        self.found: list[float] = []
        self.left_out = 0
        self._least = least
        self._last = NOTHING
        self._moved: deque[float] = deque(maxlen=_BEFORE)
        self._before: tuple[float, Luma, float] | None = None
        """When the last shot began, the picture before that, and how different they are."""

    def take(self, time: float, picture: Luma, moved: float) -> bool:
        """Return whether a shot begins with this picture; `moved` is its difference to the one before."""
        last, self._last = self._last, picture
        if last is NOTHING:
            return True
        sudden = moved - max(self._moved, default=0.0)
        self._moved.append(moved)
        if self._is_back(time, picture):
            return False
        if sudden < self._least / 2 or (sudden * _unlike(last, picture)) ** 0.5 < self._least:
            return False
        self._before = time, last, moved
        if len(self.found) < MOST_EVENTS:
            self.found.append(time)
        else:
            self.left_out += 1
        return True

    def _is_back(self, time: float, picture: Luma) -> bool:
        """Whether the shot before the last cut goes on; that was a flash, then, and is no longer a cut."""
        if self._before is None:
            return False
        began, before, change = self._before
        if time - began <= _FLASH_SECONDS and difference(before, picture) >= _ALIKE * change:
            return False
        self._before = None
        if time - began > _FLASH_SECONDS:
            return False
        if self.found[-1] == began:
            self.found.pop()
        else:
            self.left_out -= 1
        return True


def _unlike(one: Luma, other: Luma) -> float:
    """Return how differently brightness is distributed in two pictures: the share of points, from 0 to 1."""
    if one.points.shape != other.points.shape:
        return 1.0
    a, b = (np.bincount(np.clip(each.points.ravel(), 0, 255) >> 3, minlength=_BUCKETS) for each in (one, other))
    return float(np.abs(a - b).sum()) / (2 * one.points.size)


def sharpness(grey: Array) -> float:
    """Return the variance of the Laplacian (four neighbours) of a grey picture: the lower, the more blurred."""
    wide = grey.astype(np.int16)
    edges = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    return float(edges.var(dtype=np.float32))
