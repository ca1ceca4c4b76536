"""How are a film's pictures read as NumPy arrays, a bounded number ahead of who uses them?"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any, Literal, TypeAlias, cast

import av
import numpy as np

from pyprocessor.errors import FailureKind, InspectError, UsageError
from pyprocessor.frames.decoding import PathName, Source, film_seconds, opened
from pyprocessor.models import StreamInfo

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"
PixelFormat: TypeAlias = Literal["rgb24", "gray"]
_SEEK_SECONDS = 10.0
"""Pictures further apart than this are sought: most films have a keyframe in less."""
_MOMENT_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, upright."""

    time: float
    """When it is shown, in seconds; the film's first picture is at 0."""
    index: int
    """Its place among those that were asked for, from 0."""
    array: Array
    """(height, width, 3) of red, green and blue, or (height, width) of grey; uint8, 0 is black and 255 white."""


class _Ahead:
    """What the decoding thread has ready; shared with the reader, which may end first."""

    def __init__(self, most: int) -> None:
        self._ready: deque[Frame] = deque()
        self._most = most
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._closed = self._ended = False
        self.failures = 0

    def fill(self, frames: Callable[[_Ahead], Iterator[Frame]]) -> None:
        """Decode until the film ends or the reader is closed; an error is kept for the reader."""
        error: BaseException | None = None
        try:
            for frame in frames(self):
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or len(self._ready) < self._most)
                    if self._closed:
                        break
                    self._ready.append(frame)
                    self._changed.notify_all()
        except BaseException as raised:  # noqa: BLE001 - it is raised again where it can be handled
            error = raised
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def take(self) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended or self._closed)
            if self._ready and not self._closed:
                self._changed.notify_all()
                return self._ready.popleft()
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    @property
    def ready(self) -> int:
        return len(self._ready)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()


class FrameReader(Iterator[Frame]):
    """Frames in the order they are shown. A thread of its own decodes them and ends when this is closed."""

    def __init__(self, frames: Callable[[_Ahead], Iterator[Frame]], read_ahead: int) -> None:
        self._ahead = _Ahead(read_ahead)
        self._thread = threading.Thread(target=self._ahead.fill, args=(frames,), name="read_frames", daemon=True)
        # A reader that is dropped without being closed ends its thread as well.
        weakref.finalize(self, self._ahead.close)
        self._thread.start()

    @property
    def failures(self) -> int:
        """How many packets could not be decoded so far."""
        return self._ahead.failures

    @property
    def ready(self) -> int:
        """How many frames are decoded and not yet asked for."""
        return self._ahead.ready

    def __next__(self) -> Frame:
        """Return the next frame. Raises InspectError where the file cannot be read (on)."""
        frame = self._ahead.take()
        if frame is None:
            self._thread.join()
            raise StopIteration
        return frame

    def close(self) -> None:
        """Stop decoding and close the file; may be called again."""
        self._ahead.close()
        self._thread.join()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_frames(
    path: PathName,
    *,
    rate: float | None = None,
    keyframes: bool = False,
    count: int | None = None,
    width: int | None = None,
    size: tuple[int, int] | None = None,
    pixel_format: PixelFormat = "rgb24",
    threads: int = 0,
    read_ahead: int = 16,
) -> FrameReader:
    """Return a reader of a film's pictures: all of them, or a selection by one of `rate`, `keyframes` and `count`.

    - `rate`: of each 1/rate seconds the first picture shown; a film with fewer pictures gives each of them once.
    - `keyframes`: the pictures that need no others; only they are decoded.
    - `count`: the first picture shown at or after the middle of each of so many equal parts of the playing time. Where
      these are over ten seconds apart they are sought; a damaged index may then lead to later ones. There are fewer
      where the film has fewer or ends before the duration that its container states.

    All arrays have one shape, also where the film changes its own: that of its first picture, or `width` pixels wide
    with an even height that keeps the aspect ratio, or `size` (width, height). Samples of more than 8 bits are
    reduced to 8; HDR is not tone-mapped, transparency is left out. `threads` decode (0: as many as there are cores).
    At most `read_ahead` frames, and the one being made, wait in memory.

    Raises UsageError; whatever is wrong with the file is raised when the first frame is asked for.
    """
    if sum((rate is not None, keyframes, count is not None)) > 1:
        raise UsageError("Ask for frames by one of rate, keyframes and count.")
    if width is not None and size is not None:
        raise UsageError("Give the frames a width or a size, not both.")
    for name, value in (("rate", rate), ("count", count), ("width", width), ("read_ahead", read_ahead)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"The {name} of frames is {value}; it has to be above 0.")
    if size is not None and min(size) < 1:
        raise UsageError(f"The size of frames is {size[0]}x{size[1]}; both sides have to be above 0.")
    if pixel_format not in ("rgb24", "gray"):
        raise UsageError(f"Frames are read as rgb24 or gray, not as {pixel_format}.")

    file = os.path.abspath(os.fsencode(path))

    def frames(ahead: _Ahead) -> Iterator[Frame]:
        with opened(file, threads=threads) as source:
            if source.media.video is None:
                raise InspectError(FailureKind.BAD_INPUT, "It has no pictures.")
            if count is None:
                pictures = _all(source, keyframes=keyframes, rate=rate)
            else:
                pictures = _spread(source, film_seconds(file, source.media), count)
            convert = Conversion(source.media.video, pixel_format, width=width, size=size)
            index = 0
            for index, (time, picture) in enumerate(pictures, start=1):
                ahead.failures = source.failures
                yield Frame(time, index - 1, convert(picture))
            ahead.failures = source.failures
            if not index:
                what = "It has no keyframes that" if keyframes else "None of its pictures"
                raise InspectError(FailureKind.BAD_INPUT, f"{what} can be decoded: it is damaged.")

    return FrameReader(frames, read_ahead)


