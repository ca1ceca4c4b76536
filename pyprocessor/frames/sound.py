"""Where is a film silent?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyprocessor.frames.pictures import Spans

if TYPE_CHECKING:
    import av


class Silence:
    """Finds the spans in which no sample of any channel is loud, exact to the sample."""

    def __init__(self, seconds: float, decibels: float) -> None:
        self.spans = Spans(seconds)
        self._loudest = 10 ** (decibels / 20)

    def take(self, time: float, frame: av.AudioFrame) -> None:
        """Go on with the sound that begins at `time`, in seconds."""
        loud = np.flatnonzero(_peaks(frame) > self._loudest)
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


def _peaks(frame: av.AudioFrame) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
    """Return of each sample the largest amplitude of its channels, from 0 to 1 of full scale."""
    samples: np.ndarray[Any, Any] = frame.to_ndarray()
    channels = samples if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype.kind == "f":
        zero, full = 0.0, 1.0
    elif samples.dtype == np.uint8:
        zero, full = 128.0, 128.0
    else:
        zero, full = 0.0, 2.0 ** (8 * samples.dtype.itemsize - 1)
    highest, lowest = channels.max(axis=0), channels.min(axis=0)
    peaks: np.ndarray[Any, np.dtype[np.floating[Any]]] = np.maximum(highest - zero, zero - lowest) / full
    return peaks
