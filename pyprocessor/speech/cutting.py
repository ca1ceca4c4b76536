"""Where is a long recording cut into pieces, so that no word is cut in two? It is raw sound, 16 kHz mono of 16 bits."""

from __future__ import annotations

import hashlib
import os
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

RATE = 16_000
"""Samples a second: what speech models are trained with."""
SAMPLE_BYTES = 2
_SEARCHED_SECONDS = 60.0
"""How much before the end of a piece is searched for silence: a speaker pauses more often than that."""
_SEARCHED_SHARE = 0.5
_STEP = RATE // 50
"""Sound is measured in steps of 20 ms."""
_SILENCE_STEPS = 15
"""A cut lies in the middle of the quietest 300 ms; pauses within a word (before a plosive) are shorter than 150 ms."""


_BLOCK = 500 * _STEP
"""Read at once."""
_DIGESTED_BYTES = 1 << 20
_KEPT = RATE // 4
"""Of the silence around what is kept: a word may begin softly."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a recording, in samples."""

    begin: int
    end: int

    @property
    def begin_seconds(self) -> float:
        return self.begin / RATE

    @property
    def seconds(self) -> float:
        return (self.end - self.begin) / RATE


def cuts(path: bytes, piece_seconds: float) -> Iterator[Piece]:
    """Yield the pieces of the raw sound at `path`, each at most so long, in order and without gaps.

    A piece ends in the quietest place of the last minute that it may have, or of its second half. The file is read as
    the pieces are asked for. Raises OSError.
    """
    samples = os.path.getsize(path) // SAMPLE_BYTES
    longest = max(2 * _STEP * _SILENCE_STEPS, int(piece_seconds * RATE))
    searched = int(min(_SEARCHED_SECONDS * RATE, longest * _SEARCHED_SHARE))
    begin = 0
    while samples - begin > longest:
        start = begin + longest - searched
        end = start + quietest(samples_of(path, start, begin + longest))
        yield Piece(begin, end)
        begin = end
    if samples > begin:
        yield Piece(begin, samples)


def digest(path: bytes, piece: Piece) -> str:
    """Return the SHA-256 of a piece of the raw sound at `path`. Raises OSError."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(piece.begin * SAMPLE_BYTES)
        left = (piece.end - piece.begin) * SAMPLE_BYTES
        while left and (data := file.read(min(left, _DIGESTED_BYTES))):
            found.update(data)
            left -= len(data)
    return found.hexdigest()


def quietest(samples: array[int]) -> int:
    """Return the sample in the middle of the quietest 300 ms; of several that are equally quiet the last.

    Where there is less sound than that, its end.
    """
    steps = [samples[at : at + _STEP] for at in range(0, len(samples) - _STEP + 1, _STEP)]
    loudness = [sum(map(abs, step)) for step in steps]
    if len(loudness) < _SILENCE_STEPS:
        return len(samples)
    passed = [0, *accumulate(loudness)]
    windows = range(len(loudness) - _SILENCE_STEPS + 1)
    best = min(windows, key=lambda at: (passed[at + _SILENCE_STEPS] - passed[at], -at))
    return best * _STEP + _SILENCE_STEPS * _STEP // 2


def samples_of(path: bytes, begin: int, end: int) -> array[int]:
    """Return samples of raw sound, as many of them as there are. Raises OSError."""
    with open(path, "rb") as file:
        file.seek(begin * SAMPLE_BYTES)
        return as_samples(file.read((end - begin) * SAMPLE_BYTES))


def as_samples(sound: bytes) -> array[int]:
    """Return the samples of raw sound."""
    samples = array("h", sound[: len(sound) // SAMPLE_BYTES * SAMPLE_BYTES])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def sounding(path: bytes, least: int) -> Piece:
    """Return the raw sound at `path` without what is quieter than `least` (mean of 20 ms) at its start and its end.

    Some of that is kept on both sides. Where all is quiet, all is kept. Raises OSError.
    """
    samples = os.path.getsize(path) // SAMPLE_BYTES
    blocks = range(0, samples, _BLOCK)
    first = next((at for block in blocks for at in _loud_steps(path, block, least)), None)
    if first is None:
        return Piece(0, samples)
    last = next(at for block in reversed(blocks) for at in reversed(_loud_steps(path, block, least)))
    return Piece(max(0, first - _KEPT), min(samples, last + _STEP + _KEPT))


def _loud_steps(path: bytes, block: int, least: int) -> list[int]:
    """Where the steps of a block begin that are not quiet."""
    samples = samples_of(path, block, block + _BLOCK)
    steps = ((block + at, samples[at : at + _STEP]) for at in range(0, len(samples), _STEP))
    return [at for at, step in steps if sum(map(abs, step)) >= least * len(step)]