_Pictures: TypeAlias = "Iterator[tuple[float, av.VideoFrame]]"


def _timed(source: Source, *, keyframes: bool = False) -> _Pictures:
    """Yield each picture from here on with the container's time of it."""
    clock = source.film_clock()
    for frame in source.frames(keyframes=keyframes):
        assert isinstance(frame, av.VideoFrame)
        yield clock.time(frame), frame


class Rate:
    """Chooses, of each 1/rate seconds, the first picture."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._next = 0

    def takes(self, time: float) -> bool:
        """Whether the picture shown at `time` is chosen; called with ascending times from 0."""
        place = int((time + _MOMENT_SECONDS) * self._rate)
        if place < self._next:
            return False
        self._next = place + 1
        return True


def _all(source: Source, *, keyframes: bool, rate: float | None) -> _Pictures:
    chosen = Rate(rate) if rate is not None else None
    origin: float | None = None
    for time, picture in _timed(source, keyframes=keyframes):
        origin = time if origin is None else origin
        if chosen is None or chosen.takes(time - origin):
            yield time - origin, picture


def _spread(source: Source, seconds: float, count: int) -> _Pictures:
    pictures = _timed(source)
    found = next(pictures, None)
    origin = found[0] if found is not None else 0.0
    seeks = seconds / count > _SEEK_SECONDS and not source.media.forward
    for number in range(count):
        target = origin + (number + 0.5) * seconds / count - _MOMENT_SECONDS
        # Where the file cannot be sought in, it is decoded on to the same picture.
        if found is not None and seeks and target - found[0] > _SEEK_SECONDS and source.seek(target):
            pictures = _timed(source)
        while found is not None and found[0] < target:
            found = next(pictures, None)
        if found is None:
            return
        yield found[0] - origin, found[1]
        found = next(pictures, None)


class Conversion:
    """Makes upright arrays of one shape from the pictures of a film."""

    def __init__(
        self,
        film: StreamInfo | None,
        pixel_format: PixelFormat,
        *,
        width: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        info = film.video if film is not None else None
        self._format = pixel_format
        self._turns = round(info.rotation / 90) % 4 if info is not None else 0
        self._aspect = info.sample_aspect_ratio if info is not None else Fraction(1)
        self._width = width
        self._size = size

    def __call__(self, picture: av.VideoFrame) -> Array:
        """Return the picture as an array, as described at `Frame`."""
        if self._size is None:
            self._size = self._size_like(picture)
        wide, high = self._size if self._turns % 2 == 0 else self._size[::-1]
        array = scaled(picture, wide, high, self._format)
        return np.ascontiguousarray(np.rot90(array, -self._turns)) if self._turns else array

    def upright(self, picture: av.VideoFrame) -> tuple[int, int]:
        """Return the width and height of the picture when it is upright, in pixels as stored."""
        size = picture.width, picture.height
        return size if self._turns % 2 == 0 else size[::-1]

    def _size_like(self, picture: av.VideoFrame) -> tuple[int, int]:
        wide, high = self.upright(picture)
        if self._width is None:
            return wide, high
        aspect = wide / high * (self._aspect if self._turns % 2 == 0 else 1 / self._aspect)
        return self._width, max(2, 2 * round(self._width / aspect / 2))


def scaled(picture: av.VideoFrame, width: int, height: int, pixel_format: PixelFormat) -> Array:
    """Return a decoded picture as an array of this size, (height, width) or (height, width, 3)."""
    made = picture.reformat(width=width, height=height, format=pixel_format, interpolation="BILINEAR", threads=1)
    return cast("Array", made.to_ndarray())
