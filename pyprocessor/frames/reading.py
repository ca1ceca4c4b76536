"""How are a film's pictures read as NumPy arrays, a bounded number ahead of who uses them?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, upright."""

    time: float
    """When it is shown, in seconds; the film's first picture is at 0."""
    index: int
    """Its place among those that were asked for, from 0."""
    array: Array
    """(height, width, 3) of red, green and blue, or (height, width) of grey; uint8, 0 is black and 255 white."""


class FrameReader(Iterator[Frame]):
    """Frames in the order they are shown. A thread of its own decodes them and ends when this is closed."""

    failures: int
    """How many packets could not be decoded so far."""

    def __next__(self) -> Frame:
        """Return the next frame. Raises InspectError where the file cannot be read (on)."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop decoding and close the file; may be called again."""

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_frames(
    path: str | bytes | os.PathLike[str],
    *,
    rate: float | None = None,
    keyframes: bool = False,
    count: int | None = None,
    width: int | None = None,
    size: tuple[int, int] | None = None,
    pixel_format: Literal["rgb24", "gray"] = "rgb24",
    threads: int = 0,
    read_ahead: int = 16,
) -> FrameReader:
    """Return a reader of a film's pictures: all of them, or a selection by one of `rate`, `keyframes` and `count`.

    `rate`: the first picture shown in each 1/rate seconds. `keyframes`: those that need no others, the only ones that
    are decoded. `count`: so many, spread evenly over the playing time. They are scaled to `width` (the height follows,
    both even) or to `size` (width, height) exactly. `threads` decode (0: as many as there are cores); `read_ahead`
    frames are decoded before they are asked for. Raises UsageError.
    """
    raise NotImplementedError
