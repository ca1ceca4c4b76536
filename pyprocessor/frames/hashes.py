"""Which 64 bits stay nearly the same when a picture is encoded again, scaled or brightened?"""

from __future__ import annotations

import heapq

import numpy as np

from pyprocessor.frames.reading import Array

_SIDE = 32
_FREQUENCIES = 8
_FLAT = 3.0
"""Below this standard deviation, of 255, what a picture shows is mostly noise."""
_SETTLED_SECONDS = 0.5
"""A shot is known by its picture this long after its start; encoders need some time after a cut, too."""

# The discrete cosine transform (DCT-II) of 32 samples: one row for each of the lowest frequencies.
_COSINES = np.cos(np.pi / _SIDE * np.outer(np.arange(_FREQUENCIES + 1), np.arange(_SIDE) + 0.5))


def perceptual_hash(grey: Array) -> int | None:
    """Return the 64-bit hash of a grey picture (height, width), both multiples of 32; None where it shows nothing.

    Each bit tells whether a low frequency of the cosine transform is stronger than the median of them all.
    """
    height, width = grey.shape
    small = grey.reshape(_SIDE, height // _SIDE, _SIDE, width // _SIDE).mean(axis=(1, 3))
    if small.std() < _FLAT:
        return None
    strengths = _COSINES @ small @ _COSINES.T
    lowest = strengths[:_FREQUENCIES, :_FREQUENCIES].copy()
    lowest[0, 0] = strengths[0, _FREQUENCIES]  # the mean brightness tells nothing
    bits = np.packbits((lowest > np.median(lowest)).ravel())
    return int.from_bytes(bits.tobytes(), "big")


class Shots:
    """Keeps one hash of each of a film's longest shots: those are the same ones in a copy that was shortened."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._longest: list[tuple[float, float, int]] = []
        """A heap of length, start and hash."""
        self._start = 0.0
        self._hash: int | None = None
        self._hashed = False

    def begin(self, time: float) -> None:
        """A shot begins, and the one before it ends."""
        self.end(time)
        self._start, self._hash, self._hashed = time, None, False

    def wants(self, time: float) -> bool:
        """Whether the shot is to be known by the picture shown at this time."""
        return not self._hashed and time >= self._start + _SETTLED_SECONDS

    def keep(self, found: int | None) -> None:
        """Take the hash of that picture."""
        self._hash, self._hashed = found, True

    def end(self, time: float) -> None:
        """The last shot ends."""
        if self._hash is not None and self._number:
            heapq.heappush(self._longest, (time - self._start, self._start, self._hash))
            if len(self._longest) > self._number:
                heapq.heappop(self._longest)
        self._hash = None

    def kept(self) -> list[int]:
        """Return the hashes, by time."""
        return [found for _, _, found in sorted(self._longest, key=lambda shot: shot[1])]
