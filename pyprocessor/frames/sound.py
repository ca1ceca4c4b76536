"""Where is a film silent?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyprocessor.frames.pictures import Spans

if TYPE_CHECKING:
    import av

_SAMPLES: dict[str, tuple[type[np.generic], int, int]] = {
    "u8": (np.uint8, 1 << 7, 1 << 7),
    "s16": (np.int16, 0, 1 << 15),
    "s32": (np.int32, 0, 1 << 31),
    "s64": (np.int64, 0, 1 << 63),
    "flt": (np.float32, 0, 1),
    "dbl": (np.float64, 0, 1),
}
"""By ffmpeg's name of the format: type, zero and full scale of a sample."""


class Silence:
    """Finds the spans in which no sample of any channel is loud, exact to the sample."""

    def __init__(self, seconds: float, decibels: float) -> None:
        self.spans = Spans(seconds)
        self._loudest = 10 ** (decibels / 20)

    def take(self, time: float, frame: av.AudioFrame) -> None:
        """Go on with the sound that begins at `time`, in seconds."""
        loud = np.flatnonzero(_are_loud(frame, self._loudest))
        if not loud.size:
            self.spans.take(time, holds=True)
            return
        first, last = int(loud[0]), int(loud[-1]) + 1

        def at(sample: int) -> float:
            return time + sample / (frame.sample_rate or 1)

        if first:
            self.spans.take(time, holds=True)
        self.spans.end(at(first))
        if at(last) - at(first) > self.spans.shortest:  # a span may begin and end within one frame
            for gap in np.flatnonzero(np.diff(loud) > 1):
                self.spans.take(at(int(loud[gap]) + 1), holds=True)
                self.spans.end(at(int(loud[gap + 1])))
        if last < frame.samples:
            self.spans.take(at(last), holds=True)


def _are_loud(frame: av.AudioFrame, loudest: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return of each sample whether any channel is above this share of full scale."""
    name = frame.format.name
    sample, zero, full = _SAMPLES[name.removesuffix("p")]
    high, low = zero + loudest * full, zero - loudest * full
    channels = 1 if frame.format.is_planar else len(frame.layout.channels)
    loud = np.zeros(frame.samples, dtype=np.bool_)
    for plane in frame.planes:  # read where the decoder left it
        values = np.frombuffer(plane, sample)[: frame.samples * channels]  # type: ignore[call-overload]
        over = (values > high) | (values < low)
        loud |= over if channels == 1 else over.reshape(-1, channels).any(axis=1)
    return loud
